-- What the log's doors, key rotation and witnesses add. The SQLite file says the same.

-- All verifier keys of a log that was rotated, the oldest first, as a JSON list; null means `vkey` alone.
alter table logs add column vkeys text;
-- The newest checkpoint with the cosignatures that the witness policy asks for, and its size.
alter table logs add column cosigned text;
alter table logs add column cosigned_size bigint not null default 0;

-- Who may read the published log of a project without being a member.
alter table projects add column log_access text not null default 'members' check (log_access in ('members', 'public'));
