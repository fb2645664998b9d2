import {
  type dispatchApi as Api,
  type DispatchBody,
  dispatchApi,
  type NewTask,
  openapi,
  type Submitted,
  type TaskDetail,
} from '@writ/api'
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { append } from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import {
  type Dispatching,
  type Feishu,
  type PreparedTask,
  prepareDispatch,
  type Scripts,
  type SubmitTasks,
  TaskError,
  type TaskRow,
  type Tasks,
} from '../kinds/task/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Clock } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { serveDocs } from '../platform/http/docs.ts'
import { whileConnected } from '../platform/http/gone.ts'
import { type Ask, type Handlers, type Mounting, mount } from '../platform/http/mount.ts'
import { isCutOff, type Recognise, refusalOf } from '../platform/http/problem.ts'
import { OWN_SCHEMAS, whenAsked } from '../platform/http/when-asked.ts'
import type { Logger } from '../platform/log.ts'
import { once } from '../platform/once.ts'
import { readAsFastApi } from './lax.ts'
import { listLogFiles, localTime, readLogFile } from './log-files.ts'
import { createRateLimit } from './rate-limit.ts'

/** What is not there, or not there for the caller, or there no more: this door knows one word for it. */
const ABSENT: ReadonlySet<string> = new Set(['TASK_NOT_FOUND', 'TASK_DROPPED', 'TASK_VIEW_DENIED', 'TASK_NOT_DEAD'])

export interface DispatchOn extends Dispatching {
  readonly clock: Clock
  readonly feishu: Feishu
  readonly scripts: Scripts | null
  readonly log: Logger
  readonly version: string
  /** See `basePathOf`. */
  readonly basePath: string
  readonly recognise: Recognise
  /** Hears of each refusal before it is answered, as elsewhere. */
  refused(request: FastifyRequest, refusal: AppError): Promise<void>
  readonly settings: {
    readonly rateLimit: { readonly max: number; readonly windowMs: number }
    /** Retries where a dispatch says nothing of them. */
    readonly retryMax: number
    readonly logDir: string
  }
}

/** A refusal in the words of this door, where the documents give them. */
class DoorRefusal extends Error {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, detail: string, headers: Record<string, string> = {}) {
    super(detail)
    this.name = 'DoorRefusal'
    this.status = status
    this.headers = headers
  }
}

const DEFAULT_QUEUE = 'api'
const WAIT_MS = 30_000
const MAX_ATTEMPTS = 100

/**
 * The documented task gateway, on the engine behind `/api/v1/tasks`. Statuses, bodies and texts are the documented ones,
 * errors are FastAPI's, and what is ours (ids, states, codes) is translated here and nowhere else.
 */
export function createDispatchDoor(on: DispatchOn, mounting: Mounting<Caller>): DispatchDoor {
  // Once, however many ports there are: a second one is no second limit.
  const { handlers, resume } = dispatchHandlers(on)
  return {
    async serve(app) {
      await app.register(async (scope) => {
        readAsFastApi(scope)
        answerAsFastApi(scope, on)
        answerWithSlash(scope)
        mount(scope, 'dispatch', dispatchApi, handlers, { ...mounting, resume, lax: true })
      })
      const info = {
        title: 'Task gateway',
        version: on.version,
        server: on.basePath,
        prefix: '',
        errors: 'fastapi',
      } as const
      await serveDocs(app, () => openapi({ dispatch: dispatchApi }, info), on.basePath, '', info.title)
    },
  }
}

export interface DispatchDoor {
  /** Adds the documented paths to a server, with their document at /openapi.json and its pages at /docs and /redoc. */
  serve(app: FastifyInstance): Promise<void>
}

/**
 * The original sent what was asked for with a slash at the end to the path without. It is answered here: who follows such an answer
 * gets the same, and who does not, or would lose their token on the way, gets anything at all.
 */
