-- Bytes that somebody is about to name (`coming`) or removes (`going`): neither begins before the other has ended. PostgreSQL.
create table blob_marks (
  project_id text not null references projects (id),
  sha256 text not null,
  what text not null check (what in ('coming', 'going')),
  holder text not null,
  touched_at bigint not null,
  primary key (project_id, sha256, what, holder)
);
grant select, insert, update, delete on blob_marks to writ_app;
alter table blob_marks enable row level security;
alter table blob_marks force row level security;
create policy project_fence on blob_marks
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
-- A payload whose removal was cut off is one that nobody names.
alter table task_payloads drop column removing;
