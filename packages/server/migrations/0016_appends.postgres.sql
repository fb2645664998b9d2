-- The order of the log is kept for whole appends instead of single events: what was appended together stands together. PostgreSQL.

-- `seq` is the order of appending; `log_index` the place of the first entry, which the sequencer gave. The events of an append
-- are those between `first_id` and `last_id` that name it, each with its `place` behind the first.
create table audit_appends (
  seq bigint generated always as identity (cache 1) primary key,
  project_id text not null,
  first_id text collate "C" not null,
  last_id text collate "C" not null,
  entries bigint not null,
  shard bigint,
  log_index bigint,
  unique (project_id, shard, log_index)
);
-- The owner sees every project's rows while they move.
alter table audit_index no force row level security;
alter table audit_events no force row level security;
insert into audit_appends (seq, project_id, first_id, last_id, entries, shard, log_index) overriding system value
  select seq, project_id, event_id, event_id, 1, shard, log_index from audit_index;
select setval('audit_appends_seq_seq', coalesce((select max(seq) from audit_appends), 0) + 1, false);
create index audit_appends_pending on audit_appends (project_id, seq) where log_index is null;

alter table audit_events add column append bigint not null default 0;
alter table audit_events add column place bigint not null default 0;
-- An event without a row in the index was put in by hand: it stays without an append, and verification finds it.
update audit_events e set append = i.seq from audit_index i where i.project_id = e.project_id and i.event_id = e.id;
-- The append that this session inserted last: the two inserts of an append travel together, and neither waits for the other.
alter table audit_events alter column append set default currval('audit_appends_seq_seq');
alter table audit_events alter column place drop default;
alter table audit_events force row level security;

create or replace function writ_drop_log(old bigint, dropped_by text, at bigint) returns bigint
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
    and not exists (select from audit_appends b where b.project_id = fence and b.seq = e.append and b.shard <= old);
  if not found then
    raise exception 'no log.dropped of this project says that log % is dropped', old;
  end if;
  perform from holds h where h.project_id = fence and h.released_at is null;
  if found then
    raise exception 'a legal hold lasts in this project';
  end if;
  select coalesce(max(e.timestamp), 0) into newest from audit_appends b join audit_events e
    on e.project_id = b.project_id and e.id >= b.first_id and e.id <= b.last_id and e.append = b.seq
    where b.project_id = fence and b.shard = old;
  delete from erasures r where r.project_id = fence and r.event_id in (
    select e.id from audit_appends b join audit_events e
      on e.project_id = b.project_id and e.id >= b.first_id and e.id <= b.last_id and e.append = b.seq
      where b.project_id = fence and b.shard = old);
  delete from audit_events e using audit_appends b where b.project_id = fence and b.shard = old
    and e.project_id = fence and e.id >= b.first_id and e.id <= b.last_id and e.append = b.seq;
  delete from audit_appends b where b.project_id = fence and b.shard = old;
  update logs l set dropped_at = at, dropped_until = newest where l.project_id = fence and l.shard = old;
  return newest;
end $$;

drop table audit_index;

grant select, insert on audit_appends to writ_app, writ_sequencer;
grant update (shard, log_index) on audit_appends to writ_sequencer;
grant select on sequence audit_appends_seq_seq to writ_app, writ_sequencer;
alter table audit_appends enable row level security;
alter table audit_appends force row level security;
create policy project_fence on audit_appends
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
create policy sequencer on audit_appends to writ_sequencer using (true) with check (true);

create view audit_places with (security_invoker = true) as
  select e.project_id, e.id as event_id, b.seq, b.shard, b.log_index + e.place as log_index
  from audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append;
grant select on audit_places to writ_app, writ_sequencer;

-- An event is written once and looked for seldom: what need not be in an index is not. Completed runs are most of all
-- events and found without one; the system is no actor; the id of a thing is enough to find it.
drop index audit_events_type;
drop index audit_events_actor;
drop index audit_events_resource;
create index audit_events_type on audit_events (project_id, event_type, id) where event_type <> 'run.completed';
create index audit_events_actor on audit_events (project_id, actor_id, id) where actor_id is not null;
create index audit_events_resource on audit_events (project_id, resource_id, id);