function answerWithSlash(scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    // Of a GET comes a HEAD, with and without.
    if (!route.url.endsWith('/') && route.method !== 'HEAD') scope.route({ ...route, url: `${route.url}/` })
  })
}

interface DoorHandlers {
  readonly handlers: Handlers<typeof Api, Caller>
  readonly resume: Mounting<Caller>['resume']
}

function dispatchHandlers(on: DispatchOn): DoorHandlers {
  const { tasks, settings } = on
  // One limit for each task and caller, whatever queue the request names.
  const limit = createRateLimit(() => settings.rateLimit)
  const within = (what: string, caller: Caller) => {
    const used = limit.take(`${what}\n${caller.project}\n${caller.principal}`, on.clock.steady())
    if (!used.ok) throw new DoorRefusal(429, 'Too Many Requests', { 'retry-after': String(used.retryAfter) })
  }

  async function prepare(ask: Ask<never, Caller>, task: NewTask): Promise<PreparedTask> {
    try {
      return await prepareDispatch(on, ask.caller, task, { door: 'dispatch' })
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      switch (error.code) {
        case 'TASK_UNKNOWN_HANDLER':
          throw new DoorRefusal(422, 'Task not allowed or unknown')
        case 'TASK_INPUT_INVALID': {
          const faults = error.fields.map(({ path, message }) =>
            `${path.replace(/^body\.input\.?/, '')} ${message}`.trim(),
          )
          throw new DoorRefusal(422, `Invalid task params: ${faults.join('; ')}`)
        }
        default:
          throw error
      }
    }
  }

  async function submit(ask: Ask<never, Caller>, prepared: PreparedTask, answer: (id: string) => unknown) {
    const [submitted] = await ask.submit<SubmitTasks, readonly Submitted[]>(tasks.submit, {
      caller: ask.caller,
      tasks: [prepared],
      answer: { status: 200, body: ([one]) => answer(one!.id) },
    })
    return submitted!.id
  }

  /** The task once it is settled. A client that goes away stops the waiting, not the task. */
  const settled = (ask: Ask<never, Caller>, id: string): Promise<TaskDetail> =>
    whileConnected(ask.request, async (gone) => {
      for (;;) {
        const task = await tasks.wait(ask, id, WAIT_MS, gone)
        if (task.completed_at !== null || gone.aborted) return task
      }
    })

  const resultOf = async (ask: Ask<never, Caller>, id: string) =>
    (await ask.read((tx) => tasks.outcome(tx, id)))?.result ?? null

  /** What is behind a documented id, if the caller may see it; what they may not see is not there. */
  async function lookUp(ask: Ask<never, Caller>, asked: string): Promise<TaskDetail | undefined> {
    const tid = asked.toLowerCase()
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(tid)) return undefined
    try {
      return await tasks.find(ask, tid)
    } catch (error) {
      if (error instanceof AppError && ABSENT.has(error.code)) return undefined
      throw error
    }
  }

  async function deadLetter(ask: Ask<never, Caller>, queue: string, messageId: string): Promise<TaskDetail> {
    const missing = new DoorRefusal(404, `Message ${messageId} not found`)
    const number = /^\d{1,15}-([1-9]\d{0,14})$/.exec(messageId)?.[1]
    if (number === undefined) throw missing
    try {
      const task = await tasks.findDead(ask, number)
      if (task.queue !== queue || messageIdOf(Date.parse(task.dead_at!), task.number) !== messageId) throw missing
      return task
    } catch (error) {
      if (error instanceof AppError && ABSENT.has(error.code)) throw missing
      throw error
    }
  }

  /** Lines of the server's log tell of every project: they are for who runs the server, or the default project of it. */
  function mayReadLogs(caller: Caller): void {
    if (!caller.isInstanceAdmin && caller.projectSlug !== 'default') throw new DoorRefusal(403, 'Forbidden')
  }

  /** What is answered of a task for which the caller waits: what there is, also where the record is redacted. */
  async function dispatched(ask: Ask<never, Caller>, id: string) {
    const task = await settled(ask, id)
    return task.state === 'completed'
      ? { accepted: true, status: 'completed', result: await resultOf(ask, id), task_id: id }
      : { accepted: true, status: 'failed', error: task.error || task.error_code, task_id: id }
  }

  async function forwarded(ask: Ask<never, Caller>, id: string) {
    const task = await settled(ask, id)
    if (task.state !== 'completed') throw new DoorRefusal(502, task.error || 'Forwarding failed')
    // The handler's contract.
    const { results } = (await resultOf(ask, id)) as { results: Record<string, unknown>[] }
    const shown = results.map(forwardedOf)
    const ok = shown.filter((one) => one.ok).length
    const counts = { count: shown.length, ok, failed: shown.length - ok }
    return { accepted: true, mode: 'sync', ...counts, results: shown, task_id: id }
  }

  /** Under its key only the id was kept, with the task; who asks again waits for the end as who asked first. */
  const resume: DoorHandlers['resume'] = {
    'dispatch.dispatch': async (ask, kept) =>
      // Validated against the schema of its endpoint, and kept by `submit`.
      isAsynchronous(ask.request.body as DispatchBody)
        ? kept
        : dispatched(ask as never, (kept as { task_id: string }).task_id),
    'dispatch.forward': async (ask, kept) =>
      (kept as { mode: string }).mode === 'async'
        ? kept
        : forwarded(ask as never, (kept as { task_id: string }).task_id),
  }

  const handlers: Handlers<typeof Api, Caller> = {
    ping: async () => ({ status: 'ok' }),

    async dispatch(ask) {
      const { body } = ask
      if (body.task === '_doc_example') return { code: 200, data: 'Hello World' }
      const { taskData } = body
      const webhook = body.webhook || (typeof taskData.webhook === 'string' ? taskData.webhook : '')
      const prepared = await prepare(ask, {
        handler: body.task,
        input: taskData,
        queue: body.queue || DEFAULT_QUEUE,
        max_attempts: attemptsOf(body.maxRetries || settings.retryMax),
        ...(webhook ? { callback: { url: webhook } } : {}),
      })
      within(`dispatch ${body.task}`, ask.caller)
      const id = await submit(ask, prepared, (task_id) => ({ accepted: true, task_id }))
      return isAsynchronous(body) ? { accepted: true, task_id: id } : dispatched(ask, id)
    },

    async status(ask) {
      const task = await lookUp(ask, ask.params.tid)
      return { status: task ? wordOf(task) : 'unknown' }
    },

    async detail(ask) {
      const task = await lookUp(ask, ask.params.tid)
      return task ? recordOf(task) : null
    },

    async tasks(ask) {
      const scripts = await on.scripts?.list().catch(() => [])
      const { handlers, http, remote, switches } = tasks
      const own = await ask.read(async (tx) => [...(await http.list(tx)), ...(await remote.list(tx))])
      const names = [...handlers.list(), ...own]
        .filter(({ name, enabled }) => enabled !== false && !switches.isOff(ask.caller.project!, name))
        .filter(({ roles }) => roles?.some((role) => role === ask.caller.role) ?? true)
        .map(({ name }) => name)
      return { tasks: [...new Set(names)].sort(), scripts: scripts ?? [] }
    },

    async forward(ask) {
      const { urls, data, headers, timeout, webhook, queue, mode } = ask.body
      const prepared = await prepare(ask, {
        handler: 'proxy_forward',
        input: { urls, data, headers: headers ?? null, timeout: timeout || 3 },
        queue: queue || DEFAULT_QUEUE,
        ...(webhook ? { callback: { url: webhook } } : {}),
      })
      within('proxy_forward', ask.caller)
      const answer = { accepted: true, mode: mode?.toLowerCase() === 'async' ? 'async' : 'sync' }
      const id = await submit(ask, prepared, (task_id) => ({ ...answer, task_id }))
      return answer.mode === 'async' ? { ...answer, task_id: id } : forwarded(ask, id)
    },

    async feishuToken(ask) {
      const { caller } = ask
      // A token opens somebody else's system: an API token gets it by a scope that names it, not by having no scopes.
      if (caller.tokenId !== null && !caller.scopes?.includes('dispatch.feishuToken'))
        throw new DoorRefusal(403, 'Forbidden')
      within('feishu_token', caller)
      try {
        const { tenant_access_token, expire } = await on.feishu.token(caller.project!, {})
        await ask.change((tx) =>
          append(tx, caller.at, caller, {
            type: 'feishu_app.token_read',
            action: 'Handed out a tenant access token of Feishu',
          }),
        )
        return { tenant_access_token, expires_in: expire }
      } catch (error) {
        if (!(error instanceof TaskError)) throw error
        on.log.warn({ code: error.code, reason: error.message }, 'no token of Feishu')
        if (error.code === 'FEISHU_NOT_CONFIGURED') throw new DoorRefusal(503, error.message)
        throw new DoorRefusal(502, 'Feishu token fetch failed')
      }
    },

    async deadLetters(ask) {
      const { queue_name } = ask.params
      const rows = await ask.read((tx) =>
        tasks.listDead(tx, { queue: queue_name }, { limit: ask.query.count ?? 20, skip: 0 }),
      )
      return rows.map(showDead)
    },

    async deadLetter(ask) {
      const task = await deadLetter(ask, ask.params.queue_name, ask.params.msg_id)
      const payload = payloadOf(task)
      const meta = {
        tid: task.id,
        error: task.error ?? task.error_code ?? '',
        died_at: String(Date.parse(task.dead_at!) / 1_000),
        original_payload: JSON.stringify(payload),
        task: task.handler,
      }
      return { meta, payload }
    },

    async replay(ask) {
      const task = await deadLetter(ask, ask.params.queue_name, ask.params.msg_id)
      return ask.change(async (tx) => ({
        status: 'replayed',
        new_tid: (await tasks.replay(tx, ask.caller, task.id)).id,
      }))
    },

    async purge(ask) {
      const queue = ask.params.queue_name
      await tasks.purge(ask, { queue })
      return { status: 'purged', queue: `procurator:queue:${queue}:dlq` }
    },

    async logFiles(ask) {
      mayReadLogs(ask.caller)
      return listLogFiles(settings.logDir, ask.query.backup ?? false)
    },

    async logFile(ask) {
      mayReadLogs(ask.caller)
      const { filename, lines = 100 } = ask.query
      if (/\.\.|^[/\\]/.test(filename)) throw new DoorRefusal(400, 'Invalid filename')
      const found = await readLogFile(settings.logDir, filename, lines)
      if (!found) throw new DoorRefusal(404, 'Log file not found')
      return { filename, lines: found.length, content: found.map((line) => `${line}\n`).join('') }
    },
  }
  return { handlers, resume }
}

