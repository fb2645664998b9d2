-- Applications of Feishu that tasks may fetch tokens for: the secret sealed, or a token that somebody set by hand.

create table feishu_apps (
  project_id text not null references projects (id),
  app_id text not null,
  -- The handle that stands for id and secret in a task's input.
  app_hash text,
  sealed_secret text,
  sealed_token text,
  token_until integer,
  updated_at integer not null,
  primary key (project_id, app_id)
) strict;
create unique index feishu_apps_hash on feishu_apps (project_id, app_hash) where app_hash is not null;
