import { type Static, type TSchema, Type } from 'typebox'
import { auditEvents } from './audit.ts'
import {
  BLANK,
  EVENT_PATTERN,
  HANDLER_NAME,
  idMeaning,
  LINE_BLANK,
  LINE_CONTROLS,
  meaning,
  TEXT_CONTROLS,
} from './patterns.ts'

// Commands refuse fields that they do not know; replies list all of theirs.
const closed = { additionalProperties: false } as const

export const command = <P extends Record<string, TSchema>>(properties: P, options: object = {}) =>
  Type.Object(properties, { ...closed, ...options })
export const nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()])
const words = <const W extends readonly string[]>(list: W, options: object = {}) =>
  Type.Unsafe<W[number]>({ type: 'string', enum: [...list], ...options })

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
export const Id = Type.String({ pattern: idMeaning('a UUID', `^${uuid}$`), description: 'UUIDv7' })
/** In a path: the id, or the number that people read. */
const ref = idMeaning('an id (a UUID) or a number', `^([1-9][0-9]{0,14}|${uuid})$`)
export const PathRef = Type.String({ pattern: ref, description: 'id or number' })
/** In a body or query: the id, or the number. */
export const Ref = Type.Unsafe<string | number>({
  anyOf: [
    { type: 'integer', minimum: 1, maximum: 1e15 },
    { type: 'string', pattern: ref },
  ],
  description: 'id or number',
})
export const Time = Type.String({ format: 'date-time', description: 'RFC 3339, UTC' })
export const Sha256 = Type.String({
  pattern: meaning('a SHA-256 in 64 lower-case hexadecimal digits', '^[0-9a-f]{64}$'),
})
export const Slug = Type.String({
  pattern: meaning('2 to 64 of a-z, 0-9, _ and -, a letter or digit first', '^[a-z0-9][a-z0-9_-]{1,63}$'),
})
export const Role = words(['admin', 'ops', 'dev', 'employee', 'auditor'])
export type Role = Static<typeof Role>
export const TicketStatus = words(['draft', 'submitted', 'approved', 'running', 'done', 'failed', 'closed'])
export type TicketStatus = Static<typeof TicketStatus>
export const RunState = words([
  'pending',
  'running',
  'waiting_approval',
  'waiting_tool',
  'completed',
  'failed',
  'cancelled',
  'timeout',
])
export type RunState = Static<typeof RunState>
export const RunStatus = words(['pending', 'running', 'success', 'failed', 'timeout', 'cancelled'])
export type RunStatus = Static<typeof RunStatus>
export const Verdict = words(['passed', 'failed'])
export type Verdict = Static<typeof Verdict>
export const EvidenceRole = words(['before', 'after'])

// Text that people type: no control characters but tab and line breaks, so nothing forges a line elsewhere. What has to be given is
// more than blanks: of such a title a list shows nothing, and there is nothing to press.
const oneLine = meaning('one line, without control or hidden characters', `^[^${LINE_CONTROLS}]*$`)
export const lineThatSays = meaning(
  'one line that is not blank, without control or hidden characters',
  `^[${LINE_BLANK}]*[^${LINE_CONTROLS}${LINE_BLANK}][^${LINE_CONTROLS}]*$`,
)
const fileName = meaning(
  'the name of a file, without a folder, in one line, without control or hidden characters',
  `^[${LINE_BLANK}]*[^${LINE_CONTROLS}${LINE_BLANK}/\\\\][^${LINE_CONTROLS}/\\\\]*$`,
)
/** With `min` 0 it may be left empty. */
const line = (max: number, min = 1) =>
  Type.String({ minLength: min, maxLength: max, pattern: min === 0 ? oneLine : lineThatSays })
const plain = meaning('text without control characters other than tabs and line breaks', `^[^${TEXT_CONTROLS}]*$`)
export const textThatSays = meaning(
  'text that is not blank, without control characters other than tabs and line breaks',
  `^[\\t\\n\\r${BLANK}]*[^${TEXT_CONTROLS}\\t\\n\\r${BLANK}][^${TEXT_CONTROLS}]*$`,
)
export const text = (max: number) => Type.String({ maxLength: max, pattern: plain })
export const Username = Type.String({
  pattern: meaning(
    '1 to 50 letters, digits, _, ., @ and -, and none of the last three first',
    '^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,49}$',
  ),
})
const Email = Type.String({ format: 'email', maxLength: 255 })
// Secrets by declaration: never redacted on the way in, never stored as they are, never shown.
const writeOnly = { writeOnly: true } as const
const Password = Type.String({ minLength: 1, maxLength: 256, ...writeOnly })
const IpRange = Type.String({ minLength: 2, maxLength: 50, description: 'address or CIDR range' })
const anyJson = (description: string) =>
  Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true, description })

export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.String(),
    code: Type.String(),
    request_id: Type.String(),
    retryable: Type.Boolean(),
    errors: Type.Optional(
      Type.Array(Type.Object({ path: Type.String(), message: Type.String(), code: Type.Optional(Type.String()) })),
    ),
  },
  { description: 'RFC 9457 problem details' },
)
export type Problem = Static<typeof Problem>

// ---- people