const isAsynchronous = ({ taskData, async }: DispatchBody): boolean =>
  ('async' in taskData ? taskData.async : async) !== false

const attemptsOf = (retries: number): number => Math.min(Math.max(retries, 0) + 1, MAX_ATTEMPTS)

/** The documented body of a callback. */
export async function dispatchBody(tasks: Tasks, tx: Tx, runId: string): Promise<Record<string, unknown> | undefined> {
  const found = await tasks.outcome(tx, runId)
  if (!found) return undefined
  const { row, result } = found
  const done = row.state === 'completed'
  return {
    task_id: row.id,
    task: row.handler,
    status: done ? 'done' : 'failed',
    result: done ? result : null,
    error: row.error,
    meta: null,
  }
}

/** The documented words. `dead`: its retries are used up; one that had none has simply failed. */
function wordOf(task: TaskDetail): string {
  if (task.status === 'dead') return task.max_attempts > 1 ? 'dead' : 'failed'
  return task.status === 'cancelled' || task.status === 'timeout' ? 'failed' : task.status
}

function payloadOf(task: TaskDetail): Record<string, unknown> {
  return {
    task: task.handler,
    taskData: task.input ?? {},
    ...(task.callback ? { webhook: task.callback.url } : {}),
    ...(task.max_attempts > 1 ? { _max_retries: task.max_attempts - 1 } : {}),
  }
}

