-- Where there are many, what is asked often costs by what it answers. SQLite.

-- New logs, whose key nobody has named yet: each round of the sequencer asks for them.
create index logs_unnamed on logs (project_id) where vkey is null;

-- What was not delivered, of each webhook: few among all that it was ever told.
create index deliveries_undelivered on deliveries (project_id, webhook_id, state, id) where state <> 'delivered';

-- Lists that are read page by page, each in its order.
create index tokens_project on tokens (project_id, id);
drop index tokens_owner;
create index tokens_owner on tokens (project_id, user_id, id);
drop index invites_project;
create index invites_project on invites (project_id, id);
drop index comments_ticket;
create index comments_ticket on comments (project_id, ticket_id, id);
drop index approvals_subject;
create index approvals_subject on approvals (project_id, subject_type, subject_id, id);
