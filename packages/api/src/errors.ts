/**
 * Every refusal that crosses the wire: code, status, sentence. The code is the contract; clients switch on it, metrics
 * count it, docs/errors.md explains it. `text` may hold `{name}` places that the thrower fills. Sentences of the
 * documented systems are kept to the letter, because their clients compare them.
 */
export const errors = {
  // the request itself
  VALIDATION_FAILED: { status: 422, text: 'The request does not fit the schema of this operation.' },
  BODY_INVALID: { status: 400, text: 'The body is not valid JSON.' },
  BODY_TOO_LARGE: { status: 413, text: 'The body is larger than this operation accepts.' },
  MEDIA_TYPE_UNSUPPORTED: { status: 415, text: 'This operation does not take that content type.' },
  FILE_MISSING: { status: 422, text: 'The request must carry one multipart part called "file".' },
  FILES_TOO_MANY: { status: 422, text: 'An upload carries one file; nothing was kept.' },
  MULTIPART_INVALID: { status: 400, text: 'The body is not well-formed multipart form data; nothing was kept.' },
  CURSOR_INVALID: { status: 422, text: 'The cursor was not made by this list, or its filters changed.' },
  ROUTE_NOT_FOUND: { status: 404, text: 'Not Found' },
  METHOD_NOT_ALLOWED: { status: 405, text: 'Method Not Allowed' },
  RATE_LIMITED: { status: 429, text: 'Too Many Requests' },
  IP_NOT_ALLOWED: { status: 403, text: 'IP not allowed' },
  IDEMPOTENCY_KEY_INVALID: { status: 422, text: 'Idempotency-Key must be 1 to 200 visible ASCII characters.' },
  IDEMPOTENCY_MISMATCH: { status: 422, text: 'This Idempotency-Key was used with another request body.' },
  IDEMPOTENCY_IN_FLIGHT: { status: 409, text: 'A request with this Idempotency-Key is still being answered.' },
  SECRET_SHOWN_ONCE: { status: 409, text: 'This request was done before; its secret was shown once and is not kept.' },

  // who asks
  NOT_AUTHENTICATED: { status: 401, text: 'Not authenticated' },
  CREDENTIALS_INVALID: { status: 401, text: 'Could not validate credentials' },
  LOGIN_FAILED: { status: 401, text: 'Incorrect username or password' },
  TOTP_REQUIRED: { status: 401, text: 'This account needs a one-time code: send "totp".' },
  USER_INACTIVE: { status: 403, text: 'User is inactive' },
  PASSWORD_CHANGE_REQUIRED: { status: 403, text: 'The one-time password must be changed first: POST /auth/password.' },
  CSRF_FAILED: { status: 403, text: 'The X-CSRF-Token header or the Origin does not belong to this session.' },
  OIDC_NOT_CONFIGURED: { status: 404, text: 'This server has no identity provider to log in at.' },
  OIDC_FAILED: { status: 401, text: 'The login at the identity provider did not succeed: {reason}.' },
  COOKIE_NEEDS_TLS: { status: 400, text: 'Cookie login needs HTTPS or localhost; use a bearer token here.' },
  ADMIN_REQUIRED: { status: 403, text: 'Not enough permissions. Admin role required.' },
  ROLE_NOT_ALLOWED: { status: 403, text: 'Your role in this project does not allow this.' },
  SCOPE_NOT_ALLOWED: { status: 403, text: 'This token does not carry the scope "{scope}".' },
  INSTANCE_ADMIN_REQUIRED: { status: 403, text: 'Only an instance administrator may do this.' },
  NOT_A_MEMBER: { status: 403, text: 'You are not a member of this project.' },
  TOKEN_FOREIGN_PROJECT: { status: 403, text: 'This token belongs to another project.' },
  TOKEN_IP_NOT_ALLOWED: { status: 403, text: 'This token may not be used from this address.' },
  REGISTRATION_CLOSED: { status: 403, text: 'Registration is closed; ask an administrator for an invitation.' },
  INVITE_INVALID: { status: 400, text: 'The invitation is unknown, used or expired.' },
  USERNAME_TAKEN: { status: 400, text: 'Username already exists' },
  EMAIL_TAKEN: { status: 400, text: 'Email already registered' },
  PASSWORD_WEAK: { status: 422, text: 'The password must have {min} to {max} characters and not be a common one.' },
  PASSWORD_WRONG: { status: 403, text: 'The current password is not right.' },
  TOTP_INVALID: { status: 403, text: 'The one-time code is not right.' },
  TOTP_ALREADY_ON: { status: 409, text: 'One-time codes are on already; switch them off first.' },
  LAST_ADMIN: { status: 409, text: 'This would leave nobody to administer; name another administrator first.' },

  // things that are not there
  USER_NOT_FOUND: { status: 404, text: 'User not found' },
  TOKEN_NOT_FOUND: { status: 404, text: 'Token not found' },
  SESSION_NOT_FOUND: { status: 404, text: 'Session not found' },
  INVITE_NOT_FOUND: { status: 404, text: 'Invitation not found' },
  PROJECT_NOT_FOUND: { status: 404, text: 'Project not found' },
  ASSET_NOT_FOUND: { status: 404, text: 'Asset not found' },
  TICKET_NOT_FOUND: { status: 404, text: 'Ticket not found' },
  RUN_NOT_FOUND: { status: 404, text: 'Run not found' },
  ARTIFACT_NOT_FOUND: { status: 404, text: 'Artifact not found' },
  POLICY_CHANGE_NOT_FOUND: { status: 404, text: 'Policy change not found' },
  LOG_FILE_NOT_FOUND: { status: 404, text: 'The log has no such file.' },
  LOG_NOT_ANCHORED: { status: 404, text: 'No witness has cosigned a state of this log yet.' },

  // projects
  PROJECT_EXISTS: { status: 409, text: 'A project with this slug exists.' },
  POLICY_UNSATISFIABLE: { status: 422, text: 'Nobody could satisfy this policy: {reason}.' },
  POLICY_CHANGE_SETTLED: { status: 409, text: 'This policy change was decided or withdrawn already.' },
  APPROVER_EXCLUDED: { status: 403, text: 'Four eyes: {reason}.' },
  APPROVAL_USED: { status: 409, text: 'This approval was used already.' },
  APPROVAL_EXPIRED: { status: 409, text: 'This approval has expired.' },
  APPROVAL_STALE: { status: 409, text: 'What was approved has changed since.' },
  KEY_ROTATION_UNDERWAY: { status: 409, text: 'The overlap of the last rotation of this key has not ended.' },

  // signatures of people
  SIGNATURE_REQUIRED: {
    status: 409,
    text: 'The policy of this project asks for the approver\'s own signature: use a passkey at /approve/{ticket}, or "writ approve --ssh-key".',
  },
  SIGNATURE_INVALID: { status: 422, text: 'The signature is not valid: {reason}.' },
  SIGNATURE_LATE: { status: 409, text: 'The statement had to be signed before {time}; ask for a new one.' },
  SIGNING_KEY_NOT_FOUND: { status: 404, text: 'Signing key not found' },
  SIGNING_KEY_NOT_ENROLLED: {
    status: 409,
    text: 'This signing key is {state}; only an enrolled one of your own signs.',
  },
  SIGNING_KEY_TAKEN: { status: 409, text: 'This key is proposed or enrolled in this project already.' },
  SIGNING_KEY_SETTLED: { status: 409, text: 'This signing key is {state} already.' },
  SIGNING_KEY_DENIED: { status: 403, text: 'Only the owner of the key or an admin may do this.' },
  SIGNING_KEY_UNSUPPORTED: { status: 422, text: 'This key cannot be used: {reason}.' },

  // assets and tickets
  SERIAL_TAKEN: { status: 400, text: 'Asset with this serial number already exists' },
  ASSIGNEE_INACTIVE: { status: 422, text: 'This person was deactivated, and can be assigned nothing.' },
  ASSET_UPDATE_DENIED: { status: 403, text: 'Not authorized to update this asset' },
  TICKET_VIEW_DENIED: { status: 403, text: 'Not authorized to view this ticket' },
  TICKET_UPDATE_DENIED: { status: 403, text: 'Not authorized to update this ticket' },
  TICKET_STATUS_BY_PATCH: {
    status: 409,
    text: 'A status is reached by its own operation (submit, approve, reject, close, reopen), never by PATCH.',
  },
  TICKET_NOT_SUBMITTED: { status: 400, text: 'Ticket must be in SUBMITTED status to be approved (current: {status})' },
  TICKET_MOVE_ILLEGAL: { status: 409, text: 'A ticket that is {status} cannot be moved to {to}.' },
  TICKET_CLOSED: { status: 409, text: 'The ticket is closed; reopen it first.' },

  // runs and evidence
  RUN_VIEW_DENIED: { status: 403, text: 'Not authorized to view this run' },
  RUN_TICKET_DENIED: { status: 403, text: 'Not authorized to run on this ticket' },
  RUN_SETTLED: {
    status: 409,
    text: 'The run is settled; open a new one with POST /runs/:id/verify, which may take more files.',
  },
  RUN_NOT_SETTLED: { status: 409, text: 'A run that is {state} cannot be verified again.' },
  RUN_NOT_CANCELLABLE: { status: 409, text: 'A run that is {state} cannot be cancelled.' },
  ACTION_NEEDS_APPROVAL: { status: 400, text: 'Ticket must be approved before running action runs' },
  ACTION_ADMIN_ONLY: { status: 403, text: 'Only admins can trigger action runs' },
  KIND_NOT_AVAILABLE: { status: 409, text: 'This server has no runs of kind "{kind}".' },
  SCRIPT_UNKNOWN: { status: 422, text: 'No script or rule set is called "{script}" here.' },
  RULE_SET_INVALID: { status: 422, text: 'The rule set is not valid.' },
  ARTIFACT_UPLOAD_DENIED: { status: 403, text: 'Not authorized to upload artifacts for this run' },
  ARTIFACT_VIEW_DENIED: { status: 403, text: 'Not authorized to view this artifact' },
  ARTIFACTS_VIEW_DENIED: { status: 403, text: 'Not authorized to view artifacts for this run' },
  ARTIFACT_DELETE_DENIED: { status: 403, text: 'Not authorized to delete this artifact' },
  ARTIFACT_DELETED: { status: 410, text: 'Artifact has been deleted' },
  ARTIFACT_TOO_LARGE: { status: 413, text: 'File size exceeds maximum allowed size of {limit}MB' },
  ARTIFACT_UNEXPECTED: { status: 422, text: 'The run expects other files: {expected}.' },
  RANGE_NOT_SATISFIABLE: { status: 416, text: 'The artifact has {size} bytes.' },
  UPLOAD_INTERRUPTED: { status: 400, text: 'The upload ended before its end; nothing was kept.' },

  // privacy
  SECRET_IN_ARTIFACT: {
    status: 422,
    text: 'The file holds what looks like a secret ({kinds}), which the policy of this project does not take; nothing was kept.',
  },
  LEGAL_HOLD: { status: 409, text: 'Legal hold {hold} on {subject} does not allow this.' },
  HOLD_NOT_FOUND: { status: 404, text: 'Legal hold not found' },
  HOLD_RELEASED: { status: 409, text: 'This legal hold was released already.' },
  EVENT_NOT_FOUND: { status: 404, text: 'Audit event not found' },
  EVENT_NOT_ERASABLE: { status: 409, text: 'Events of type {type} explain the log itself and are not erased.' },
  PAYLOAD_ERASED: { status: 410, text: 'The payload of this event was erased.' },
  ARTIFACT_ERASED: { status: 410, text: 'The bytes of this artifact were erased.' },
  LOG_BUSY: { status: 409, text: 'The log cannot be closed now: {reason}.' },
  LOG_NOT_DROPPABLE: { status: 409, text: 'Only the oldest closed log of a project can be dropped.' },
  USER_STILL_ACTIVE: { status: 409, text: 'Deactivate the user first; an account in use cannot be erased.' },
  // webhooks and events
  WEBHOOK_NOT_FOUND: { status: 404, text: 'Webhook not found' },
  WEBHOOK_NOT_ACTIVE: { status: 409, text: 'This webhook is disabled; enable it first.' },
  WEBHOOK_UNSIGNED: {
    status: 409,
    text: 'Messages in the form {format} are not signed by us; there is no secret to replace.',
  },
  MAIL_NOT_CONFIGURED: { status: 409, text: 'This server has no mail server to send with.' },
  DESTINATION_REFUSED: { status: 422, text: 'This server may not call that address: {reason}.' },
  REPLAY_UNFILTERED: { status: 422, text: 'Say which deliveries: by id, or by state, event type or time.' },
  UPGRADE_REQUIRED: { status: 426, text: 'This is a WebSocket: open it as one.' },
  SEQUENCE_INVALID: { status: 422, text: 'This is no sequence of an event: {sequence}.' },

  // tasks and queues
  TASK_NOT_FOUND: { status: 404, text: 'Task not found' },
  TASK_NOT_SETTLED: { status: 409, text: 'A task has evidence once it has ended; this one has not.' },
  TASK_VIEW_DENIED: { status: 403, text: 'Not authorized to view this task' },
  ATTEMPT_NOT_FOUND: { status: 404, text: 'The task has had no such attempt.' },
  TASK_UNKNOWN_HANDLER: { status: 422, text: 'No handler is called "{handler}" here.' },
  TASK_INPUT_INVALID: { status: 422, text: 'The input does not fit the schema of the handler "{handler}".' },
  TASK_INPUT_TOO_LARGE: {
    status: 413,
    text: 'The input of a task may have {limit} bytes; hand in more as an artifact.',
  },
  TASK_TIMES_INVALID: {
    status: 422,
    text: 'The deadline must be later than now and than the time of the first start.',
  },
  TASK_NOT_CANCELLABLE: { status: 409, text: 'A task that is {state} cannot be cancelled.' },
  TASK_NOT_DEAD: { status: 409, text: 'This task is not among the dead letters.' },
  DEAD_LETTERS_UNFILTERED: {
    status: 422,
    text: 'Say which dead letters: by id, queue, handler, error code or time.',
  },
  RUNS_UNFILTERED: { status: 422, text: 'Say which runs: by check, ticket, asset, time or a text.' },
  TASKS_UNFILTERED: { status: 422, text: 'Say which tasks: by queue, handler, error code, tag, cost or time.' },
  TASK_CALLBACK_REFUSED: { status: 422, text: 'This callback cannot be called: {reason}.' },
  QUEUE_UNKNOWN: { status: 404, text: 'This project has no queue called "{queue}".' },
  HANDLER_UNKNOWN: { status: 404, text: 'This project has no handler called "{handler}".' },
  HANDLER_DISABLED: { status: 409, text: 'The handler "{handler}" is disabled.' },
  HANDLER_NAME_TAKEN: { status: 409, text: 'There is a handler called "{handler}" already.' },
  HANDLER_CONTRACT_INVALID: { status: 422, text: 'The contract of a handler is none: {reason}.' },
  LEASE_LOST: { status: 409, text: 'This lease does not hold any more; somebody else has the task, or will.' },
  LOG_GAP: {
    status: 409,
    text: 'Lines are missing: {told} of this lease are known, and these begin with {first}, {left_out} before them left out.',
  },
  STEP_INVALID: { status: 422, text: 'This is no step: {reason}.' },
  DISPATCH_DENIED: { status: 403, text: 'Whoever dispatched this task may not dispatch tasks any more.' },
  NOT_A_CHILD: { status: 422, text: 'Task {task} was not dispatched by this one.' },
  HANDLER_UNSIGNED: { status: 409, text: 'The handler "{handler}" is not called over HTTP, so it has no secret.' },
  HANDLER_NOT_REMOVABLE: { status: 409, text: 'The handler "{handler}" is the server\'s own; it can be disabled.' },
  LEASE_INVALID: { status: 422, text: 'This is no lease that this server gave for this project.' },
  TASK_DEPENDENCY_UNKNOWN: { status: 422, text: 'There is no task {task} that this one could wait for.' },
  TASK_DEPENDENCY_INVALID: { status: 422, text: 'This dispatch contradicts itself: {reason}.' },
  TASK_UNIQUE_INVALID: { status: 422, text: 'This dispatch contradicts itself: {reason}.' },
  TASK_DUPLICATE: { status: 409, text: 'Task {task} with the unique key "{key}" has not ended.' },
  BATCH_NOT_FOUND: { status: 404, text: 'Batch not found' },
  KEY_PAUSE_INVALID: { status: 422, text: 'A pause must end later than now.' },
  KEY_LIMIT_EMPTY: { status: 422, text: 'A limit says a concurrency, a rate or both.' },
  KEY_LIMIT_OVER: { status: 422, text: 'A limit must end later than now.' },
  KEY_LIMITS_EXHAUSTED: { status: 409, text: 'This key has limits of {most} handlers already.' },
  COST_INVALID: { status: 422, text: 'This is no cost: {reason}.' },

  // schedules
  SCHEDULE_NOT_FOUND: { status: 404, text: 'Schedule not found' },
  SCHEDULE_NAME_TAKEN: { status: 409, text: 'This project has a schedule called "{name}" already.' },
  SCHEDULE_TIMES_INVALID: { status: 422, text: 'These times cannot be: {reason}.' },
  SCHEDULE_CHANGED: { status: 409, text: 'Somebody changed this schedule meanwhile; read it again.' },
  SCHEDULE_ENDED: { status: 409, text: 'This schedule has no time ahead; give it new times first.' },

  // insight
  INSIGHT_PERIOD_INVALID: { status: 422, text: 'The period must begin before it ends and be no longer than 400 days.' },
  INSIGHT_TOO_LARGE: {
    status: 422,
    text: 'This period holds too many handlers and queues; ask for a shorter one, or for one handler or queue.',
  },

  // the house
  DATABASE_UNAVAILABLE: { status: 503, text: 'The database cannot be reached or written; nothing was changed.' },
  STORAGE_UNAVAILABLE: { status: 503, text: 'The artifact store cannot be reached or written; nothing was kept.' },
  LOG_UNAVAILABLE: { status: 503, text: 'The files of the log cannot be reached; nothing was changed.' },
  LOG_BEHIND: {
    status: 503,
    text: 'Events have been waiting for the log for {seconds} seconds; this is not done until they are in it.',
  },
  SHUTTING_DOWN: { status: 503, text: 'The server is stopping.' },
  INTERNAL: { status: 500, text: 'Something went wrong in the server; the log has the details under this request id.' },
} as const satisfies Record<string, { status: number; text: string }>

export type ErrorCode = keyof typeof errors

/** Codes after which the same request may be sent again unchanged. */
export const retryable: ReadonlySet<ErrorCode> = new Set([
  'RATE_LIMITED',
  'IDEMPOTENCY_IN_FLIGHT',
  'DATABASE_UNAVAILABLE',
  'STORAGE_UNAVAILABLE',
  'LOG_UNAVAILABLE',
  'LOG_BEHIND',
  'SHUTTING_DOWN',
  'UPLOAD_INTERRUPTED',
])
