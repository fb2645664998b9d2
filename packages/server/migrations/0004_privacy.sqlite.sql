-- Privacy: what uploads seem to hold, payloads and bytes that were erased, legal holds, logs that retention dropped. SQLite.

-- `findings`: kinds, counts and first places as JSON, never a value; null where nothing looked. `erased_at`: the bytes were
-- erased on demand; `bytes_gone_at`: the store has confirmed it.
alter table artifacts add column findings text;
alter table artifacts add column erased_at integer;
alter table artifacts add column bytes_gone_at integer;
create index artifacts_to_erase on artifacts (project_id, id) where erased_at is not null and bytes_gone_at is null;

-- Payloads that were erased: the event that has none any more, and the `payload.erased` that says why. `in_day_file`: the
-- lines of the day files say so too.
create table erasures (
  project_id text not null,
  event_id text not null,
  erased_by text not null,
  in_day_file integer not null default 0,
  created_at integer not null,
  primary key (project_id, event_id)
) strict;
create index erasures_to_write on erasures (project_id) where in_day_file = 0;

-- A closed log that retention dropped: its rows and tiles are gone, its last checkpoint stays. `dropped_until` is the time of
-- its newest event, up to which day files are written anew; `files_gone_at`: that is done.
alter table logs add column dropped_at integer;
alter table logs add column dropped_until integer;
alter table logs add column files_gone_at integer;

-- What must not be erased, deleted or dropped while the hold lasts. `subject_id` of a project is its own id.
create table holds (
  project_id text not null references projects (id),
  id text not null,
  subject_type text not null check (subject_type in ('ticket', 'run', 'project')),
  subject_id text not null,
  subject_number integer,
  reason text not null,
  set_by_id text not null references users (id),
  created_at integer not null,
  released_by_id text references users (id),
  released_at integer,
  release_reason text,
  primary key (project_id, id)
) strict;
create index holds_subject on holds (project_id, subject_type, subject_id) where released_at is null;
