-- The line of a log that was closed has the end that the next log names: it is all that is left when the log is dropped. Of one that a
-- restore closed it had what the database of the backup knew, and a drop of it was found as damage. Where the event was erased, with who
-- closed the log, the line stays.
update logs set checkpoint = ends.note, root = ends.root
from (
  select project_id, origin, note, substr(rest, 1, instr(rest, char(10)) - 1) as root
  from (
    select project_id, origin, note, substr(note, instr(note, char(10)) + instr(substr(note, instr(note, char(10)) + 1), char(10)) + 1) as rest
    from (
      select l.project_id, l.origin, json_extract(nullif(e.event, ''), '$.details.last_checkpoint') as note
      from logs l
      join audit_events e on e.project_id = l.project_id and e.event_type = 'log.continued' and e.event_type <> 'run.completed'
      where l.closed_at is not null and l.dropped_at is null and json_extract(nullif(e.event, ''), '$.details.old_origin') = l.origin
    )
  )
) as ends
where logs.project_id = ends.project_id and logs.origin = ends.origin and ends.note <> '' and ends.note is not logs.checkpoint;
