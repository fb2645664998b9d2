-- What runs cost, counted beside how they ended. SQLite.

-- Billionths of a US dollar. What ended before was counted without.
alter table run_stats add column cost_nanos integer not null default 0;
