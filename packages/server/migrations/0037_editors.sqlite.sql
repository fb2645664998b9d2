-- Who changed what a ticket says since it was approved last, as a JSON array: four eyes keep them from agreeing to it. Edits of before are
-- not counted. SQLite.
alter table tickets add column edited_by_ids text not null default '[]';
