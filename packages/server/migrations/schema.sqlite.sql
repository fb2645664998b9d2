-- What the migrations for SQLite result in. Written by migrate.test.ts; nothing reads it but people and that test.

create table approval_signatures (
  project_id text not null references projects (id),
  approval_id text not null,
  signing_key_id text not null,
  statement text not null,
  signature text not null,
  created_at integer not null,
  primary key (project_id, approval_id)
) strict;

create table "approvals" (
  project_id text not null references projects (id),
  id text not null,
  subject_type text not null check (subject_type in ('ticket', 'policy', 'signing_key')),
  subject_id text not null,
  subject_version integer not null,
  subject_digest text not null,
  decision text not null check (decision in ('approved', 'rejected')),
  decided_by_id text not null references users (id),
  reason text,
  created_at integer not null,
  expires_at integer,
  voided_at integer,
  consumed_at integer,
  consumed_by text, auth_time integer, amr text not null default '[]',
  primary key (project_id, id)
) strict;

CREATE TRIGGER approvals_four_eyes before insert on approvals when new.subject_type = 'ticket'
begin
  select raise(abort, 'four eyes: somebody decides about a ticket of their own')
  from tickets t join projects p on p.id = t.project_id
  where t.project_id = new.project_id and t.id = new.subject_id
    and coalesce(json_extract(p.policy, '$.four_eyes'), 1) <> 0
    and (new.decided_by_id in (t.created_by_id, t.assignee_id)
      or exists (select 1 from json_each(t.edited_by_ids) where value = new.decided_by_id));
end;

create index approvals_subject on approvals (project_id, subject_type, subject_id, id);

create table artifacts (
  project_id text not null references projects (id),
  id text not null,
  number integer not null,
  run_id text not null,
  run_number integer not null,
  filename text not null,
  content_type text,
  artifact_type text,
  role text check (role in ('before', 'after')),
  description text,
  expected_sha256 text,
  size_bytes integer not null,
  sha256 text not null,
  store text not null,
  uploaded_by_id text references users (id),
  is_deleted integer not null default 0,
  deleted_at integer,
  deleted_by_id text references users (id),
  created_at integer not null, findings text, erased_at integer, bytes_gone_at integer,
  primary key (project_id, id)
) strict;

create index artifacts_digest on artifacts (project_id, sha256);

create index artifacts_run on artifacts (project_id, run_id, number);

create index artifacts_to_erase on artifacts (project_id, id) where erased_at is not null and bytes_gone_at is null;

create table assets (
  project_id text not null references projects (id),
  id text not null,
  number integer not null,
  name text not null,
  asset_type text not null,
  serial_number text,
  location text,
  description text,
  created_by_id text not null references users (id),
  created_at integer not null,
  updated_at integer not null,
  primary key (project_id, id),
  unique (project_id, number),
  unique (project_id, serial_number)
) strict;

create index assets_type on assets (project_id, asset_type, number);

create table attempts (
  project_id text not null,
  run_id text not null,
  attempt integer not null,
  started_at integer,
  ended_at integer not null,
  outcome text not null check (outcome in ('completed', 'failed', 'timeout', 'cancelled', 'lost')),
  error_code text,
  error text,
  worker text,
  next_run_at integer,
  primary key (project_id, run_id, attempt)
) strict;

create table attestations (
  project_id text not null references projects (id),
  digest text not null,
  predicate_type text not null,
  subject_type text not null,
  subject_id text not null,
  envelope text not null,
  created_at integer not null,
  primary key (project_id, digest)
) strict;

create index attestations_subject on attestations (project_id, subject_type, subject_id);

create table audit_appends (
  seq integer primary key autoincrement,
  project_id text not null,
  first_id text not null,
  last_id text not null,
  entries integer not null,
  shard integer,
  log_index integer, ends integer,
  unique (project_id, shard, log_index)
) strict;

create index audit_appends_pending on audit_appends (project_id, seq) where log_index is null;

create table audit_events (
  project_id text not null,
  id text not null,
  event_type text not null,
  timestamp integer not null,
  actor_kind text not null,
  actor_id text,
  actor_number integer,
  actor_username text,
  resource_type text,
  resource_id text,
  resource_number integer,
  run_id text,
  success integer not null,
  event text not null,
  salt blob not null,
  entry blob not null, append integer not null default 0, place integer not null default 0,
  primary key (project_id, id)
) strict;

create index audit_events_actor on audit_events (project_id, actor_id, id) where actor_id is not null;