export const User = Type.Object({
  id: Id,
  number: Type.Integer(),
  username: Type.String(),
  email: nullable(Type.String()),
  full_name: nullable(Type.String()),
  is_active: Type.Boolean(),
  is_admin: Type.Boolean({ description: 'admin of the project in view' }),
  is_instance_admin: Type.Boolean(),
  role: nullable(Role),
  created_at: Time,
})
export type User = Static<typeof User>
export const Me = Type.Object({
  ...User.properties,
  must_change_password: Type.Boolean(),
  totp_enabled: Type.Boolean(),
  project: nullable(Slug),
  permissions: Type.Array(Type.String()),
})
export type Me = Static<typeof Me>
export const Login = command({
  username: Type.String({ maxLength: 255 }),
  password: Type.String({ maxLength: 1024, ...writeOnly }),
  totp: Type.Optional(Type.String({ maxLength: 12, ...writeOnly })),
})
export const Bearer = Type.Object({
  access_token: Type.String(),
  token_type: Type.String(),
  expires_in: Type.Integer(),
})
export const CookieSession = Type.Object({ csrf_token: Type.String(), expires_at: Time })
export const Register = command({
  username: Username,
  email: Email,
  full_name: Type.Optional(nullable(line(100, 0))),
  password: Password,
  is_admin: Type.Optional(Type.Boolean({ description: 'accepted for older clients, never honoured' })),
  invite: Type.Optional(Type.String({ maxLength: 100, ...writeOnly })),
})
export const ChangePassword = command({
  current_password: Type.String({ maxLength: 1024, ...writeOnly }),
  new_password: Password,
})
export const CreateUser = command({
  username: Username,
  email: Type.Optional(nullable(Email)),
  full_name: Type.Optional(nullable(line(100, 0))),
  password: Type.Optional(Password),
  role: Type.Optional(Role),
  is_admin: Type.Optional(Type.Boolean({ description: 'the documented form of role: admin' })),
})
export const CreatedUser = Type.Object({ ...User.properties, one_time_password: Type.Optional(Type.String()) })
export const UpdateUser = command(
  {
    email: Type.Optional(nullable(Email)),
    full_name: Type.Optional(nullable(line(100, 0))),
    is_active: Type.Optional(Type.Boolean()),
    role: Type.Optional(Role),
    is_instance_admin: Type.Optional(Type.Boolean()),
  },
  { minProperties: 1 },
)
export const OneTimePassword = Type.Object({ one_time_password: Type.String() })
export const TotpSetup = Type.Object({ secret: Type.String(), otpauth_url: Type.String() })
export const TotpCode = command({ code: Type.String({ pattern: meaning('six digits', '^[0-9]{6}$'), ...writeOnly }) })
export const Session = Type.Object({
  id: Id,
  kind: words(['bearer', 'cookie']),
  current: Type.Boolean(),
  created_at: Time,
  last_seen_at: Time,
  expires_at: Time,
  ip_address: nullable(Type.String()),
  user_agent: nullable(Type.String()),
})
export const Invite = Type.Object({
  id: Id,
  email: nullable(Type.String()),
  role: Role,
  created_by_id: Id,
  created_at: Time,
  expires_at: Time,
  used_at: nullable(Time),
  revoked_at: nullable(Time),
})
export type Invite = Static<typeof Invite>
export const CreateInvite = command({
  email: Type.Optional(nullable(Email)),
  role: Type.Optional(Role),
  expires_in_hours: Type.Optional(Type.Integer({ minimum: 1, maximum: 24 * 30 })),
})
export const CreatedInvite = Type.Object({ ...Invite.properties, invite: Type.String() })
export const Token = Type.Object({
  id: Id,
  name: Type.String(),
  prefix: Type.String(),
  user_id: Id,
  role: Role,
  scopes: Type.Array(Type.String()),
  ip_ranges: Type.Array(Type.String()),
  project: Slug,
  created_at: Time,
  expires_at: Time,
  last_used_at: nullable(Time),
  revoked_at: nullable(Time),
})
export type Token = Static<typeof Token>
export const CreateToken = command({
  name: line(100),
  role: Type.Optional(Role),
  scopes: Type.Optional(
    Type.Array(
      Type.String({
        pattern: meaning('a scope, such as tickets.get, worker:api or *', '^[A-Za-z_*]+([.:][A-Za-z0-9_*-]+)*$'),
        maxLength: 100,
      }),
      {
        maxItems: 50,
        uniqueItems: true,
      },
    ),
  ),
  expires_at: Type.Optional(Time),
  ip_ranges: Type.Optional(Type.Array(IpRange, { maxItems: 20 })),
})
export const CreatedToken = Type.Object({ ...Token.properties, token: Type.String() })

// ---- projects

export const Policy = command({
  four_eyes: Type.Boolean({ description: 'the approver is neither creator nor assignee' }),
  approver_roles: Type.Array(Role, { minItems: 1, maxItems: 5, uniqueItems: true }),
  approval_ttl_hours: nullable(Type.Integer({ minimum: 1, maximum: 24 * 365 })),
  evidence_ttl_hours: Type.Integer({ minimum: 1, maximum: 24 * 365 }),
  require_signature: Type.Optional(
    Type.Boolean({ description: "approvals of tickets need the approver's own key; false if left out" }),
  ),
  approve_in_person: Type.Optional(
    Type.Boolean({
      description:
        "tickets, policies and keys are approved by who is logged in, or with the approver's own key, and by no API token alone; false if left out",
    }),
  ),
  artifact_scan: Type.Optional(
    words(['flag', 'refuse'], {
      description: 'what happens to an upload in which a secret is found; flag if left out',
    }),
  ),
  completed_task_days: Type.Optional(
    nullable(
      Type.Integer({
        minimum: 1,
        maximum: 36_500,
        description: 'how long the record of a completed task is kept after its end; null, or left out: for ever',
      }),
    ),
  ),
  failed_task_days: Type.Optional(
    nullable(
      Type.Integer({
        minimum: 1,
        maximum: 36_500,
        description: 'the same for tasks that failed, timed out or were cancelled, dead letters among them',
      }),
    ),
  ),
})
export type Policy = Static<typeof Policy>
export const Project = Type.Object({
  id: Id,
  slug: Slug,
  name: Type.String(),
  role: nullable(Role),
  policy: Policy,
  log_origin: Type.String(),
  log_access: words(['members', 'public']),
  created_at: Time,
})
export type Project = Static<typeof Project>
export const CreateProject = command({ slug: Slug, name: line(100) })
export const UpdateProject = command({
  name: Type.Optional(line(100)),
  log_access: Type.Optional(words(['members', 'public'])),
})
export const PolicyChange = Type.Object({
  id: Id,
  state: words(['pending', 'applied', 'rejected']),
  policy: Policy,
  digest: Sha256,
  requested_by_id: Id,
  decided_by_id: nullable(Id),
  reason: nullable(Type.String()),
  created_at: Time,
  decided_at: nullable(Time),
  warnings: Type.Array(Type.String()),
})
export type PolicyChange = Static<typeof PolicyChange>
export const Member = Type.Object({
  user_id: Id,
  user_number: Type.Integer(),
  username: Type.String(),
  role: Role,
  is_active: Type.Boolean(),
  created_at: Time,
})
export const SetMember = command({ role: Role })

