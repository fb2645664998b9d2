-- What attempts of tasks said that they cost. SQLite.

-- Billionths of a US dollar: whole numbers, so that a sum is the sum. `what` is what they were paid for, and empty when nobody said.
-- runs.cost_usd is their sum, in dollars; a run without a row here has none.
create table costs (
  project_id text not null,
  run_id text not null,
  attempt integer not null,
  what text not null,
  nanos integer not null check (nanos >= 0),
  primary key (project_id, run_id, attempt, what)
) strict;
