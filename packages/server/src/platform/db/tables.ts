import type { Generated } from 'kysely'

/**
 * The tables as Kysely sees them: one row type each, in the order of the migrations. Ids are UUIDv7 text, times integer
 * milliseconds, booleans 0 or 1, JSON text.
 */

export interface UsersTable {
  id: string
  number: number
  username: string
  email: string | null
  full_name: string | null
  password_hash: string
  is_active: Generated<number>
  is_instance_admin: Generated<number>
  must_change_password: Generated<number>
  totp_secret: string | null
  totp_pending: string | null
  totp_last_step: number | null
  created_at: number
  updated_at: number
  vouched: Generated<number>
}

export interface ProjectsTable {
  id: string
  slug: string
  name: string
  policy: string
  created_by_id: string | null
  created_at: number
  log_access: Generated<'members' | 'public'>
}

export interface MembershipsTable {
  project_id: string
  user_id: string
  role: 'admin' | 'ops' | 'dev' | 'employee' | 'auditor'
  created_at: number
}

export interface SessionsTable {
  id: string
  secret_hash: string
  user_id: string
  kind: 'bearer' | 'cookie'
  csrf_hash: string | null
  ip_address: string | null
  user_agent: string | null
  created_at: number
  last_seen_at: number
  expires_at: number
  revoked_at: number | null
  auth_time: number | null
  amr: string
}

export interface UserLinksTable {
  issuer: string
  subject: string
  user_id: string
  created_at: number
}

export interface TokensTable {
  id: string
  project_id: string
  user_id: string
  name: string
  prefix: string
  secret_hash: string
  role: 'admin' | 'ops' | 'dev' | 'employee' | 'auditor'
  scopes: string
  ip_ranges: string
  created_at: number
  expires_at: number
  last_used_at: number | null
  revoked_at: number | null
  family_id: string | null
}

export interface InvitesTable {
  id: string
  project_id: string
  code_hash: string
  email: string | null
  role: 'admin' | 'ops' | 'dev' | 'employee' | 'auditor'
  created_by_id: string
  created_at: number
  expires_at: number
  used_at: number | null
  used_by_id: string | null
  revoked_at: number | null
}

export interface CountersTable {
  project_id: string
  name: string
  value: Generated<number>
  total: Generated<number>
}

export interface PolicyChangesTable {
  project_id: string
  id: string
  state: 'pending' | 'applied' | 'rejected'
  policy: string
  digest: string
  requested_by_id: string
  decided_by_id: string | null
  reason: string | null
  created_at: number
  decided_at: number | null
}

export interface AssetsTable {
  project_id: string
  id: string
  number: number
  name: string
  asset_type: string
  serial_number: string | null
  location: string | null
  description: string | null
  created_by_id: string
  created_at: number
  updated_at: number
}

export interface TicketsTable {
  project_id: string
  id: string
  number: number
  title: string
  description: string | null
  status: 'draft' | 'submitted' | 'approved' | 'running' | 'done' | 'failed' | 'closed'
  asset_id: string | null
  created_by_id: string
  assignee_id: string | null
  approved_by_id: string | null
  /** A JSON array: who changed what it says since it was approved last. */
  edited_by_ids: string
  due_at: number | null
  version: number
  digest: string
  created_at: number
  updated_at: number
}

export interface ApprovalsTable {
  project_id: string
  id: string
  subject_type: 'ticket' | 'policy' | 'signing_key'
  subject_id: string
  subject_version: number
  subject_digest: string
  decision: 'approved' | 'rejected'
  decided_by_id: string
  reason: string | null
  created_at: number
  expires_at: number | null
  voided_at: number | null
  consumed_at: number | null
  consumed_by: string | null
  auth_time: number | null
  amr: string
}

export interface CommentsTable {
  project_id: string
  id: string
  ticket_id: string
  author_id: string
  body: string
  created_at: number
}

export interface NumbersTable {
  project_id: string
  thing: string
  number: number
  id: string
}

export interface RuleSetsTable {
  project_id: string
  id: string
  name: string
  version: number
  digest: string
  definition: string
  created_by_id: string
  created_at: number
}

