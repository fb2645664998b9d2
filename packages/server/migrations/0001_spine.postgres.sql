-- The spine: people, projects, tickets, runs, evidence, audit. PostgreSQL 15+.
-- The SQLite twin keeps the same names in the same order. Differs by necessity: runs, artifacts and audit_events are
-- partitioned by the month of their UUIDv7 (ids compare bytewise, hence collate "C"), and at the end stand roles,
-- grants and row-level security, which SQLite does not have.

-- People. These tables carry no tenant policy: they are what the fences are made of.
create table users (
  id text primary key,
  number bigint not null unique,
  username text not null,
  email text,
  full_name text,
  password_hash text not null,
  is_active bigint not null default 1,
  is_instance_admin bigint not null default 0,
  must_change_password bigint not null default 0,
  totp_secret text,
  totp_pending text,
  totp_last_step bigint,
  created_at bigint not null,
  updated_at bigint not null
);
create unique index users_username on users (lower(username));
create unique index users_email on users (lower(email));

create table projects (
  id text primary key,
  slug text not null unique,
  name text not null,
  policy text not null,
  created_by_id text,
  created_at bigint not null
);

create table memberships (
  project_id text not null references projects (id),
  user_id text not null references users (id),
  role text not null check (role in ('admin', 'ops', 'dev', 'employee', 'auditor')),
  created_at bigint not null,
  primary key (project_id, user_id)
);
create index memberships_user on memberships (user_id);

create table sessions (
  id text primary key,
  secret_hash text not null unique,
  user_id text not null references users (id),
  kind text not null check (kind in ('bearer', 'cookie')),
  csrf_hash text,
  ip_address text,
  user_agent text,
  created_at bigint not null,
  last_seen_at bigint not null,
  expires_at bigint not null,
  revoked_at bigint
);
create index sessions_user on sessions (user_id, created_at);

-- Who somebody is at an identity provider: one account of each provider for one user of ours.
create table user_links (
  issuer text not null,
  subject text not null,
  user_id text not null references users (id),
  created_at bigint not null,
  primary key (issuer, subject),
  unique (issuer, user_id)
);

create table tokens (
  id text primary key,
  project_id text not null references projects (id),
  user_id text not null references users (id),
  name text not null,
  prefix text not null unique,
  secret_hash text not null,
  role text not null check (role in ('admin', 'ops', 'dev', 'employee', 'auditor')),
  scopes text not null,
  ip_ranges text not null,
  created_at bigint not null,
  expires_at bigint not null,
  last_used_at bigint,
  revoked_at bigint
);
create index tokens_owner on tokens (project_id, user_id);

create table invites (
  id text primary key,
  project_id text not null references projects (id),
  code_hash text not null unique,
  email text,
  role text not null check (role in ('admin', 'ops', 'dev', 'employee', 'auditor')),
  created_by_id text not null references users (id),
  created_at bigint not null,
  expires_at bigint not null,
  used_at bigint,
  used_by_id text references users (id),
  revoked_at bigint
);
create index invites_project on invites (project_id, created_at);

-- Numbers for people, and totals for lists. `value` is the last number given, `total` what there is.
create table counters (
  project_id text not null,
  name text not null,
  value bigint not null default 0,
  total bigint not null default 0,
  primary key (project_id, name)
);

create table policy_changes (
  project_id text not null references projects (id),
  id text not null,
  state text not null check (state in ('pending', 'applied', 'rejected')),
  policy text not null,
  digest text not null,
  requested_by_id text not null references users (id),
  decided_by_id text references users (id),
  reason text,
  created_at bigint not null,
  decided_at bigint,
  primary key (project_id, id)
);

-- Tickets.
create table assets (
  project_id text not null references projects (id),
  id text not null,
  number bigint not null,
  name text not null,
  asset_type text not null,
  serial_number text,
  location text,
  description text,
  created_by_id text not null references users (id),
  created_at bigint not null,
  updated_at bigint not null,
  primary key (project_id, id),
  unique (project_id, number),
  unique (project_id, serial_number)
);
create index assets_type on assets (project_id, asset_type, number);

