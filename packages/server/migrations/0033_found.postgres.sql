-- Tables that are empty while nothing is to be done: by the statistics of such a moment an index in which the project stands looks as
-- good as one that names the row, and is read from end to end, past all that came and went since the last vacuum. So what is looked for
-- stands first, and where two things are looked for the project stands in neither index.
alter table held drop constraint held_pkey;
alter table held add constraint held_pkey primary key (run_id, project_id);
drop index held_admitted;
create index held_keyed on held (project_id, key, admitted) where key is not null;

alter table dependencies drop constraint dependencies_pkey;
alter table dependencies add constraint dependencies_pkey primary key (on_run_id, run_id);
drop index dependencies_on;
create index dependencies_run on dependencies (run_id);

alter table unique_keys drop constraint unique_keys_pkey;
alter table unique_keys add constraint unique_keys_pkey primary key (key, project_id);
