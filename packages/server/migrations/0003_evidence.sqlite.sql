-- Attestations (the envelopes whose digests stand in log entries), people's signing keys, and what they signed.

create table attestations (
  project_id text not null references projects (id),
  digest text not null,
  predicate_type text not null,
  subject_type text not null,
  subject_id text not null,
  envelope text not null,
  created_at integer not null,
  primary key (project_id, digest)
) strict;
create index attestations_subject on attestations (project_id, subject_type, subject_id);

create table signing_keys (
  project_id text not null references projects (id),
  id text not null,
  user_id text not null references users (id),
  name text not null,
  type text not null check (type in ('passkey', 'ssh')),
  algorithm text not null check (algorithm in ('ed25519', 'ecdsa-p256', 'rsa')),
  public_key text not null,
  fingerprint text not null,
  credential_id text,
  rp_id text,
  statement text not null,
  signature text not null,
  state text not null check (state in ('proposed', 'enrolled', 'rejected', 'revoked')),
  bootstrap integer not null default 0,
  decided_by_id text references users (id),
  created_at integer not null,
  decided_at integer,
  revoked_at integer,
  primary key (project_id, id)
) strict;
create unique index signing_keys_live on signing_keys (project_id, fingerprint) where state in ('proposed', 'enrolled');

create table approval_signatures (
  project_id text not null references projects (id),
  approval_id text not null,
  signing_key_id text not null,
  statement text not null,
  signature text not null,
  created_at integer not null,
  primary key (project_id, approval_id)
) strict;

-- A key that is enrolled is approved like a policy. SQLite cannot change a check, so the table is made anew.
create table approvals_new (
  project_id text not null references projects (id),
  id text not null,
  subject_type text not null check (subject_type in ('ticket', 'policy', 'signing_key')),
  subject_id text not null,
  subject_version integer not null,
  subject_digest text not null,
  decision text not null check (decision in ('approved', 'rejected')),
  decided_by_id text not null references users (id),
  reason text,
  created_at integer not null,
  expires_at integer,
  voided_at integer,
  consumed_at integer,
  consumed_by text,
  primary key (project_id, id)
) strict;
insert into approvals_new select project_id, id, subject_type, subject_id, subject_version, subject_digest, decision, decided_by_id,
  reason, created_at, expires_at, voided_at, consumed_at, consumed_by from approvals;
drop table approvals;
alter table approvals_new rename to approvals;
create index approvals_subject on approvals (project_id, subject_type, subject_id);

-- Each ticket that is opened asks who could approve it; there are few of these among many users.
create index users_instance_admins on users (id) where is_instance_admin = 1;
