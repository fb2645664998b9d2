-- What a task's handler did in steps: done once, whichever attempt did it. SQLite.

create table steps (
  project_id text not null,
  run_id text not null,
  name text not null,
  attempt integer not null,
  started_at integer not null,
  ended_at integer not null,
  -- JSON text as it may be seen, its digest, and the exact text sealed if something in it is secret.
  result text not null,
  sha256 text not null,
  result_sealed text,
  primary key (project_id, run_id, name)
) strict;
