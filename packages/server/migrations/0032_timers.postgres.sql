-- Of very many tasks that a cancelled one dispatched a part is cancelled in one transaction; a timer of the one that dispatched
-- them sees to the others.
alter table timers drop constraint timers_what_check;
alter table timers add constraint timers_what_check check (what in ('expire', 'remind', 'cancel_children'));