create table tickets (
  project_id text not null references projects (id),
  id text not null,
  number bigint not null,
  title text not null,
  description text,
  status text not null check (status in ('draft', 'submitted', 'approved', 'running', 'done', 'failed', 'closed')),
  asset_id text,
  created_by_id text not null references users (id),
  assignee_id text references users (id),
  approved_by_id text references users (id),
  due_at bigint,
  version bigint not null,
  digest text not null,
  created_at bigint not null,
  updated_at bigint not null,
  primary key (project_id, id),
  unique (project_id, number),
  foreign key (project_id, asset_id) references assets (project_id, id)
);
create index tickets_creator on tickets (project_id, created_by_id, number);
create index tickets_assignee on tickets (project_id, assignee_id, number) where assignee_id is not null;
create index tickets_status on tickets (project_id, status, number);
create index tickets_asset on tickets (project_id, asset_id, number) where asset_id is not null;

-- Who agreed to exactly what. An approval is used once: `consumed_at` is set by one statement that tests it.
create table approvals (
  project_id text not null references projects (id),
  id text not null,
  subject_type text not null check (subject_type in ('ticket', 'policy')),
  subject_id text not null,
  subject_version bigint not null,
  subject_digest text not null,
  decision text not null check (decision in ('approved', 'rejected')),
  decided_by_id text not null references users (id),
  reason text,
  created_at bigint not null,
  expires_at bigint,
  voided_at bigint,
  consumed_at bigint,
  consumed_by text,
  primary key (project_id, id)
);
create index approvals_subject on approvals (project_id, subject_type, subject_id);

create table comments (
  project_id text not null references projects (id),
  id text not null,
  ticket_id text not null,
  author_id text not null references users (id),
  body text not null,
  created_at bigint not null,
  primary key (project_id, id),
  foreign key (project_id, ticket_id) references tickets (project_id, id)
);
create index comments_ticket on comments (project_id, ticket_id);

-- Runs. Numbers live apart, because on PostgreSQL a partitioned table cannot hold them unique.
create table numbers (
  project_id text not null,
  thing text not null,
  number bigint not null,
  id text not null,
  primary key (project_id, thing, number)
);

create table rule_sets (
  project_id text not null references projects (id),
  id text not null,
  name text not null,
  version bigint not null,
  digest text not null,
  definition text not null,
  created_by_id text not null references users (id),
  created_at bigint not null,
  primary key (project_id, id),
  unique (project_id, name, version)
);

create table runs (
  project_id text not null references projects (id),
  id text collate "C" not null,
  number bigint not null,
  kind text not null,
  handler text not null,
  run_type text not null check (run_type in ('proof', 'action')),
  script_id text,
  state text not null check (state in ('pending', 'running', 'waiting_approval', 'waiting_tool', 'completed', 'failed', 'cancelled', 'timeout')),
  verdict text check (verdict in ('passed', 'failed')),
  waiting_for text check (waiting_for in ('evidence')),
  ticket_id text not null,
  executed_by_id text not null references users (id),
  parent_run_id text,
  verifies_run_id text,
  root_run_id text not null,
  expect text,
  finalize text not null check (finalize in ('auto', 'manual')),
  trigger text not null,
  trace_id text not null,
  execution_context text,
  validator_version text,
  rules_version text,
  rules text,
  inputs_manifest text,
  outputs_manifest text,
  result_summary text,
  stdout_log text,
  stderr_log text,
  exit_code bigint,
  error_code text,
  step_count bigint not null default 0,
  attempt bigint not null default 0,
  event_count bigint not null default 0,
  input_sha256 text,
  output_sha256 text,
  report_artifact_id text,
  cost_usd double precision,
  created_at bigint not null,
  updated_at bigint not null,
  started_at bigint,
  completed_at bigint,
  timeout_at bigint,
  primary key (project_id, id),
  foreign key (project_id, ticket_id) references tickets (project_id, id)
) partition by range (id);
create index runs_number on runs (project_id, number);
create index runs_ticket on runs (project_id, ticket_id, number);
create index runs_state on runs (project_id, state, number);

