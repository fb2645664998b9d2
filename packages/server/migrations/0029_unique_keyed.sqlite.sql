-- Tasks found by their unique key, in the order of lists, however long ago they ended. SQLite.

create index runs_unique_keyed on runs (project_id, unique_key, number) where unique_key is not null;