function recordOf(task: TaskDetail): Record<string, unknown> {
  return {
    id: task.id,
    task: task.handler,
    status: wordOf(task),
    created_at: Date.parse(task.created_at) / 1_000,
    payload: payloadOf(task),
    queue: task.queue,
    updated_at: Date.parse(task.updated_at) / 1_000,
    ...(task.state === 'completed' ? { result: task.result } : {}),
    ...(task.error === null ? {} : { error: task.error }),
  }
}

/** Names a dead letter as a stream would: when it died, and which one it is. */
const messageIdOf = (diedAt: number, number: number): string => `${diedAt}-${number}`

const showDead = (row: TaskRow) => ({
  msg_id: messageIdOf(row.dead_at!, row.number),
  time: localTime(new Date(row.dead_at!)).replace('T', ' '),
  timestamp: row.dead_at! / 1_000,
  task: row.handler,
  error: row.error ?? row.error_code ?? '',
})

/** An answer as `/proxy/forward` documents it: whatever is no success is `request_failed`. */
function forwardedOf(one: Record<string, unknown>) {
  const { url, duration_ms: ms } = one
  if (!one.ok) return { url, code: null, ok: false, error: 'request_failed', ms }
  const { response } = one
  return {
    url,
    code: one.status,
    ok: true,
    ...(typeof response === 'string' ? { text: response.slice(0, 200) } : { response }),
    ms,
  }
}

