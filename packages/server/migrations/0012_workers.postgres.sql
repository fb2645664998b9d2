-- Handlers of workers outside of the servers: what they say that they can do.

create table worker_handlers (
  project_id text not null references projects (id),
  name text not null,
  -- JSON, as the worker that registered it last described it.
  contract text not null,
  enabled smallint not null,
  registered_at bigint not null,
  last_seen_at bigint not null,
  primary key (project_id, name)
);

grant select, insert, update on worker_handlers to writ_app;
alter table worker_handlers enable row level security;
alter table worker_handlers force row level security;
create policy project_fence on worker_handlers
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
