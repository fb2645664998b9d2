-- Which lease lines were printed under, so that lines that are sent twice are kept once. PostgreSQL.

-- `told`: how many lines were printed under the lease with this fence, up to the end of these. Null for what was kept before.
alter table log_chunks add column fence bigint;
alter table log_chunks add column told bigint;
