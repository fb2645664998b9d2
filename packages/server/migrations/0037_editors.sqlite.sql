-- Who changed what a ticket says since it was approved last, as a JSON array: four eyes keep them from agreeing to it. Edits of before are
-- not counted. SQLite.
alter table tickets add column edited_by_ids text not null default '[]';

-- The same once more, whatever the server's code comes to: nobody decides about a ticket that they opened, changed or do, unless the
-- project's policy says that one pair of eyes is enough.
create trigger approvals_four_eyes before insert on approvals when new.subject_type = 'ticket'
begin
  select raise(abort, 'four eyes: somebody decides about a ticket of their own')
  from tickets t join projects p on p.id = t.project_id
  where t.project_id = new.project_id and t.id = new.subject_id
    and coalesce(json_extract(p.policy, '$.four_eyes'), 1) <> 0
    and (new.decided_by_id in (t.created_by_id, t.assignee_id)
      or exists (select 1 from json_each(t.edited_by_ids) where value = new.decided_by_id));
end;
