import type { ErrorCode, Problem } from '@writ/api'
import { errors } from '@writ/api/errors'

/** A field that the server refused, as in `errors[]` of the problem. */
export type FieldProblem = NonNullable<Problem['errors']>[number]

/** A refusal by the server. `code` is the contract; sentences may be reworded. */
export class WritError extends Error {
  override readonly name = 'WritError'
  /** A code of the error table, or `HTTP_<status>` when something between here and the server answered. */
  readonly code: ErrorCode | `HTTP_${number}`
  readonly status: number
  /** One sentence for people. */
  readonly detail: string
  readonly fields: readonly FieldProblem[]
  /** Find the request in the server's log under this id; empty when none was answered. */
  readonly request_id: string
  /** The same request may be sent again unchanged. */
  readonly retryable: boolean
  /** The thing that a repeated request made the first time, when its secret cannot be shown again. */
  readonly resource_id: string | undefined

  constructor(problem: Omit<Problem, 'code'> & { code: WritError['code'] }, resourceId?: string) {
    super(problem.detail)
    this.code = problem.code
    this.status = problem.status
    this.detail = problem.detail
    this.fields = problem.errors ?? []
    this.request_id = problem.request_id
    this.retryable = problem.retryable
    this.resource_id = resourceId
  }
}

/** No answer came: refused, reset, unknown host, or broken off on the way. `cause` holds what fetch threw. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
  /** The system's word for it when there is one, such as `ECONNREFUSED`. */
  readonly reason: string
  readonly url: string
  constructor(url: string, cause: unknown) {
    const reason = reasonOf(cause)
    super(`No answer from ${url}: ${reason}`, { cause })
    this.reason = reason
    this.url = url
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  // Node puts the system error into the cause of a TypeError "fetch failed".
  const inner = cause.cause
  if (inner instanceof Error && 'code' in inner && typeof inner.code === 'string') return inner.code
  return inner instanceof Error ? inner.message : cause.message
}

/** The refusal that a response holds. Reads the body; an answer that is no problem document becomes `HTTP_<status>`. */
export async function refusalOf(response: Response): Promise<WritError> {
  const text = await response.text().catch(() => '')
  const resourceId = response.headers.get('x-resource-id') ?? undefined
  const problem = parseProblem(text)
  if (problem) return new WritError(problem, resourceId)
  const { status } = response
  return new WritError(
    {
      type: 'about:blank',
      title: response.statusText,
      status,
      detail: `The server answered ${status} ${response.statusText}`.trim(),
      instance: '',
      code: `HTTP_${status}`,
      request_id: response.headers.get('x-request-id') ?? '',
      retryable: status === 429 || status === 503,
    },
    resourceId,
  )
}

function parseProblem(text: string): (Omit<Problem, 'code'> & { code: ErrorCode }) | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('code' in value) || typeof value.code !== 'string') {
    return undefined
  }
  const given = value as Partial<Problem> & { code: string } // each field used below is checked or defaulted
  return {
    type: String(given.type ?? ''),
    title: String(given.title ?? ''),
    status: Number(given.status ?? 0),
    detail: String(given.detail ?? given.title ?? given.code),
    instance: String(given.instance ?? ''),
    // A newer server may know codes that this client does not; they are passed on as they are.
    code: given.code as ErrorCode,
    request_id: String(given.request_id ?? ''),
    retryable: given.retryable === true,
    ...(Array.isArray(given.errors) ? { errors: given.errors } : {}),
  }
}

/** Whether a code is one of the published table. */
export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errors, code)
