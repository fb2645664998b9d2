-- Where waiting entries are kept besides the database: in Redis. The PostgreSQL twin keeps the same names in the same order.

-- One row, made by the first server with such a queue. `space`: what its keys begin with, so that several installations share one
-- Redis. `epoch`: what a copy there must be stamped with to count; a step further whenever the copy cannot be trusted any more.
-- `servers`: the servers that hold it, as they name themselves anew at each start; empty: none, the database's own queue is used.
-- In `queue`, `ready` is 2 of an entry that was seen to be in the copy.
create table queue_copy (
  id integer primary key check (id = 1),
  space text not null,
  epoch integer not null,
  servers text not null
) strict;