create index audit_events_resource on audit_events (project_id, resource_id, id);

create index audit_events_type on audit_events (project_id, event_type, id) where event_type <> 'run.completed';

CREATE VIEW audit_places as
  select e.project_id, e.id as event_id, b.seq, b.shard, b.log_index + e.place as log_index
  from audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append;

create table batches (
  project_id text not null references projects (id),
  id text not null,
  first_number integer not null,
  last_number integer not null,
  executed_by_id text,
  created_at integer not null,
  primary key (project_id, id)
) strict;

create table blob_marks (
  project_id text not null references projects (id),
  sha256 text not null,
  what text not null check (what in ('coming', 'going')),
  holder text not null,
  touched_at integer not null,
  primary key (project_id, sha256, what, holder)
) strict, without rowid;

create table comments (
  project_id text not null references projects (id),
  id text not null,
  ticket_id text not null,
  author_id text not null references users (id),
  body text not null,
  created_at integer not null,
  primary key (project_id, id),
  foreign key (project_id, ticket_id) references tickets (project_id, id)
) strict;

create index comments_ticket on comments (project_id, ticket_id, id);

create table concurrency_keys (
  project_id text not null references projects (id),
  key text not null,
  next_us integer not null default 0,
  paused_until integer,
  wake_at integer, limits text, pause text,
  primary key (project_id, key)
) strict;

create index concurrency_keys_wake on concurrency_keys (wake_at) where wake_at is not null;

create table costs (
  project_id text not null,
  run_id text not null,
  attempt integer not null,
  what text not null,
  nanos integer not null check (nanos >= 0),
  primary key (project_id, run_id, attempt, what)
) strict;

create table counters (
  project_id text not null,
  name text not null,
  value integer not null default 0,
  total integer not null default 0,
  primary key (project_id, name)
) strict;

create table deliveries (
  project_id text not null references projects (id),
  id text not null,
  webhook_id text not null,
  event_id text not null,
  event_type text not null,
  state text not null check (state in ('waiting', 'delivered', 'failed')),
  replay_of text,
  next_attempt_at integer,
  attempts text not null default '[]',
  created_at integer not null,
  settled_at integer,
  primary key (project_id, id),
  foreign key (project_id, webhook_id) references webhooks (project_id, id)
) strict;

create index deliveries_again on deliveries (project_id, replay_of) where replay_of is not null;

create index deliveries_event on deliveries (project_id, event_id);

create index deliveries_undelivered on deliveries (project_id, webhook_id, state, id) where state <> 'delivered';

create index deliveries_webhook on deliveries (project_id, webhook_id, id);

create table delivery_queue (
  delivery_id text primary key,
  project_id text not null,
  webhook_id text not null,
  due_at integer not null,
  fence integer not null default 0,
  lease_owner text,
  lease_until integer
, turn integer) strict;

create index delivery_queue_due on delivery_queue (due_at);

create index delivery_queue_turn on delivery_queue (webhook_id, turn) where turn is not null;

create index delivery_queue_webhook on delivery_queue (webhook_id, due_at);

create table dependencies (
  project_id text not null,
  run_id text not null,
  on_run_id text not null,
  policy text not null check (policy in ('cancel', 'run')),
  primary key (project_id, run_id, on_run_id)
) strict;

create index dependencies_on on dependencies (project_id, on_run_id);

create table disabled_handlers (
  project_id text not null references projects (id),
  name text not null,
  disabled_by_id text not null references users (id),
  disabled_at integer not null, disabled_reason text,
  primary key (project_id, name)
) strict;

create table erasures (
  project_id text not null,
  event_id text not null,
  erased_by text not null,
  in_day_file integer not null default 0,
  created_at integer not null,
  primary key (project_id, event_id)
) strict;

create index erasures_to_write on erasures (project_id) where in_day_file = 0;

create table feishu_apps (
  project_id text not null references projects (id),
  app_id text not null,
  -- The handle that stands for id and secret in a task's input.
  app_hash text,
  sealed_secret text,
  sealed_token text,
  token_until integer,
  updated_at integer not null,
  primary key (project_id, app_id)
) strict;

create unique index feishu_apps_hash on feishu_apps (project_id, app_hash) where app_hash is not null;

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

create index held_admitted on held (project_id, key) where admitted = 1;

create index held_later on held (project_id, key, run_at) where key is not null and admitted = 0 and waits_for = 0;

create index held_waiting on held (project_id, key, priority desc, run_at, run_id) where key is not null and admitted = 0 and waits_for = 0;

