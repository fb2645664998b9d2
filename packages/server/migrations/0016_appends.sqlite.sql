-- The order of the log is kept for whole appends instead of single events: what was appended together stands together. SQLite.

-- `seq` is the order of appending; `log_index` the place of the first entry, which the sequencer gave. The events of an append
-- are those between `first_id` and `last_id` that name it, each with its `place` behind the first.
create table audit_appends (
  seq integer primary key autoincrement,
  project_id text not null,
  first_id text not null,
  last_id text not null,
  entries integer not null,
  shard integer,
  log_index integer,
  unique (project_id, shard, log_index)
) strict;
insert into audit_appends (seq, project_id, first_id, last_id, entries, shard, log_index)
  select seq, project_id, event_id, event_id, 1, shard, log_index from audit_index;
create index audit_appends_pending on audit_appends (project_id, seq) where log_index is null;

alter table audit_events add column append integer not null default 0;
alter table audit_events add column place integer not null default 0;
-- An event without a row in the index was put in by hand: it stays without an append, and verification finds it.
update audit_events set append = coalesce(
  (select i.seq from audit_index i where i.project_id = audit_events.project_id and i.event_id = audit_events.id), 0);
drop table audit_index;

create view audit_places as
  select e.project_id, e.id as event_id, b.seq, b.shard, b.log_index + e.place as log_index
  from audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append;

-- An event is written once and looked for seldom: what need not be in an index is not. Completed runs are most of all
-- events and found without one; the system is no actor; the id of a thing is enough to find it.
drop index audit_events_type;
drop index audit_events_actor;
drop index audit_events_resource;
create index audit_events_type on audit_events (project_id, event_type, id) where event_type <> 'run.completed';
create index audit_events_actor on audit_events (project_id, actor_id, id) where actor_id is not null;
create index audit_events_resource on audit_events (project_id, resource_id, id);
