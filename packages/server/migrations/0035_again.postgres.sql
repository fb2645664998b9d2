-- Which deliveries were sent again: of those that failed only the others are to be. PostgreSQL.
create index deliveries_again on deliveries (project_id, replay_of) where replay_of is not null;