create table holds (
  project_id text not null references projects (id),
  id text not null,
  subject_type text not null check (subject_type in ('ticket', 'run', 'project')),
  subject_id text not null,
  subject_number integer,
  reason text not null,
  set_by_id text not null references users (id),
  created_at integer not null,
  released_by_id text references users (id),
  released_at integer,
  release_reason text,
  primary key (project_id, id)
) strict;

create index holds_subject on holds (project_id, subject_type, subject_id) where released_at is null;

create table http_handlers (
  project_id text not null references projects (id),
  name text not null,
  -- JSON.
  contract text not null,
  url text not null,
  sealed_secret text not null,
  created_by_id text not null references users (id),
  created_at integer not null, sealed_previous_secret text, previous_secret_until integer,
  primary key (project_id, name)
) strict;

create table idempotency (
  project_id text not null,
  principal text not null,
  route text not null,
  key text not null,
  body_sha256 text not null,
  status integer,
  response text,
  resource_id text,
  created_at integer not null,
  primary key (project_id, principal, route, key)
) strict;

create table invites (
  id text primary key,
  project_id text not null references projects (id),
  code_hash text not null unique,
  email text,
  role text not null check (role in ('admin', 'ops', 'dev', 'employee', 'auditor')),
  created_by_id text not null references users (id),
  created_at integer not null,
  expires_at integer not null,
  used_at integer,
  used_by_id text references users (id),
  revoked_at integer
) strict;

create index invites_project on invites (project_id, id);

create table log_chunks (
  project_id text not null,
  run_id text not null,
  attempt integer not null,
  first_line integer not null,
  lines integer not null,
  end_chars integer not null,
  kept_at integer not null,
  text text not null,
  last integer not null check (last in (0, 1)), fence integer, told integer,
  primary key (project_id, run_id, attempt, first_line)
) strict;

create table logs (
  project_id text not null,
  shard integer not null,
  origin text not null unique,
  vkey text,
  size integer not null default 0,
  root text not null,
  checkpoint text,
  recorded_size integer not null default 0,
  opened_at integer not null,
  closed_at integer, vkeys text, cosigned text, cosigned_size integer not null default 0, dropped_at integer, dropped_until integer, files_gone_at integer,
  primary key (project_id, shard)
) strict;

create index logs_unnamed on logs (project_id) where vkey is null;

create table memberships (
  project_id text not null references projects (id),
  user_id text not null references users (id),
  role text not null check (role in ('admin', 'ops', 'dev', 'employee', 'auditor')),
  created_at integer not null,
  primary key (project_id, user_id)
) strict;

create index memberships_user on memberships (user_id);

create table numbers (
  project_id text not null,
  thing text not null,
  number integer not null,
  id text not null,
  primary key (project_id, thing, number)
) strict;

create table policy_changes (
  project_id text not null references projects (id),
  id text not null,
  state text not null check (state in ('pending', 'applied', 'rejected')),
  policy text not null,
  digest text not null,
  requested_by_id text not null references users (id),
  decided_by_id text references users (id),
  reason text,
  created_at integer not null,
  decided_at integer,
  primary key (project_id, id)
) strict;

create table projects (
  id text primary key,
  slug text not null unique,
  name text not null,
  policy text not null,
  created_by_id text,
  created_at integer not null
, log_access text not null default 'members' check (log_access in ('members', 'public'))) strict;

create table queue (
  run_id text primary key,
  project_id text not null,
  run_at integer not null,
  attempt integer not null default 0,
  fence integer not null default 0,
  lease_owner text,
  lease_until integer
, queue text not null default '.proof', handler text not null default '', priority integer not null default 0, failures integer not null default 0, ready integer not null default 0, stop integer not null default 0, claimed_at integer, span_ms integer) strict;

create table queue_copy (
  id integer primary key check (id = 1),
  space text not null,
  epoch integer not null,
  servers text not null
) strict;

create index queue_later on queue (run_at) where ready = 0 and lease_until is null;

create index queue_leases on queue (lease_until) where lease_until is not null;

create index queue_ready on queue (queue, project_id, priority desc, run_at, run_id) where ready = 1;

create table queues (
  project_id text not null references projects (id),
  name text not null,
  concurrency integer,
  paused_at integer,
  paused_by_id text references users (id),
  created_at integer not null, paused_reason text,
  primary key (project_id, name)
) strict;

