-- What the migrations for PostgreSQL result in. Written by migrate.test.ts; nothing reads it but people and that test.

CREATE FUNCTION public.refuse_own_decision() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.writ_clear_log(project text, old bigint, slice bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
    AS $$
declare
  start bigint;
  appends bigint[];
  events text[];
  lowest text collate "C";
  highest text collate "C";
  newest bigint;
begin
  perform set_config('writ.project', project, true);
  perform from logs l where l.project_id = project and l.shard = old and l.dropped_at is not null;
  if not found then
    raise exception 'log % of this project was not dropped', old;
  end if;
  start := (select min(b.log_index) from audit_appends b where b.project_id = project and b.shard = old);
  select array_agg(b.seq), min(b.first_id), max(b.last_id) into appends, lowest, highest from audit_appends b
    where b.project_id = project and b.shard = old and b.log_index >= start and b.log_index < start + slice;
  if appends is null then
    return false;
  end if;
  select array_agg(e.id), coalesce(max(e.timestamp), 0) into events, newest from audit_events e
    where e.project_id = project and e.id >= lowest and e.id <= highest and e.append = any (appends);
  update logs l set dropped_until = greatest(l.dropped_until, newest) where l.project_id = project and l.shard = old;
  delete from erasures r where r.project_id = project and r.event_id = any (events);
  delete from audit_events e where e.project_id = project and e.id >= lowest and e.id <= highest and e.id = any (events);
  delete from audit_appends b where b.project_id = project and b.seq = any (appends);
  return true;
end $$;

CREATE FUNCTION public.writ_drop_log(old bigint, dropped_by text, at bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
    AS $$
declare
  fence text := nullif(current_setting('writ.project', true), '');
  until bigint;
begin
  perform from logs l where l.project_id = fence and l.shard = old and l.closed_at is not null and l.dropped_at is null
    and not exists (select from logs b where b.project_id = fence and b.shard < old and b.dropped_at is null)
    and exists (select from logs b where b.project_id = fence and b.shard > old);
  if not found then
    raise exception 'log % is not the oldest closed log of this project', old;
  end if;
  perform from audit_events e where e.project_id = fence and e.id = dropped_by and e.event_type = 'log.dropped'
    and not exists (select from audit_appends b where b.project_id = fence and b.seq = e.append and b.shard <= old);
  if not found then
    raise exception 'no log.dropped of this project says that log % is dropped', old;
  end if;
  perform from holds h where h.project_id = fence and h.released_at is null;
  if found then
    raise exception 'a legal hold lasts in this project';
  end if;
  -- Its newest event is no newer, unless the clock was set back; then the slices find it.
  update logs l set dropped_at = at, dropped_until = l.closed_at where l.project_id = fence and l.shard = old
    returning l.dropped_until into until;
  return until;
end $$;

CREATE FUNCTION public.writ_drop_tasks(tasks text[], dropped_by text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
    AS $$
declare
  own text := nullif(current_setting('writ.project', true), '');
  lowest text collate "C" := (select min(id collate "C") from unnest(tasks) as t (id));
  highest text collate "C" := (select max(id collate "C") from unnest(tasks) as t (id));
  gone bigint;
begin
  perform from audit_events e join audit_appends b on b.project_id = e.project_id and b.seq = e.append
    where e.project_id = own and e.id = dropped_by and e.event_type = 'tasks.dropped' and b.log_index is null
      and (e.event::jsonb -> 'details' ->> 'count')::bigint = cardinality(tasks);
  if not found then
    raise exception 'no tasks.dropped of this project says that so many tasks are dropped';
  end if;
  perform from holds h where h.project_id = own and h.released_at is null
    and (h.subject_type = 'project' or (h.subject_type = 'run' and h.subject_id = any (tasks)));
  if found then
    raise exception 'a legal hold lasts';
  end if;
  delete from attempts a where a.project_id = own and a.run_id >= lowest and a.run_id <= highest and a.run_id = any (tasks);
  delete from steps s where s.project_id = own and s.run_id >= lowest and s.run_id <= highest and s.run_id = any (tasks);
  delete from log_chunks l where l.project_id = own and l.run_id >= lowest and l.run_id <= highest and l.run_id = any (tasks);
  delete from costs c where c.project_id = own and c.run_id >= lowest and c.run_id <= highest and c.run_id = any (tasks);
  delete from runs r where r.project_id = own and r.id >= lowest and r.id <= highest and r.id = any (tasks)
    and r.kind = 'task' and r.completed_at is not null;
  get diagnostics gone = row_count;
  if gone <> cardinality(tasks) then
    raise exception 'of % tasks % can be dropped', cardinality(tasks), gone;
  end if;
  return gone;
end $$;

CREATE FUNCTION public.writ_erase_payload(event text, erased_by text, at bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
    AS $$
declare
  fence text := nullif(current_setting('writ.project', true), '');
begin
  perform from audit_events e
    where e.project_id = fence and e.id = writ_erase_payload.erased_by and e.event_type = 'payload.erased' and e.resource_id = writ_erase_payload.event;
  if not found then
    raise exception 'no payload.erased of this project names event %', event;
  end if;
  update audit_events e set event = '', salt = '', actor_username = null
    where e.project_id = fence and e.id = writ_erase_payload.event and e.event <> ''
      and e.event_type not in
        ('payload.erased', 'log.opened', 'log.continued', 'log.dropped', 'log.key_rotated', 'key.added', 'project.checkpoint');
  if not found then
    return false;
  end if;
  insert into erasures (project_id, event_id, erased_by, created_at) values (fence, event, erased_by, at);
  return true;
end $$;

CREATE FUNCTION public.writ_id_prefix(at timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  select left(h, 8) || '-' || right(h, 4)
  from (select lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') as h) t
$$;

CREATE FUNCTION public.writ_make_partitions(at timestamp with time zone, months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO '$user', 'public'
    AS $$
declare
  parent text;
  first timestamptz;
  name text;
  made integer := 0;
begin
  perform pg_advisory_xact_lock(hashtext('writ_make_partitions'));
  for step in -1 .. months loop
    first := (date_trunc('month', at at time zone 'UTC') + make_interval(months => step)) at time zone 'UTC';
    foreach parent in array array['runs', 'artifacts', 'audit_events', 'attempts', 'steps', 'log_chunks', 'costs'] loop
      name := parent || '_' || to_char(first at time zone 'UTC', 'YYYY_MM');
      if to_regclass(quote_ident(name)) is null then
        execute format('create table %I partition of %I for values from (%L) to (%L)%s', name, parent,
          writ_id_prefix(first),
          writ_id_prefix(((first at time zone 'UTC') + interval '1 month') at time zone 'UTC'),
          -- A run is written twice, the second time longer, and in the page of the first if there is room (HOT).
          case when parent = 'runs' then ' with (fillfactor = 40)' else '' end);
        made := made + 1;
      end if;
    end loop;
  end loop;
  return made;
end $$;

CREATE TABLE public.approval_signatures (
    project_id text NOT NULL,
    approval_id text NOT NULL,
    signing_key_id text NOT NULL,
    statement text NOT NULL,
    signature text NOT NULL,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.approval_signatures FORCE ROW LEVEL SECURITY;

CREATE TABLE public.approvals (
    project_id text NOT NULL,
    id text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    subject_version bigint NOT NULL,
    subject_digest text NOT NULL,
    decision text NOT NULL,
    decided_by_id text NOT NULL,
    reason text,
    created_at bigint NOT NULL,
    expires_at bigint,
    voided_at bigint,
    consumed_at bigint,
    consumed_by text,
    auth_time bigint,
    amr text DEFAULT '[]'::text NOT NULL,
    CONSTRAINT approvals_decision_check CHECK ((decision = ANY (ARRAY['approved'::text, 'rejected'::text]))),
    CONSTRAINT approvals_subject_type_check CHECK ((subject_type = ANY (ARRAY['ticket'::text, 'policy'::text, 'signing_key'::text])))
);

ALTER TABLE ONLY public.approvals FORCE ROW LEVEL SECURITY;

CREATE TABLE public.artifacts (
    project_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    run_id text NOT NULL,
    run_number bigint NOT NULL,
    filename text NOT NULL,
    content_type text,
    artifact_type text,
    role text,
    description text,
    expected_sha256 text,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    store text NOT NULL,
    uploaded_by_id text,
    is_deleted bigint DEFAULT 0 NOT NULL,
    deleted_at bigint,
    deleted_by_id text,
    created_at bigint NOT NULL,
    findings text,
    erased_at bigint,
    bytes_gone_at bigint,
    CONSTRAINT artifacts_role_check CHECK ((role = ANY (ARRAY['before'::text, 'after'::text])))
)
PARTITION BY RANGE (id);

ALTER TABLE ONLY public.artifacts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.assets (
    project_id text NOT NULL,
    id text NOT NULL,
    number bigint NOT NULL,
    name text NOT NULL,
    asset_type text NOT NULL,
    serial_number text,
    location text,
    description text,
    created_by_id text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

ALTER TABLE ONLY public.assets FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attempts (
    project_id text NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    attempt bigint NOT NULL,
    started_at bigint,
    ended_at bigint NOT NULL,
    outcome text NOT NULL,
    error_code text,
    error text,
    worker text,
    next_run_at bigint,
    CONSTRAINT attempts_outcome_check CHECK ((outcome = ANY (ARRAY['completed'::text, 'failed'::text, 'timeout'::text, 'cancelled'::text, 'lost'::text])))
)
PARTITION BY RANGE (run_id);

ALTER TABLE ONLY public.attempts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attestations (
    project_id text NOT NULL,
    digest text NOT NULL,
    predicate_type text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    envelope text NOT NULL,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.attestations FORCE ROW LEVEL SECURITY;

CREATE TABLE public.audit_appends (
    seq bigint NOT NULL,
    project_id text NOT NULL,
    first_id text NOT NULL COLLATE pg_catalog."C",
    last_id text NOT NULL COLLATE pg_catalog."C",
    entries bigint NOT NULL,
    shard bigint,
    log_index bigint,
    ends bigint
);

ALTER TABLE ONLY public.audit_appends FORCE ROW LEVEL SECURITY;

ALTER TABLE public.audit_appends ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_appends_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.audit_events (
    project_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL,
    "timestamp" bigint NOT NULL,
    actor_kind text NOT NULL,
    actor_id text,
    actor_number bigint,
    actor_username text,
    resource_type text,
    resource_id text,
    resource_number bigint,
    run_id text,
    success bigint NOT NULL,
    event text NOT NULL,
    salt bytea NOT NULL,
    entry bytea NOT NULL,
    append bigint DEFAULT currval('public.audit_appends_seq_seq'::regclass) NOT NULL,
    place bigint NOT NULL
)
PARTITION BY RANGE (id);

ALTER TABLE ONLY public.audit_events FORCE ROW LEVEL SECURITY;

CREATE VIEW public.audit_places WITH (security_invoker='true') AS
 SELECT e.project_id,
    e.id AS event_id,
    b.seq,
    b.shard,
    (b.log_index + e.place) AS log_index
   FROM (public.audit_events e
     JOIN public.audit_appends b ON (((b.project_id = e.project_id) AND (b.seq = e.append))));

CREATE TABLE public.batches (
    project_id text NOT NULL,
    id text NOT NULL,
    first_number bigint NOT NULL,
    last_number bigint NOT NULL,
    executed_by_id text,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.batches FORCE ROW LEVEL SECURITY;

CREATE TABLE public.blob_marks (
    project_id text NOT NULL,
    sha256 text NOT NULL,
    what text NOT NULL,
    holder text NOT NULL,
    touched_at bigint NOT NULL,
    CONSTRAINT blob_marks_what_check CHECK ((what = ANY (ARRAY['coming'::text, 'going'::text])))
);

ALTER TABLE ONLY public.blob_marks FORCE ROW LEVEL SECURITY;

CREATE TABLE public.comments (
    project_id text NOT NULL,
    id text NOT NULL,
    ticket_id text NOT NULL,
    author_id text NOT NULL,
    body text NOT NULL,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.comments FORCE ROW LEVEL SECURITY;

CREATE TABLE public.concurrency_keys (
    project_id text NOT NULL,
    key text NOT NULL,
    next_us bigint DEFAULT 0 NOT NULL,
    paused_until bigint,
    wake_at bigint,
    limits text,
    pause text
);

CREATE TABLE public.costs (
    project_id text NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    attempt bigint NOT NULL,
    what text NOT NULL,
    nanos bigint NOT NULL,
    CONSTRAINT costs_nanos_check CHECK ((nanos >= 0))
)
PARTITION BY RANGE (run_id);

ALTER TABLE ONLY public.costs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.counters (
    project_id text NOT NULL,
    name text NOT NULL,
    value bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL
);

ALTER TABLE ONLY public.counters FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deliveries (
    project_id text NOT NULL,
    id text NOT NULL,
    webhook_id text NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    state text NOT NULL,
    replay_of text,
    next_attempt_at bigint,
    attempts text DEFAULT '[]'::text NOT NULL,
    created_at bigint NOT NULL,
    settled_at bigint,
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'delivered'::text, 'failed'::text])))
);

ALTER TABLE ONLY public.deliveries FORCE ROW LEVEL SECURITY;

CREATE TABLE public.delivery_queue (
    delivery_id text NOT NULL,
    project_id text NOT NULL,
    webhook_id text NOT NULL,
    due_at bigint NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_owner text,
    lease_until bigint,
    turn bigint
);

CREATE TABLE public.dependencies (
    project_id text NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    on_run_id text NOT NULL COLLATE pg_catalog."C",
    policy text NOT NULL,
    CONSTRAINT dependencies_policy_check CHECK ((policy = ANY (ARRAY['cancel'::text, 'run'::text])))
);

ALTER TABLE ONLY public.dependencies FORCE ROW LEVEL SECURITY;

CREATE TABLE public.disabled_handlers (
    project_id text NOT NULL,
    name text NOT NULL,
    disabled_by_id text NOT NULL,
    disabled_at bigint NOT NULL,
    disabled_reason text
);

CREATE TABLE public.erasures (
    project_id text NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    erased_by text NOT NULL,
    in_day_file bigint DEFAULT 0 NOT NULL,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.erasures FORCE ROW LEVEL SECURITY;

CREATE TABLE public.feishu_apps (
    project_id text NOT NULL,
    app_id text NOT NULL,
    app_hash text,
    sealed_secret text,
    sealed_token text,
    token_until bigint,
    updated_at bigint NOT NULL
);

ALTER TABLE ONLY public.feishu_apps FORCE ROW LEVEL SECURITY;

CREATE TABLE public.held (
    project_id text NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    place text NOT NULL,
    handler text NOT NULL,
    priority smallint NOT NULL,
    run_at bigint NOT NULL,
    waits_for bigint NOT NULL,
    admitted smallint NOT NULL,
    key text,
    max_active bigint,
    rate_limit bigint,
    rate_ms bigint
);

ALTER TABLE ONLY public.held FORCE ROW LEVEL SECURITY;

CREATE TABLE public.holds (
    project_id text NOT NULL,
    id text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    subject_number bigint,
    reason text NOT NULL,
    set_by_id text NOT NULL,
    created_at bigint NOT NULL,
    released_by_id text,
    released_at bigint,
    release_reason text,
    CONSTRAINT holds_subject_type_check CHECK ((subject_type = ANY (ARRAY['ticket'::text, 'run'::text, 'project'::text])))
);

ALTER TABLE ONLY public.holds FORCE ROW LEVEL SECURITY;

CREATE TABLE public.http_handlers (
    project_id text NOT NULL,
    name text NOT NULL,
    contract text NOT NULL,
    url text NOT NULL,
    sealed_secret text NOT NULL,
    created_by_id text NOT NULL,
    created_at bigint NOT NULL,
    sealed_previous_secret text,
    previous_secret_until bigint
);

ALTER TABLE ONLY public.http_handlers FORCE ROW LEVEL SECURITY;

CREATE TABLE public.idempotency (
    project_id text NOT NULL,
    principal text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_sha256 text NOT NULL,
    status bigint,
    response text,
    resource_id text,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.idempotency FORCE ROW LEVEL SECURITY;

CREATE TABLE public.invites (
    id text NOT NULL,
    project_id text NOT NULL,
    code_hash text NOT NULL,
    email text,
    role text NOT NULL,
    created_by_id text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint,
    used_by_id text,
    revoked_at bigint,
    CONSTRAINT invites_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'ops'::text, 'dev'::text, 'employee'::text, 'auditor'::text])))
);

CREATE TABLE public.log_chunks (
    project_id text NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    attempt bigint NOT NULL,
    first_line bigint NOT NULL,
    lines bigint NOT NULL,
    end_chars bigint NOT NULL,
    kept_at bigint NOT NULL,
    text text NOT NULL,
    last bigint NOT NULL,
    fence bigint,
    told bigint,
    CONSTRAINT log_chunks_last_check CHECK ((last = ANY (ARRAY[(0)::bigint, (1)::bigint])))
)
PARTITION BY RANGE (run_id);

ALTER TABLE ONLY public.log_chunks FORCE ROW LEVEL SECURITY;

CREATE TABLE public.logs (
    project_id text NOT NULL,
    shard bigint NOT NULL,
    origin text NOT NULL,
    vkey text,
    size bigint DEFAULT 0 NOT NULL,
    root text NOT NULL,
    checkpoint text,
    recorded_size bigint DEFAULT 0 NOT NULL,
    opened_at bigint NOT NULL,
    closed_at bigint,
    vkeys text,
    cosigned text,
    cosigned_size bigint DEFAULT 0 NOT NULL,
    dropped_at bigint,
    dropped_until bigint,
    files_gone_at bigint
);

ALTER TABLE ONLY public.logs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.memberships (
    project_id text NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT memberships_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'ops'::text, 'dev'::text, 'employee'::text, 'auditor'::text])))
);

CREATE TABLE public.numbers (
    project_id text NOT NULL,
    thing text NOT NULL,
    number bigint NOT NULL,
    id text NOT NULL
);

ALTER TABLE ONLY public.numbers FORCE ROW LEVEL SECURITY;

CREATE TABLE public.policy_changes (
    project_id text NOT NULL,
    id text NOT NULL,
    state text NOT NULL,
    policy text NOT NULL,
    digest text NOT NULL,
    requested_by_id text NOT NULL,
    decided_by_id text,
    reason text,
    created_at bigint NOT NULL,
    decided_at bigint,
    CONSTRAINT policy_changes_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'applied'::text, 'rejected'::text])))
);