// ---- signatures of people

const base64url = (max: number) =>
  Type.String({ minLength: 1, maxLength: max, pattern: meaning('base64url without padding', '^[A-Za-z0-9_-]+$') })
export const PasskeyAssertion = command({
  client_data_json: base64url(4_000),
  authenticator_data: base64url(4_000),
  signature: base64url(2_000),
})
const sshSignature = Type.String({ minLength: 1, maxLength: 4_000, description: 'as `ssh-keygen -Y sign` writes it' })
/** A statement that this server issued, signed by a person with the key `key_id`: by passkey or by SSH key. */
export const SignedStatement = command({
  key_id: Id,
  statement: Type.String({ minLength: 2, maxLength: 4_000, description: 'exactly as it was issued' }),
  ssh: Type.Optional(sshSignature),
  passkey: Type.Optional(PasskeyAssertion),
})
export type SignedStatement = Static<typeof SignedStatement>
export const IssuedStatement = Type.Object({
  statement: Type.String({ description: 'in-toto Statement v1 in RFC 8785 form: what is signed' }),
  challenge: Type.String({ description: 'SHA-256 of the statement, base64url: what a passkey is asked for' }),
  namespace: Type.String({ description: 'for `ssh-keygen -Y sign -n`' }),
  sign_before: Time,
})
export type IssuedStatement = Static<typeof IssuedStatement>
const signingKey = {
  type: words(['passkey', 'ssh']),
  public_key: Type.String({
    minLength: 20,
    maxLength: 2_000,
    description: 'ssh: a line as in a .pub file; passkey: SubjectPublicKeyInfo, base64url',
  }),
}
export const SigningKeyStatement = command(signingKey)
export const EnrolSigningKey = command({
  ...signingKey,
  name: line(100),
  credential_id: Type.Optional(base64url(1_400)),
  statement: Type.String({ minLength: 2, maxLength: 4_000 }),
  ssh: Type.Optional(sshSignature),
  passkey: Type.Optional(PasskeyAssertion),
})
export type EnrolSigningKey = Static<typeof EnrolSigningKey>
export const SigningKey = Type.Object({
  id: Id,
  user_id: Id,
  user_number: Type.Integer(),
  username: Type.String(),
  name: Type.String(),
  type: words(['passkey', 'ssh']),
  algorithm: words(['ed25519', 'ecdsa-p256', 'rsa']),
  fingerprint: Type.String({ description: 'ssh: as `ssh-keygen -l`; passkey: SHA-256 of the SubjectPublicKeyInfo' }),
  credential_id: nullable(Type.String()),
  rp_id: nullable(Type.String()),
  state: words(['proposed', 'enrolled', 'rejected', 'revoked']),
  bootstrap: Type.Boolean({ description: 'the first key of the project, which nobody else could approve' }),
  decided_by_id: nullable(Id),
  created_at: Time,
  decided_at: nullable(Time),
  revoked_at: nullable(Time),
  revoked_by_id: nullable(Id),
})
export type SigningKey = Static<typeof SigningKey>

// ---- evidence

export const ExportEvidence = command({
  subject: words(['ticket', 'run']),
  id: Ref,
  include_flagged: Type.Optional(
    Type.Boolean({ description: 'files in which secrets were found, too; they are left out otherwise' }),
  ),
  whole_log: Type.Optional(
    Type.Boolean({
      description:
        'every entry of the log, too, as ids and commitments: so that a stranger sees that nothing about the subject was left out',
    }),
  ),
})
export type ExportEvidence = Static<typeof ExportEvidence>

