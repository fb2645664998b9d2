-- Whether somebody but its owner made the account or gave its address: 0 where anybody could have, as with an open registration.
alter table users add column vouched integer not null default 1;