export interface RunsTable {
  project_id: string
  id: string
  number: number
  kind: string
  handler: string
  run_type: 'proof' | 'action' | null
  script_id: string | null
  state: 'pending' | 'running' | 'waiting_approval' | 'waiting_tool' | 'completed' | 'failed' | 'cancelled' | 'timeout'
  verdict: 'passed' | 'failed' | null
  waiting_for: 'evidence' | null
  ticket_id: string | null
  executed_by_id: string | null
  parent_run_id: string | null
  verifies_run_id: string | null
  root_run_id: string
  expect: string | null
  finalize: 'auto' | 'manual' | null
  trigger: string
  trace_id: string
  execution_context: string | null
  validator_version: string | null
  rules_version: string | null
  rules: string | null
  inputs_manifest: string | null
  outputs_manifest: string | null
  result_summary: string | null
  stdout_log: string | null
  stderr_log: string | null
  exit_code: number | null
  error_code: string | null
  step_count: Generated<number>
  attempt: Generated<number>
  event_count: Generated<number>
  input_sha256: string | null
  output_sha256: string | null
  report_artifact_id: string | null
  cost_usd: number | null
  created_at: number
  updated_at: number
  started_at: number | null
  completed_at: number | null
  timeout_at: number | null
  queue: string | null
  priority: number | null
  run_at: number | null
  max_attempts: number | null
  timeout_ms: number | null
  deadline_at: number | null
  unique_key: string | null
  input: string | null
  result: string | null
  error: string | null
  worker: string | null
  cancel_requested_at: number | null
  cancel_reason: string | null
  dead_at: number | null
  purged_at: number | null
  replays_run_id: string | null
  door: 'dispatch' | null
  callback: string | null
  tags: string | null
  metadata: string | null
  journal_sha256: string | null
  input_sealed: string | null
  result_sealed: string | null
  concurrency_key: string | null
  depends_on: string | null
  awaited: Generated<number>
  parent_span_id: string | null
  traceparent: string | null
  tracestate: string | null
  replaced_by_run_id: string | null
}

export interface QueueTable {
  run_id: string
  project_id: string
  run_at: number
  attempt: Generated<number>
  fence: Generated<number>
  lease_owner: string | null
  lease_until: number | null
  queue: Generated<string>
  handler: Generated<string>
  priority: Generated<number>
  failures: Generated<number>
  ready: Generated<number>
  stop: Generated<number>
  claimed_at: number | null
  span_ms: number | null
}

export interface TimersTable {
  run_id: string
  what: 'expire' | 'remind' | 'cancel_children'
  project_id: string
  due_at: number
}

export interface UploadsTable {
  project_id: string
  id: string
  run_id: string
  touched_at: number
}

export interface ArtifactsTable {
  project_id: string
  id: string
  number: number
  run_id: string
  run_number: number
  filename: string
  content_type: string | null
  artifact_type: string | null
  role: 'before' | 'after' | null
  description: string | null
  expected_sha256: string | null
  size_bytes: number
  sha256: string
  store: string
  uploaded_by_id: string | null
  is_deleted: Generated<number>
  deleted_at: number | null
  deleted_by_id: string | null
  created_at: number
  findings: string | null
  erased_at: number | null
  bytes_gone_at: number | null
}

export interface RunEvidenceTable {
  project_id: string
  run_id: string
  artifact_id: string
}

export interface IdempotencyTable {
  project_id: string
  principal: string
  route: string
  key: string
  body_sha256: string
  status: number | null
  response: string | null
  resource_id: string | null
  created_at: number
}

export interface AuditEventsTable {
  project_id: string
  id: string
  event_type: string
  timestamp: number
  actor_kind: string
  actor_id: string | null
  actor_number: number | null
  actor_username: string | null
  resource_type: string | null
  resource_id: string | null
  resource_number: number | null
  run_id: string | null
  success: number
  event: string
  salt: Uint8Array
  entry: Uint8Array
  append: Generated<number>
  place: Generated<number>
}

export interface AuditAppendsTable {
  seq: Generated<number>
  project_id: string
  first_id: string
  last_id: string
  entries: number
  shard: number | null
  log_index: number | null
  ends: number | null
}

export interface LogsTable {
  project_id: string
  shard: number
  origin: string
  vkey: string | null
  size: Generated<number>
  root: string
  checkpoint: string | null
  recorded_size: Generated<number>
  opened_at: number
  closed_at: number | null
  dropped_at: number | null
  dropped_until: number | null
  files_gone_at: number | null
  vkeys: string | null
  cosigned: string | null
  cosigned_size: Generated<number>
}

export interface ErasuresTable {
  project_id: string
  event_id: string
  erased_by: string
  in_day_file: Generated<number>
  created_at: number
}

export interface HoldsTable {
  project_id: string
  id: string
  subject_type: 'ticket' | 'run' | 'project'
  subject_id: string
  subject_number: number | null
  reason: string
  set_by_id: string
  created_at: number
  released_by_id: string | null
  released_at: number | null
  release_reason: string | null
}

export interface AttestationsTable {
  project_id: string
  digest: string
  predicate_type: string
  subject_type: string
  subject_id: string
  envelope: string
  created_at: number
}

export interface SigningKeysTable {
  project_id: string
  id: string
  user_id: string
  name: string
  type: 'passkey' | 'ssh'
  algorithm: 'ed25519' | 'ecdsa-p256' | 'rsa'
  public_key: string
  fingerprint: string
  credential_id: string | null
  rp_id: string | null
  statement: string
  signature: string
  state: 'proposed' | 'enrolled' | 'rejected' | 'revoked'
  bootstrap: Generated<number>
  decided_by_id: string | null
  created_at: number
  decided_at: number | null
  revoked_at: number | null
  revoked_by_id: string | null
}