const EvidenceSubject = words(['ticket', 'run'])
/** What proves a ticket or a run, as one answer: entries with proofs, attestations, signatures. */
export const Trail = Type.Object({
  subject: Type.Object({ type: EvidenceSubject, id: Id, number: Type.Integer() }),
  pending: Type.Integer({ description: 'events that have no place in the log yet' }),
  more: Type.Boolean({ description: 'there are more entries than the first 1000' }),
  logs: Type.Array(
    Type.Object({
      shard: Type.Integer(),
      closed: Type.Boolean(),
      origin: Type.String(),
      vkeys: Type.Array(Type.String()),
      checkpoint: nullable(
        Type.String({ description: 'the signed note that all proofs lead to; null before the first' }),
      ),
      anchored: nullable(
        Type.Object({
          size: Type.Integer(),
          via: words(['log', 'instance']),
          witnesses: Type.Array(Type.Object({ name: Type.String(), time: Time })),
        }),
      ),
    }),
  ),
  entries: Type.Array(
    Type.Object({
      event_id: Id,
      event_type: Type.String(),
      resource_id: Type.String(),
      shard: Type.Integer(),
      log_index: Type.Integer(),
      entry: Type.String({ description: 'bytes of the leaf, base64' }),
      hashes: nullable(
        Type.Array(Type.String(), { description: 'inclusion proof, base64, leaf first; null beyond the checkpoint' }),
      ),
      erased: Type.Boolean(),
      payload: nullable(Type.String({ description: 'the event that the entry commits to' })),
      salt: nullable(Type.String({ description: 'of the commitment, hexadecimal' })),
      attestations: Type.Array(Sha256),
    }),
  ),
  attestations: Type.Array(Type.Object({ digest: Sha256, envelope: Type.String({ description: 'DSSE' }) })),
  keys: Type.Array(Type.Object({ keyid: Type.String(), public_pem: Type.String() })),
  signatures: Type.Array(
    Type.Object({
      approval_id: Id,
      statement: Type.String(),
      signature: Type.String({ description: 'an SSH signature, or the assertion of a passkey as JSON' }),
      type: words(['passkey', 'ssh']),
      public_key: Type.String({ description: 'SubjectPublicKeyInfo, base64' }),
      fingerprint: Type.String(),
      rp_id: nullable(Type.String()),
      user_id: Id,
    }),
  ),
})
export type Trail = Static<typeof Trail>
export const Seal = Type.Object({
  id: Id,
  number: Type.Integer(),
  entries: Type.Integer({ description: 'events that have a place in the log' }),
  pending: Type.Integer({ description: 'events that have none yet' }),
  last_index: nullable(Type.Integer()),
  last_shard: nullable(
    Type.Integer({ description: 'the log that has the last entry, where the project has several; else null' }),
  ),
  sealed: Type.Boolean({ description: 'nothing is pending, and the last entry is under the published checkpoint' }),
  anchored: Type.Boolean({ description: 'a witness has signed beyond the last entry' }),
})
export type Seal = Static<typeof Seal>

// ---- assets and tickets

export const Asset = Type.Object({
  id: Id,
  number: Type.Integer(),
  name: Type.String(),
  asset_type: Type.String(),
  serial_number: nullable(Type.String()),
  location: nullable(Type.String()),
  description: nullable(Type.String()),
  created_by_id: Id,
  created_by_number: Type.Integer(),
  created_at: Time,
  updated_at: Time,
})
export type Asset = Static<typeof Asset>
const assetFields = {
  serial_number: Type.Optional(nullable(line(100))),
  location: Type.Optional(nullable(line(255, 0))),
  description: Type.Optional(nullable(text(10_000))),
}
export const CreateAsset = command({ name: line(100), asset_type: line(50), ...assetFields })
export const UpdateAsset = command(
  { name: Type.Optional(line(100)), asset_type: Type.Optional(line(50)), ...assetFields },
  { minProperties: 1 },
)

export const Ticket = Type.Object({
  id: Id,
  number: Type.Integer(),
  title: Type.String(),
  description: nullable(Type.String()),
  status: TicketStatus,
  asset_id: nullable(Id),
  asset_number: nullable(Type.Integer()),
  created_by_id: Id,
  created_by_number: Type.Integer(),
  assignee_id: nullable(Id),
  assignee_number: nullable(Type.Integer()),
  approved_by_id: nullable(Id),
  approved_by_number: nullable(Type.Integer()),
  edited_by_ids: Type.Array(Id, {
    description:
      'who changed title, description or asset since it was approved last; four eyes keep them from approving it',
  }),
  due_at: nullable(Time),
  version: Type.Integer(),
  digest: Sha256,
  created_at: Time,
  updated_at: Time,
  warnings: Type.Optional(Type.Array(Type.Object({ code: Type.String(), text: Type.String() }))),
})
export type Ticket = Static<typeof Ticket>
const ticketFields = {
  description: Type.Optional(nullable(text(20_000))),
  asset_id: Type.Optional(nullable(Ref)),
  assignee_id: Type.Optional(nullable(Ref)),
  due_at: Type.Optional(nullable(Time)),
}
export const CreateTicket = command({
  title: line(200),
  ...ticketFields,
  status: Type.Optional(words(['draft', 'submitted'])),
})
export type CreateTicket = Static<typeof CreateTicket>
export const UpdateTicket = command(
  {
    title: Type.Optional(line(200)),
    ...ticketFields,
    status: Type.Optional(TicketStatus),
    digest: Type.Optional(Sha256),
  },
  { minProperties: 1, description: 'digest: the version that was read; another one answers 409 TICKET_CHANGED' },
)
export type UpdateTicket = Static<typeof UpdateTicket>
/** Where one has to be given it says something. */
export const Reason = command({ reason: Type.String({ minLength: 1, maxLength: 2000, pattern: textThatSays }) })
export const OptionalReason = Type.Union([command({ reason: Type.Optional(text(2000)) }), Type.Null()])
export const ApproveTicket = Type.Union(
  [
    command({
      digest: Type.Optional(Sha256),
      reason: Type.Optional(text(2000)),
      approved: Type.Optional(Type.Boolean({ description: 'the documented form; false is refused: use reject' })),
      signed: Type.Optional(SignedStatement),
    }),
    Type.Null(),
  ],
  { description: 'digest: the ticket version that the approver read; another one answers 409 APPROVAL_STALE' },
)
export const Approval = Type.Object({
  id: Id,
  decision: words(['approved', 'rejected']),
  ticket_version: Type.Integer(),
  ticket_digest: Sha256,
  decided_by_id: Id,
  decided_by_number: Type.Integer(),
  reason: nullable(Type.String()),
  created_at: Time,
  expires_at: nullable(Time),
  voided_at: nullable(Time),
  consumed_at: nullable(Time),
  signed_with_id: nullable(Id),
  auth_time: nullable(
    Type.String({
      format: 'date-time',
      description: 'when the approver had last proved who they are; null with an API token, and where nobody knows',
    }),
  ),
  amr: Type.Array(Type.String(), { description: 'how (RFC 8176): `pwd`, `otp`, or what the identity provider says' }),
})
export type Approval = Static<typeof Approval>
export const TicketChanges = Type.Object({
  version: Type.Integer({ description: 'Of the ticket as it stands' }),
  approval: nullable(Approval),
  changes: Type.Array(
    Type.Object({
      field: words(['title', 'description', 'asset_id', 'assignee_id', 'due_at']),
      from: nullable(Type.String()),
      to: nullable(Type.String()),
    }),
  ),
  unreadable: Type.Integer({ description: 'Edits whose texts were erased' }),
})
export type TicketChanges = Static<typeof TicketChanges>
export const Comment = Type.Object({
  id: Id,
  author_id: Id,
  author_number: Type.Integer(),
  author_username: Type.String(),
  body: Type.String(),
  created_at: Time,
})
export const CreateComment = command({
  body: Type.String({
    minLength: 1,
    maxLength: 20_000,
    pattern: textThatSays,
  }),
})

