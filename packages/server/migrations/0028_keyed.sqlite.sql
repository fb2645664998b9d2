-- Tasks found by their concurrency key; who took the place of a task that ran; whom the tasks of a schedule tell. SQLite.

create index runs_keyed on runs (project_id, concurrency_key, number) where concurrency_key is not null;

-- A task that was asked to stop because a later dispatch replaces it.
alter table runs add column replaced_by_run_id text;

-- JSON, as tasks have it: the webhook that does it, and as much of the address as may be seen.
alter table schedules add column callback text;
