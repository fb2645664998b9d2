-- Privacy: what uploads seem to hold, payloads and bytes that were erased, legal holds, logs that retention dropped. PostgreSQL.
-- The SQLite twin keeps the same names in the same order. Differs by necessity: the server may not update audit events, so
-- an erasure is a function of the owner that does nothing else; and grants and fences stand at the end.

-- `findings`: kinds, counts and first places as JSON, never a value; null where nothing looked. `erased_at`: the bytes were
-- erased on demand; `bytes_gone_at`: the store has confirmed it.
alter table artifacts add column findings text;
alter table artifacts add column erased_at bigint;
alter table artifacts add column bytes_gone_at bigint;
create index artifacts_to_erase on artifacts (project_id, id) where erased_at is not null and bytes_gone_at is null;

-- Payloads that were erased: the event that has none any more, and the `payload.erased` that says why. `in_day_file`: the
-- lines of the day files say so too.
create table erasures (
  project_id text not null,
  event_id text not null,
  erased_by text not null,
  in_day_file bigint not null default 0,
  created_at bigint not null,
  primary key (project_id, event_id)
);
create index erasures_to_write on erasures (project_id) where in_day_file = 0;

-- A closed log that retention dropped: its rows and tiles are gone, its last checkpoint stays. `dropped_until` is the time of
-- its newest event, up to which day files are written anew; `files_gone_at`: that is done.
alter table logs add column dropped_at bigint;
alter table logs add column dropped_until bigint;
alter table logs add column files_gone_at bigint;

-- What must not be erased, deleted or dropped while the hold lasts. `subject_id` of a project is its own id.
create table holds (
  project_id text not null references projects (id),
  id text not null,
  subject_type text not null check (subject_type in ('ticket', 'run', 'project')),
  subject_id text not null,
  subject_number bigint,
  reason text not null,
  set_by_id text not null references users (id),
  created_at bigint not null,
  released_by_id text references users (id),
  released_at bigint,
  release_reason text,
  primary key (project_id, id)
);
create index holds_subject on holds (project_id, subject_type, subject_id) where released_at is null;

-- The only way to change an audit event: its payload and salt go, and only if a `payload.erased` of the same project names
-- it. That entry is in the log for ever, so whoever calls this leaves a trace. Events that explain the log itself stay.
create function writ_erase_payload(event text, erased_by text, at bigint) returns boolean
language plpgsql security definer set search_path from current as $$
declare
  fence text := nullif(current_setting('writ.project', true), '');
begin
  perform from audit_events e
    where e.project_id = fence and e.id = writ_erase_payload.erased_by and e.event_type = 'payload.erased' and e.resource_id = writ_erase_payload.event;
  if not found then
    raise exception 'no payload.erased of this project names event %', event;
  end if;
  update audit_events e set event = '', salt = '', actor_username = null
    where e.project_id = fence and e.id = writ_erase_payload.event and e.event <> ''
      and e.event_type not in
        ('payload.erased', 'log.opened', 'log.continued', 'log.dropped', 'log.key_rotated', 'key.added', 'project.checkpoint');
  if not found then
    return false;
  end if;
  insert into erasures (project_id, event_id, erased_by, created_at) values (fence, event, erased_by, at);
  return true;
end $$;
revoke all on function writ_erase_payload(text, text, bigint) from public;

-- The only way to delete audit events: the oldest closed log of a project as a whole, under no legal hold, and only if a
-- `log.dropped` in a later log says so. Answers the time of its newest event.
create function writ_drop_log(old bigint, dropped_by text, at bigint) returns bigint
language plpgsql security definer set search_path from current as $$
declare
  fence text := nullif(current_setting('writ.project', true), '');
  newest bigint;
begin
  perform from logs l where l.project_id = fence and l.shard = old and l.closed_at is not null and l.dropped_at is null
    and not exists (select from logs b where b.project_id = fence and b.shard < old and b.dropped_at is null)
    and exists (select from logs b where b.project_id = fence and b.shard > old);
  if not found then
    raise exception 'log % is not the oldest closed log of this project', old;
  end if;
  perform from audit_events e where e.project_id = fence and e.id = dropped_by and e.event_type = 'log.dropped'
    and not exists (select from audit_index i where i.project_id = fence and i.event_id = e.id and i.shard <= old);
  if not found then
    raise exception 'no log.dropped of this project says that log % is dropped', old;
  end if;
  perform from holds h where h.project_id = fence and h.released_at is null;
  if found then
    raise exception 'a legal hold lasts in this project';
  end if;
  select coalesce(max(e.timestamp), 0) into newest from audit_events e
    join audit_index i on i.project_id = e.project_id and i.event_id = e.id where i.project_id = fence and i.shard = old;
  delete from erasures r where r.project_id = fence
    and r.event_id in (select i.event_id from audit_index i where i.project_id = fence and i.shard = old);
  delete from audit_events e where e.project_id = fence
    and e.id in (select i.event_id from audit_index i where i.project_id = fence and i.shard = old);
  delete from audit_index i where i.project_id = fence and i.shard = old;
  update logs l set dropped_at = at, dropped_until = newest where l.project_id = fence and l.shard = old;
  return newest;
end $$;
revoke all on function writ_drop_log(bigint, text, bigint) from public;

grant execute on function writ_erase_payload(text, text, bigint) to writ_app;
grant execute on function writ_drop_log(bigint, text, bigint) to writ_app;
grant select on erasures to writ_app;
grant select, insert, update on holds to writ_app;
grant delete on user_links to writ_app;
grant select on erasures to writ_sequencer;
grant update (in_day_file) on erasures to writ_sequencer;

do $$
declare
  fenced text;
begin
  foreach fenced in array array['erasures', 'holds'] loop
    execute format('alter table %I enable row level security', fenced);
    execute format('alter table %I force row level security', fenced);
    execute format($p$create policy project_fence on %I
      using (project_id = nullif(current_setting('writ.project', true), ''))
      with check (project_id = nullif(current_setting('writ.project', true), ''))$p$, fenced);
  end loop;
  create policy sequencer on erasures to writ_sequencer using (true) with check (true);
end $$;
