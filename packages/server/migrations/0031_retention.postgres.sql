-- Records of tasks whose time is over, and the payloads that stood beside them; what is left of a dropped log goes in slices. PostgreSQL.

-- Which tasks name a payload that is too long for a row, by its digest: its bytes go with the last of them. `gone_at`: since when this
-- one names it no more; `run_id` is empty for what somebody is just about to store. `removing`: its bytes are being removed.
create table task_payloads (
  project_id text not null references projects (id),
  sha256 text not null,
  run_id text not null,
  gone_at bigint,
  removing smallint not null default 0 check (removing in (0, 1)),
  primary key (project_id, sha256, run_id)
);
create index task_payloads_gone on task_payloads (project_id, gone_at) where gone_at is not null;

-- The owner sees every project's rows meanwhile.
alter table runs no force row level security;
insert into task_payloads (project_id, sha256, run_id)
  select project_id, input_sha256, id from runs where kind = 'task' and input is null and input_sha256 is not null
  union
  select project_id, output_sha256, id from runs where kind = 'task' and result is null and output_sha256 is not null;
alter table runs force row level security;

grant select, insert, update, delete on task_payloads to writ_app;
alter table task_payloads enable row level security;
alter table task_payloads force row level security;
create policy project_fence on task_payloads
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));

grant delete on batches, idempotency to writ_app;

-- The server may not delete what is kept of a run. This deletes what an event of the same transaction says, and nothing else: so many
-- tasks that have ended, and that no hold protects.
create function writ_drop_tasks(tasks text[], dropped_by text) returns bigint
language plpgsql security definer set search_path from current as $$
declare
  own text := nullif(current_setting('writ.project', true), '');
  lowest text collate "C" := (select min(id collate "C") from unnest(tasks) as t (id));
  highest text collate "C" := (select max(id collate "C") from unnest(tasks) as t (id));
  gone bigint;
begin
  perform from audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append
    where e.project_id = own and e.id = dropped_by and e.event_type = 'tasks.dropped' and b.log_index is null
      and (e.event::jsonb -> 'details' ->> 'count')::bigint = cardinality(tasks);
  if not found then
    raise exception 'no tasks.dropped of this project says that so many tasks are dropped';
  end if;
  perform from holds h where h.project_id = own and h.released_at is null
    and (h.subject_type = 'project' or (h.subject_type = 'run' and h.subject_id = any (tasks)));
  if found then
    raise exception 'a legal hold lasts';
  end if;
  delete from attempts a where a.project_id = own and a.run_id >= lowest and a.run_id <= highest and a.run_id = any (tasks);
  delete from steps s where s.project_id = own and s.run_id >= lowest and s.run_id <= highest and s.run_id = any (tasks);
  delete from log_chunks l where l.project_id = own and l.run_id >= lowest and l.run_id <= highest and l.run_id = any (tasks);
  delete from costs c where c.project_id = own and c.run_id >= lowest and c.run_id <= highest and c.run_id = any (tasks);
  delete from runs r where r.project_id = own and r.id >= lowest and r.id <= highest and r.id = any (tasks)
    and r.kind = 'task' and r.completed_at is not null;
  get diagnostics gone = row_count;
  if gone <> cardinality(tasks) then
    raise exception 'of % tasks % can be dropped', cardinality(tasks), gone;
  end if;
  return gone;
end $$;
revoke all on function writ_drop_tasks(text[], text) from public;
grant execute on function writ_drop_tasks(text[], text) to writ_app;

-- Of an oldest closed log only that it is dropped, which takes no time; what is left of it goes in slices (`writ_clear_log`). A million
-- rows in one transaction kept the changes of their project waiting for ten seconds.
create or replace function writ_drop_log(old bigint, dropped_by text, at bigint) returns bigint
language plpgsql security definer set search_path from current as $$
declare
  fence text := nullif(current_setting('writ.project', true), '');
  until bigint;
begin
  perform from logs l where l.project_id = fence and l.shard = old and l.closed_at is not null and l.dropped_at is null
    and not exists (select from logs b where b.project_id = fence and b.shard < old and b.dropped_at is null)
    and exists (select from logs b where b.project_id = fence and b.shard > old);
  if not found then
    raise exception 'log % is not the oldest closed log of this project', old;
  end if;
  perform from audit_events e where e.project_id = fence and e.id = dropped_by and e.event_type = 'log.dropped'
    and not exists (select from audit_appends b where b.project_id = fence and b.seq = e.append and b.shard <= old);
  if not found then
    raise exception 'no log.dropped of this project says that log % is dropped', old;
  end if;
  perform from holds h where h.project_id = fence and h.released_at is null;
  if found then
    raise exception 'a legal hold lasts in this project';
  end if;
  -- Its newest event is no newer, unless the clock was set back; then the slices find it.
  update logs l set dropped_at = at, dropped_until = l.closed_at where l.project_id = fence and l.shard = old
    returning l.dropped_until into until;
  return until;
end $$;

-- The oldest rows of a log that was dropped: of whole appends that begin within so many entries, so that no event is ever without its
-- append. False when none is left.
create function writ_clear_log(project text, old bigint, slice bigint) returns boolean
language plpgsql security definer set search_path from current as $$
declare
  start bigint;
  appends bigint[];
  events text[];
  lowest text collate "C";
  highest text collate "C";
  newest bigint;
begin
  perform set_config('writ.project', project, true);
  perform from logs l where l.project_id = project and l.shard = old and l.dropped_at is not null;
  if not found then
    raise exception 'log % of this project was not dropped', old;
  end if;
  start := (select min(b.log_index) from audit_appends b where b.project_id = project and b.shard = old);
  select array_agg(b.seq), min(b.first_id), max(b.last_id) into appends, lowest, highest from audit_appends b
    where b.project_id = project and b.shard = old and b.log_index >= start and b.log_index < start + slice;
  if appends is null then
    return false;
  end if;
  select array_agg(e.id), coalesce(max(e.timestamp), 0) into events, newest from audit_events e
    where e.project_id = project and e.id >= lowest and e.id <= highest and e.append = any (appends);
  update logs l set dropped_until = greatest(l.dropped_until, newest) where l.project_id = project and l.shard = old;
  delete from erasures r where r.project_id = project and r.event_id = any (events);
  delete from audit_events e where e.project_id = project and e.id >= lowest and e.id <= highest and e.id = any (events);
  delete from audit_appends b where b.project_id = project and b.seq = any (appends);
  return true;
end $$;
revoke all on function writ_clear_log(text, bigint, bigint) from public;
grant execute on function writ_clear_log(text, bigint, bigint) to writ_sequencer;
