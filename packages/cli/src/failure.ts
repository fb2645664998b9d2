import { ConnectionLost, WritError } from '@writ/sdk'
import { DigestMismatch } from '@writ/sdk/node'
import { exitCodes } from './exit-codes.ts'
import { safeLine } from './text.ts'

/** An ending that the command line itself decides: what happened, what to do, how to exit. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly advice: string
  readonly exit: number
  readonly code: string | undefined
  constructor(what: string, options: { advice?: string; exit?: number; code?: string } = {}) {
    super(what)
    this.advice = options.advice ?? ''
    this.exit = options.exit ?? exitCodes.failure
    this.code = options.code
  }
}

export const usage = (what: string, advice = 'Add --help for usage and examples.') =>
  new Failure(what, { advice, exit: exitCodes.usage })

// What to do about a refusal, where the server's own sentence does not say.
const advice: Record<string, string> = {
  NOT_AUTHENTICATED: 'Run "writ login", or set WRIT_TOKEN.',
  CREDENTIALS_INVALID: 'The token is expired or revoked: run "writ login".',
  LOGIN_FAILED: 'Check the user name and the password.',
  TOTP_REQUIRED: 'Add --totp with the code of your authenticator.',
  PASSWORD_CHANGE_REQUIRED: 'Run "writ login"; it asks for a new password.',
  ADMIN_REQUIRED: 'Ask an administrator of the project.',
  ROLE_NOT_ALLOWED: 'Ask an administrator of the project for a role that may; "writ whoami" shows yours.',
  ROUTE_NOT_FOUND:
    'The url is that of the server, without /api/v1 or /app. If it is, the server may be older than this command.',
  NOT_A_MEMBER: 'Ask an administrator of the project to add you, or choose another with --project.',
  TOKEN_FOREIGN_PROJECT: 'A token belongs to one project: run "writ login --project <slug>".',
  PROJECT_NOT_FOUND: '"writ project list" shows the projects that you may see.',
  TICKET_NOT_FOUND: '"writ ticket list" shows the tickets that you may see.',
  RUN_NOT_FOUND: '"writ run list" shows the runs that you may see.',
  ASSET_NOT_FOUND: '"writ asset list" shows them.',
  ARTIFACT_NOT_FOUND: '"writ artifact list --run <run>" shows them.',
  TASK_NOT_FOUND: '"writ task list" shows the tasks that you may see; runs on tickets are shown by "writ run show".',
  TASK_DROPPED:
    '"writ project policy" shows how long records are kept; "writ audit list --event tasks.dropped" which went.',
  TASK_NOT_DEAD: '"writ dlq list" shows them; "writ task show" shows any task.',
  TASK_UNKNOWN_HANDLER: '"writ handler list" shows what can be dispatched.',
  HANDLER_UNKNOWN: '"writ handler list" shows them.',
  QUEUE_UNKNOWN: '"writ queue list" shows them; before its first task a queue is paused or limited with --create.',
  BATCH_NOT_FOUND: '"writ batch list" shows them.',
  SCHEDULE_NOT_FOUND: '"writ schedule list" shows them.',
  WEBHOOK_NOT_FOUND: '"writ webhook list" shows them.',
  HOLD_NOT_FOUND: '"writ hold list" shows them.',
  DEAD_LETTERS_UNFILTERED: 'Name them, or give --queue, --handler, --code, --since or --until.',
  KEY_LIMIT_EMPTY: 'Give --concurrency, --rate or both; "none" is any number.',
  EVENT_NOT_FOUND: '"writ audit list" shows them, with their places in the log.',
  USER_NOT_FOUND: '"writ user list" shows them.',
  TOKEN_NOT_FOUND: '"writ token list" shows them.',
  SCRIPT_UNKNOWN: '"writ rules scripts" shows what can be run.',
  RUN_SETTLED: 'Run "writ run verify <run>".',
  APPROVER_EXCLUDED: 'Somebody else must decide.',
  APPROVAL_IN_PERSON: 'Approve in the console, or run "writ approve ticket <ticket> --ssh-key <file>".',
  ACTION_NEEDS_APPROVAL: 'An approver runs "writ ticket approve <ticket>".',
  SIGNING_KEY_NOT_ENROLLED: '"writ signing-key list" shows yours, and in which state they are.',
  APPROVAL_STALE: 'Read the ticket again with "writ ticket show", then approve.',
  SECRET_SHOWN_ONCE: 'Rotate or reset it to get a new one.',
  RATE_LIMITED: 'Wait a moment and try again.',
  ARTIFACT_DELETED: 'Its record is still shown by "writ artifact show".',
}

/** The exit code that an error stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Failure) return error.exit
  if (error instanceof DigestMismatch) return exitCodes.verificationFailed
  if (error instanceof DOMException && error.name === 'AbortError') return exitCodes.interrupted
  if (!(error instanceof WritError)) return exitCodes.failure
  if (error.code === 'ACTION_NEEDS_APPROVAL') return exitCodes.waitingForApproval
  if (error.status === 401 || error.status === 403) return exitCodes.notAllowed
  return inputRefused.has(error.status) && !refusedForNow.has(error.code) ? exitCodes.usage : exitCodes.failure
}

/** What was given is wrong by itself. Elsewhere it is what there is, or the state that it is in, that does not fit. */
const inputRefused: ReadonlySet<number> = new Set([400, 413, 415, 416, 422, 431])

