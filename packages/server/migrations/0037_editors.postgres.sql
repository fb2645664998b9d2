-- Who changed what a ticket says since it was approved last, as a JSON array: four eyes keep them from agreeing to it. Edits of before are
-- not counted. PostgreSQL.
alter table tickets add column edited_by_ids text not null default '[]';

-- The same once more, whatever the server's code comes to: nobody decides about a ticket that they opened, changed or do, unless the
-- project's policy says that one pair of eyes is enough.
create function refuse_own_decision() returns trigger language plpgsql as $$
begin
  if exists (
    select 1 from tickets t join projects p on p.id = t.project_id
    where t.project_id = new.project_id and t.id = new.subject_id
      and coalesce(p.policy::json ->> 'four_eyes', 'true') <> 'false'
      and (new.decided_by_id in (t.created_by_id, t.assignee_id) or t.edited_by_ids::jsonb ? new.decided_by_id)
  ) then
    raise exception 'four eyes: % decides about a ticket of their own', new.decided_by_id;
  end if;
  return new;
end
$$;
create trigger approvals_four_eyes before insert on approvals
  for each row when (new.subject_type = 'ticket') execute function refuse_own_decision();
