-- How many there are of a thing is counted in a row of its own, so that numbers can be taken without waiting for who adds to it. PostgreSQL.

-- `tickets` holds the last number in `value`, `tickets.total` how many there are in `total`.
alter table counters no force row level security;
insert into counters (project_id, name, value, total) select project_id, name || '.total', 0, total from counters;
update counters set total = 0 where name not like '%.total';
alter table counters force row level security;