/** Documented with the status of bad input, but refused for what is there: the same may be taken tomorrow. */
const refusedForNow: ReadonlySet<string> = new Set([
  'COOKIE_NEEDS_TLS',
  'EMAIL_TAKEN',
  'INVITE_INVALID',
  'SERIAL_TAKEN',
  'TICKET_NOT_SUBMITTED',
  'UPLOAD_INTERRUPTED',
  'USERNAME_TAKEN',
])

/** An error as one line: what happened, what to do, code and request id. */
export function failureLine(error: unknown): string {
  const { what, todo, code, request } = describe(error)
  const marks = [code, request ? `request ${request}` : ''].filter(Boolean).join(', ')
  const sentences = [what.replace(/(?<![?!])[.\s]*$/, '.'), todo].filter(Boolean).join(' ')
  return safeLine(`writ: ${sentences}${marks ? ` [${marks}]` : ''}`)
}

function describe(error: unknown): { what: string; todo?: string; code?: string | undefined; request?: string } {
  if (error instanceof Failure) return { what: error.message, todo: error.advice, code: error.code }
  if (error instanceof WritError) {
    // Tasks count with the runs, and have addresses of their own.
    const task = error.code === 'HTTP_307' ? /\/tasks\/([\w-]+)/.exec(error.detail)?.[1] : undefined
    if (task !== undefined) return { what: `Run ${task} is a task`, todo: `"writ task show ${task}" shows it.` }
    if (error.code === 'IDEMPOTENCY_IN_FLIGHT' && error.cause instanceof ConnectionLost)
      return {
        what: `The connection was lost (${error.cause.reason}), and the server still works on what it was asked`,
        todo: 'Look whether it was done before you give the command again.',
        code: error.code,
        request: error.request_id,
      }
    // Some sentences say already what is wrong with a field.
    const fields = error.fields
      .filter(({ message }) => !error.detail.includes(message))
      .map(({ path, message }) => `${path}: ${message}`)
    return {
      what: [error.detail.replace(/\.$/, ''), ...fields].join('; '),
      todo: advice[error.code] ?? (error.retryable ? 'Try again.' : ''),
      code: error.code,
      request: error.request_id,
    }
  }
  if (error instanceof ConnectionLost) {
    const { origin } = new URL(error.url)
    const known = lossAdvice(error.reason)
    if (known !== undefined) return { what: `No answer from ${origin}`, todo: known, code: error.reason }
    return {
      what: `No answer from ${origin}`,
      todo: 'Is the server running there? --url, WRIT_URL or "writ context use" choose another.',
      code: error.reason,
    }
  }
  if (error instanceof DigestMismatch) {
    return { what: error.message, todo: 'Nothing was kept; tell whoever runs the server.', code: 'DIGEST_MISMATCH' }
  }
  if (error instanceof DOMException && error.name === 'AbortError') return { what: 'Interrupted' }
  if (!(error instanceof Error)) return { what: String(error) }
  // What Node's fetch says of a body that ends before its end.
  if (error instanceof TypeError && error.message === 'terminated') {
    const { cause } = error
    return {
      what: 'The connection ended before the answer was whole',
      todo: 'Give the command again.',
      code: cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined,
    }
  }
  // Of the operations beside a server, which say no more than that.
  if (error.name === 'DatabaseUnavailable') {
    const why = error.cause instanceof Error ? `: ${error.cause.message}` : ''
    return {
      what: `The database cannot be used now${why}`,
      todo: 'Give the command again when it can.',
      code: 'DATABASE_UNAVAILABLE',
    }
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return { what: fileSentence(error, code) ?? error.message, code }
}

/** There is no such place, or somebody answered there and the two could not agree how to speak. */
function lossAdvice(reason: string | undefined): string | undefined {
  if (reason === undefined) return undefined
  if (reason === 'ENOTFOUND') return 'No host of that name is known here; check the url.'
  if (reason === 'ERR_SSL_WRONG_VERSION_NUMBER' || reason === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'What listens there does not speak HTTPS: try http:// in place of https://.'
  if (reason === 'CERT_HAS_EXPIRED') return 'The certificate of the server has expired; tell whoever runs it.'
  if (reason === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'Its certificate is for another name: is this how the server is called?'
  return /SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/.test(reason)
    ? 'Nobody known here vouches for its certificate. Name the file of the authority that does in NODE_EXTRA_CA_CERTS.'
    : undefined
}

function fileSentence(error: Error, code: string | undefined): string | undefined {
  const path = 'path' in error && typeof error.path === 'string' ? error.path : undefined
  if (path === undefined) return undefined
  if (code === 'ENOENT') return `There is no file ${path}`
  if (code === 'EACCES') return `${path} may not be read or written by you`
  return undefined
}