// ---- errors as FastAPI writes them

const TEXTS: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  429: 'Too Many Requests',
}

const all = { ...OWN_SCHEMAS, allErrors: true, strict: false, useDefaults: true } as const
const bodies = once(() => addFormats.default(new Ajv2020({ ...all, coerceTypes: false })))
const texts = once(() => addFormats.default(new Ajv2020({ ...all, coerceTypes: true })))

function answerAsFastApi(scope: FastifyInstance, on: DispatchOn): void {
  scope.setValidatorCompiler(({ schema, httpPart }) =>
    whenAsked(() => (httpPart === 'body' ? bodies() : texts()).compile(schema as object)),
  )
  scope.setErrorHandler(async (error: unknown, request, reply) => {
    if (error instanceof DoorRefusal)
      return reply.code(error.status).headers(error.headers).send({ detail: error.message })
    if (error instanceof Error && 'validation' in error && Array.isArray(error.validation)) {
      const where = 'validationContext' in error ? String(error.validationContext) : 'body'
      return reply.code(422).send({ detail: faultsOf(where, error.validation as ErrorObject[], request) })
    }
    const known = refusalOf(error, on.recognise)
    if (known?.code === 'BODY_INVALID') {
      const { at, expected } = known.facts
      // Without them it is the length that was wrong, and there is no place to name.
      const where =
        at === undefined ? { loc: ['body'] } : { loc: ['body', at], ctx: { error: `Expecting ${expected}` } }
      return reply.code(422).send({ detail: [{ type: 'json_invalid', msg: 'JSON decode error', input: {}, ...where }] })
    }
    if (known?.code === 'VALIDATION_FAILED')
      return reply.code(422).send({
        detail: known.fields.map(({ path, message }) => ({ type: 'value_error', loc: locOf(path), msg: message })),
      })
    if (!known && isCutOff(request)) {
      on.log.info({ request: request.id }, 'request cut off')
      return reply
    }
    const refusal = known ?? new AppError('INTERNAL')
    if (!known || refusal.status >= 500)
      on.log[known ? 'warn' : 'error'](
        { err: error, request: request.id, route: request.routeOptions.config.id, code: refusal.code },
        known ? 'request refused' : 'request failed',
      )
    await on
      .refused(request, refusal)
      .catch((err) => on.log.error({ err, request: request.id }, 'a denial could not be audited'))
    for (const [name, value] of Object.entries(refusal.headers)) reply.header(name, value)
    return reply
      .code(statusOf(refusal))
      .header('x-error-code', refusal.code)
      .send({ detail: detailOf(refusal, request) })
  })
}

