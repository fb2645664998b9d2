-- What a webhook listened to before changes to which the log has not been read yet; null where there are none.
alter table webhooks add column earlier text;
