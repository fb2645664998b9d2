-- What operators allow under a concurrency key in place of what handlers say. PostgreSQL.

-- JSON: a list of `KeyLimit`; null where there is none. In the row that is locked before anything is admitted, so it costs no look.
alter table concurrency_keys add column limits text;
