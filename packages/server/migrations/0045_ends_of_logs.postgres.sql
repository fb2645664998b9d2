-- The line of a log that was closed has the end that the next log names: it is all that is left when the log is dropped. Of one that a
-- restore closed it had what the database of the backup knew, and a drop of it was found as damage. Where the event was erased, with who
-- closed the log, the line stays.
alter table logs no force row level security;
alter table audit_events no force row level security;
update logs set checkpoint = ends.note, root = split_part(ends.note, chr(10), 3)
from (
  select l.project_id, l.origin, nullif(e.event, '')::jsonb -> 'details' ->> 'last_checkpoint' as note
  from logs l
  join audit_events e on e.project_id = l.project_id and e.event_type = 'log.continued' and e.event_type <> 'run.completed'
  where l.closed_at is not null and l.dropped_at is null and nullif(e.event, '')::jsonb -> 'details' ->> 'old_origin' = l.origin
) as ends
where logs.project_id = ends.project_id and logs.origin = ends.origin and ends.note <> '' and ends.note is distinct from logs.checkpoint;
alter table logs force row level security;
alter table audit_events force row level security;