-- What may be worked on now or later. No tenant policy: a worker claims ids, then enters the project of each.
create table queue (
  run_id text primary key,
  project_id text not null,
  run_at bigint not null,
  attempt bigint not null default 0,
  fence bigint not null default 0,
  lease_owner text,
  lease_until bigint
);
create index queue_due on queue (run_at);

-- What waits for a time rather than for a worker: the end of a wait, a reminder. No tenant policy, as above.
create table timers (
  run_id text not null,
  what text not null check (what in ('expire', 'remind')),
  project_id text not null,
  due_at bigint not null,
  primary key (run_id, what)
);
create index timers_due on timers (due_at);

-- Uploads under way, so that a check does not start between two files. A row that is not touched any more is dead.
create table uploads (
  project_id text not null,
  id text not null,
  run_id text not null,
  touched_at bigint not null,
  primary key (project_id, id)
);
create index uploads_run on uploads (project_id, run_id);

create table artifacts (
  project_id text not null references projects (id),
  id text collate "C" not null,
  number bigint not null,
  run_id text not null,
  run_number bigint not null,
  filename text not null,
  content_type text,
  artifact_type text,
  role text check (role in ('before', 'after')),
  description text,
  expected_sha256 text,
  size_bytes bigint not null,
  sha256 text not null,
  store text not null,
  uploaded_by_id text references users (id),
  is_deleted bigint not null default 0,
  deleted_at bigint,
  deleted_by_id text references users (id),
  created_at bigint not null,
  primary key (project_id, id)
) partition by range (id);
create index artifacts_run on artifacts (project_id, run_id, number);
create index artifacts_digest on artifacts (project_id, sha256);

-- Which files a run judged: its own uploads, and for a re-verification those of the run before.
create table run_evidence (
  project_id text not null,
  run_id text not null,
  artifact_id text not null,
  primary key (project_id, run_id, artifact_id)
);

-- Answers by key, for as long as what they made: a key never outlives its protection.
create table idempotency (
  project_id text not null,
  principal text not null,
  route text not null,
  key text not null,
  body_sha256 text not null,
  status bigint,
  response text,
  resource_id text,
  created_at bigint not null,
  primary key (project_id, principal, route, key)
);

-- Audit. `entry` is the leaf of the log, `event` the payload that it commits to under `salt`.
create table audit_events (
  project_id text not null,
  id text collate "C" not null,
  event_type text not null,
  timestamp bigint not null,
  actor_kind text not null,
  actor_id text,
  actor_number bigint,
  actor_username text,
  resource_type text,
  resource_id text,
  resource_number bigint,
  run_id text,
  success bigint not null,
  event text not null,
  salt bytea not null,
  entry bytea not null,
  primary key (project_id, id)
) partition by range (id);
create index audit_events_type on audit_events (project_id, event_type, id);
create index audit_events_actor on audit_events (project_id, actor_id, id);
create index audit_events_resource on audit_events (project_id, resource_type, resource_id, id);

-- The order of the log: `seq` is the order of appending, `log_index` the place that the sequencer gave.
create table audit_index (
  seq bigint generated always as identity (cache 1) primary key,
  project_id text not null,
  event_id text not null,
  shard bigint,
  log_index bigint,
  unique (project_id, shard, log_index)
);
create index audit_index_pending on audit_index (project_id, seq) where log_index is null;
create index audit_index_event on audit_index (project_id, event_id);

