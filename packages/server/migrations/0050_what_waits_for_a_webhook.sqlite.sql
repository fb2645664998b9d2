-- What waits for a webhook, the first to be due first: found however much waits for others, or for this one. SQLite.
create index delivery_queue_webhook on delivery_queue (webhook_id, due_at);
