import type {
  concurrencyKeysApi,
  deadLettersApi,
  HandlerInfo,
  handlersApi,
  NewTask,
  queuesApi,
  RunState,
  Submitted,
  TaskLog,
  tasksApi,
  workersApi,
} from '@writ/api'
import { NANOS } from '@writ/api/costs'
import type { FastifyReply } from 'fastify'
import { type Caller, findUserRef, requirePermission } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { rfc3339OrNull } from '../../platform/clock.ts'
import type { Command, RequestKey, Tx } from '../../platform/db/index.ts'
import { lastEventId, type Streaming, streamEvents, wantsStream } from '../../platform/http/event-stream.ts'
import { whileConnected } from '../../platform/http/gone.ts'
import type { Ask, Handlers as Routes } from '../../platform/http/mount.ts'
import { redactor } from '../../platform/redact/index.ts'
import type { TaskFilter, TaskPage } from './filter.ts'
import type { BrokenFile, Handler } from './handler.ts'
import { countHandlersIn, handlersIn, placeOf } from './handler-list.ts'
import { requireHandler } from './keys.ts'
import type { LogPlace } from './log.ts'
import type { Workers } from './remote/workers.ts'
import type { Tasks } from './service.ts'
import type { PreparedTask, SubmitTasks } from './submit.ts'

export interface Dispatching {
  readonly tasks: Tasks
  /**
   * Where the outcome of a task will be told: makes sure that it may be called, and answers what the task keeps of it.
   * Throws TASK_CALLBACK_REFUSED.
   */
  callback(caller: Caller, url: string, words: 'event' | 'dispatch'): Promise<{ webhook_id: string; url: string }>
}

/** As `Tasks.prepare`, with the callback looked after. */
export async function prepareDispatch(
  on: Dispatching,
  caller: Caller,
  { callback, ...task }: NewTask,
  more?: { door?: 'dispatch' },
): Promise<PreparedTask> {
  // Who came through the door was asked there, by the scopes of its own paths.
  if (more?.door !== 'dispatch') requirePermission(caller, 'tasks.submit')
  // The input is sealed where it is secret; these are only kept, so they are redacted.
  const { tags, metadata } = redactor.value({ tags: task.tags, metadata: task.metadata })
  const kept = { ...(tags ? { tags } : {}), ...(metadata ? { metadata } : {}) }
  const prepared = await on.tasks.prepare(caller, { ...task, ...kept }, more)
  if (callback === undefined) return prepared
  const told = await on.callback(caller, callback.url, more?.door ?? 'event')
  return { ...prepared, callback: JSON.stringify(told) }
}

/** What `POST /tasks` does, for the other paths that do the same. */
export async function submitTask(
  on: Dispatching,
  ask: {
    readonly caller: Caller
    submit<I extends { remember: RequestKey | null }, O>(command: Command<I, O>, input: Omit<I, 'remember'>): Promise<O>
  },
  task: NewTask,
  status = 201,
): Promise<Submitted> {
  const prepared = await prepareDispatch(on, ask.caller, task)
  const [submitted] = await ask.submit<SubmitTasks, readonly Submitted[]>(on.tasks.submit, {
    caller: ask.caller,
    tasks: [prepared],
    answer: { status, body: ([one]) => one },
  })
  return submitted!
}

/** Says which of many it was. The first that was refused is told of; the others may be refused too. */
function refusalAt(i: number, error: unknown): never {
  if (!(error instanceof AppError)) throw error
  const at = `body.tasks.${i}`
  const fields =
    error.fields.length > 0
      ? error.fields.map((field) => ({ ...field, path: field.path.replace(/^body\b/, at) }))
      : [{ path: at, message: error.message }]
  throw new AppError(error.code, error.facts, { fields, headers: error.headers, cause: error })
}

const pageOf = (page: { limit: number; skip: number; after: string | undefined }): TaskPage => ({
  limit: page.limit,
  skip: page.skip,
  before: page.after === undefined ? undefined : Number(page.after),
})

const millisOf = (time: string | undefined): number | undefined => (time === undefined ? undefined : Date.parse(time))

