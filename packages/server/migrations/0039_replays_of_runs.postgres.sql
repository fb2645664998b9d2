-- Which runs were replayed already: few are, so few are in it.
create index runs_replays on runs (project_id, replays_run_id) where replays_run_id is not null;
