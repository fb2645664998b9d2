-- What a task's span is a child of, where spans are collected. PostgreSQL.

-- The request that dispatched it, or the attempt whose handler did: 16 hex digits. Null for the root of a trace, and where nobody collects.
alter table runs add column parent_span_id text;
