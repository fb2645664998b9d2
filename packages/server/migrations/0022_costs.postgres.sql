-- What attempts of tasks said that they cost. PostgreSQL.

-- Billionths of a US dollar: whole numbers, so that a sum is the sum. `what` is what they were paid for, and empty when nobody said.
-- runs.cost_usd is their sum, in dollars; a run without a row here has none.
create table costs (
  project_id text not null,
  run_id text collate "C" not null,
  attempt bigint not null,
  what text not null,
  nanos bigint not null check (nanos >= 0),
  primary key (project_id, run_id, attempt, what)
) partition by range (run_id);

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
    foreach parent in array array['runs', 'artifacts', 'audit_events', 'attempts', 'steps', 'log_chunks', 'costs'] loop
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

-- The months that runs have already.
do $$
declare
  part record;
begin
  for part in select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'runs'::regclass loop
    execute format('create table %I partition of costs %s', replace(part.name, 'runs_', 'costs_'), part.bounds);
  end loop;
end $$;

grant select, insert, update on costs to writ_app;
alter table costs enable row level security;
alter table costs force row level security;
create policy project_fence on costs
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