// ---- runs and evidence

export const ExpectedFile = command({
  // An upload has the name of a file and no folder: one with a folder would be waited for in vain.
  name: Type.String({ minLength: 1, maxLength: 255, pattern: fileName }),
  sha256: Type.Optional(Sha256),
  role: Type.Optional(EvidenceRole),
})
export type ExpectedFile = Static<typeof ExpectedFile>
export const StartRun = command({
  run_type: words(['proof', 'action']),
  ticket_id: Ref,
  script_id: Type.Optional(nullable(line(100))),
  execution_context: Type.Optional(nullable(anyJson('what the caller says about where and how; kept with the run'))),
  expect: Type.Optional(Type.Array(ExpectedFile, { minItems: 1, maxItems: 200 })),
  finalize: Type.Optional(words(['auto', 'manual'])),
})
export type StartRun = Static<typeof StartRun>
export const Run = Type.Object({
  id: Id,
  number: Type.Integer(),
  kind: Type.String(),
  run_type: words(['proof', 'action']),
  script_id: nullable(Type.String()),
  state: RunState,
  status: RunStatus,
  verdict: nullable(Verdict),
  waiting_for: nullable(words(['evidence'])),
  ticket_id: Id,
  ticket_number: Type.Integer(),
  executed_by_id: Id,
  executed_by_number: Type.Integer(),
  parent_run_id: nullable(Id),
  verifies_run_id: nullable(Id),
  verifies_run_number: nullable(Type.Integer()),
  expect: nullable(Type.Array(ExpectedFile)),
  finalize: words(['auto', 'manual']),
  execution_context: nullable(anyJson('as given, and what the server adds')),
  validator_version: nullable(Type.String()),
  rules_version: nullable(Type.String()),
  inputs_manifest: nullable(anyJson('what was judged')),
  outputs_manifest: nullable(anyJson('what was found')),
  result_summary: nullable(Type.String()),
  exit_code: nullable(Type.Integer()),
  error_code: nullable(Type.String()),
  step_count: Type.Integer(),
  attempt: Type.Integer(),
  trace_id: Type.String(),
  input_sha256: nullable(Sha256),
  output_sha256: nullable(Sha256),
  report_artifact_id: nullable(Id),
  created_at: Time,
  updated_at: Time,
  started_at: nullable(Time),
  completed_at: nullable(Time),
  timeout_at: nullable(Time),
})
export type Run = Static<typeof Run>
export const RunDetail = Type.Object({
  ...Run.properties,
  stdout_log: nullable(Type.String()),
  stderr_log: nullable(Type.String()),
})
export type RunDetail = Static<typeof RunDetail>
/** The projection onto the run contract (`runtime_run_state`). */
export const RunContract = Type.Object(
  {
    run_id: Id,
    project_id: Slug,
    agent_id: Type.String(),
    state: RunState,
    trace_id: Type.String(),
    parent_run_id: nullable(Id),
    trigger: Type.Object(
      {
        trigger_type: words(['channel_event', 'schedule', 'api', 'sub_agent', 'retry']),
        schedule_id: Type.Optional(Id),
        triggered_by: Type.Optional(Type.String()),
      },
      closed,
    ),
    input_sha256: Type.Optional(Sha256),
    output_sha256: nullable(Sha256),
    started_at: nullable(Time),
    completed_at: nullable(Time),
    timeout_at: nullable(Time),
    error_code: nullable(Type.String()),
    cost_usd: nullable(Type.Number()),
    step_count: Type.Integer(),
  },
  closed,
)
export type RunContract = Static<typeof RunContract>
export const VerifyRun = Type.Union([
  command({
    expect: Type.Optional(Type.Array(ExpectedFile, { minItems: 1, maxItems: 200 })),
    finalize: Type.Optional(words(['auto', 'manual'])),
  }),
  Type.Null(),
])
/** Words that are looked for; the description of each list says where. */
export const Words = Type.String({ minLength: 1, maxLength: 200 })