ALTER TABLE ONLY public.policy_changes FORCE ROW LEVEL SECURITY;

CREATE TABLE public.projects (
    id text NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    policy text NOT NULL,
    created_by_id text,
    created_at bigint NOT NULL,
    log_access text DEFAULT 'members'::text NOT NULL,
    CONSTRAINT projects_log_access_check CHECK ((log_access = ANY (ARRAY['members'::text, 'public'::text])))
);

CREATE TABLE public.queue (
    run_id text NOT NULL COLLATE pg_catalog."C",
    project_id text NOT NULL,
    run_at bigint NOT NULL,
    attempt bigint DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_owner text,
    lease_until bigint,
    queue text DEFAULT '.proof'::text NOT NULL,
    handler text DEFAULT ''::text NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    ready smallint DEFAULT 0 NOT NULL,
    stop smallint DEFAULT 0 NOT NULL,
    claimed_at bigint,
    span_ms bigint
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');

CREATE TABLE public.queue_copy (
    id smallint NOT NULL,
    space text NOT NULL,
    epoch bigint NOT NULL,
    servers text NOT NULL,
    CONSTRAINT queue_copy_id_check CHECK ((id = 1))
);

CREATE TABLE public.queues (
    project_id text NOT NULL,
    name text NOT NULL,
    concurrency bigint,
    paused_at bigint,
    paused_by_id text,
    created_at bigint NOT NULL,
    paused_reason text
);

CREATE TABLE public.rule_sets (
    project_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL,
    digest text NOT NULL,
    definition text NOT NULL,
    created_by_id text NOT NULL,
    created_at bigint NOT NULL
);

ALTER TABLE ONLY public.rule_sets FORCE ROW LEVEL SECURITY;

CREATE TABLE public.run_evidence (
    project_id text NOT NULL,
    run_id text NOT NULL,
    artifact_id text NOT NULL
);

ALTER TABLE ONLY public.run_evidence FORCE ROW LEVEL SECURITY;

CREATE TABLE public.run_stats (
    project_id text NOT NULL,
    step text NOT NULL,
    at bigint NOT NULL,
    handler text NOT NULL,
    queue text NOT NULL,
    ended bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    ran text NOT NULL,
    waited text NOT NULL,
    codes text NOT NULL,
    cost_nanos bigint DEFAULT 0 NOT NULL,
    CONSTRAINT run_stats_step_check CHECK ((step = ANY (ARRAY['minute'::text, 'hour'::text, 'day'::text])))
);

ALTER TABLE ONLY public.run_stats FORCE ROW LEVEL SECURITY;

CREATE TABLE public.run_stats_cursors (
    project_id text NOT NULL,
    shard bigint NOT NULL,
    log_index bigint NOT NULL
);

ALTER TABLE ONLY public.run_stats_cursors FORCE ROW LEVEL SECURITY;

CREATE TABLE public.runs (
    project_id text NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    kind text NOT NULL,
    handler text NOT NULL,
    run_type text,
    script_id text,
    state text NOT NULL,
    verdict text,
    waiting_for text,
    ticket_id text,
    executed_by_id text,
    parent_run_id text COLLATE pg_catalog."C",
    verifies_run_id text,
    root_run_id text NOT NULL,
    expect text,
    finalize text,
    trigger text NOT NULL,
    trace_id text NOT NULL,
    execution_context text,
    validator_version text,
    rules_version text,
    rules text,
    inputs_manifest text,
    outputs_manifest text,
    result_summary text,
    stdout_log text,
    stderr_log text,
    exit_code bigint,
    error_code text,
    step_count bigint DEFAULT 0 NOT NULL,
    attempt bigint DEFAULT 0 NOT NULL,
    event_count bigint DEFAULT 0 NOT NULL,
    input_sha256 text,
    output_sha256 text,
    report_artifact_id text,
    cost_usd double precision,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    started_at bigint,
    completed_at bigint,
    timeout_at bigint,
    queue text,
    priority smallint,
    run_at bigint,
    max_attempts bigint,
    timeout_ms bigint,
    deadline_at bigint,
    unique_key text,
    input text,
    result text,
    error text,
    worker text,
    cancel_requested_at bigint,
    dead_at bigint,
    purged_at bigint,
    replays_run_id text,
    door text,
    callback text,
    tags text,
    metadata text,
    journal_sha256 text,
    input_sealed text,
    result_sealed text,
    concurrency_key text,
    depends_on text,
    awaited smallint DEFAULT 0 NOT NULL,
    cancel_reason text,
    parent_span_id text,
    replaced_by_run_id text,
    traceparent text,
    tracestate text,
    CONSTRAINT runs_door_check CHECK ((door = 'dispatch'::text)),
    CONSTRAINT runs_finalize_check CHECK ((finalize = ANY (ARRAY['auto'::text, 'manual'::text]))),
    CONSTRAINT runs_run_type_check CHECK ((run_type = ANY (ARRAY['proof'::text, 'action'::text]))),
    CONSTRAINT runs_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'running'::text, 'waiting_approval'::text, 'waiting_tool'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'timeout'::text]))),
    CONSTRAINT runs_verdict_check CHECK ((verdict = ANY (ARRAY['passed'::text, 'failed'::text]))),
    CONSTRAINT runs_waiting_for_check CHECK ((waiting_for = 'evidence'::text))
)
PARTITION BY RANGE (id);

