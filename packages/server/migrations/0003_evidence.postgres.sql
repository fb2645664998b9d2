-- Attestations (the envelopes whose digests stand in log entries), people's signing keys, and what they signed.

create table attestations (
  project_id text not null references projects (id),
  digest text not null,
  predicate_type text not null,
  subject_type text not null,
  subject_id text not null,
  envelope text not null,
  created_at bigint not null,
  primary key (project_id, digest)
);
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
  bootstrap bigint not null default 0,
  decided_by_id text references users (id),
  created_at bigint not null,
  decided_at bigint,
  revoked_at bigint,
  primary key (project_id, id)
);
create unique index signing_keys_live on signing_keys (project_id, fingerprint) where state in ('proposed', 'enrolled');

create table approval_signatures (
  project_id text not null references projects (id),
  approval_id text not null,
  signing_key_id text not null,
  statement text not null,
  signature text not null,
  created_at bigint not null,
  primary key (project_id, approval_id)
);

-- A key that is enrolled is approved like a policy.
alter table approvals drop constraint approvals_subject_type_check;
alter table approvals add constraint approvals_subject_type_check check (subject_type in ('ticket', 'policy', 'signing_key'));

-- What was attested or signed is never changed by the server.
grant select, insert on attestations, approval_signatures to writ_app;
grant select, insert, update on signing_keys to writ_app;

do $$
declare
  fenced text;
begin
  foreach fenced in array array['attestations', 'signing_keys', 'approval_signatures'] loop
    execute format('alter table %I enable row level security', fenced);
    execute format('alter table %I force row level security', fenced);
    execute format($p$create policy project_fence on %I
      using (project_id = nullif(current_setting('writ.project', true), ''))
      with check (project_id = nullif(current_setting('writ.project', true), ''))$p$, fenced);
  end loop;
end $$;

-- Each ticket that is opened asks who could approve it; there are few of these among many users.
create index users_instance_admins on users (id) where is_instance_admin = 1;