/** Which runs on tickets, as a query and as a body have it. */
export const runFilter = {
  script_id: Type.Optional(line(100)),
  ticket_id: Type.Optional(Ref),
  asset_id: Type.Optional(Ref),
  created_after: Type.Optional(Time),
  created_before: Type.Optional(Time),
  q: Type.Optional(Words),
}
const runsAtOnce = Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 100 }))
export const CancelRuns = command({ ...runFilter, reason: Type.Optional(text(2000)), limit: runsAtOnce })
export type CancelRuns = Static<typeof CancelRuns>
const settledChoice = {
  ...runFilter,
  state: Type.Optional(words(['completed', 'failed', 'timeout'])),
  verdict: Type.Optional(Verdict),
}
export const VerifyRuns = command({
  ...settledChoice,
  after: Type.Optional(
    Type.Integer({ minimum: 0, description: 'only runs with a greater number: `last` of the answer before goes on' }),
  ),
  limit: runsAtOnce,
})
export type VerifyRuns = Static<typeof VerifyRuns>
export const CountRuns = command({ ...settledChoice, act: words(['cancel', 'verify']) })
export type CountRuns = Static<typeof CountRuns>
export const Artifact = Type.Object({
  id: Id,
  number: Type.Integer(),
  filename: Type.String(),
  artifact_type: nullable(Type.String()),
  role: nullable(EvidenceRole),
  description: nullable(Type.String()),
  content_type: nullable(Type.String()),
  size_bytes: Type.Integer(),
  sha256_hash: Sha256,
  run_id: Id,
  run_number: Type.Integer(),
  uploaded_by_id: nullable(Id),
  uploaded_by_number: nullable(Type.Integer()),
  is_deleted: Type.Boolean(),
  findings: nullable(
    Type.Array(
      Type.Object({
        kind: Type.String(),
        count: Type.Integer(),
        offset: Type.Integer({ description: 'of the first, in bytes' }),
      }),
      { description: 'what the bytes seem to hold, by kind and place; empty: nothing; null: nobody looked' },
    ),
  ),
  erased_at: nullable(Time),
  created_at: Time,
})
export type Artifact = Static<typeof Artifact>
export const Uploaded = Type.Object({ artifact: Artifact, message: Type.String() })
/** Checks that rules cite and of which there is a newer version. The rules judge as before until they are published again. */
const Superseded = Type.Array(Type.Object({ validator: Type.String(), newest: Type.String() }), {
  description:
    'checks that are cited and have a newer version; judged by what is cited until the rules are published again',
})
export const Script = Type.Object({
  script_id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  version: Type.String(),
  script_type: words(['proof', 'action']),
  requires_approval: Type.Boolean(),
  validators: Type.Array(Type.String()),
  superseded: Superseded,
  rule_set: nullable(Type.String()),
  digest: nullable(
    Type.String({
      pattern: '^[0-9a-f]{64}$',
      description: 'SHA-256 of the rules of a run without parameters; null where a check is nothing without them',
    }),
  ),
})
export const RuleSet = Type.Object({
  id: Id,
  name: Type.String(),
  version: Type.Integer(),
  digest: Sha256,
  definition: anyJson('rules in order'),
  superseded: Superseded,
  created_by_id: Id,
  created_at: Time,
})
export type RuleSet = Static<typeof RuleSet>
export const PublishRuleSet = command({
  name: Type.String({ pattern: meaning('1 to 63 of a-z, 0-9, _ and -, a letter first', '^[a-z][a-z0-9_-]{0,62}$') }),
  definition: anyJson('{"description"?, "rules": [{"validator", "params"?, "files"?}]}'),
})

export const TryRuleSet = command({
  definition: anyJson('{"description"?, "rules": [{"validator", "params"?, "files"?}]}'),
  files: Type.Array(
    command({
      name: Type.String({ minLength: 1, maxLength: 255 }),
      role: Type.Optional(words(['before', 'after'])),
      content: Type.String({ contentEncoding: 'base64', description: 'the bytes of the file' }),
    }),
    { minItems: 1, maxItems: 50 },
  ),
})
export const RuleTrial = Type.Object({
  verdict: words(['passed', 'failed']),
  result_summary: Type.String(),
  validation_report: anyJson('as in the outputs of a run, without its run'),
})
export type RuleTrial = Static<typeof RuleTrial>

// ---- audit

