-- Why the server paused a schedule, as a code with its values beside the sentence: readers word it in their own language. SQLite.
alter table schedules add column paused_cause text;
update schedules set paused_cause = json_object('code', 'owner_denied', 'refusals', null, 'error_code', null)
  where state = 'paused' and paused_reason = 'its owner may not dispatch tasks here any more';
update schedules set paused_cause = json_object('code', 'refused', 'refusals', refusals,
    'error_code', substr(paused_reason, instr(paused_reason, ', the last time ') + length(', the last time ')))
  where state = 'paused' and paused_reason like 'it started nothing % times in a row, the last time %';
