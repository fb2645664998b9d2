-- What a task's handler did in steps: done once, whichever attempt did it. PostgreSQL.

create table steps (
  project_id text not null,
  run_id text collate "C" not null,
  name text not null,
  attempt bigint not null,
  started_at bigint not null,
  ended_at bigint not null,
  -- JSON text as it may be seen, its digest, and the exact text sealed if something in it is secret.
  result text not null,
  sha256 text not null,
  result_sealed text,
  primary key (project_id, run_id, name)
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
    foreach parent in array array['runs', 'artifacts', 'audit_events', 'attempts', 'steps'] loop
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
    execute format('create table %I partition of steps %s', replace(part.name, 'runs_', 'steps_'), part.bounds);
  end loop;
end $$;

grant select, insert on steps to writ_app;
alter table steps enable row level security;
alter table steps force row level security;
create policy project_fence on steps
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
