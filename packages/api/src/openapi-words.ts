/** What the API document says beside its tables: how to begin, what each group is about, and parameters that mean the same wherever they stand. */

export const introduction = (prefix: string): string => `Runs with warrant, evidence and a log that outsiders verify.

**Who asks.** \`Authorization: Bearer\` with the token of \`POST ${prefix}/auth/login\` or with an API token (\`POST ${prefix}/tokens\`), which also goes as \`X-API-Token\`.
Browsers have a session cookie instead (\`POST ${prefix}/auth/session\`).

**Where.** \`X-Project\` names the project by its slug; without it, it is \`default\`. What another project has is not found.

**Ids.** Whatever has an \`id\` (UUIDv7) and a \`number\` can be named by either, in paths, queries and bodies. A UUID is taken in whatever case.

**Lists.** With \`skip\` and \`limit\` an array, and how many there are in all as \`X-Total-Count\`. With \`cursor=\` pages of \`{items, next_cursor}\`: nothing is left out or comes twice
while rows are added; the next page is asked for with \`cursor\` set to \`next_cursor\`, and null says that this was the last.

**Again.** A POST with an \`Idempotency-Key\` may be sent again: the same body gets the first answer with \`Idempotency-Replayed: true\`, another body 422.

**Refusals** are problem details (RFC 9457) with a stable \`code\`; \`retryable\` says whether the same request may work later, \`Retry-After\` when. Unknown fields in bodies are refused.`

/** By tag. */
export const groups: Readonly<Record<string, string>> = {
  system: 'Whether the server is there.',
  auth: 'Logging in and out, sessions, passwords, one-time codes, registration.',
  users: 'Who may ask, and who was invited.',
  tokens: 'Keys for programs that act in your name.',
  projects: 'Fences around tickets, runs, people and their log; their members and policy.',
  assets: 'Devices and services that tickets touch.',
  tickets: 'What somebody promises to do, and who agreed.',
  runs: 'What was done on a ticket, with what evidence.',
  rules: 'What evidence must satisfy.',
  artifacts: 'The bytes of evidence, kept exactly.',
  audit: 'Who did what, and the log that proves it.',
  'signing keys': 'Keys with which people sign what they approve.',
  evidence: 'What an outsider needs to check it all without this server.',
  privacy: 'Erasure, legal holds, closing and dropping of logs.',
  keys: 'Public keys that logs, attestations and manifests are signed with.',
  webhooks: 'Whom the server tells of what happens, and how that went.',
  events: 'What happens, as it happens: lists, server-sent events, WebSocket.',
  tasks: 'Named work that is dispatched, done, retried and never lost, and the handlers that it may name.',
  queues: 'Where tasks wait, and what of one concurrency key may run at once, and start in a while.',
  'dead letters': 'Tasks that failed for good.',
  schedules: 'Times that dispatch a task.',
  workers: 'For programs that do tasks outside of the servers.',
  insight: 'How runs ended, over time.',
  dispatch: 'The documented paths of the gateway that Writ replaces.',
}

/** Where the schema of a parameter says nothing of its own. */
export const parameters: Readonly<Record<string, string>> = {
  skip: 'so many are left out, from the first on; for long lists use `cursor`',
  limit: 'at most so many',
  q: 'text that stands somewhere in it, whatever its case',
  state: 'only those in this state',
  status: 'only those with this status',
  verdict: 'only those with this verdict',
  role: 'only those with this role; of an upload, whether the file shows how it was before or after',
  is_active: 'whether they may log in',
  asset_type: 'only those of this type',
  script_id: 'only those of this check, such as `proof.file_hash` or `rules.access-switch`',
  kind: 'only those of this kind, such as `proof`',
  event_type: 'only these events, such as `ticket.approved`',
  resource_type: 'only what happened to these, such as `ticket`',
  success: 'only what was done, or only what was denied or failed',
  format: 'JSON Lines or CSV',
  subject: 'what the evidence is of',
  handler: 'only tasks of this handler',
  queue: 'only tasks of this queue',
  tag: 'only tasks with this tag',
  concurrency_key: 'only tasks under this concurrency key',
  unique_key: 'only tasks with this unique key',
  error_code: 'only those that ended with this code',
  timeout: 'seconds; what has not ended by then is answered as it is',
  wait: 'seconds; answered as soon as there is something, or then with nothing',
  attempt: 'of this attempt, from 1; of the newest one when left out',
  after: 'what comes behind the line with this number',
  tail: 'only the newest so many lines',
  artifact_type: 'a word of yours for what the file is',
  description: 'what is to be said about the file',
  sha256: 'what the SHA-256 of the bytes has to be, as 64 hexadecimal digits; others are refused',
  name: 'its name',
  slug: 'the short name of the project',
  path: 'the path of a file in the log',
  shard: 'which log of the project, from 0: each that is closed is continued by the next',
  code: 'as the identity provider sends it',
  iss: 'as the identity provider sends it',
  error: 'as the identity provider sends it',
}