ALTER TABLE ONLY public.runs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.schedule_due (
    schedule_id text NOT NULL,
    project_id text NOT NULL,
    next_at bigint NOT NULL
);

CREATE TABLE public.schedule_fires (
    project_id text NOT NULL,
    schedule_id text NOT NULL,
    due_at bigint NOT NULL,
    fired_at bigint NOT NULL,
    outcome text NOT NULL,
    run_id text,
    error_code text,
    CONSTRAINT schedule_fires_outcome_check CHECK ((outcome = ANY (ARRAY['started'::text, 'skipped'::text, 'refused'::text])))
);

ALTER TABLE ONLY public.schedule_fires FORCE ROW LEVEL SECURITY;

CREATE TABLE public.schedules (
    project_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    handler text NOT NULL,
    input text NOT NULL,
    input_sha256 text NOT NULL,
    input_sealed text,
    options text NOT NULL,
    cron text,
    every_ms bigint,
    at bigint,
    zone text NOT NULL,
    dst_gap text NOT NULL,
    dst_overlap text NOT NULL,
    catch_up text NOT NULL,
    catch_up_limit bigint NOT NULL,
    when_running text NOT NULL,
    starts_at bigint,
    ends_at bigint,
    state text NOT NULL,
    paused_reason text,
    owner_id text NOT NULL,
    version bigint NOT NULL,
    next_at bigint,
    last_due_at bigint,
    last_run_id text,
    refusals bigint DEFAULT 0 NOT NULL,
    created_by_id text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    callback text,
    paused_cause text,
    paused_at bigint,
    paused_by_id text,
    CONSTRAINT schedules_catch_up_check CHECK ((catch_up = ANY (ARRAY['none'::text, 'last'::text, 'all'::text]))),
    CONSTRAINT schedules_dst_gap_check CHECK ((dst_gap = ANY (ARRAY['skip'::text, 'after'::text]))),
    CONSTRAINT schedules_dst_overlap_check CHECK ((dst_overlap = ANY (ARRAY['first'::text, 'both'::text]))),
    CONSTRAINT schedules_state_check CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'ended'::text, 'deleted'::text]))),
    CONSTRAINT schedules_when_running_check CHECK ((when_running = ANY (ARRAY['allow'::text, 'skip'::text])))
);

