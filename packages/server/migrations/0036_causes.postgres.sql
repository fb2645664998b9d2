-- Why the server paused a schedule, as a code with its values beside the sentence: readers word it in their own language. PostgreSQL.
alter table schedules add column paused_cause text;
-- The owner sees every project's rows while they change.
alter table schedules no force row level security;
update schedules set paused_cause = json_build_object('code', 'owner_denied', 'refusals', null, 'error_code', null)
  where state = 'paused' and paused_reason = 'its owner may not dispatch tasks here any more';
update schedules set paused_cause = json_build_object('code', 'refused', 'refusals', refusals,
    'error_code', substr(paused_reason, strpos(paused_reason, ', the last time ') + length(', the last time ')))
  where state = 'paused' and paused_reason like 'it started nothing % times in a row, the last time %';
alter table schedules force row level security;