export const taskHandlers = (
  on: Dispatching & { readonly streams: Streaming<Caller> },
): Routes<typeof tasksApi, Caller> => {
  const { tasks } = on
  return {
    submit: (ask) => submitTask(on, ask, ask.body),
    async submitMany(ask) {
      const prepared = await Promise.all(
        ask.body.tasks.map((task, i) => prepareDispatch(on, ask.caller, task).catch((error) => refusalAt(i, error))),
      )
      return [
        ...(await ask.submit<SubmitTasks, readonly Submitted[]>(tasks.submit, {
          caller: ask.caller,
          tasks: prepared,
          batch: true,
        })),
      ]
    },
    async list(ask) {
      const { unique_key, q, parent, batch } = ask.query
      const filter = { ...(await ask.read((tx) => taskFilterOf(tx, ask.query))), unique_key, q, parent, batch }
      return ask.page({
        rows: (tx, page) => tasks.list(tx, ask.caller, filter, pageOf(page)),
        total: (tx) => tasks.count(tx, ask.caller, filter),
        key: (row) => String(row.number),
        show: tasks.show,
      })
    },
    totals: (ask) =>
      ask.read(async (tx) => {
        const { unique_key, q, parent, batch } = ask.query
        const filter = { ...(await taskFilterOf(tx, ask.query)), unique_key, q, parent, batch }
        const found = await tasks.totals(tx, ask.caller, filter)
        const states = found.map(({ state, tasks, nanos }) => ({ state, tasks, cost_usd: nanos / NANOS }))
        return {
          states: states.toSorted((a, b) => b.tasks - a.tasks || (a.state < b.state ? -1 : 1)),
          tasks: found.reduce((sum, one) => sum + one.tasks, 0),
          cost_usd: found.reduce((sum, one) => sum + one.nanos, 0) / NANOS,
        }
      }),
    get: (ask) => tasks.find(ask, ask.params.id),
    wait: (ask) =>
      whileConnected(ask.request, (gone) => {
        // When the server stops, it is answered as it is: who asked goes on waiting at another one.
        const until = AbortSignal.any([gone, on.streams.stopping])
        return tasks.wait(ask, ask.params.id, (ask.query.timeout ?? 30) * 1_000, until)
      }),
    log: (ask) => (wantsStream(ask.request) ? followLog(on, ask) : tasks.log(ask, ask.params.id, ask.query)),
    cancel: (ask) => ask.change((tx) => tasks.cancel(tx, ask.caller, ask.params.id, ask.body?.reason ?? null)),
    batches: (ask) =>
      ask.page({
        rows: (tx, { limit, skip, after }) => tasks.listBatches(tx, ask.caller, { limit, skip, before: after }),
        total: (tx) => tasks.countBatches(tx, ask.caller),
        key: (row) => row.id,
        show: (row) => row,
      }),
    batch: (ask) => ask.read((tx) => tasks.batch(tx, ask.caller, String(ask.params.id))),
    cancelBatch: (ask) =>
      ask.change((tx) => tasks.cancelBatch(tx, ask.caller, String(ask.params.id), ask.body?.limit ?? 1_000)),
    preview: (ask) =>
      ask.read(async (tx) => {
        const filter = await taskFilterOf(tx, ask.body)
        return ask.body.open
          ? { ...(await tasks.previewOpen(tx, filter)), not_replayed: [] }
          : tasks.previewEnded(tx, ask.caller, filter)
      }),
    cancelMany: (ask) =>
      ask.change(async (tx) => {
        const { limit, reason } = ask.body
        return tasks.cancelMany(tx, ask.caller, await taskFilterOf(tx, ask.body), limit ?? 100, reason ?? null)
      }),
    replayMany: (ask) =>
      ask.change(async (tx) =>
        tasks.replayEnded(tx, ask.caller, await taskFilterOf(tx, ask.body), ask.body.limit ?? 100),
      ),
    handlers: (ask) =>
      ask.page({
        rows: async (tx, part) => switched(tasks, tx, await handlersIn(tasks, tx, part)),
        total: (tx) => countHandlersIn(tasks, tx),
        key: placeOf,
        show: (one) => ('file' in one ? showBroken(one) : showHandler(one)),
      }),
  }
}

