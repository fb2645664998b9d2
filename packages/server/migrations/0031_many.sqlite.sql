-- Where there are many, what is asked often costs by what it answers. SQLite.

-- New logs, whose key nobody has named yet: each round of the sequencer asks for them.
create index logs_unnamed on logs (project_id) where vkey is null;

-- What was not delivered, of each webhook: few among all that it was ever told.
create index deliveries_undelivered on deliveries (project_id, webhook_id, state, id) where state <> 'delivered';