ALTER TABLE ONLY public.schedules FORCE ROW LEVEL SECURITY;

CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at text NOT NULL
);

CREATE TABLE public.sessions (
    id text NOT NULL,
    secret_hash text NOT NULL,
    user_id text NOT NULL,
    kind text NOT NULL,
    csrf_hash text,
    ip_address text,
    user_agent text,
    created_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint,
    auth_time bigint,
    amr text DEFAULT '[]'::text NOT NULL,
    CONSTRAINT sessions_kind_check CHECK ((kind = ANY (ARRAY['bearer'::text, 'cookie'::text])))
);

CREATE TABLE public.signing_keys (
    project_id text NOT NULL,
    id text NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    algorithm text NOT NULL,
    public_key text NOT NULL,
    fingerprint text NOT NULL,
    credential_id text,
    rp_id text,
    statement text NOT NULL,
    signature text NOT NULL,
    state text NOT NULL,
    bootstrap bigint DEFAULT 0 NOT NULL,
    decided_by_id text,
    created_at bigint NOT NULL,
    decided_at bigint,
    revoked_at bigint,
    revoked_by_id text,
    CONSTRAINT signing_keys_algorithm_check CHECK ((algorithm = ANY (ARRAY['ed25519'::text, 'ecdsa-p256'::text, 'rsa'::text]))),
    CONSTRAINT signing_keys_state_check CHECK ((state = ANY (ARRAY['proposed'::text, 'enrolled'::text, 'rejected'::text, 'revoked'::text]))),
    CONSTRAINT signing_keys_type_check CHECK ((type = ANY (ARRAY['passkey'::text, 'ssh'::text])))
);

