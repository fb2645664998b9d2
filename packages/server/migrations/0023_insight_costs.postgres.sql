-- What runs cost, counted beside how they ended. PostgreSQL.

-- Billionths of a US dollar. What ended before was counted without.
alter table run_stats add column cost_nanos bigint not null default 0;
