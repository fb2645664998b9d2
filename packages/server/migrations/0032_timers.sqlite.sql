-- Of very many tasks that a cancelled one dispatched a part is cancelled in one transaction; a timer of the one that dispatched
-- them sees to the others. SQLite changes no check of a table, so it is made anew; there are few timers.
create table timers_next (
  run_id text not null,
  what text not null check (what in ('expire', 'remind', 'cancel_children')),
  project_id text not null,
  due_at integer not null,
  primary key (run_id, what)
) strict;
insert into timers_next (run_id, what, project_id, due_at) select run_id, what, project_id, due_at from timers;
drop table timers;
alter table timers_next rename to timers;
create index timers_due on timers (due_at);