/**
 * Each event holds the lines that came, and its id says up to where. Without an attempt in the query the next one follows when one is
 * over; the stream ends when nothing is still to come.
 */
async function followLog(
  { tasks, streams }: Pick<Dispatching, 'tasks'> & { readonly streams: Streaming<Caller> },
  ask: Ask<(typeof tasksApi)['log'], Caller>,
): Promise<FastifyReply> {
  const resumed = lastEventId(ask.request)
  const place = resumed === undefined ? undefined : /^([1-9][0-9]{0,5})\.([0-9]{1,12})$/.exec(resumed)
  if (place === null) throw new AppError('SEQUENCE_INVALID', { sequence: resumed! })
  let at: LogPlace = place ? { attempt: Number(place[1]), after: Number(place[2]), limit: ask.query.limit } : ask.query
  // Refused here rather than by a stream that breaks off; and said at once, so that whoever gets nothing knows that nothing comes through.
  let log: TaskLog | undefined = await tasks.log(ask, ask.params.id, at)
  let told: string | null | undefined
  await streamEvents(streams, ask, '', async (caller, until) => {
    const asked = { caller, read: <T>(work: (tx: Tx) => Promise<T>) => ask.read(work) }
    log ??= await tasks.nextLog(asked, ask.params.id, at, until)
    const now = log
    log = undefined
    const over = now.complete && !now.more
    const next = over && !(now.final && now.attempt >= now.attempts) && ask.query.attempt === undefined
    const news = now.chunks.length > 0 || over || now.outcome !== told
    told = now.outcome
    at = next
      ? { attempt: now.attempt + 1, after: 0, limit: at.limit }
      : { attempt: now.attempt, after: now.last_line, limit: at.limit }
    const text = news
      ? `id: ${now.attempt}.${now.last_line}\nevent: log\ndata: ${JSON.stringify(now)}\n\n`
      : ': beat\n\n'
    return { text, last: over && !next }
  })
  return ask.reply
}

export const workerHandlers = (workers: Workers): Routes<typeof workersApi, Caller> => ({
  claim: (ask) => whileConnected(ask.request, (gone) => workers.claim(ask.caller, ask.body, gone)),
  extend: async (ask) => ({
    leases: await workers.extend(ask.caller, ask.body.leases),
    lease_ms: workers.leaseMs,
  }),
  settle: async (ask) => ({ results: await workers.settle(ask.caller, ask.body.results, ask.altered) }),
  step: (ask) => workers.step(ask.caller, ask.body),
  dispatch: (ask) => workers.dispatch(ask.caller, ask.body),
  wait: (ask) => workers.wait(ask.caller, ask.body),
  ask: async (ask) => ({ answers: await workers.ask(ask.caller, ask.body.asks) }),
  pauseKey: (ask) => workers.pauseKey(ask.caller, ask.body),
  log: async (ask) => ({ logs: await workers.keepLines(ask.caller, ask.body.logs) }),
})

export const handlerHandlers = ({ tasks }: Dispatching): Routes<typeof handlersApi, Caller> => ({
  get: (ask) =>
    ask.read(async (tx) => {
      const broken = tasks.handlers.broken().find(({ file }) => file === ask.params.name)
      if (broken) return showBroken(broken)
      const found = await requireHandler(tasks, tx, ask.params.name)
      return shown(tasks, tx, found)
    }),
  async add(ask) {
    const examined = await tasks.http.examine(ask.caller.project!, ask.body)
    if (tasks.handlers.find(examined.name)) throw new AppError('HANDLER_NAME_TAKEN', { handler: examined.name })
    return ask.change(async (tx) => {
      if ((await tasks.remote.find(tx, [examined.name])).size > 0)
        throw new AppError('HANDLER_NAME_TAKEN', { handler: examined.name })
      const { handler, secret } = await tasks.http.add(tx, ask.caller, examined)
      return { ...(await shown(tasks, tx, handler)), secret }
    })
  },
  async remove(ask) {
    if (tasks.handlers.find(ask.params.name)) throw new AppError('HANDLER_NOT_REMOVABLE', { handler: ask.params.name })
    await ask.change((tx) => tasks.http.remove(tx, ask.caller, ask.params.name))
    return undefined
  },
  rotateSecret: (ask) =>
    ask.change(async (tx) => {
      const found = await requireHandler(tasks, tx, ask.params.name)
      if (found.source !== 'http') throw new AppError('HANDLER_UNSIGNED', { handler: found.name })
      return { ...(await shown(tasks, tx, found)), secret: await tasks.http.rotate(tx, ask.caller, found.name) }
    }),
  enable: (ask) => setEnabled(tasks, ask, true),
  disable: (ask) => setEnabled(tasks, ask, false, ask.body?.reason),
})

