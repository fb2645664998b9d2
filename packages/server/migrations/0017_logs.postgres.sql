-- What attempts of tasks print, as they print it: lines that came together, one behind the other. PostgreSQL.

-- A line's number counts all that were printed; a gap is of lines that were not kept. `end_chars`: of the attempt's log up to here.
-- `last`: nothing follows; the newest lines of a log without such a row are with the run.
create table log_chunks (
  project_id text not null,
  run_id text collate "C" not null,
  attempt bigint not null,
  first_line bigint not null,
  lines bigint not null,
  end_chars bigint not null,
  kept_at bigint not null,
  text text not null,
  last bigint not null check (last in (0, 1)),
  primary key (project_id, run_id, attempt, first_line)
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
    foreach parent in array array['runs', 'artifacts', 'audit_events', 'attempts', 'steps', 'log_chunks'] loop
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
    execute format('create table %I partition of log_chunks %s', replace(part.name, 'runs_', 'log_chunks_'), part.bounds);
  end loop;
end $$;

grant select, insert, delete on log_chunks to writ_app;
alter table log_chunks enable row level security;
alter table log_chunks force row level security;
create policy project_fence on log_chunks
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