-- One open log per project and shard; `size` is the sequencer's compare-and-set. Keys are never here.
create table logs (
  project_id text not null,
  shard bigint not null,
  origin text not null unique,
  vkey text,
  size bigint not null default 0,
  root text not null,
  checkpoint text,
  recorded_size bigint not null default 0,
  opened_at bigint not null,
  closed_at bigint,
  primary key (project_id, shard)
);

-- Months ahead, made by the owner on behalf of the server, which may not create tables. No default partition: a row
-- that fits nowhere is refused rather than stuck where retention cannot drop it. Bounds are prefixes of UUIDv7 text.
create function writ_id_prefix(at timestamptz) returns text language sql immutable as $$
  select left(h, 8) || '-' || right(h, 4)
  from (select lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') as h) t
$$;

create function writ_make_partitions(at timestamptz, months integer) returns integer
language plpgsql security definer set search_path from current as $$
declare
  parent text;
  first timestamptz;
  name text;
  made integer := 0;
begin
  perform pg_advisory_xact_lock(hashtext('writ_make_partitions'));
  for step in -1 .. months loop
    first := (date_trunc('month', at at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC';
    foreach parent in array array['runs', 'artifacts', 'audit_events'] loop
      name := parent || '_' || to_char(first at time zone 'UTC', 'YYYY_MM');
      if to_regclass(quote_ident(name)) is null then
        execute format('create table %I partition of %I for values from (%L) to (%L)', name, parent,
          writ_id_prefix(first),
          writ_id_prefix(((first at time zone 'UTC') + interval '1 month') at time zone 'UTC'));
        made := made + 1;
      end if;
    end loop;
  end loop;
  return made;
end $$;
revoke all on function writ_make_partitions(timestamptz, integer) from public;

-- The server runs as writ_app, which owns nothing and is no superuser; the sequencer as writ_sequencer.
do $$
begin
  if not exists (select from pg_roles where rolname = 'writ_app') then
    create role writ_app nologin nosuperuser nobypassrls nocreatedb nocreaterole;
  end if;
  if not exists (select from pg_roles where rolname = 'writ_sequencer') then
    create role writ_sequencer nologin nosuperuser nobypassrls nocreatedb nocreaterole;
  end if;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant writ_app, writ_sequencer to %I', current_user);
  end if;
  execute format('grant usage on schema %I to writ_app, writ_sequencer', current_schema());
end $$;

grant select, insert, update on users, projects, memberships, sessions, tokens, invites, counters, policy_changes, assets, tickets,
  approvals, runs, artifacts, idempotency to writ_app;
grant select, insert on user_links, comments, numbers, rule_sets, run_evidence, audit_events, audit_index, logs to writ_app;
grant select, insert, update, delete on queue, timers, uploads to writ_app;
grant delete on memberships, sessions to writ_app;
grant execute on function writ_make_partitions(timestamptz, integer) to writ_app;

grant select on projects to writ_sequencer;
grant select, insert on audit_events, audit_index to writ_sequencer;
grant update (shard, log_index) on audit_index to writ_sequencer;
grant select, insert, update on logs to writ_sequencer;

do $$
declare
  fenced text;
begin
  foreach fenced in array array['counters', 'policy_changes', 'assets', 'tickets', 'approvals', 'comments', 'numbers', 'rule_sets', 'runs',
    'uploads', 'artifacts', 'run_evidence', 'idempotency', 'audit_events', 'audit_index', 'logs'] loop
    execute format('alter table %I enable row level security', fenced);
    execute format('alter table %I force row level security', fenced);
    execute format($p$create policy project_fence on %I
      using (project_id = nullif(current_setting('writ.project', true), ''))
      with check (project_id = nullif(current_setting('writ.project', true), ''))$p$, fenced);
  end loop;
  foreach fenced in array array['audit_events', 'audit_index', 'logs'] loop
    execute format('create policy sequencer on %I to writ_sequencer using (true) with check (true)', fenced);
  end loop;
end $$;
