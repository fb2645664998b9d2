-- Tasks: runs of a named function, taken from a queue. PostgreSQL.
-- The SQLite twin keeps the same names in the same order. Differs by necessity: columns are altered in place, attempts are
-- partitioned by the month of their run, pages of what is updated keep room for it, two foreign keys go, and grants and fences
-- stand at the end.

-- `input` and `result` are JSON text; where they are null and the digest is not, the bytes are in the blob store under it.
-- A task that is being worked on stays `pending` here: what runs is told from its lease. `dead_at`: it failed and nothing will
-- try again; `purged_at`: it left the list of dead letters. `journal_sha256`: what the leaf commits to.
alter table runs alter column run_type drop not null;
alter table runs alter column ticket_id drop not null;
alter table runs alter column executed_by_id drop not null;
alter table runs alter column finalize drop not null;
-- Each run of a batch would ask for the same two rows and lock them: a third of the cost of the insert. Projects and users are
-- never deleted, and the fence lets no other project be named.
alter table runs drop constraint runs_project_id_fkey;
alter table runs drop constraint runs_executed_by_id_fkey;
alter table runs add column queue text;
alter table runs add column priority smallint;
alter table runs add column run_at bigint;
alter table runs add column max_attempts bigint;
alter table runs add column timeout_ms bigint;
alter table runs add column deadline_at bigint;
alter table runs add column unique_key text;
alter table runs add column input text;
alter table runs add column result text;
alter table runs add column error text;
alter table runs add column worker text;
alter table runs add column cancel_requested_at bigint;
alter table runs add column dead_at bigint;
alter table runs add column purged_at bigint;
alter table runs add column replays_run_id text;
alter table runs add column door text check (door in ('dispatch'));
alter table runs add column callback text;
alter table runs add column tags text;
alter table runs add column metadata text;
alter table runs add column journal_sha256 text;
drop index runs_ticket;
drop index runs_state;
create index runs_ticket on runs (project_id, ticket_id, number) where ticket_id is not null;
create index runs_of_tickets on runs (project_id, number) where ticket_id is not null;
-- Not on `state`: settling would write every index anew (no HOT update). What went well has no error code, and stays out
-- of these two.
create index runs_troubled on runs (project_id, number) where error_code is not null;
create index runs_dead on runs (project_id, queue, dead_at, id) where dead_at is not null;

-- Attempts that did not settle their run at the first try: every one that failed and came again, and the last one after
-- such. A run that went well at once has none; its row says all there is to say.
create table attempts (
  project_id text not null,
  run_id text collate "C" not null,
  attempt bigint not null,
  started_at bigint,
  ended_at bigint not null,
  outcome text not null check (outcome in ('completed', 'failed', 'timeout', 'cancelled', 'lost')),
  error_code text,
  error text,
  worker text,
  next_run_at bigint,
  primary key (project_id, run_id, attempt)
) partition by range (run_id);

-- One live run per key.
create table unique_keys (
  project_id text not null,
  key text not null,
  run_id text not null,
  primary key (project_id, key)
);

-- The queues of a project: made by the first task that is put on them. No tenant policy: workers skip what is paused.
create table queues (
  project_id text not null references projects (id),
  name text not null,
  concurrency bigint,
  paused_at bigint,
  paused_by_id text references users (id),
  created_at bigint not null,
  primary key (project_id, name)
);

-- Proof runs wait in `.proof`, a name that no queue of tasks can have. `ready`: its time has come and nobody has it.
-- `attempt` counts claims, `failures` those of them that ended in a failure of the work. `stop`: who holds it is asked to stop.
drop index queue_due;
alter table queue add column queue text not null default '.proof';
alter table queue add column handler text not null default '';
alter table queue add column priority smallint not null default 0;
alter table queue add column failures bigint not null default 0;
alter table queue add column ready smallint not null default 0;
alter table queue add column stop smallint not null default 0;
alter table queue add column claimed_at bigint;
create index queue_ready on queue (queue, project_id, priority desc, run_at, run_id) where ready = 1;
create index queue_later on queue (run_at) where ready = 0 and lease_until is null;
create index queue_leases on queue (lease_until) where lease_until is not null;
-- Rows come, are claimed and go within milliseconds: vacuum by how many, whatever share of the table they are.
alter table queue set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

create or replace function writ_make_partitions(at timestamptz, months integer) returns integer
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
    foreach parent in array array['runs', 'artifacts', 'audit_events', 'attempts'] loop
      name := parent || '_' || to_char(first at time zone 'UTC', 'YYYY_MM');
      if to_regclass(quote_ident(name)) is null then
        execute format('create table %I partition of %I for values from (%L) to (%L)%s', name, parent,
          writ_id_prefix(first),
          writ_id_prefix(((first at time zone 'UTC') + interval '1 month') at time zone 'UTC'),
          -- A run is written twice, the second time longer, and in the page of the first if there is room (HOT).
          case when parent = 'runs' then ' with (fillfactor = 40)' else '' end);
        made := made + 1;
      end if;
    end loop;
  end loop;
  return made;
end $$;

-- The months that runs have already need attempts, and room as well.
do $$
declare
  part record;
begin
  for part in select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'runs'::regclass loop
    execute format('alter table %I set (fillfactor = 40)', part.name);
    execute format('create table %I partition of attempts %s', replace(part.name, 'runs_', 'attempts_'), part.bounds);
  end loop;
end $$;

grant select, insert on attempts to writ_app;
grant select, insert, delete on unique_keys to writ_app;
grant select, insert, update on queues to writ_app;

do $$
declare
  fenced text;
begin
  foreach fenced in array array['attempts', 'unique_keys'] loop
    execute format('alter table %I enable row level security', fenced);
    execute format('alter table %I force row level security', fenced);
    execute format($p$create policy project_fence on %I
      using (project_id = nullif(current_setting('writ.project', true), ''))
      with check (project_id = nullif(current_setting('writ.project', true), ''))$p$, fenced);
  end loop;
end $$;
