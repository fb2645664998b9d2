-- What dispatched tasks need beside the engine.

-- A webhook that is told of single runs, because whoever dispatched them said so, and of nothing else: found again by its url
-- (a keyed digest of it). `callback`: in which words it is told.
alter table webhooks add column callback text check (callback in ('event', 'dispatch'));
alter table webhooks add column url_mac text;
create unique index webhooks_callback on webhooks (project_id, callback, url_mac) where callback is not null;

-- Input and result as they were, where something in them is secret: sealed, and what stands in the open is redacted.
alter table runs add column input_sealed text;
alter table runs add column result_sealed text;

-- Applications of Feishu that tasks may fetch tokens for: the secret sealed, or a token that somebody set by hand.

create table feishu_apps (
  project_id text not null references projects (id),
  app_id text not null,
  -- The handle that stands for id and secret in a task's input.
  app_hash text,
  sealed_secret text,
  sealed_token text,
  token_until bigint,
  updated_at bigint not null,
  primary key (project_id, app_id)
);
create unique index feishu_apps_hash on feishu_apps (project_id, app_hash) where app_hash is not null;

grant select, insert, update on feishu_apps to writ_app;
alter table feishu_apps enable row level security;
alter table feishu_apps force row level security;
create policy project_fence on feishu_apps
  using (project_id = nullif(current_setting('writ.project', true), ''))
  with check (project_id = nullif(current_setting('writ.project', true), ''));