export interface ApprovalSignaturesTable {
  project_id: string
  approval_id: string
  signing_key_id: string
  statement: string
  signature: string
  created_at: number
}

export interface WebhooksTable {
  project_id: string
  id: string
  name: string
  format: 'cloudevents' | 'slack' | 'feishu' | 'email'
  url: string
  sealed_url: string
  sealed_headers: string
  header_names: string
  sealed_secret: string | null
  sealed_previous_secret: string | null
  previous_secret_until: number | null
  events: string
  state: 'active' | 'disabled' | 'deleted'
  disabled_reason: string | null
  disabled_by_id: string | null
  failing_since: number | null
  created_by_id: string
  created_at: number
  updated_at: number
  callback: 'event' | 'dispatch' | null
  url_mac: string | null
  ordered: number
  handlers: string
  earlier: string | null
}

export interface DeliveriesTable {
  project_id: string
  id: string
  webhook_id: string
  event_id: string
  event_type: string
  state: 'waiting' | 'delivered' | 'failed'
  replay_of: string | null
  next_attempt_at: number | null
  attempts: Generated<string>
  created_at: number
  settled_at: number | null
}

export interface DeliveryQueueTable {
  delivery_id: string
  project_id: string
  webhook_id: string
  due_at: number
  fence: Generated<number>
  lease_owner: string | null
  lease_until: number | null
  turn: number | null
}

export interface WebhookCursorsTable {
  project_id: string
  shard: number
  log_index: number
}

export interface WorkerHandlersTable {
  project_id: string
  name: string
  contract: string
  enabled: number
  registered_at: number
  last_seen_at: number
  disabled_at: number | null
  disabled_by_id: string | null
  disabled_reason: string | null
}

export interface FeishuAppsTable {
  project_id: string
  app_id: string
  app_hash: string | null
  sealed_secret: string | null
  sealed_token: string | null
  token_until: number | null
  updated_at: number
}

export interface AttemptsTable {
  project_id: string
  run_id: string
  attempt: number
  started_at: number | null
  ended_at: number
  outcome: 'completed' | 'failed' | 'timeout' | 'cancelled' | 'lost'
  error_code: string | null
  error: string | null
  worker: string | null
  next_run_at: number | null
}

export interface UniqueKeysTable {
  project_id: string
  key: string
  run_id: string
}

export interface QueuesTable {
  project_id: string
  name: string
  concurrency: number | null
  paused_at: number | null
  paused_by_id: string | null
  paused_reason: string | null
  created_at: number
}

export interface HeldTable {
  project_id: string
  run_id: string
  place: string
  handler: string
  priority: number
  run_at: number
  waits_for: number
  admitted: number
  key: string | null
  max_active: number | null
  rate_limit: number | null
  rate_ms: number | null
}

export interface DependenciesTable {
  project_id: string
  run_id: string
  on_run_id: string
  policy: 'cancel' | 'run'
}

export interface ConcurrencyKeysTable {
  project_id: string
  key: string
  next_us: Generated<number>
  paused_until: number | null
  /** JSON: `KeyPause` of tasks. */
  pause: string | null
  /** JSON: a list of `KeyLimit` of tasks. */
  limits: string | null
  wake_at: number | null
}

export interface BatchesTable {
  project_id: string
  id: string
  first_number: number
  last_number: number
  executed_by_id: string | null
  created_at: number
}

export interface HttpHandlersTable {
  project_id: string
  name: string
  contract: string
  url: string
  sealed_secret: string
  created_by_id: string
  created_at: number
  sealed_previous_secret: string | null
  previous_secret_until: number | null
}

export interface TaskPayloadsTable {
  project_id: string
  sha256: string
  run_id: string
  gone_at: number | null
}

export interface BlobMarksTable {
  project_id: string
  sha256: string
  what: 'coming' | 'going'
  holder: string
  touched_at: number
}

export interface DisabledHandlersTable {
  project_id: string
  name: string
  disabled_by_id: string
  disabled_at: number
  disabled_reason: string | null
}

export interface StepsTable {
  project_id: string
  run_id: string
  name: string
  attempt: number
  started_at: number
  ended_at: number
  result: string
  sha256: string
  result_sealed: string | null
}

export interface LogChunksTable {
  project_id: string
  run_id: string
  attempt: number
  first_line: number
  lines: number
  end_chars: number
  kept_at: number
  text: string
  last: number
  fence: number | null
  told: number | null
}

/** What one attempt paid for one thing, in billionths of a US dollar. */
export interface CostsTable {
  project_id: string
  run_id: string
  attempt: number
  what: string
  nanos: number
}

