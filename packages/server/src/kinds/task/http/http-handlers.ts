import { hash } from 'node:crypto'
import type { AddHandler } from '@writ/api'
import { alteredNumber } from '@writ/api/exact-numbers'
import { append } from '../../../audit/index.ts'
import { type Caller, personOf, type Seal, type SealedColumn } from '../../../identity/index.ts'
import { AppError } from '../../../platform/app-error.ts'
import { type Clock, rfc3339 } from '../../../platform/clock.ts'
import type { Tx } from '../../../platform/db/index.ts'
import { type EgressOf, EgressRefused, EgressTimeout } from '../../../platform/egress.ts'
import { retryAfterOf } from '../../../platform/retry-after.ts'
import { traceHeaders } from '../../../platform/tracing.ts'
import { newSecret, signatureHeaders } from '../../../platform/webhook-signature.ts'
import { type Contract, contractOf, requireSchemas } from '../contract.ts'
import { compileSchemas, type Handler, type NamesBehind, type TaskContext, TaskError } from '../handler.ts'
import { resultAltered } from '../outcome.ts'
import * as store from './store.ts'

/** A handler of a project that is an address: each attempt is one signed POST, whose answer is the result. */
export interface HttpHandler extends Handler {
  readonly source: 'http'
  readonly url: string
}

/** The handlers of a project that are called over HTTP. Reads and changes are those of the caller's transaction. */
export interface HttpHandlers {
  find(tx: Tx, names: readonly string[]): Promise<Map<string, HttpHandler>>
  /** By name, all or a part. */
  list(tx: Tx, part?: NamesBehind): Promise<HttpHandler[]>
  count(tx: Tx): Promise<number>
  /** Throws HANDLER_CONTRACT_INVALID, DESTINATION_REFUSED. Before the transaction. */
  examine(project: string, given: AddHandler): Promise<Examined>
  /** Throws HANDLER_NAME_TAKEN. The secret signs what is sent there; it is not told again. */
  add(tx: Tx, caller: Caller, examined: Examined): Promise<{ handler: HttpHandler; secret: string }>
  /** Another secret; for a day both sign. It is not told again. Throws HANDLER_UNKNOWN. */
  rotate(tx: Tx, caller: Caller, name: string): Promise<string>
  /** Tasks that wait for it fail as HANDLER_GONE when their turn comes. Throws HANDLER_UNKNOWN. */
  remove(tx: Tx, caller: Caller, name: string): Promise<void>
}

export interface Examined {
  readonly name: string
  readonly url: string
  /** JSON. */
  readonly contract: string
}

const MAX_ANSWER_BYTES = 1024 * 1024
/** The time of an attempt is what ends a request; this only has to be longer. */
const LONGEST_MS = 2 * 86_400_000
const KNOWN = 1_000
/** Of an answer: what the attempt cost, in US dollars. */
const COST = 'writ-cost-usd'
/** Receivers have so long to learn another secret. */
const OVERLAP_MS = 24 * 3_600_000

const about = (project: string, name: string) => `${project} ${name}`

/** Where sealed secrets of these handlers are. */
export const sealedOfHandlers: readonly SealedColumn[] = ['sealed_secret', 'sealed_previous_secret'].map((column) => ({
  table: 'http_handlers',
  column,
  key: 'name',
  purpose: 'http handlers',
  about: ({ project, key }) => about(project, key),
}))

export function createHttpHandlers(on: { egressOf: EgressOf; seal: Seal; clock: Clock }): HttpHandlers {
  const { egressOf, seal } = on
  // Schemas are compiled once for each contract.
  const contracts = new Map<string, Contract>()

  function contractIn(text: string): Contract {
    const known = contracts.get(text)
    if (known) return known
    const contract = contractOf(JSON.parse(text) as object)
    compileSchemas(contract)
    if (contracts.size >= KNOWN) contracts.clear()
    contracts.set(text, contract)
    return contract
  }

  const handlerOf = (row: store.HttpHandlerRow): HttpHandler => ({
    ...contractIn(row.contract),
    source: 'http',
    url: row.url,
    run: (input, ctx) => call(on, { url: row.url, secrets: secretsOf(row) }, input, ctx),
  })

  /** The newest first. */
  function secretsOf(row: store.HttpHandlerRow): string[] {
    const open = (sealed: string) => seal.open(sealed, about(row.project_id, row.name))
    const { sealed_previous_secret: previous, previous_secret_until: until } = row
    const secrets = [open(row.sealed_secret)]
    if (previous === null || (until ?? 0) <= on.clock.now()) return secrets
    try {
      secrets.push(open(previous))
    } catch {
      // Sealed under a key that is gone: that may be why there is another.
    }
    return secrets
  }

  return {
    find: async (tx, names) =>
      new Map((await store.findHandlers(tx, names)).map((row) => [row.name, handlerOf(row)] as const)),
    list: async (tx, part) => (await store.listHandlers(tx, part)).map(handlerOf),
    count: store.countHandlers,
    async examine(project, { url, timeout_ms, max_attempts, ttl_ms, side_effect, per_key, ...rest }) {
      const egress = await egressOf(project)
      try {
        egress.check(url)
      } catch (cause) {
        if (!(cause instanceof EgressRefused)) throw cause
        throw new AppError('DESTINATION_REFUSED', { reason: cause.message }, { cause })
      }
      const rate = per_key?.rate && { limit: per_key.rate.limit, periodMs: per_key.rate.period_ms }
      const contract = JSON.stringify({
        ...rest,
        timeoutMs: timeout_ms,
        maxAttempts: max_attempts,
        ttlMs: ttl_ms,
        sideEffect: side_effect,
        perKey: per_key && { concurrency: per_key.concurrency, rate },
      })
      try {
        requireSchemas(contractIn(contract))
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause)
        throw new AppError('HANDLER_CONTRACT_INVALID', { reason }, { cause })
      }
      return { name: rest.name, url, contract }
    },
    async add(tx, caller, { name, url, contract }) {
      const secret = newSecret()
      const row = {
        name,
        contract,
        url,
        sealed_secret: seal.seal(secret, about(tx.project, name)),
        created_by_id: personOf(caller),
        created_at: caller.at,
        sealed_previous_secret: null,
        previous_secret_until: null,
      }
      if (!(await store.insertHandler(tx, row))) throw new AppError('HANDLER_NAME_TAKEN', { handler: name })
      await append(tx, caller.at, caller, {
        type: 'handler.added',
        action: `Added handler: ${name}`,
        details: { handler: name, url, contract_sha256: hash('sha256', contract, 'hex') },
      })
      return { handler: handlerOf({ ...row, project_id: tx.project }), secret }
    },
    async rotate(tx, caller, name) {
      const [row] = await store.findHandlers(tx, [name])
      if (!row) throw new AppError('HANDLER_UNKNOWN', { handler: name })
      const secret = newSecret()
      const until = caller.at + OVERLAP_MS
      await store.updateHandler(tx, name, {
        sealed_secret: seal.seal(secret, about(tx.project, name)),
        sealed_previous_secret: row.sealed_secret,
        previous_secret_until: until,
      })
      await append(tx, caller.at, caller, {
        type: 'handler.secret_rotated',
        action: `Replaced the secret of handler: ${name}`,
        details: { handler: name, previous_until: rfc3339(until) },
      })
      return secret
    },
    async remove(tx, caller, name) {
      if (!(await store.deleteHandler(tx, name))) throw new AppError('HANDLER_UNKNOWN', { handler: name })
      await append(tx, caller.at, caller, {
        type: 'handler.removed',
        action: `Removed handler: ${name}`,
        details: { handler: name },
      })
    },
  }
}

