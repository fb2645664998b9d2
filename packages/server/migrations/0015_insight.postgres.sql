-- How runs went, counted: by minute, hour and day, handler and queue. PostgreSQL.

-- Derived from the log behind a cursor, never written by what settles a run. `at`: where the step begins, in UTC. `ran`, `waited`:
-- how many by class of length (histogram.ts); `codes`: how many by error code. JSON objects.
create table run_stats (
  project_id text not null references projects (id),
  step text not null check (step in ('minute', 'hour', 'day')),
  at bigint not null,
  handler text not null,
  queue text not null,
  ended bigint not null,
  failed bigint not null,
  cancelled bigint not null,
  ran text not null,
  waited text not null,
  codes text not null,
  primary key (project_id, step, at, handler, queue)
);

-- Up to where each project's log was counted.
create table run_stats_cursors (
  project_id text primary key references projects (id),
  shard bigint not null,
  log_index bigint not null
);

grant select, insert, update, delete on run_stats to writ_app;
grant select, insert, update on run_stats_cursors to writ_app;

do $$
declare
  fenced text;
begin
  foreach fenced in array array['run_stats', 'run_stats_cursors'] loop
    execute format('alter table %I enable row level security', fenced);
    execute format('alter table %I force row level security', fenced);
    execute format($p$create policy project_fence on %I
      using (project_id = nullif(current_setting('writ.project', true), ''))
      with check (project_id = nullif(current_setting('writ.project', true), ''))$p$, fenced);
  end loop;
end $$;