function detailOf(refusal: AppError, request: FastifyRequest): string {
  if (refusal.code === 'IP_NOT_ALLOWED') return 'IP not allowed'
  if (refusal.status === 403 && request.routeOptions.config.id === 'dispatch.purge') return 'Only admin can purge DLQ'
  return TEXTS[statusOf(refusal)] ?? refusal.message
}

/** An account was a token there: one that is not active was no token. */
const statusOf = (refusal: AppError): number => (refusal.code === 'USER_INACTIVE' ? 401 : refusal.status)

/** A path of ours, `query.filename`, as theirs are written. */
function locOf(path: string): (string | number)[] {
  const [root, ...steps] = path.split('.')
  return [root === 'params' ? 'path' : root!, ...steps.map(stepOf)]
}

/** Pydantic's names for what Ajv found. Source: docs.pydantic.dev, "Validation errors". */
function faultsOf(where: string, faults: readonly ErrorObject[], request: FastifyRequest) {
  const from: Record<string, unknown> = { body: request.body, querystring: request.query, params: request.params }
  const root = where === 'querystring' ? 'query' : where === 'params' ? 'path' : where
  return faults.map((fault) => {
    const path = fault.instancePath.split('/').slice(1).map(stepOf)
    const input = path.reduce<unknown>(
      (value, step) => (value as Record<string, unknown> | undefined)?.[step],
      from[where],
    )
    if (fault.keyword === 'required') {
      const { missingProperty } = fault.params as { missingProperty: string }
      // Parameters were looked at one by one.
      const within = root === 'body' ? (input ?? null) : null
      return { type: 'missing', loc: [root, ...path, missingProperty], msg: 'Field required', input: within }
    }
    const [type, msg] = root === 'body' && path.length === 0 ? bodyFault(input) : pydanticOf(fault, input)
    return { type, loc: [root, ...path], msg, input: input ?? null }
  })
}

const bodyFault = (input: unknown): [type: string, message: string] =>
  input === undefined || input === null
    ? ['missing', 'Field required']
    : ['model_attributes_type', 'Input should be a valid dictionary or object to extract fields from']

const stepOf = (text: string): string | number =>
  /^\d+$/.test(text) ? Number(text) : text.replaceAll('~1', '/').replaceAll('~0', '~')

function pydanticOf(fault: ErrorObject, input: unknown): [type: string, message: string] {
  if (fault.keyword === 'pattern' && String(fault.params.pattern).startsWith('^https?'))
    return ['url_scheme', "URL scheme should be 'http' or 'https'"]
  if (fault.keyword === 'pattern')
    return ['string_pattern_mismatch', `String should match pattern '${fault.params.pattern}'`]
  if (fault.keyword !== 'type') return ['value_error', fault.message ?? 'invalid']
  switch ([fault.params.type].flat()[0]) {
    case 'string':
      return ['string_type', 'Input should be a valid string']
    case 'object':
      return ['dict_type', 'Input should be a valid dictionary']
    case 'array':
      return ['list_type', 'Input should be a valid list']
    case 'boolean':
      return typeof input === 'string'
        ? ['bool_parsing', 'Input should be a valid boolean, unable to interpret input']
        : ['bool_type', 'Input should be a valid boolean']
    default:
      if (typeof input === 'string')
        return ['int_parsing', 'Input should be a valid integer, unable to parse string as an integer']
      return typeof input === 'number'
        ? ['int_from_float', 'Input should be a valid integer, got a number with a fractional part']
        : ['int_type', 'Input should be a valid integer']
  }
}
