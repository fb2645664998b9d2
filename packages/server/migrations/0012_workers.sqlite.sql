-- Handlers of workers outside of the servers: what they say that they can do.

create table worker_handlers (
  project_id text not null references projects (id),
  name text not null,
  -- JSON, as the worker that registered it last described it.
  contract text not null,
  enabled integer not null,
  registered_at integer not null,
  last_seen_at integer not null,
  primary key (project_id, name)
) strict;