export interface RunStatsTable {
  project_id: string
  step: 'minute' | 'hour' | 'day'
  at: number
  handler: string
  queue: string
  ended: number
  failed: number
  cancelled: number
  ran: string
  waited: string
  codes: string
  cost_nanos: Generated<number>
}

export interface RunStatsCursorsTable {
  project_id: string
  shard: number
  log_index: number
}

export interface SchedulesTable {
  project_id: string
  id: string
  name: string
  handler: string
  input: string
  input_sha256: string
  input_sealed: string | null
  options: string
  callback: string | null
  cron: string | null
  every_ms: number | null
  at: number | null
  zone: string
  dst_gap: 'skip' | 'after'
  dst_overlap: 'first' | 'both'
  catch_up: 'none' | 'last' | 'all'
  catch_up_limit: number
  when_running: 'allow' | 'skip'
  starts_at: number | null
  ends_at: number | null
  state: 'active' | 'paused' | 'ended' | 'deleted'
  paused_at: number | null
  paused_by_id: string | null
  paused_reason: string | null
  /** `PauseCause` as JSON, when the server paused it. */
  paused_cause: string | null
  owner_id: string
  version: number
  next_at: number | null
  last_due_at: number | null
  last_run_id: string | null
  refusals: Generated<number>
  created_by_id: string
  created_at: number
  updated_at: number
}

export interface ScheduleFiresTable {
  project_id: string
  schedule_id: string
  due_at: number
  fired_at: number
  outcome: 'started' | 'skipped' | 'refused'
  run_id: string | null
  error_code: string | null
}

export interface ScheduleDueTable {
  schedule_id: string
  project_id: string
  next_at: number
}

export interface QueueCopyTable {
  id: number
  space: string
  epoch: number
  servers: string
}

export interface Tables {
  users: UsersTable
  projects: ProjectsTable
  memberships: MembershipsTable
  sessions: SessionsTable
  user_links: UserLinksTable
  tokens: TokensTable
  invites: InvitesTable
  counters: CountersTable
  policy_changes: PolicyChangesTable
  assets: AssetsTable
  tickets: TicketsTable
  approvals: ApprovalsTable
  comments: CommentsTable
  numbers: NumbersTable
  rule_sets: RuleSetsTable
  runs: RunsTable
  queue: QueueTable
  timers: TimersTable
  uploads: UploadsTable
  artifacts: ArtifactsTable
  run_evidence: RunEvidenceTable
  idempotency: IdempotencyTable
  audit_events: AuditEventsTable
  audit_appends: AuditAppendsTable
  logs: LogsTable
  attestations: AttestationsTable
  signing_keys: SigningKeysTable
  approval_signatures: ApprovalSignaturesTable
  erasures: ErasuresTable
  holds: HoldsTable
  webhooks: WebhooksTable
  deliveries: DeliveriesTable
  delivery_queue: DeliveryQueueTable
  webhook_cursors: WebhookCursorsTable
  feishu_apps: FeishuAppsTable
  attempts: AttemptsTable
  unique_keys: UniqueKeysTable
  queues: QueuesTable
  worker_handlers: WorkerHandlersTable
  steps: StepsTable
  held: HeldTable
  dependencies: DependenciesTable
  concurrency_keys: ConcurrencyKeysTable
  batches: BatchesTable
  task_payloads: TaskPayloadsTable
  blob_marks: BlobMarksTable
  http_handlers: HttpHandlersTable
  disabled_handlers: DisabledHandlersTable
  queue_copy: QueueCopyTable
  schedules: SchedulesTable
  schedule_fires: ScheduleFiresTable
  run_stats: RunStatsTable
  run_stats_cursors: RunStatsCursorsTable
  log_chunks: LogChunksTable
  costs: CostsTable
  schedule_due: ScheduleDueTable
}

/** The tables behind the fence: every row belongs to a project, and no statement sees two projects. */
export const tenantTables: ReadonlySet<string> = new Set([
  'counters',
  'policy_changes',
  'assets',
  'tickets',
  'approvals',
  'comments',
  'numbers',
  'rule_sets',
  'runs',
  'uploads',
  'artifacts',
  'run_evidence',
  'idempotency',
  'audit_events',
  'audit_appends',
  'logs',
  'attestations',
  'signing_keys',
  'approval_signatures',
  'erasures',
  'holds',
  'webhooks',
  'deliveries',
  'feishu_apps',
  'attempts',
  'unique_keys',
  'worker_handlers',
  'steps',
  'held',
  'dependencies',
  'batches',
  'task_payloads',
  'blob_marks',
  'http_handlers',
  'schedules',
  'schedule_fires',
  'run_stats',
  'run_stats_cursors',
  'log_chunks',
  'costs',
])
