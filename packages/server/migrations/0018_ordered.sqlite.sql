-- Webhooks that are sent in order, or hear of the tasks of some handlers, and secrets of addresses that are replaced while both hold. SQLite.

alter table webhooks add column ordered integer not null default 0 check (ordered in (0, 1));
-- Handlers whose tasks it is told the end of, unless they name a callback: a JSON array of names.
alter table webhooks add column handlers text not null default '[]';
-- Where a message of an ordered webhook stands in the log; null: it goes when it is due. Of those with a turn one is due, and the others
-- are due at the end of time until it has ended.
alter table delivery_queue add column turn integer;
create index delivery_queue_turn on delivery_queue (webhook_id, turn) where turn is not null;

alter table http_handlers add column sealed_previous_secret text;
alter table http_handlers add column previous_secret_until integer;
