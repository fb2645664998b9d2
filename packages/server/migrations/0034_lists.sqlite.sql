-- Dead letters in the order of their lists, and no others: by the index of all that ever ended badly a page looked at each that was
-- replayed or purged since. With what filters ask, so that counting reads no rows. `purged_at` stands before the number, or the planner
-- would take the index of all runs for a page.
drop index runs_dead;
create index runs_dead on runs (project_id, purged_at, number, kind, handler, queue, error_code, dead_at)
  where dead_at is not null and purged_at is null;
