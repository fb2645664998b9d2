-- Why a task that runs was asked to stop. PostgreSQL.

-- Who asked stands in the log, as run.cancel_requested.
alter table runs add column cancel_reason text;
