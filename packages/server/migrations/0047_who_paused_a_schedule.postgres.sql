-- When a schedule was paused, and by which person; null where the server did it. Of one that was paused before, the log tells both.
alter table schedules add column paused_at bigint;
alter table schedules add column paused_by_id text;
