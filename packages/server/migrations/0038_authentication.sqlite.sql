-- When somebody last proved who they are, and how: the ways as a JSON array (RFC 8176). Of a session, and of whoever decided. Null where
-- nobody knows: at sessions and decisions of before, at a provider that does not say when, and with an API token. SQLite.
alter table sessions add column auth_time integer;
alter table sessions add column amr text not null default '[]';
alter table approvals add column auth_time integer;
alter table approvals add column amr text not null default '[]';