export const AuditEvent = Type.Object({
  id: Id,
  /** Entries are counted from 0 in each log of the project; both are null until the event has its place. */
  shard: nullable(Type.Integer()),
  log_index: nullable(Type.Integer()),
  event_type: words(Object.keys(auditEvents)),
  timestamp: Time,
  actor_id: nullable(Id),
  actor_number: nullable(Type.Integer()),
  actor_username: nullable(Type.String()),
  resource_type: nullable(Type.String()),
  resource_id: nullable(Type.String()),
  resource_number: nullable(Type.Integer()),
  action: Type.String(),
  details: nullable(anyJson('facts of the event')),
  ip_address: nullable(Type.String()),
  user_agent: nullable(Type.String()),
  success: Type.Boolean(),
  error_message: nullable(Type.String()),
  erased_index: Type.Optional(
    nullable(Type.Integer({ description: 'only for an erased payload: the entry that says why' })),
  ),
  erased_shard: Type.Optional(
    nullable(Type.Integer({ description: 'only for an erased payload: the log that has that entry' })),
  ),
})
export type AuditEvent = Static<typeof AuditEvent>
export const VerifyReport = Type.Object({
  ok: Type.Boolean(),
  code: nullable(Type.String()),
  reason: nullable(Type.String()),
  index: nullable(Type.Integer()),
  path: nullable(Type.String()),
  origin: Type.String(),
  size: Type.Integer(),
  root: Type.String(),
  checkpoint: Type.String(),
  checked: Type.Object({ entries: Type.Integer(), rows: Type.Integer(), day_files: Type.Integer() }),
  dropped: Type.Optional(
    Type.Array(Type.Object({ shard: Type.Integer(), origin: Type.String(), size: Type.Integer() }), {
      description: 'older logs that were dropped by policy: of them only the end is verified',
    }),
  ),
})
export type VerifyReport = Static<typeof VerifyReport>
export const SelfCheckReport = Type.Object({
  ok: Type.Boolean(),
  code: nullable(Type.String()),
  reason: nullable(Type.String()),
  index: nullable(Type.Integer()),
  path: nullable(Type.String()),
  origin: Type.String({ description: 'of the log that was looked at, or in which the fault is' }),
  project: Type.String(),
  full: Type.Boolean(),
  entries: Type.Integer({ description: 'rows compared with their entries' }),
  checked_at: Time,
})
export type SelfCheckReport = Static<typeof SelfCheckReport>
export const LogInfo = Type.Object({
  origin: Type.String(),
  vkey: Type.String(),
  shard: Type.Integer(),
  size: Type.Integer(),
  root: Type.String(),
  pending: Type.Integer(),
  folder: Type.String(),
  audit_folder: Type.String(),
  /** Every key that the log ever signed with, the oldest first. */
  vkeys: Type.Array(Type.String()),
  /** Where the files are served as those of a tlog-tiles log. */
  door: Type.String(),
  access: words(['members', 'public']),
  /** What witnesses stand for; null while nothing is anchored. Entries from `size` on are not. */
  anchored: nullable(
    Type.Object({
      size: Type.Integer(),
      via: words(['log', 'instance']),
      witnesses: Type.Array(Type.Object({ name: Type.String(), time: Time })),
    }),
  ),
})
export type LogInfo = Static<typeof LogInfo>
/** Evidence that the log stands under the witnesses; @writ/tlog verifies it without the server. */
export const LogAnchor = Type.Object({
  /** `log`: the log itself was cosigned, and `checkpoint` is the note. `instance`: an entry of the instance log holds its state. */
  via: words(['log', 'instance']),
  checkpoint: Type.String(),
  instance: nullable(
    Type.Object({
      origin: Type.String(),
      vkeys: Type.Array(Type.String()),
      /** The entry's bytes, base64. */
      entry: Type.String(),
      /** The event that the entry commits to, and the salt in hexadecimal. */
      payload: Type.String(),
      salt: Type.String(),
      /** A c2sp.org/tlog-proof file. */
      proof: Type.String(),
      /** How the instance log came to its newest key: who trusts an earlier one follows from there. Earlier servers do not say. */
      key_changes: Type.Optional(Type.Array(Type.String())),
    }),
  ),
})
export type LogAnchor = Static<typeof LogAnchor>
export const Keys = Type.Object({
  logs: Type.Array(
    Type.Object({
      project: nullable(Type.String()),
      origin: Type.String(),
      shard: Type.Integer(),
      closed: Type.Boolean(),
      /** The oldest first; the last one is in use. */
      vkeys: Type.Array(Type.String()),
      /** Until when the key before the last signs beside it; null outside of an overlap. */
      overlap_until: nullable(Time),
    }),
  ),
  signing: Type.Array(
    Type.Object({
      purpose: words(['attestation', 'manifest']),
      keyid: Type.String(),
      public_pem: Type.String(),
      valid_from: Time,
      valid_until: nullable(Time),
    }),
  ),
  /** For ssh-keygen -Y verify. */
  allowed_signers: Type.String(),
})
export type Keys = Static<typeof Keys>
export const RotateKey = command({
  purpose: words(['log', 'attestation', 'manifest']),
  /** Slug of the project whose log it is; the instance's log when left out. */
  project: Type.Optional(Slug),
  overlap_hours: Type.Optional(Type.Integer({ minimum: 0, maximum: 8760 })),
})
export const RotatedKey = Type.Object({
  purpose: words(['log', 'attestation', 'manifest']),
  /** A vkey for a log, a keyid otherwise. */
  old_key: Type.String(),
  new_key: Type.String(),
  overlap_until: nullable(Time),
})
export type RotatedKey = Static<typeof RotatedKey>

// ---- privacy

const ground = Type.String({
  minLength: 3,
  maxLength: 500,
  pattern: lineThatSays,
  description: 'why the law or the person asks for it; it is kept in the log',
})
export const Erase = command({ ground })
export const ErasePayload = command({
  ground,
  shard: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1e6,
      description:
        'the log that has the event, as `GET /audit/logs` numbers them: each counts its entries from 0. Left out, an index is one of the open log, and an id is found in whichever log has it',
    }),
  ),
})
export const EraseUser = command({
  ground,
  preview: Type.Optional(Type.Boolean({ description: 'only count what would be erased' })),
})
/** In a path: the id of an event, or its place in a log, which the body names. */
export const EventRef = Type.String({
  pattern: idMeaning('an id (a UUID) or an index in the log', `^(0|[1-9][0-9]{0,14}|${uuid})$`),
  description: 'id, or index in the log: the open one, or that which the body names as `shard`',
})
export const PayloadErasure = Type.Object({
  event_id: Id,
  shard: nullable(Type.Integer({ description: 'the log of `log_index`' })),
  log_index: nullable(Type.Integer()),
  erased_by_id: Id,
})
export const ArtifactErasure = Type.Object({
  artifact: Artifact,
  erased: Type.Integer({ description: 'artifacts with these bytes, this one included' }),
})
export const UserErasure = Type.Object({
  preview: Type.Boolean(),
  user_id: Id,
  user_number: Type.Integer(),
  logs: Type.Array(
    Type.Object({
      project: Type.String(),
      events: Type.Integer({ description: 'payloads erased, or to be erased' }),
      held: Type.Integer({ description: 'kept, because a legal hold is on what they belong to' }),
    }),
  ),
})
export type UserErasure = Static<typeof UserErasure>
const HoldSubject = words(['ticket', 'run', 'project'])
export const SetHold = command({
  subject_type: HoldSubject,
  subject_id: Type.Optional(Ref),
  reason: Type.String({ minLength: 3, maxLength: 500, pattern: lineThatSays }),
})
export const Hold = Type.Object({
  id: Id,
  subject_type: HoldSubject,
  subject_id: Id,
  subject_number: nullable(Type.Integer()),
  reason: Type.String(),
  set_by_id: Id,
  created_at: Time,
  released_by_id: nullable(Id),
  released_at: nullable(Time),
  release_reason: nullable(Type.String()),
})
export type Hold = Static<typeof Hold>