/**
 * One attempt: what is answered with 2xx is the result. 429 and 503 with Retry-After say when to come again, 429 for the whole
 * concurrency key of the task; other 4xx that nothing will mend; all else may be tried again. `writ-cost-usd` says what it cost.
 */
async function call(
  { egressOf, clock }: { egressOf: EgressOf; clock: Clock },
  { url, secrets }: { url: string; secrets: readonly string[] },
  input: unknown,
  ctx: TaskContext,
): Promise<unknown> {
  const at = clock.now()
  const body = JSON.stringify({
    type: 'task.attempt',
    timestamp: rfc3339(at),
    data: {
      run_id: ctx.runId,
      project_id: ctx.project,
      handler: ctx.handler,
      attempt: ctx.attempt,
      ends_at: ctx.endsAt === null ? null : rfc3339(ctx.endsAt),
      input,
    },
  })
  const egress = await egressOf(ctx.project)
  const answer = await egress
    .send({
      url,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...traceHeaders(ctx),
        // The same at every attempt: whoever did the work and could not say so knows it again.
        ...signatureHeaders(secrets, { id: ctx.runId, at, body }),
      },
      body,
      timeoutMs: LONGEST_MS,
      maxBytes: MAX_ANSWER_BYTES + 1,
      signal: ctx.signal,
    })
    .catch((cause: unknown) => {
      ctx.signal.throwIfAborted()
      const text = cause instanceof Error ? cause.message : String(cause)
      const refused = cause instanceof EgressRefused
      const timeout = cause instanceof EgressTimeout
      throw new TaskError(refused ? 'DESTINATION_REFUSED' : 'HTTP_FAILED', timeout ? 'no answer' : text, {
        retryable: !refused,
        cause,
      })
    })
  const { status } = answer
  // What failed has cost something too.
  const cost = answer.headers[COST]
  if (cost !== undefined) ctx.cost(usdIn(cost))
  if (status >= 200 && status < 300) return resultOf(answer.body)
  const said = answer.body.subarray(0, 500).toString('utf8')
  const message = `${new URL(url).host} answered ${status}${said === '' ? '' : `: ${said}`}`
  if (status >= 400 && status < 500 && ![408, 425, 429].includes(status))
    throw new TaskError('HTTP_REFUSED', message, { retryable: false })
  const wait = status === 429 || status === 503 ? retryAfterOf(answer.headers, at) : null
  if (status === 429 && wait !== null && ctx.concurrencyKey !== null) await ctx.pauseKey(ctx.concurrencyKey, at + wait)
  throw new TaskError('HTTP_FAILED', message, wait === null ? {} : { retryAfterMs: wait })
}

/** NaN for what is no amount: then the cost is refused. */
const usdIn = (header: string | string[]): number =>
  typeof header === 'string' && /^[0-9]{1,9}(\.[0-9]{1,20})?$/.test(header.trim()) ? Number(header) : Number.NaN

function resultOf(body: Buffer): unknown {
  const never = { retryable: false }
  if (body.length > MAX_ANSWER_BYTES)
    throw new TaskError('RESULT_TOO_LARGE', `The answer has more than ${MAX_ANSWER_BYTES} bytes`, never)
  const text = body.toString('utf8')
  if (text.trim() === '') return null
  let result: unknown
  try {
    result = JSON.parse(text)
  } catch (cause) {
    throw new TaskError('RESULT_INVALID', 'The answer is not JSON', { ...never, cause })
  }
  const altered = alteredNumber(text)
  if (altered !== undefined) throw resultAltered(altered)
  return result
}
