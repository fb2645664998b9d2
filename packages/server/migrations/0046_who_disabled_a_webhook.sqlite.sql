-- The person who disabled a webhook; null of one that its receiver did, or that is active. Of one that was disabled before, its reason names them.
alter table webhooks add column disabled_by_id text;
update webhooks set disabled_by_id = (select id from users where username = substr(webhooks.disabled_reason, length('disabled by ') + 1))
  where state = 'disabled' and disabled_reason like 'disabled by %';
