-- The first of the tokens that replaced each other, of one that replaced another: to requests they are one. Null of the first itself.
alter table tokens add column family_id text;
