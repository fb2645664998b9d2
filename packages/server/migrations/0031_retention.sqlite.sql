-- Records of tasks whose time is over, and the payloads that stood beside them. SQLite.

-- Which tasks name a payload that is too long for a row, by its digest: its bytes go with the last of them. `gone_at`: since when this
-- one names it no more; `run_id` is empty for what somebody is just about to store. `removing`: its bytes are being removed.
create table task_payloads (
  project_id text not null references projects (id),
  sha256 text not null,
  run_id text not null,
  gone_at integer,
  removing integer not null default 0 check (removing in (0, 1)),
  primary key (project_id, sha256, run_id)
) strict, without rowid;
create index task_payloads_gone on task_payloads (project_id, gone_at) where gone_at is not null;

insert into task_payloads (project_id, sha256, run_id)
  select project_id, input_sha256, id from runs where kind = 'task' and input is null and input_sha256 is not null
  union
  select project_id, output_sha256, id from runs where kind = 'task' and result is null and output_sha256 is not null;