ALTER TABLE ONLY public.signing_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE public.steps (
    project_id text NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    attempt bigint NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    result text NOT NULL,
    sha256 text NOT NULL,
    result_sealed text
)
PARTITION BY RANGE (run_id);

ALTER TABLE ONLY public.steps FORCE ROW LEVEL SECURITY;

CREATE TABLE public.task_payloads (
    project_id text NOT NULL,
    sha256 text NOT NULL,
    run_id text NOT NULL,
    gone_at bigint
);

ALTER TABLE ONLY public.task_payloads FORCE ROW LEVEL SECURITY;

CREATE TABLE public.tickets (
    project_id text NOT NULL,
    id text NOT NULL,
    number bigint NOT NULL,
    title text NOT NULL,
    description text,
    status text NOT NULL,
    asset_id text,
    created_by_id text NOT NULL,
    assignee_id text,
    approved_by_id text,
    due_at bigint,
    version bigint NOT NULL,
    digest text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    edited_by_ids text DEFAULT '[]'::text NOT NULL,
    CONSTRAINT tickets_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'submitted'::text, 'approved'::text, 'running'::text, 'done'::text, 'failed'::text, 'closed'::text])))
);

ALTER TABLE ONLY public.tickets FORCE ROW LEVEL SECURITY;

CREATE TABLE public.timers (
    run_id text NOT NULL,
    what text NOT NULL,
    project_id text NOT NULL,
    due_at bigint NOT NULL,
    CONSTRAINT timers_what_check CHECK ((what = ANY (ARRAY['expire'::text, 'remind'::text, 'cancel_children'::text])))
);

CREATE TABLE public.tokens (
    id text NOT NULL,
    project_id text NOT NULL,
    user_id text NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    secret_hash text NOT NULL,
    role text NOT NULL,
    scopes text NOT NULL,
    ip_ranges text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    last_used_at bigint,
    revoked_at bigint,
    family_id text,
    CONSTRAINT tokens_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'ops'::text, 'dev'::text, 'employee'::text, 'auditor'::text])))
);

CREATE TABLE public.unique_keys (
    project_id text NOT NULL,
    key text NOT NULL,
    run_id text NOT NULL
);

ALTER TABLE ONLY public.unique_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE public.uploads (
    project_id text NOT NULL,
    id text NOT NULL,
    run_id text NOT NULL,
    touched_at bigint NOT NULL
);

ALTER TABLE ONLY public.uploads FORCE ROW LEVEL SECURITY;

