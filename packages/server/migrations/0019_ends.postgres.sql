-- What counts how runs ended reads the appends that tell of ends, and no others. PostgreSQL.

-- How many events of the append say that a run ended; null where it was not counted, so they have to be read.
alter table audit_appends add column ends bigint;
