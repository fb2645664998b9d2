-- Tasks that cost something, found by what they cost. SQLite.

create index runs_priced on runs (project_id, number) where cost_usd is not null;
