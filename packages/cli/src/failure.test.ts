import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, errors } from '@writ/api'
import { ConnectionLost, WritError } from '@writ/sdk'
import { exitCodeOf, failureLine } from './failure.ts'

const refusal = (code: ErrorCode) =>
  new WritError({
    type: `/docs/errors#${code}`,
    title: '',
    detail: '',
    status: errors[code].status,
    code,
    instance: '',
    request_id: '',
    retryable: false,
  })

// What is new is put where it belongs: scripts tell these apart.
const INPUT = `ARTIFACT_TOO_LARGE ARTIFACT_UNEXPECTED ASSIGNEE_INACTIVE BODY_INVALID BODY_TOO_LARGE
COST_INVALID CURSOR_INVALID DEAD_LETTERS_UNFILTERED DESTINATION_REFUSED FILES_TOO_MANY FILE_MISSING HANDLER_CONTRACT_INVALID
HEADERS_TOO_LARGE IDEMPOTENCY_KEY_INVALID IDEMPOTENCY_MISMATCH INSIGHT_PERIOD_INVALID INSIGHT_TOO_LARGE KEY_LIMIT_EMPTY KEY_LIMIT_OVER
KEY_PAUSE_INVALID LEASE_INVALID MEDIA_TYPE_UNSUPPORTED MULTIPART_INVALID NOT_A_CHILD PASSWORD_WEAK POLICY_UNSATISFIABLE
RANGE_NOT_SATISFIABLE REPLAY_UNFILTERED REQUEST_MALFORMED RULE_SET_INVALID RUNS_UNFILTERED SCHEDULE_TIMES_INVALID SCRIPT_UNKNOWN
SECRET_IN_ARTIFACT SEQUENCE_INVALID SIGNATURE_INVALID SIGNING_KEY_UNSUPPORTED STEP_INVALID TASKS_UNFILTERED TASK_CALLBACK_REFUSED
TASK_DEPENDENCY_INVALID TASK_DEPENDENCY_UNKNOWN TASK_INPUT_INVALID TASK_INPUT_TOO_LARGE TASK_TIMES_INVALID TASK_UNIQUE_INVALID
TASK_UNKNOWN_HANDLER TRIAL_TOO_MUCH VALIDATION_FAILED`.split(/\s/)
const WHO =
  `ACTION_ADMIN_ONLY ADMIN_REQUIRED APPROVAL_IN_PERSON APPROVER_EXCLUDED ARTIFACTS_VIEW_DENIED ARTIFACT_DELETE_DENIED ARTIFACT_UPLOAD_DENIED
ARTIFACT_VIEW_DENIED ASSET_UPDATE_DENIED CREDENTIALS_INVALID CSRF_FAILED DISPATCH_DENIED INSTANCE_ADMIN_REQUIRED IP_NOT_ALLOWED
LOGIN_FAILED NOT_AUTHENTICATED NOT_A_MEMBER OIDC_FAILED PASSWORD_CHANGE_REQUIRED PASSWORD_WRONG REGISTRATION_CLOSED ROLE_NOT_ALLOWED
RUN_TICKET_DENIED RUN_VIEW_DENIED SCOPE_NOT_ALLOWED SESSION_REQUIRED SIGNING_KEY_DENIED TASK_VIEW_DENIED TICKET_UPDATE_DENIED TICKET_VIEW_DENIED
TOKEN_FOREIGN_PROJECT TOKEN_IP_NOT_ALLOWED TOTP_INVALID TOTP_REQUIRED USER_INACTIVE`.split(/\s/)

test('every refusal exits as it is documented: input 2, whoever asks 3, an approval 4, all else 1', () => {
  const byExit = new Map<number, string[]>()
  // Its keys are the codes.
  for (const code of (Object.keys(errors) as ErrorCode[]).sort()) {
    const exit = exitCodeOf(refusal(code))
    byExit.set(exit, [...(byExit.get(exit) ?? []), code])
  }
  assert.deepEqual(byExit.get(2), INPUT)
  assert.deepEqual(byExit.get(3), WHO)
  assert.deepEqual(byExit.get(4), ['ACTION_NEEDS_APPROVAL'])
  assert.deepEqual([...byExit.keys()].sort(), [1, 2, 3, 4])
})

test('an answer that broke off is told as one, and what to do', () => {
  const cause = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' })
  assert.match(
    failureLine(new TypeError('terminated', { cause })),
    /The connection ended before the answer was whole\. Give the command again\. \[UND_ERR_SOCKET\]/,
  )
})

test('who gave up while the first sending was being answered learns why nobody heard it, and is not told to try again', () => {
  const error = refusal('IDEMPOTENCY_IN_FLIGHT')
  assert.doesNotMatch(failureLine(error), /connection/)
  const cause = Object.assign(new Error('Headers Timeout Error'), { code: 'UND_ERR_HEADERS_TIMEOUT' })
  error.cause = new ConnectionLost('https://writ.example.com/api/v1/tickets', new TypeError('fetch failed', { cause }))
  assert.match(failureLine(error), /connection was lost \(UND_ERR_HEADERS_TIMEOUT\).* Look whether it was done before/)
})

test('why no answer came is told as what it is', () => {
  const url = 'https://writ.example.com/api/v1/auth/me'
  // As Node has it.
  const told = (reason: string) =>
    failureLine(
      new ConnectionLost(url, new TypeError('fetch failed', { cause: Object.assign(new Error(), { code: reason }) })),
    )
  for (const [reason, sentence] of [
    ['ECONNREFUSED', 'Is the server running there?'],
    ['ENOTFOUND', 'No host of that name is known here'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'try http:// in place of https://'],
    ['CERT_HAS_EXPIRED', 'The certificate of the server has expired'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'Its certificate is for another name'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'NODE_EXTRA_CA_CERTS'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'NODE_EXTRA_CA_CERTS'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'NODE_EXTRA_CA_CERTS'],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'NODE_EXTRA_CA_CERTS'],
  ] as const) {
    const line = told(reason)
    assert.ok(line.startsWith('writ: No answer from https://writ.example.com. '), line)
    assert.ok(line.includes(sentence) && line.endsWith(`[${reason}]`), line)
  }
})

test('of a database that was lost during an operation the reason is told', () => {
  const cause = new Error('Connection terminated unexpectedly')
  const error = Object.assign(new Error('database unavailable', { cause }), { name: 'DatabaseUnavailable' })
  assert.equal(
    failureLine(error),
    'writ: The database cannot be used now: Connection terminated unexpectedly. Give the command again when it can. [DATABASE_UNAVAILABLE]',
  )
})