const setEnabled = (
  tasks: Tasks,
  ask: { caller: Caller; params: { name: string }; change<T>(work: (tx: Tx) => Promise<T>): Promise<T> },
  enabled: boolean,
  reason?: string,
): Promise<HandlerInfo> =>
  ask.change(async (tx) => {
    const found = await requireHandler(tasks, tx, ask.params.name)
    if (found.source === 'worker')
      return showHandler(await tasks.remote.setEnabled(tx, ask.caller, found.name, enabled, reason))
    await tasks.switches.set(tx, ask.caller, found.name, enabled, reason)
    return shown(tasks, tx, found)
  })

/** With whether they are disabled in the project, by whom and why. Workers' know that themselves; a file that does not load has no name to disable. */
async function switched<T extends Handler | BrokenFile>(tasks: Tasks, tx: Tx, all: readonly T[]): Promise<T[]> {
  const names = all.flatMap((one) => ('file' in one || one.source === 'worker' ? [] : [one.name]))
  const off = await tasks.switches.find(tx, names)
  return all.map((one) => {
    if ('file' in one || one.source === 'worker') return one
    const disabled = off.get(one.name) ?? null
    return { ...one, enabled: disabled === null, disabled }
  })
}

async function shown(tasks: Tasks, tx: Tx, handler: Handler): Promise<HandlerInfo> {
  const [one] = await switched(tasks, tx, [handler])
  return showHandler(one!)
}

export const queueHandlers = ({ tasks }: Dispatching): Routes<typeof queuesApi, Caller> => ({
  list: (ask) =>
    ask.page({ rows: tasks.listQueues, total: tasks.countQueues, key: ({ name }) => name, show: (one) => one }),
  async pause(ask) {
    const { name } = ask.params
    const depth = await ask.read((tx) => tasks.depthOf(tx, name))
    return ask.change((tx) => tasks.pauseQueue(tx, ask.caller, name, { ...ask.body, depth }))
  },
  async resume(ask) {
    const { name } = ask.params
    const depth = await ask.read((tx) => tasks.depthOf(tx, name))
    return ask.change((tx) => tasks.resumeQueue(tx, ask.caller, name, depth))
  },
  async limit(ask) {
    const { name } = ask.params
    const depth = await ask.read((tx) => tasks.depthOf(tx, name))
    return ask.change((tx) => tasks.limitQueue(tx, ask.caller, name, { ...ask.body, depth }))
  },
  drain: (ask) => ask.change((tx) => tasks.drainQueue(tx, ask.caller, ask.params.name, ask.body?.limit ?? 1_000)),
})

export const concurrencyKeyHandlers = ({ tasks }: Dispatching): Routes<typeof concurrencyKeysApi, Caller> => ({
  list: (ask) =>
    ask.page({
      rows: (tx, part) => tasks.listKeys(tx, ask.caller.at, part),
      total: (tx) => tasks.countKeys(tx, ask.caller.at),
      key: ({ key }) => key,
      show: (one) => one,
    }),
  pause: (ask) =>
    ask.change((tx) => tasks.pauseKey(tx, ask.caller, { ...ask.body, until: Date.parse(ask.body.until) })),
  resume: (ask) => ask.change((tx) => tasks.resumeKey(tx, ask.caller, ask.body.key)),
  limit: (ask) => ask.change((tx) => tasks.limitKey(tx, ask.caller, { ...ask.body, until: millisOf(ask.body.until) })),
  liftLimit: (ask) => ask.change((tx) => tasks.liftKeyLimit(tx, ask.caller, ask.body.key, ask.body.handler ?? null)),
})

