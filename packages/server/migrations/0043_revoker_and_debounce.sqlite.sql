-- Who revoked a key. Null of one that is not revoked, or was before this column: the log tells of that one.
alter table signing_keys add column revoked_by_id text;

-- For how long an entry waits from when it was put in, or moved: its time is then the end of a span, as a debounced task's. Null where it is a
-- time that somebody named, or at once.
alter table queue add column span_ms integer;
