-- What holds tasks back: keys with limits, other tasks, limits of queues. SQLite.

-- `awaited`: another task waits for the end of this one, so whoever settles it has to look. `depends_on`: JSON, for people.
alter table runs add column concurrency_key text;
alter table runs add column depends_on text;
alter table runs add column awaited integer not null default 0;
create index runs_children on runs (project_id, parent_run_id) where parent_run_id is not null;

-- Tasks that have, or have to get, a place under their key, and tasks that wait for others. What is held back stands in `queue`
-- too, at a time that never comes. `admitted`: it has its place under its key. `waits_for`: so many tasks have to end first.
create table held (
  project_id text not null,
  run_id text not null,
  place text not null,
  handler text not null,
  priority integer not null,
  -- Not before this time, whatever else holds it.
  run_at integer not null,
  waits_for integer not null,
  admitted integer not null,
  key text,
  -- Under its key: how many at once; how many starts in how many milliseconds. Null: any number.
  max_active integer,
  rate_limit integer,
  rate_ms integer,
  primary key (project_id, run_id)
) strict;
create index held_waiting on held (project_id, key, priority desc, run_at, run_id) where key is not null and admitted = 0 and waits_for = 0;
create index held_later on held (project_id, key, run_at) where key is not null and admitted = 0 and waits_for = 0;
create index held_admitted on held (project_id, key) where admitted = 1;

-- Until the task that is waited for has ended.
create table dependencies (
  project_id text not null,
  run_id text not null,
  on_run_id text not null,
  policy text not null check (policy in ('cancel', 'run')),
  primary key (project_id, run_id, on_run_id)
) strict;
create index dependencies_on on dependencies (project_id, on_run_id);

-- Keys that are in use, or paused. No tenant policy: one sweep looks for what is due in all projects. `next_us`: of the rate
-- limit, the theoretical arrival time in microseconds. `wake_at`: when there may be something to admit by time alone.
create table concurrency_keys (
  project_id text not null references projects (id),
  key text not null,
  next_us integer not null default 0,
  paused_until integer,
  wake_at integer,
  primary key (project_id, key)
) strict;
create index concurrency_keys_wake on concurrency_keys (wake_at) where wake_at is not null;

-- What was dispatched together has numbers without a gap.
create table batches (
  project_id text not null references projects (id),
  id text not null,
  first_number integer not null,
  last_number integer not null,
  executed_by_id text,
  created_at integer not null,
  primary key (project_id, id)
) strict;

-- Handlers that are addresses. The secret signs what is sent there.
create table http_handlers (
  project_id text not null references projects (id),
  name text not null,
  -- JSON.
  contract text not null,
  url text not null,
  sealed_secret text not null,
  created_by_id text not null references users (id),
  created_at integer not null,
  primary key (project_id, name)
) strict;

-- Handlers of the servers, and addresses, that no task may name now. No tenant policy: a server knows those of all projects.
create table disabled_handlers (
  project_id text not null references projects (id),
  name text not null,
  disabled_by_id text not null references users (id),
  disabled_at integer not null,
  primary key (project_id, name)
) strict;
