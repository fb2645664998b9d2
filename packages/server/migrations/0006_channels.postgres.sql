-- Webhooks of a project, what was sent to them, and how far each project's log was read for them.

create table webhooks (
  project_id text not null references projects (id),
  id text not null,
  name text not null,
  format text not null check (format in ('cloudevents', 'slack', 'feishu', 'email')),
  url text not null,
  sealed_url text not null,
  sealed_headers text not null,
  header_names text not null,
  sealed_secret text,
  sealed_previous_secret text,
  previous_secret_until bigint,
  events text not null,
  state text not null check (state in ('active', 'disabled', 'deleted')),
  disabled_reason text,
  failing_since bigint,
  created_by_id text not null references users (id),
  created_at bigint not null,
  updated_at bigint not null,
  primary key (project_id, id)
);

create table deliveries (
  project_id text not null references projects (id),
  id text not null,
  webhook_id text not null,
  event_id text not null,
  event_type text not null,
  state text not null check (state in ('waiting', 'delivered', 'failed')),
  replay_of text,
  next_attempt_at bigint,
  attempts text not null default '[]',
  created_at bigint not null,
  settled_at bigint,
  primary key (project_id, id),
  foreign key (project_id, webhook_id) references webhooks (project_id, id)
);
create index deliveries_webhook on deliveries (project_id, webhook_id, id);
create index deliveries_event on deliveries (project_id, event_id);

-- What is to be sent, and when. No tenant policy: a process claims ids, then enters the project of each.
create table delivery_queue (
  delivery_id text primary key,
  project_id text not null,
  webhook_id text not null,
  due_at bigint not null,
  fence bigint not null default 0,
  lease_owner text,
  lease_until bigint
);
create index delivery_queue_due on delivery_queue (due_at);

-- How far a project's log was read. Only projects that ever had a webhook have a row. No tenant policy, as above.
create table webhook_cursors (
  project_id text primary key,
  shard bigint not null,
  log_index bigint not null
);

grant select, insert, update on webhooks, deliveries, webhook_cursors to writ_app;
grant delete on deliveries to writ_app;
grant select, insert, update, delete on delivery_queue to writ_app;

do $$
declare
  fenced text;
begin
  foreach fenced in array array['webhooks', 'deliveries'] loop
    execute format('alter table %I enable row level security', fenced);
    execute format('alter table %I force row level security', fenced);
    execute format($p$create policy project_fence on %I
      using (project_id = nullif(current_setting('writ.project', true), ''))
      with check (project_id = nullif(current_setting('writ.project', true), ''))$p$, fenced);
  end loop;
end $$;
