-- How runs went, counted: by minute, hour and day, handler and queue. SQLite.

-- Derived from the log behind a cursor, never written by what settles a run. `at`: where the step begins, in UTC. `ran`, `waited`:
-- how many by class of length (histogram.ts); `codes`: how many by error code. JSON objects.
create table run_stats (
  project_id text not null references projects (id),
  step text not null check (step in ('minute', 'hour', 'day')),
  at integer not null,
  handler text not null,
  queue text not null,
  ended integer not null,
  failed integer not null,
  cancelled integer not null,
  ran text not null,
  waited text not null,
  codes text not null,
  primary key (project_id, step, at, handler, queue)
) strict;

-- Up to where each project's log was counted.
create table run_stats_cursors (
  project_id text primary key references projects (id),
  shard integer not null,
  log_index integer not null
) strict;