// ---- retention

export const Log = Type.Object({
  shard: Type.Integer(),
  origin: Type.String(),
  vkey: Type.String(),
  size: Type.Integer(),
  root: Type.String(),
  checkpoint: nullable(Type.String()),
  opened_at: Time,
  closed_at: nullable(Time),
  dropped_at: nullable(Time),
})
export type Log = Static<typeof Log>
export const LogRotated = Type.Object({ closed: Log, opened: Log })
export const LogDropped = Type.Object({
  state: words(['requested', 'dropped'], { description: 'requested: another admin has to ask for the same' }),
  log: Log,
})

// ---- webhooks

export const WebhookFormat = words(['cloudevents', 'slack', 'feishu', 'email'])
export type WebhookFormat = Static<typeof WebhookFormat>
const Patterns = Type.Array(Type.String({ pattern: EVENT_PATTERN, maxLength: 60 }), {
  minItems: 1,
  maxItems: 50,
  uniqueItems: true,
  description: 'event types, groups such as run.*, or *',
})
const HandlerNames = Type.Array(Type.String({ pattern: HANDLER_NAME }), {
  maxItems: 50,
  uniqueItems: true,
  description: 'it is told how tasks of these handlers ended, unless their dispatch named a callback',
})
// Sealed at once, and kept nowhere else: a redacted one would be another one.
const DestinationUrl = Type.String({
  minLength: 8,
  maxLength: 2000,
  pattern: meaning('an address that begins with https://, http:// or mailto:', '^(https?://|mailto:)'),
  description: 'https://...; mailto:a@example.com,b@example.com for e-mail',
  ...writeOnly,
})
const OwnHeaders = Type.Unsafe<Record<string, string>>({
  type: 'object',
  maxProperties: 20,
  propertyNames: { pattern: meaning('1 to 64 letters, digits and -', '^[A-Za-z0-9-]{1,64}$') },
  additionalProperties: {
    type: 'string',
    maxLength: 2000,
    pattern: meaning('printable ASCII, or nothing', '^[\\x20-\\x7e]*$'),
  },
  description: 'sent with each message; values are never shown again',
  ...writeOnly,
})
export const Webhook = Type.Object({
  id: Id,
  name: Type.String(),
  format: WebhookFormat,
  url: Type.String({
    description: 'as much as may be seen: no query, of chats only the host, of e-mail only the domains',
  }),
  events: Type.Array(Type.String()),
  header_names: Type.Array(Type.String()),
  state: words(['active', 'disabled']),
  disabled_reason: nullable(Type.String({ description: 'what the person said who disabled it, or the server' })),
  disabled_by_id: nullable(Id),
  failing_since: nullable(Time),
  previous_secret_until: nullable(Time),
  handlers: HandlerNames,
  ordered: Type.Boolean({ description: 'each message waits until the one before it was taken or given up' }),
  held_up_by: nullable(
    Type.String({
      description: 'of an ordered webhook: the delivery that failed and is tried again, before all others',
    }),
  ),
  created_by_id: Id,
  created_at: Time,
  updated_at: Time,
})
export type Webhook = Static<typeof Webhook>
export const CreatedWebhook = Type.Intersect([
  Webhook,
  Type.Object({ secret: nullable(Type.String({ description: 'whsec_..., shown once; null for chat programs' })) }),
])
export const CreateWebhook = command({
  name: line(100),
  url: DestinationUrl,
  events: Type.Optional(Patterns),
  handlers: Type.Optional(HandlerNames),
  ordered: Type.Optional(Type.Boolean({ default: false })),
  format: Type.Optional(WebhookFormat),
  headers: Type.Optional(OwnHeaders),
  bot_secret: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'of a Feishu or Lark bot that checks signatures',
      ...writeOnly,
    }),
  ),
})
export const UpdateWebhook = command(
  {
    name: Type.Optional(line(100)),
    url: Type.Optional(DestinationUrl),
    events: Type.Optional(Patterns),
    headers: Type.Optional(OwnHeaders),
    handlers: Type.Optional(HandlerNames),
    ordered: Type.Optional(Type.Boolean()),
    state: Type.Optional(words(['active', 'disabled'])),
    reason: Type.Optional(text(2000)),
  },
  { minProperties: 1, dependentRequired: { reason: ['state'] } },
)
export const DeliveryState = words(['waiting', 'delivered', 'failed'])
export type DeliveryState = Static<typeof DeliveryState>
export const Delivery = Type.Object({
  id: Id,
  webhook_id: Id,
  event_id: Id,
  event_type: Type.String(),
  state: DeliveryState,
  replay_of: nullable(Id),
  next_attempt_at: nullable(Time),
  attempts: Type.Array(
    Type.Object({
      attempt: Type.Integer(),
      at: Time,
      duration_ms: Type.Integer(),
      status: nullable(Type.Integer()),
      error: nullable(Type.String()),
      answer: Type.String({ description: 'the first bytes, without secrets and control characters' }),
    }),
  ),
  created_at: Time,
  settled_at: nullable(Time),
})
export type Delivery = Static<typeof Delivery>
export const ReplayDeliveries = command({
  delivery_ids: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: 100 })),
  state: Type.Optional(DeliveryState),
  event_type: Type.Optional(Type.String({ maxLength: 60 })),
  since: Type.Optional(Time),
  until: Type.Optional(Time),
  preview: Type.Optional(Type.Boolean({ description: 'only count' })),
})
export const Replayed = Type.Object({
  matched: Type.Integer(),
  replayed: Type.Integer({ description: 'at most 1000 a request, the oldest first' }),
})