export const deadLetterHandlers = ({ tasks }: Dispatching): Routes<typeof deadLettersApi, Caller> => ({
  list(ask) {
    const filter = deadFilterOf(ask.query)
    return ask.page({
      rows: (tx, page) => tasks.listDead(tx, filter, pageOf(page)),
      total: (tx) => tasks.countDead(tx, filter),
      key: (row) => String(row.number),
      show: tasks.show,
    })
  },
  get: (ask) => tasks.findDead(ask, ask.params.id),
  replay: (ask) => ask.change((tx) => tasks.replay(tx, ask.caller, ask.params.id)),
  preview: (ask) => ask.read((tx) => tasks.previewDead(tx, ask.caller, deadFilterOf(ask.body))),
  replayMany: (ask) =>
    ask.change((tx) => tasks.replayMany(tx, ask.caller, deadFilterOf(ask.body), ask.body.limit ?? 100)),
  purge: (ask) => tasks.purge(ask, deadFilterOf(ask.body)),
})

async function taskFilterOf(
  tx: Tx,
  asked: {
    queue?: string
    handler?: string
    state?: RunState
    error_code?: string
    tag?: string
    cost_min?: number
    concurrency_key?: string
    executed_by_id?: string | number
    created_after?: string
    created_before?: string
  },
): Promise<TaskFilter> {
  const { executed_by_id: by, created_after, created_before } = asked
  return {
    queue: asked.queue,
    handler: asked.handler,
    state: asked.state,
    error_code: asked.error_code,
    tag: asked.tag,
    cost_min: asked.cost_min,
    concurrency_key: asked.concurrency_key,
    // Who is not of this project has dispatched nothing in it; no id is empty.
    executed_by_id: by === undefined ? undefined : ((await findUserRef(tx, by))?.id ?? ''),
    created_after: millisOf(created_after),
    created_before: millisOf(created_before),
  }
}

function deadFilterOf(asked: {
  ids?: (string | number)[]
  queue?: string
  handler?: string
  error_code?: string
  died_after?: string
  died_before?: string
}) {
  const { ids, queue, handler, error_code, died_after, died_before } = asked
  return {
    ids,
    queue,
    handler,
    error_code,
    died_after: millisOf(died_after),
    died_before: millisOf(died_before),
  }
}

const showHandler = (handler: Handler): HandlerInfo => ({
  name: handler.name,
  title: handler.title,
  source: handler.source,
  // A TypeBox schema is JSON Schema.
  input: handler.input as Record<string, unknown> | null,
  output: handler.output as Record<string, unknown> | null,
  queue: handler.queue,
  timeout_ms: handler.timeoutMs,
  max_attempts: handler.maxAttempts,
  concurrency: handler.concurrency,
  side_effect: handler.sideEffect,
  url: 'url' in handler ? String(handler.url) : null,
  ttl_ms: handler.ttlMs ?? null,
  per_key: handler.perKey
    ? {
        concurrency: handler.perKey.concurrency,
        rate: handler.perKey.rate && { limit: handler.perKey.rate.limit, period_ms: handler.perKey.rate.periodMs },
      }
    : null,
  enabled: handler.enabled ?? true,
  disabled_at: rfc3339OrNull(handler.disabled?.at ?? null),
  disabled_by_id: handler.disabled?.by ?? null,
  disabled_reason: handler.disabled?.reason ?? null,
  last_seen_at: rfc3339OrNull(handler.lastSeenAt ?? null),
  fault: handler.fault ?? null,
})

/** A file whose handlers nobody knows stands under its own name, and cannot be dispatched. */
const showBroken = ({ file, reason }: BrokenFile): HandlerInfo => ({
  name: file,
  title: 'A file that does not load',
  source: 'folder',
  input: null,
  output: null,
  queue: 'api',
  timeout_ms: 0,
  max_attempts: 0,
  concurrency: null,
  side_effect: 'none',
  url: null,
  ttl_ms: null,
  per_key: null,
  enabled: false,
  disabled_at: null,
  disabled_by_id: null,
  disabled_reason: null,
  last_seen_at: null,
  fault: reason,
})
