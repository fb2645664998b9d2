-- Dead letters in the order of their lists, and no others: by the index of all that ever ended badly a page looked at each that was
-- replayed or purged since. With what filters ask, so that counting reads no rows. What is null stands in SQLite's before the number,
-- because its planner would take another index otherwise; this one would not know that the order is that of numbers.
drop index runs_dead;
create index runs_dead on runs (project_id, number, kind, handler, queue, error_code, dead_at, purged_at)
  where dead_at is not null and purged_at is null;

-- Ids of runs are compared by their bytes, and so are those of what waits. In another collation no index served a join with runs: a page of
-- tasks, or one task, read all that waits from its beginning.
alter table queue alter column run_id type text collate "C";

-- The same of the other ids by which a row is joined with a run or with an event.
alter table runs alter column parent_run_id type text collate "C";
alter table erasures alter column event_id type text collate "C";