create table rule_sets (
  project_id text not null references projects (id),
  id text not null,
  name text not null,
  version integer not null,
  digest text not null,
  definition text not null,
  created_by_id text not null references users (id),
  created_at integer not null,
  primary key (project_id, id),
  unique (project_id, name, version)
) strict;

create table run_evidence (
  project_id text not null,
  run_id text not null,
  artifact_id text not null,
  primary key (project_id, run_id, artifact_id)
) strict;

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
  codes text not null, cost_nanos integer not null default 0,
  primary key (project_id, step, at, handler, queue)
) strict;

create table run_stats_cursors (
  project_id text primary key references projects (id),
  shard integer not null,
  log_index integer not null
) strict;

create table "runs" (
  project_id text not null references projects (id),
  id text not null,
  number integer not null,
  kind text not null,
  handler text not null,
  run_type text check (run_type in ('proof', 'action')),
  script_id text,
  state text not null check (state in ('pending', 'running', 'waiting_approval', 'waiting_tool', 'completed', 'failed', 'cancelled', 'timeout')),
  verdict text check (verdict in ('passed', 'failed')),
  waiting_for text check (waiting_for in ('evidence')),
  ticket_id text,
  executed_by_id text references users (id),
  parent_run_id text,
  verifies_run_id text,
  root_run_id text not null,
  expect text,
  finalize text check (finalize in ('auto', 'manual')),
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
  exit_code integer,
  error_code text,
  step_count integer not null default 0,
  attempt integer not null default 0,
  event_count integer not null default 0,
  input_sha256 text,
  output_sha256 text,
  report_artifact_id text,
  cost_usd real,
  created_at integer not null,
  updated_at integer not null,
  started_at integer,
  completed_at integer,
  timeout_at integer,
  queue text,
  priority integer,
  run_at integer,
  max_attempts integer,
  timeout_ms integer,
  deadline_at integer,
  unique_key text,
  input text,
  result text,
  error text,
  worker text,
  cancel_requested_at integer,
  dead_at integer,
  purged_at integer,
  replays_run_id text,
  door text check (door in ('dispatch')),
  callback text,
  tags text,
  metadata text,
  journal_sha256 text, input_sealed text, result_sealed text, concurrency_key text, depends_on text, awaited integer not null default 0, cancel_reason text, parent_span_id text, replaced_by_run_id text, traceparent text, tracestate text,
  primary key (project_id, id),
  foreign key (project_id, ticket_id) references tickets (project_id, id)
) strict;

create index runs_children on runs (project_id, parent_run_id) where parent_run_id is not null;

create index runs_dead on runs (project_id, purged_at, number, kind, handler, queue, error_code, dead_at)
  where dead_at is not null and purged_at is null;

create index runs_keyed on runs (project_id, concurrency_key, number) where concurrency_key is not null;

create index runs_number on runs (project_id, number);

create index runs_of_tickets on runs (project_id, number) where ticket_id is not null;

create index runs_priced on runs (project_id, number) where cost_usd is not null;

create index runs_replays on runs (project_id, replays_run_id) where replays_run_id is not null;

create index runs_ticket on runs (project_id, ticket_id, number) where ticket_id is not null;

create index runs_troubled on runs (project_id, number) where error_code is not null;

create index runs_unique_keyed on runs (project_id, unique_key, number) where unique_key is not null;

create table schedule_due (
  schedule_id text primary key,
  project_id text not null,
  next_at integer not null
) strict;

create index schedule_due_next on schedule_due (next_at);

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
  updated_at integer not null, callback text, paused_cause text, paused_at integer, paused_by_id text,
  primary key (project_id, id)
) strict;

create unique index schedules_name on schedules (project_id, name) where state <> 'deleted';

create table schema_migrations (version integer primary key, name text not null, checksum text not null, applied_at text not null);

create table sessions (
  id text primary key,
  secret_hash text not null unique,
  user_id text not null references users (id),
  kind text not null check (kind in ('bearer', 'cookie')),
  csrf_hash text,
  ip_address text,
  user_agent text,
  created_at integer not null,
  last_seen_at integer not null,
  expires_at integer not null,
  revoked_at integer
, auth_time integer, amr text not null default '[]') strict;

create index sessions_user on sessions (user_id, created_at);

