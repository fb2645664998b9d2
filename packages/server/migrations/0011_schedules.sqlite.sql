-- Schedules: times that start tasks. The PostgreSQL twin keeps the same names in the same order.

-- `input` and `options` are JSON text, `options` with what a dispatch may say besides; what is secret in the input is left out there
-- and sealed in `input_sealed`, bound to the digest of what is shown. Exactly one of `cron`, `every_ms` and `at`.
-- `owner_id`: in whose name tasks are started, who made, changed or resumed it last. `next_at`: the first due time that was not
-- decided yet; null while it is paused or when there is none any more. `refusals`: fires in a row that started nothing.
create table schedules (
  project_id text not null references projects (id),
  id text not null,
  name text not null,
  handler text not null,
  input text not null,
  input_sha256 text not null,
  input_sealed text,
  options text not null,
  cron text,
  every_ms integer,
  at integer,
  zone text not null,
  dst_gap text not null check (dst_gap in ('skip', 'after')),
  dst_overlap text not null check (dst_overlap in ('first', 'both')),
  catch_up text not null check (catch_up in ('none', 'last', 'all')),
  catch_up_limit integer not null,
  when_running text not null check (when_running in ('allow', 'skip')),
  starts_at integer,
  ends_at integer,
  state text not null check (state in ('active', 'paused', 'ended', 'deleted')),
  paused_reason text,
  owner_id text not null references users (id),
  version integer not null,
  next_at integer,
  last_due_at integer,
  last_run_id text,
  refusals integer not null default 0,
  created_by_id text not null references users (id),
  created_at integer not null,
  updated_at integer not null,
  primary key (project_id, id)
) strict;
create unique index schedules_name on schedules (project_id, name) where state <> 'deleted';

-- What became of a due time. The key is what makes it happen once, whoever fires.
create table schedule_fires (
  project_id text not null,
  schedule_id text not null,
  due_at integer not null,
  fired_at integer not null,
  outcome text not null check (outcome in ('started', 'skipped', 'refused')),
  run_id text,
  error_code text,
  primary key (project_id, schedule_id, due_at)
) strict;

-- Which schedules are due, of all projects. No tenant policy: schedulers look here, then enter the project.
create table schedule_due (
  schedule_id text primary key,
  project_id text not null,
  next_at integer not null
) strict;
create index schedule_due_next on schedule_due (next_at);
