-- Tasks: runs of a named function, taken from a queue. SQLite cannot drop a NOT NULL, so the table of runs is written anew;
-- its rows come along as they are.
-- The PostgreSQL twin keeps the same names in the same order.

-- `input` and `result` are JSON text; where they are null and the digest is not, the bytes are in the blob store under it.
-- A task that is being worked on stays `pending` here: what runs is told from its lease. `dead_at`: it failed and nothing will
-- try again; `purged_at`: it left the list of dead letters. `journal_sha256`: what the leaf commits to.
create table runs_anew (
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
  journal_sha256 text,
  primary key (project_id, id),
  foreign key (project_id, ticket_id) references tickets (project_id, id)
) strict;
insert into runs_anew (project_id, id, number, kind, handler, run_type, script_id, state, verdict, waiting_for, ticket_id, executed_by_id, parent_run_id, verifies_run_id, root_run_id, expect, finalize, trigger, trace_id, execution_context, validator_version, rules_version, rules, inputs_manifest, outputs_manifest, result_summary, stdout_log, stderr_log, exit_code, error_code, step_count, attempt, event_count, input_sha256, output_sha256, report_artifact_id, cost_usd, created_at, updated_at, started_at, completed_at, timeout_at)
  select project_id, id, number, kind, handler, run_type, script_id, state, verdict, waiting_for, ticket_id, executed_by_id, parent_run_id, verifies_run_id, root_run_id, expect, finalize, trigger, trace_id, execution_context, validator_version, rules_version, rules, inputs_manifest, outputs_manifest, result_summary, stdout_log, stderr_log, exit_code, error_code, step_count, attempt, event_count, input_sha256, output_sha256, report_artifact_id, cost_usd, created_at, updated_at, started_at, completed_at, timeout_at from runs;
drop table runs;
alter table runs_anew rename to runs;
create index runs_number on runs (project_id, number);
create index runs_ticket on runs (project_id, ticket_id, number) where ticket_id is not null;
create index runs_of_tickets on runs (project_id, number) where ticket_id is not null;
-- Not on `state`: it would be written at every settle. What went well has no error code, and stays out of these two.
create index runs_troubled on runs (project_id, number) where error_code is not null;
create index runs_dead on runs (project_id, queue, dead_at, id) where dead_at is not null;

-- Attempts that did not settle their run at the first try: every one that failed and came again, and the last one after
-- such. A run that went well at once has none; its row says all there is to say.
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

-- One live run per key.
create table unique_keys (
  project_id text not null,
  key text not null,
  run_id text not null,
  primary key (project_id, key)
) strict;

-- The queues of a project: made by the first task that is put on them. No tenant policy: workers skip what is paused.
create table queues (
  project_id text not null references projects (id),
  name text not null,
  concurrency integer,
  paused_at integer,
  paused_by_id text references users (id),
  created_at integer not null,
  primary key (project_id, name)
) strict;

-- Proof runs wait in `.proof`, a name that no queue of tasks can have. `ready`: its time has come and nobody has it.
-- `attempt` counts claims, `failures` those of them that ended in a failure of the work. `stop`: who holds it is asked to stop.
drop index queue_due;
alter table queue add column queue text not null default '.proof';
alter table queue add column handler text not null default '';
alter table queue add column priority integer not null default 0;
alter table queue add column failures integer not null default 0;
alter table queue add column ready integer not null default 0;
alter table queue add column stop integer not null default 0;
alter table queue add column claimed_at integer;
create index queue_ready on queue (queue, project_id, priority desc, run_at, run_id) where ready = 1;
create index queue_later on queue (run_at) where ready = 0 and lease_until is null;
create index queue_leases on queue (lease_until) where lease_until is not null;