create table signing_keys (
  project_id text not null references projects (id),
  id text not null,
  user_id text not null references users (id),
  name text not null,
  type text not null check (type in ('passkey', 'ssh')),
  algorithm text not null check (algorithm in ('ed25519', 'ecdsa-p256', 'rsa')),
  public_key text not null,
  fingerprint text not null,
  credential_id text,
  rp_id text,
  statement text not null,
  signature text not null,
  state text not null check (state in ('proposed', 'enrolled', 'rejected', 'revoked')),
  bootstrap integer not null default 0,
  decided_by_id text references users (id),
  created_at integer not null,
  decided_at integer,
  revoked_at integer, revoked_by_id text,
  primary key (project_id, id)
) strict;

create unique index signing_keys_live on signing_keys (project_id, fingerprint) where state in ('proposed', 'enrolled');

create table sqlite_sequence(name,seq);

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

create table task_payloads (
  project_id text not null references projects (id),
  sha256 text not null,
  run_id text not null,
  gone_at integer,
  primary key (project_id, sha256, run_id)
) strict, without rowid;

create index task_payloads_gone on task_payloads (project_id, gone_at) where gone_at is not null;

create table tickets (
  project_id text not null references projects (id),
  id text not null,
  number integer not null,
  title text not null,
  description text,
  status text not null check (status in ('draft', 'submitted', 'approved', 'running', 'done', 'failed', 'closed')),
  asset_id text,
  created_by_id text not null references users (id),
  assignee_id text references users (id),
  approved_by_id text references users (id),
  due_at integer,
  version integer not null,
  digest text not null,
  created_at integer not null,
  updated_at integer not null, edited_by_ids text not null default '[]',
  primary key (project_id, id),
  unique (project_id, number),
  foreign key (project_id, asset_id) references assets (project_id, id)
) strict;

create index tickets_asset on tickets (project_id, asset_id, number) where asset_id is not null;

create index tickets_assignee on tickets (project_id, assignee_id, number) where assignee_id is not null;

create index tickets_creator on tickets (project_id, created_by_id, number);

create index tickets_status on tickets (project_id, status, number);

create table "timers" (
  run_id text not null,
  what text not null check (what in ('expire', 'remind', 'cancel_children')),
  project_id text not null,
  due_at integer not null,
  primary key (run_id, what)
) strict;

create index timers_due on timers (due_at);

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
  created_at integer not null,
  expires_at integer not null,
  last_used_at integer,
  revoked_at integer
, family_id text) strict;

create index tokens_owner on tokens (project_id, user_id, id);

create index tokens_project on tokens (project_id, id);

create table unique_keys (
  project_id text not null,
  key text not null,
  run_id text not null,
  primary key (project_id, key)
) strict;

create table uploads (
  project_id text not null,
  id text not null,
  run_id text not null,
  touched_at integer not null,
  primary key (project_id, id)
) strict;

create index uploads_run on uploads (project_id, run_id);

create table user_links (
  issuer text not null,
  subject text not null,
  user_id text not null references users (id),
  created_at integer not null,
  primary key (issuer, subject),
  unique (issuer, user_id)
) strict;

create table users (
  id text primary key,
  number integer not null unique,
  username text not null,
  email text,
  full_name text,
  password_hash text not null,
  is_active integer not null default 1,
  is_instance_admin integer not null default 0,
  must_change_password integer not null default 0,
  totp_secret text,
  totp_pending text,
  totp_last_step integer,
  created_at integer not null,
  updated_at integer not null
, vouched integer not null default 1) strict;

create unique index users_email on users (lower(email));

create index users_instance_admins on users (id) where is_instance_admin = 1;

create unique index users_username on users (lower(username));

create table webhook_cursors (
  project_id text primary key,
  shard integer not null,
  log_index integer not null
) strict;

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
  previous_secret_until integer,
  events text not null,
  state text not null check (state in ('active', 'disabled', 'deleted')),
  disabled_reason text,
  failing_since integer,
  created_by_id text not null references users (id),
  created_at integer not null,
  updated_at integer not null, callback text check (callback in ('event', 'dispatch')), url_mac text, ordered integer not null default 0 check (ordered in (0, 1)), handlers text not null default '[]', disabled_by_id text, earlier text,
  primary key (project_id, id)
) strict;

create unique index webhooks_callback on webhooks (project_id, callback, url_mac) where callback is not null;

create table worker_handlers (
  project_id text not null references projects (id),
  name text not null,
  -- JSON, as the worker that registered it last described it.
  contract text not null,
  enabled integer not null,
  registered_at integer not null,
  last_seen_at integer not null, disabled_at integer, disabled_by_id text, disabled_reason text,
  primary key (project_id, name)
) strict;