CREATE TABLE public.user_links (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id text NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE public.users (
    id text NOT NULL,
    number bigint NOT NULL,
    username text NOT NULL,
    email text,
    full_name text,
    password_hash text NOT NULL,
    is_active bigint DEFAULT 1 NOT NULL,
    is_instance_admin bigint DEFAULT 0 NOT NULL,
    must_change_password bigint DEFAULT 0 NOT NULL,
    totp_secret text,
    totp_pending text,
    totp_last_step bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    vouched integer DEFAULT 1 NOT NULL
);

CREATE TABLE public.webhook_cursors (
    project_id text NOT NULL,
    shard bigint NOT NULL,
    log_index bigint NOT NULL
);

CREATE TABLE public.webhooks (
    project_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    format text NOT NULL,
    url text NOT NULL,
    sealed_url text NOT NULL,
    sealed_headers text NOT NULL,
    header_names text NOT NULL,
    sealed_secret text,
    sealed_previous_secret text,
    previous_secret_until bigint,
    events text NOT NULL,
    state text NOT NULL,
    disabled_reason text,
    failing_since bigint,
    created_by_id text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    callback text,
    url_mac text,
    ordered smallint DEFAULT 0 NOT NULL,
    handlers text DEFAULT '[]'::text NOT NULL,
    disabled_by_id text,
    earlier text,
    CONSTRAINT webhooks_callback_check CHECK ((callback = ANY (ARRAY['event'::text, 'dispatch'::text]))),
    CONSTRAINT webhooks_format_check CHECK ((format = ANY (ARRAY['cloudevents'::text, 'slack'::text, 'feishu'::text, 'email'::text]))),
    CONSTRAINT webhooks_ordered_check CHECK ((ordered = ANY (ARRAY[0, 1]))),
    CONSTRAINT webhooks_state_check CHECK ((state = ANY (ARRAY['active'::text, 'disabled'::text, 'deleted'::text])))
);

ALTER TABLE ONLY public.webhooks FORCE ROW LEVEL SECURITY;

CREATE TABLE public.worker_handlers (
    project_id text NOT NULL,
    name text NOT NULL,
    contract text NOT NULL,
    enabled smallint NOT NULL,
    registered_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    disabled_at bigint,
    disabled_by_id text,
    disabled_reason text
);

ALTER TABLE ONLY public.worker_handlers FORCE ROW LEVEL SECURITY;

ALTER TABLE ONLY public.approval_signatures
    ADD CONSTRAINT approval_signatures_pkey PRIMARY KEY (project_id, approval_id);

ALTER TABLE ONLY public.approvals
    ADD CONSTRAINT approvals_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_project_id_number_key UNIQUE (project_id, number);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_project_id_serial_number_key UNIQUE (project_id, serial_number);

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (project_id, run_id, attempt);

ALTER TABLE ONLY public.attestations
    ADD CONSTRAINT attestations_pkey PRIMARY KEY (project_id, digest);

ALTER TABLE ONLY public.audit_appends
    ADD CONSTRAINT audit_appends_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.audit_appends
    ADD CONSTRAINT audit_appends_project_id_shard_log_index_key UNIQUE (project_id, shard, log_index);

ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.blob_marks
    ADD CONSTRAINT blob_marks_pkey PRIMARY KEY (project_id, sha256, what, holder);

ALTER TABLE ONLY public.comments
    ADD CONSTRAINT comments_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.concurrency_keys
    ADD CONSTRAINT concurrency_keys_pkey PRIMARY KEY (project_id, key);

ALTER TABLE ONLY public.costs
    ADD CONSTRAINT costs_pkey PRIMARY KEY (project_id, run_id, attempt, what);

ALTER TABLE ONLY public.counters
    ADD CONSTRAINT counters_pkey PRIMARY KEY (project_id, name);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.delivery_queue
    ADD CONSTRAINT delivery_queue_pkey PRIMARY KEY (delivery_id);

ALTER TABLE ONLY public.dependencies
    ADD CONSTRAINT dependencies_pkey PRIMARY KEY (on_run_id, run_id);

ALTER TABLE ONLY public.disabled_handlers
    ADD CONSTRAINT disabled_handlers_pkey PRIMARY KEY (project_id, name);

ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (project_id, event_id);

ALTER TABLE ONLY public.feishu_apps
    ADD CONSTRAINT feishu_apps_pkey PRIMARY KEY (project_id, app_id);

ALTER TABLE ONLY public.held
    ADD CONSTRAINT held_pkey PRIMARY KEY (run_id, project_id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.http_handlers
    ADD CONSTRAINT http_handlers_pkey PRIMARY KEY (project_id, name);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (project_id, principal, route, key);

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites_code_hash_key UNIQUE (code_hash);

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.log_chunks
    ADD CONSTRAINT log_chunks_pkey PRIMARY KEY (project_id, run_id, attempt, first_line);

ALTER TABLE ONLY public.logs
    ADD CONSTRAINT logs_origin_key UNIQUE (origin);

ALTER TABLE ONLY public.logs
    ADD CONSTRAINT logs_pkey PRIMARY KEY (project_id, shard);

ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (project_id, user_id);

ALTER TABLE ONLY public.numbers
    ADD CONSTRAINT numbers_pkey PRIMARY KEY (project_id, thing, number);

ALTER TABLE ONLY public.policy_changes
    ADD CONSTRAINT policy_changes_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_slug_key UNIQUE (slug);

ALTER TABLE ONLY public.queue_copy
    ADD CONSTRAINT queue_copy_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (project_id, name);

ALTER TABLE ONLY public.rule_sets
    ADD CONSTRAINT rule_sets_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.rule_sets
    ADD CONSTRAINT rule_sets_project_id_name_version_key UNIQUE (project_id, name, version);

ALTER TABLE ONLY public.run_evidence
    ADD CONSTRAINT run_evidence_pkey PRIMARY KEY (project_id, run_id, artifact_id);

ALTER TABLE ONLY public.run_stats_cursors
    ADD CONSTRAINT run_stats_cursors_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY public.run_stats
    ADD CONSTRAINT run_stats_pkey PRIMARY KEY (project_id, step, at, handler, queue);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.schedule_due
    ADD CONSTRAINT schedule_due_pkey PRIMARY KEY (schedule_id);

ALTER TABLE ONLY public.schedule_fires
    ADD CONSTRAINT schedule_fires_pkey PRIMARY KEY (project_id, schedule_id, due_at);

ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_secret_hash_key UNIQUE (secret_hash);

ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (project_id, run_id, name);

ALTER TABLE ONLY public.task_payloads
    ADD CONSTRAINT task_payloads_pkey PRIMARY KEY (project_id, sha256, run_id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_project_id_number_key UNIQUE (project_id, number);

ALTER TABLE ONLY public.timers
    ADD CONSTRAINT timers_pkey PRIMARY KEY (run_id, what);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_prefix_key UNIQUE (prefix);

ALTER TABLE ONLY public.unique_keys
    ADD CONSTRAINT unique_keys_pkey PRIMARY KEY (key, project_id);

ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT uploads_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.user_links
    ADD CONSTRAINT user_links_issuer_user_id_key UNIQUE (issuer, user_id);

ALTER TABLE ONLY public.user_links
    ADD CONSTRAINT user_links_pkey PRIMARY KEY (issuer, subject);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_number_key UNIQUE (number);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_cursors
    ADD CONSTRAINT webhook_cursors_pkey PRIMARY KEY (project_id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY public.worker_handlers
    ADD CONSTRAINT worker_handlers_pkey PRIMARY KEY (project_id, name);

CREATE INDEX approvals_subject ON public.approvals USING btree (project_id, subject_type, subject_id, id);

CREATE INDEX artifacts_digest ON ONLY public.artifacts USING btree (project_id, sha256);

CREATE INDEX artifacts_run ON ONLY public.artifacts USING btree (project_id, run_id, number);

CREATE INDEX artifacts_to_erase ON ONLY public.artifacts USING btree (project_id, id) WHERE ((erased_at IS NOT NULL) AND (bytes_gone_at IS NULL));

CREATE INDEX assets_type ON public.assets USING btree (project_id, asset_type, number);

CREATE INDEX attestations_subject ON public.attestations USING btree (project_id, subject_type, subject_id);

CREATE INDEX audit_appends_pending ON public.audit_appends USING btree (project_id, seq) WHERE (log_index IS NULL);

CREATE INDEX audit_events_actor ON ONLY public.audit_events USING btree (project_id, actor_id, id) WHERE (actor_id IS NOT NULL);

CREATE INDEX audit_events_resource ON ONLY public.audit_events USING btree (project_id, resource_id, id);

CREATE INDEX audit_events_type ON ONLY public.audit_events USING btree (project_id, event_type, id) WHERE (event_type <> 'run.completed'::text);

CREATE INDEX comments_ticket ON public.comments USING btree (project_id, ticket_id, id);

CREATE INDEX concurrency_keys_wake ON public.concurrency_keys USING btree (wake_at) WHERE (wake_at IS NOT NULL);

CREATE INDEX deliveries_again ON public.deliveries USING btree (project_id, replay_of) WHERE (replay_of IS NOT NULL);

CREATE INDEX deliveries_event ON public.deliveries USING btree (project_id, event_id);

CREATE INDEX deliveries_undelivered ON public.deliveries USING btree (project_id, webhook_id, state, id) WHERE (state <> 'delivered'::text);

CREATE INDEX deliveries_webhook ON public.deliveries USING btree (project_id, webhook_id, id);

CREATE INDEX delivery_queue_due ON public.delivery_queue USING btree (due_at);

CREATE INDEX delivery_queue_turn ON public.delivery_queue USING btree (webhook_id, turn) WHERE (turn IS NOT NULL);

CREATE INDEX delivery_queue_webhook ON public.delivery_queue USING btree (webhook_id, due_at);

CREATE INDEX dependencies_run ON public.dependencies USING btree (run_id);

CREATE INDEX erasures_to_write ON public.erasures USING btree (project_id) WHERE (in_day_file = 0);

CREATE UNIQUE INDEX feishu_apps_hash ON public.feishu_apps USING btree (project_id, app_hash) WHERE (app_hash IS NOT NULL);

CREATE INDEX held_keyed ON public.held USING btree (project_id, key, admitted) WHERE (key IS NOT NULL);

CREATE INDEX held_later ON public.held USING btree (project_id, key, run_at) WHERE ((key IS NOT NULL) AND (admitted = 0) AND (waits_for = 0));

CREATE INDEX held_waiting ON public.held USING btree (project_id, key, priority DESC, run_at, run_id) WHERE ((key IS NOT NULL) AND (admitted = 0) AND (waits_for = 0));

CREATE INDEX holds_subject ON public.holds USING btree (project_id, subject_type, subject_id) WHERE (released_at IS NULL);

CREATE INDEX invites_project ON public.invites USING btree (project_id, id);

CREATE INDEX logs_unnamed ON public.logs USING btree (project_id) WHERE (vkey IS NULL);

CREATE INDEX memberships_user ON public.memberships USING btree (user_id);

CREATE INDEX queue_later ON public.queue USING btree (run_at) WHERE ((ready = 0) AND (lease_until IS NULL));

CREATE INDEX queue_leases ON public.queue USING btree (lease_until) WHERE (lease_until IS NOT NULL);

CREATE INDEX queue_ready ON public.queue USING btree (queue, project_id, priority DESC, run_at, run_id) WHERE (ready = 1);

CREATE INDEX runs_children ON ONLY public.runs USING btree (project_id, parent_run_id) WHERE (parent_run_id IS NOT NULL);

CREATE INDEX runs_dead ON ONLY public.runs USING btree (project_id, number, kind, handler, queue, error_code, dead_at, purged_at) WHERE ((dead_at IS NOT NULL) AND (purged_at IS NULL));

CREATE INDEX runs_keyed ON ONLY public.runs USING btree (project_id, concurrency_key, number) WHERE (concurrency_key IS NOT NULL);

CREATE INDEX runs_number ON ONLY public.runs USING btree (project_id, number);

CREATE INDEX runs_of_tickets ON ONLY public.runs USING btree (project_id, number) WHERE (ticket_id IS NOT NULL);

CREATE INDEX runs_priced ON ONLY public.runs USING btree (project_id, number) WHERE (cost_usd IS NOT NULL);

CREATE INDEX runs_replays ON ONLY public.runs USING btree (project_id, replays_run_id) WHERE (replays_run_id IS NOT NULL);

CREATE INDEX runs_ticket ON ONLY public.runs USING btree (project_id, ticket_id, number) WHERE (ticket_id IS NOT NULL);

CREATE INDEX runs_troubled ON ONLY public.runs USING btree (project_id, number) WHERE (error_code IS NOT NULL);

CREATE INDEX runs_unique_keyed ON ONLY public.runs USING btree (project_id, unique_key, number) WHERE (unique_key IS NOT NULL);

CREATE INDEX schedule_due_next ON public.schedule_due USING btree (next_at);

CREATE UNIQUE INDEX schedules_name ON public.schedules USING btree (project_id, name) WHERE (state <> 'deleted'::text);

CREATE INDEX sessions_user ON public.sessions USING btree (user_id, created_at);

CREATE UNIQUE INDEX signing_keys_live ON public.signing_keys USING btree (project_id, fingerprint) WHERE (state = ANY (ARRAY['proposed'::text, 'enrolled'::text]));

CREATE INDEX task_payloads_gone ON public.task_payloads USING btree (project_id, gone_at) WHERE (gone_at IS NOT NULL);

CREATE INDEX tickets_asset ON public.tickets USING btree (project_id, asset_id, number) WHERE (asset_id IS NOT NULL);

CREATE INDEX tickets_assignee ON public.tickets USING btree (project_id, assignee_id, number) WHERE (assignee_id IS NOT NULL);

CREATE INDEX tickets_creator ON public.tickets USING btree (project_id, created_by_id, number);

CREATE INDEX tickets_status ON public.tickets USING btree (project_id, status, number);

CREATE INDEX timers_due ON public.timers USING btree (due_at);

CREATE INDEX tokens_owner ON public.tokens USING btree (project_id, user_id, id);

CREATE INDEX tokens_project ON public.tokens USING btree (project_id, id);

CREATE INDEX uploads_run ON public.uploads USING btree (project_id, run_id);

CREATE UNIQUE INDEX users_email ON public.users USING btree (lower(email));

CREATE INDEX users_instance_admins ON public.users USING btree (id) WHERE (is_instance_admin = 1);

CREATE UNIQUE INDEX users_username ON public.users USING btree (lower(username));

CREATE UNIQUE INDEX webhooks_callback ON public.webhooks USING btree (project_id, callback, url_mac) WHERE (callback IS NOT NULL);

CREATE TRIGGER approvals_four_eyes BEFORE INSERT ON public.approvals FOR EACH ROW WHEN ((new.subject_type = 'ticket'::text)) EXECUTE FUNCTION public.refuse_own_decision();

ALTER TABLE ONLY public.approval_signatures
    ADD CONSTRAINT approval_signatures_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.approvals
    ADD CONSTRAINT approvals_decided_by_id_fkey FOREIGN KEY (decided_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.approvals
    ADD CONSTRAINT approvals_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE public.artifacts
    ADD CONSTRAINT artifacts_deleted_by_id_fkey FOREIGN KEY (deleted_by_id) REFERENCES public.users(id);

ALTER TABLE public.artifacts
    ADD CONSTRAINT artifacts_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE public.artifacts
    ADD CONSTRAINT artifacts_uploaded_by_id_fkey FOREIGN KEY (uploaded_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.attestations
    ADD CONSTRAINT attestations_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.batches
    ADD CONSTRAINT batches_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.blob_marks
    ADD CONSTRAINT blob_marks_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.comments
    ADD CONSTRAINT comments_author_id_fkey FOREIGN KEY (author_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.comments
    ADD CONSTRAINT comments_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.comments
    ADD CONSTRAINT comments_project_id_ticket_id_fkey FOREIGN KEY (project_id, ticket_id) REFERENCES public.tickets(project_id, id);

ALTER TABLE ONLY public.concurrency_keys
    ADD CONSTRAINT concurrency_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_project_id_webhook_id_fkey FOREIGN KEY (project_id, webhook_id) REFERENCES public.webhooks(project_id, id);

ALTER TABLE ONLY public.disabled_handlers
    ADD CONSTRAINT disabled_handlers_disabled_by_id_fkey FOREIGN KEY (disabled_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.disabled_handlers
    ADD CONSTRAINT disabled_handlers_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.feishu_apps
    ADD CONSTRAINT feishu_apps_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_released_by_id_fkey FOREIGN KEY (released_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_set_by_id_fkey FOREIGN KEY (set_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.http_handlers
    ADD CONSTRAINT http_handlers_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.http_handlers
    ADD CONSTRAINT http_handlers_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.invites
    ADD CONSTRAINT invites_used_by_id_fkey FOREIGN KEY (used_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.policy_changes
    ADD CONSTRAINT policy_changes_decided_by_id_fkey FOREIGN KEY (decided_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.policy_changes
    ADD CONSTRAINT policy_changes_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.policy_changes
    ADD CONSTRAINT policy_changes_requested_by_id_fkey FOREIGN KEY (requested_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.queues
    ADD CONSTRAINT queues_paused_by_id_fkey FOREIGN KEY (paused_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.queues
    ADD CONSTRAINT queues_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.rule_sets
    ADD CONSTRAINT rule_sets_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.rule_sets
    ADD CONSTRAINT rule_sets_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.run_stats_cursors
    ADD CONSTRAINT run_stats_cursors_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.run_stats
    ADD CONSTRAINT run_stats_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE public.runs
    ADD CONSTRAINT runs_project_id_ticket_id_fkey FOREIGN KEY (project_id, ticket_id) REFERENCES public.tickets(project_id, id);

ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_decided_by_id_fkey FOREIGN KEY (decided_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.signing_keys
    ADD CONSTRAINT signing_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.task_payloads
    ADD CONSTRAINT task_payloads_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_approved_by_id_fkey FOREIGN KEY (approved_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_project_id_asset_id_fkey FOREIGN KEY (project_id, asset_id) REFERENCES public.assets(project_id, id);

ALTER TABLE ONLY public.tickets
    ADD CONSTRAINT tickets_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.user_links
    ADD CONSTRAINT user_links_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_created_by_id_fkey FOREIGN KEY (created_by_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.worker_handlers
    ADD CONSTRAINT worker_handlers_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE public.approval_signatures ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.approvals ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.artifacts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.assets ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attestations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit_appends ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.batches ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.blob_marks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.comments ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.costs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.counters ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.dependencies ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.erasures ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.feishu_apps ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.held ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.holds ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.http_handlers ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.idempotency ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.log_chunks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.logs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.numbers ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.policy_changes ENABLE ROW LEVEL SECURITY;

CREATE POLICY project_fence ON public.approval_signatures USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.approvals USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.artifacts USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.assets USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.attempts USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.attestations USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.audit_appends USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.audit_events USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.batches USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.blob_marks USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.comments USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.costs USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.counters USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.deliveries USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.dependencies USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.erasures USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.feishu_apps USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.held USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.holds USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.http_handlers USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.idempotency USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.log_chunks USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.logs USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.numbers USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.policy_changes USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.rule_sets USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.run_evidence USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.run_stats USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.run_stats_cursors USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.runs USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.schedule_fires USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.schedules USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.signing_keys USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.steps USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.task_payloads USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.tickets USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.unique_keys USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.uploads USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.webhooks USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

CREATE POLICY project_fence ON public.worker_handlers USING ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text))) WITH CHECK ((project_id = NULLIF(current_setting('writ.project'::text, true), ''::text)));

ALTER TABLE public.rule_sets ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.run_evidence ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.run_stats ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.run_stats_cursors ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.schedule_fires ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.schedules ENABLE ROW LEVEL SECURITY;

CREATE POLICY sequencer ON public.audit_appends TO writ_sequencer USING (true) WITH CHECK (true);

CREATE POLICY sequencer ON public.audit_events TO writ_sequencer USING (true) WITH CHECK (true);

CREATE POLICY sequencer ON public.erasures TO writ_sequencer USING (true) WITH CHECK (true);

CREATE POLICY sequencer ON public.logs TO writ_sequencer USING (true) WITH CHECK (true);

ALTER TABLE public.signing_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.steps ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.task_payloads ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.tickets ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.unique_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.uploads ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhooks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.worker_handlers ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA public TO writ_app;
GRANT USAGE ON SCHEMA public TO writ_sequencer;

REVOKE ALL ON FUNCTION public.writ_clear_log(project text, old bigint, slice bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.writ_clear_log(project text, old bigint, slice bigint) TO writ_sequencer;

REVOKE ALL ON FUNCTION public.writ_drop_log(old bigint, dropped_by text, at bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.writ_drop_log(old bigint, dropped_by text, at bigint) TO writ_app;

REVOKE ALL ON FUNCTION public.writ_drop_tasks(tasks text[], dropped_by text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.writ_drop_tasks(tasks text[], dropped_by text) TO writ_app;

REVOKE ALL ON FUNCTION public.writ_erase_payload(event text, erased_by text, at bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.writ_erase_payload(event text, erased_by text, at bigint) TO writ_app;

REVOKE ALL ON FUNCTION public.writ_make_partitions(at timestamp with time zone, months integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.writ_make_partitions(at timestamp with time zone, months integer) TO writ_app;

GRANT SELECT,INSERT ON TABLE public.approval_signatures TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.approvals TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.artifacts TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.assets TO writ_app;

GRANT SELECT,INSERT ON TABLE public.attempts TO writ_app;

GRANT SELECT,INSERT ON TABLE public.attestations TO writ_app;

GRANT SELECT,INSERT ON TABLE public.audit_appends TO writ_app;
GRANT SELECT,INSERT ON TABLE public.audit_appends TO writ_sequencer;

GRANT UPDATE(shard) ON TABLE public.audit_appends TO writ_sequencer;

GRANT UPDATE(log_index) ON TABLE public.audit_appends TO writ_sequencer;

GRANT SELECT ON SEQUENCE public.audit_appends_seq_seq TO writ_app;
GRANT SELECT ON SEQUENCE public.audit_appends_seq_seq TO writ_sequencer;

GRANT SELECT,INSERT ON TABLE public.audit_events TO writ_app;
GRANT SELECT,INSERT ON TABLE public.audit_events TO writ_sequencer;

GRANT SELECT ON TABLE public.audit_places TO writ_app;
GRANT SELECT ON TABLE public.audit_places TO writ_sequencer;

GRANT SELECT,INSERT,DELETE ON TABLE public.batches TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.blob_marks TO writ_app;

GRANT SELECT,INSERT ON TABLE public.comments TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.concurrency_keys TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.costs TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.counters TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.deliveries TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.delivery_queue TO writ_app;

GRANT SELECT,INSERT,DELETE ON TABLE public.dependencies TO writ_app;

GRANT SELECT,INSERT,DELETE ON TABLE public.disabled_handlers TO writ_app;

GRANT SELECT ON TABLE public.erasures TO writ_app;
GRANT SELECT ON TABLE public.erasures TO writ_sequencer;

GRANT UPDATE(in_day_file) ON TABLE public.erasures TO writ_sequencer;

GRANT SELECT,INSERT,UPDATE ON TABLE public.feishu_apps TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.held TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.holds TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.http_handlers TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.idempotency TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.invites TO writ_app;

GRANT SELECT,INSERT,DELETE ON TABLE public.log_chunks TO writ_app;

GRANT SELECT,INSERT ON TABLE public.logs TO writ_app;
GRANT SELECT,INSERT,UPDATE ON TABLE public.logs TO writ_sequencer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.memberships TO writ_app;

GRANT SELECT,INSERT ON TABLE public.numbers TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.policy_changes TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.projects TO writ_app;
GRANT SELECT ON TABLE public.projects TO writ_sequencer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.queue TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.queue_copy TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.queues TO writ_app;

GRANT SELECT,INSERT ON TABLE public.rule_sets TO writ_app;

GRANT SELECT,INSERT ON TABLE public.run_evidence TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.run_stats TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.run_stats_cursors TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.runs TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.schedule_due TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.schedule_fires TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.schedules TO writ_app;

GRANT SELECT ON TABLE public.schema_migrations TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.sessions TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.signing_keys TO writ_app;

GRANT SELECT,INSERT ON TABLE public.steps TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.task_payloads TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.tickets TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.timers TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.tokens TO writ_app;

GRANT SELECT,INSERT,DELETE ON TABLE public.unique_keys TO writ_app;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.uploads TO writ_app;

GRANT SELECT,INSERT,DELETE ON TABLE public.user_links TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.users TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_cursors TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.webhooks TO writ_app;

GRANT SELECT,INSERT,UPDATE ON TABLE public.worker_handlers TO writ_app;
