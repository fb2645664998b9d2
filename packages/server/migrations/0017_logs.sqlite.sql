-- What attempts of tasks print, as they print it: lines that came together, one behind the other. SQLite.

-- A line's number counts all that were printed; a gap is of lines that were not kept. `end_chars`: of the attempt's log up to here.
-- `last`: nothing follows; the newest lines of a log without such a row are with the run.
create table log_chunks (
  project_id text not null,
  run_id text not null,
  attempt integer not null,
  first_line integer not null,
  lines integer not null,
  end_chars integer not null,
  kept_at integer not null,
  text text not null,
  last integer not null check (last in (0, 1)),
  primary key (project_id, run_id, attempt, first_line)
) strict;
