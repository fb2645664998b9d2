-- Bytes that somebody is about to name (`coming`) or removes (`going`): neither begins before the other has ended. SQLite.
create table blob_marks (
  project_id text not null references projects (id),
  sha256 text not null,
  what text not null check (what in ('coming', 'going')),
  holder text not null,
  touched_at integer not null,
  primary key (project_id, sha256, what, holder)
) strict, without rowid;
-- A payload whose removal was cut off is one that nobody names.
alter table task_payloads drop column removing;
