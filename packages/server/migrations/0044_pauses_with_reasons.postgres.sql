-- Who made something stand still, and why: whoever meets it is told there, not in the log alone.
alter table queues add column paused_reason text;
-- JSON, see `KeyPause`. Null of a key that is not paused, or was before this column.
alter table concurrency_keys add column pause text;
alter table disabled_handlers add column disabled_reason text;
-- Null of one that was disabled before these columns: the log tells of that one.
alter table worker_handlers add column disabled_at bigint;
alter table worker_handlers add column disabled_by_id text;
alter table worker_handlers add column disabled_reason text;
