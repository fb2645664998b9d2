import type { NewTask, Submitted } from '@writ/api'
import { SYSTEM } from '../../audit/index.ts'
import { type Caller, personOf, seesAll } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import {
  type Command,
  type Database,
  DatabaseConflict,
  type RequestKey,
  remember,
  type Tx,
  takeNumbersOf,
} from '../../platform/db/index.ts'
import { answerOf } from '../../platform/http/mount.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { jsonOrNull } from '../../platform/json.ts'
import { type Entry, type Queue, remotePlace } from '../../queue/index.ts'
import type { Ref } from '../../tickets/index.ts'
import type { Cancels } from './cancel.ts'
import type { Eager } from './eager.ts'
import { faultsOf, type Handler, type Handlers } from './handler.ts'
import { type Holding, hold } from './hold.ts'
import type { KeyLimits } from './key-limit.ts'
import { INLINE_BYTES, keepJson } from './payload.ts'
import type { Payloads } from './sealed.ts'
import { dependencyFailed, settleWaiting } from './settle.ts'
import * as store from './store.ts'
import * as held from './store-held.ts'
import { namePayloads } from './store-retention.ts'
import { type Debounce, firstOfKeys, meetRivals, type UniquePolicy } from './unique.ts'

/** A task that was examined and may be submitted. Made by `prepareTask` or from a dead letter, and by nobody else. */
export interface PreparedTask {
  readonly handler: string
  readonly queue: string
  /** Workers outside of the servers do it. */
  readonly remote: boolean
  readonly priority: number
  /** Null: at once. */
  readonly runAt: number | null
  readonly maxAttempts: number
  readonly timeoutMs: number
  readonly deadlineAt: number | null
  readonly uniqueKey: string | null
  readonly uniquePolicy: UniquePolicy
  readonly debounce: Debounce | null
  readonly concurrencyKey: string | null
  /** What its handler allows under each key. */
  readonly keyLimits: KeyLimits | null
  readonly dependsOn: DependsOn | null
  /** JSON text; null when it is so large that it is in the blob store under `inputSha256`. */
  readonly input: string | null
  readonly inputSha256: string
  /** The exact input, where what stands in the open is redacted. */
  readonly inputSealed: string | null
  readonly tags: string | null
  readonly metadata: string | null
  readonly callback: string | null
  readonly door: 'dispatch' | null
}

/** Tasks that have to end first, and what is to become of a task when one of them does not complete. */
export interface DependsOn {
  /** Ids, numbers, or `batch:<n>` for the nth of those that are submitted together. */
  readonly tasks: readonly Ref[]
  readonly policy: 'cancel' | 'run'
}

export interface SubmitTasks {
  readonly caller: Caller
  readonly tasks: readonly PreparedTask[]
  /** They are to be found together later. */
  readonly batch?: boolean
  /** The Idempotency-Key, as `ask.submit` hands it in; null without one. */
  readonly remember: RequestKey | null
  /** The schedule that asked; null: a person did. */
  readonly schedule?: string | null
  /** The answer that goes under the key; status 201 with what was submitted unless said otherwise. */
  readonly answer?: { readonly status: number; body(submitted: readonly Submitted[]): unknown }
}

const MAX_INPUT_BYTES = 512 * 1024

const timeOf = (text: string | undefined): number | null => (text === undefined ? null : Date.parse(text))

/** Fields that each are valid and together mean nothing: left out in silence, one of them would be missed later. */
function refuseContradictions(asked: NewTask): void {
  const { unique_key, unique_policy, debounce } = asked
  if (unique_key === undefined && (debounce || unique_policy))
    throw new AppError('TASK_UNIQUE_INVALID', { reason: 'unique_policy and debounce need a unique_key' })
  if (debounce && (unique_policy || asked.run_at !== undefined))
    throw new AppError('TASK_UNIQUE_INVALID', { reason: 'debounce goes with neither unique_policy nor run_at' })
  if (debounce?.max_wait_ms !== undefined && debounce.max_wait_ms < debounce.wait_ms)
    throw new AppError('TASK_UNIQUE_INVALID', { reason: 'max_wait_ms is shorter than wait_ms' })
  if (asked.depends_on === undefined && asked.depends_on_policy !== undefined)
    throw new AppError('TASK_DEPENDENCY_INVALID', { reason: 'depends_on_policy needs depends_on' })
}

const earlier = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b)

/** See `Tasks.prepare`. */
export async function prepareTask(
  on: {
    handlers: Handlers
    db: Database
    blobs: Blobs
    clock: Clock
    payloads: Payloads
    /** Of the project: one that is an address, or that its workers have. */
    findRemote(project: string, name: string): Promise<Handler | undefined>
    isOff(project: string, name: string): boolean
  },
  caller: Caller,
  asked: NewTask,
  door: 'dispatch' | null,
): Promise<PreparedTask> {
  const handler = on.handlers.find(asked.handler) ?? (await on.findRemote(caller.project!, asked.handler))
  if (!handler) throw new AppError('TASK_UNKNOWN_HANDLER', { handler: asked.handler })
  if (handler.enabled === false || on.isOff(caller.project!, handler.name))
    throw new AppError('HANDLER_DISABLED', { handler: handler.name })
  if (handler.roles && !handler.roles.some((role) => role === caller.role)) throw new AppError('ROLE_NOT_ALLOWED')
  const value = asked.input ?? {}
  const fields = faultsOf(handler.input, value, 'body.input')
  if (fields.length > 0) throw new AppError('TASK_INPUT_INVALID', { handler: handler.name }, { fields })
  const runAt = timeOf(asked.run_at)
  refuseContradictions(asked)
  const debounce = asked.debounce
    ? { waitMs: asked.debounce.wait_ms, maxWaitMs: asked.debounce.max_wait_ms ?? null }
    : null
  const firstStart = debounce ? caller.at + debounce.waitMs : runAt
  const due = Math.max(caller.at, firstStart ?? 0)
  // A deadline of the dispatch is said instead of the handler's, as everything else is.
  const ttlMs = asked.ttl_ms ?? (asked.deadline_at === undefined ? (handler.ttlMs ?? null) : null)
  const deadlineAt = earlier(timeOf(asked.deadline_at), ttlMs === null ? null : due + ttlMs)
  if (deadlineAt !== null && deadlineAt <= due) throw new AppError('TASK_TIMES_INVALID')
  const given = JSON.stringify(value)
  // A long one is redacted and sealed at length, so it is refused before.
  if (given.length > INLINE_BYTES && Buffer.byteLength(given) > MAX_INPUT_BYTES)
    throw new AppError('TASK_INPUT_TOO_LARGE', { limit: MAX_INPUT_BYTES })
  const { shown: text, sha256: inputSha256, sealed: inputSealed } = on.payloads.hide(caller.project!, given)
  const prepared = {
    handler: handler.name,
    queue: asked.queue ?? handler.queue,
    remote: handler.source === 'worker',
    priority: asked.priority ?? 0,
    runAt: firstStart,
    maxAttempts: asked.max_attempts ?? handler.maxAttempts,
    timeoutMs: asked.timeout_ms ?? handler.timeoutMs,
    deadlineAt,
    uniqueKey: asked.unique_key ?? null,
    uniquePolicy: asked.unique_policy ?? 'return',
    debounce,
    concurrencyKey: asked.concurrency_key ?? null,
    keyLimits: handler.perKey ?? null,
    // A UUID is one in whatever case; what is none is found as nothing.
    dependsOn: asked.depends_on
      ? {
          tasks: asked.depends_on.map((ref) => (typeof ref === 'string' ? ref.toLowerCase() : ref)),
          policy: asked.depends_on_policy ?? 'cancel',
        }
      : null,
    inputSha256,
    inputSealed,
    tags: jsonOrNull(asked.tags),
    metadata: jsonOrNull(asked.metadata),
    callback: jsonOrNull(asked.callback),
    door,
  }
  if (text.length <= INLINE_BYTES) return { ...prepared, input: text }
  await keepJson(on, caller.project!, { bytes: Buffer.from(text), sha256: inputSha256 })
  return { ...prepared, input: null }
}

/** What is accepted, by whom, and of which dead letter it is the replay. */
export interface Accepted {
  readonly caller: Caller
  readonly task: PreparedTask
  readonly replays?: { readonly id: string; readonly root: string }
  readonly schedule?: string | null
  /** The task that dispatched it. */
  readonly parent?: { readonly id: string; readonly root: string }
  /** Where those that are submitted with it begin. */
  readonly from?: number
}

/**
 * Accepts tasks: row, queue entry, unique key and idempotency record in one transaction, however many callers share it.
 * Stopped before its commit: nothing was accepted and nobody answered. Stopped after it: every task is in the queue.
 */
export function createSubmit(
  queue: Queue,
  on: Pick<Cancels, 'cancelChildren' | 'settled'> & {
    /** Hears of each after the commit. */
    readonly accepted?: (queue: string, handler: string) => void
    /** Where this process works on tasks. */
    eager?(): Eager | undefined
  },
) {
  const { accepted } = on
  /** Queues that are known to be there, by project: a row is written once. */
  const known = new Set<string>()

  async function accept(tx: Tx, all: readonly Accepted[]): Promise<Submitted[]> {
    const ids = all.map(({ caller }) => uuidv7(caller.at))
    // Those that share the transaction came one after the other: by the time of the first the others would wait for theirs.
    const now = all.reduce((latest, { caller }) => Math.max(latest, caller.at), 0)
    const firsts = firstOfKeys(all)
    const rivals = firsts.size > 0 ? await meetRivals(tx, queue, on, all, ids, firsts) : undefined
    const foldedInto = (i: number) => {
      const rival = rivals?.get(i)
      return rival && 'folded' in rival ? rival.folded : undefined
    }
    const keyed = all.flatMap(({ task }, i) =>
      task.uniqueKey === null || foldedInto(i) ? [] : [{ key: task.uniqueKey, runId: ids[i]! }],
    )
    const owners = keyed.length > 0 ? await store.takeKeys(tx, keyed) : undefined
    const ownerOf = (i: number) => {
      const key = all[i]!.task.uniqueKey
      return foldedInto(i) ?? (key === null ? undefined : owners?.get(key))
    }
    for (const [i, { task }] of all.entries()) {
      const owner = task.uniqueKey === null ? undefined : ownerOf(i)
      if (!owner || owner.id === ids[i] || foldedInto(i)) continue
      // Whom another server put there since it was looked for is met when all of this is tried again.
      const takesPlace = task.uniquePolicy === 'replace' || task.debounce !== null
      if (takesPlace && firsts.get(task.uniqueKey!) === i)
        throw new DatabaseConflict(new Error(`unique key ${task.uniqueKey} was taken meanwhile`))
      if (task.uniquePolicy === 'reject') throw new AppError('TASK_DUPLICATE', { key: task.uniqueKey!, task: owner.id })
    }
    const after = new Map(
      [...(rivals ?? [])].flatMap(([i, rival]) => ('after' in rival ? [[ids[i]!, rival.after] as const] : [])),
    )
    const fresh = all
      .map((one, i) => ({ ...one, id: ids[i]! }))
      .filter((one, i) => (ownerOf(i)?.id ?? one.id) === one.id)
    const queues = new Set(fresh.map(({ task }) => task.queue))
    const unknown = [...queues].filter((name) => !known.has(`${tx.project}\n${name}`))
    const special = after.size > 0 || fresh.some(({ task, parent }) => task.concurrencyKey ?? task.dependsOn ?? parent)
    const eager = special ? undefined : on.eager?.()
    const [numbered, open] = await Promise.all([
      fresh.length > 0 ? takeNumbersOf(tx, ['runs', 'tasks'], fresh.length) : undefined,
      eager?.open(tx, queues),
      store.addQueues(tx, unknown, now),
    ])
    const last = numbered?.get('runs') ?? 0
    const dependsOn = await findDependencies(tx, all, ids, (i) => ownerOf(i)?.id ?? ids[i]!)
    const traced = fresh.some(({ caller }) => caller.spanId !== null)
    const handedOn = fresh.some(({ caller }) => caller.traceparent !== null || caller.tracestate !== null)
    const rows = fresh.map((one, i) => ({
      ...rowOf(one, last - fresh.length + 1 + i),
      ...(special ? specialOf(one, dependsOn.get(one.id)) : {}),
      ...(traced ? { parent_span_id: one.caller.spanId } : {}),
      ...(handedOn ? { traceparent: one.caller.traceparent, tracestate: one.caller.tracestate } : {}),
    }))
    const entries = rows.map((row, i) => ({
      runId: row.id,
      queue: fresh[i]!.task.remote ? remotePlace(row.queue!, row.handler) : row.queue!,
      handler: row.handler,
      priority: row.priority!,
      runAt: row.run_at!,
    }))
    const inserted = store.insertTasks(tx, rows)
    tx.behind(inserted)
    const long = rows.filter((row) => row.input === null)
    if (long.length > 0)
      tx.behind(
        namePayloads(
          tx,
          long.map((row) => ({ run: row.id, sha256: row.input_sha256! })),
        ),
      )
    tx.behind(
      store.setDeadlines(
        tx,
        rows.flatMap(({ id, deadline_at }) => (deadline_at === null ? [] : [{ id, deadline_at }])),
      ),
    )
    const doomed: held.Dependency[] = []
    let toQueue: readonly Entry[] = entries
    if (special) toQueue = await holdBack(tx, { fresh, entries, dependsOn, after, now, inserted, doomed })
    // Work that this process can begin at once does not wait to be claimed.
    else if (eager && open && open.size > 0) toQueue = eager.take(tx, entries, open, workAmong(rows), now)
    if (toQueue.length > 0) await queue.enqueue(tx, toQueue, now)
    for (const { id, task } of fresh) if (task.debounce) await held.setSpan(tx, id, task.debounce.waitMs)
    for (const one of doomed) {
      const [row] = (await store.loadWork(tx, [one.run_id])).values()
      if (row) on.settled(tx, await settleWaiting(tx, queue, [row], dependencyFailed(one.on_run_id), SYSTEM, now))
    }
    tx.afterCommit(() => {
      if (accepted) for (const row of rows) accepted(row.queue!, row.handler)
      for (const name of unknown) known.add(`${tx.project}\n${name}`)
    })
    const numbers = new Map(rows.map((row) => [row.id, row.number]))
    return ids.map((id, i) => {
      const owner = ownerOf(i)?.id ?? id
      // Of another transaction, or of an earlier task of this one.
      return { id: owner, number: numbers.get(owner) ?? ownerOf(i)!.number!, duplicate: owner !== id }
    })
  }

  const submit: Command<SubmitTasks, readonly Submitted[]> = {
    name: 'submitTasks',
    weight: ({ tasks }) => tasks.length,
    async run(tx, inputs) {
      if (inputs.length > 1 && someMeet(inputs)) throw new Error('one after the other')
      let from = 0
      const all = inputs.flatMap(({ caller, tasks, schedule = null }) => {
        const begin = from
        from += tasks.length
        return tasks.map((task) => ({ caller, task, schedule, from: begin }))
      })
      const submitted = await accept(tx, all)
      let taken = 0
      let outputs = inputs.map(({ tasks }) => {
        taken += tasks.length
        return submitted.slice(taken - tasks.length, taken)
      })
      if (inputs.some(({ batch }) => batch)) outputs = await noteBatches(tx, inputs, outputs)
      const keyed = inputs.flatMap((input, i) => {
        const { status, body } = input.answer ?? { status: 201, body: (done: readonly Submitted[]) => done }
        if (!input.remember) return []
        // What the key is kept for: the task, or those that were dispatched together.
        const [first] = outputs[i]!
        const resourceId = first?.batch_id ?? first?.id ?? null
        return [{ ...input.remember, ...answerOf({ status }, body(outputs[i]!)), resourceId }]
      })
      if (keyed.length > 0) await remember(tx, inputs[0]!.caller.at, keyed)
      return outputs
    },
  }
  return { accept, submit }
}

/**
 * Whether some of these replace or debounce what another of them dispatches: the last of them is to count, so they must not be accepted
 * as one. What throws is tried again one by one.
 */
export function someMeet(inputs: readonly Pick<SubmitTasks, 'tasks'>[]): boolean {
  const keys = new Set<string>()
  for (const { tasks } of inputs) {
    for (const { uniqueKey, uniquePolicy, debounce } of tasks)
      if (uniqueKey !== null && keys.has(uniqueKey) && (uniquePolicy === 'replace' || debounce !== null)) return true
    for (const { uniqueKey } of tasks) if (uniqueKey !== null) keys.add(uniqueKey)
  }
  return false
}

/** What is to be done of each of these, by id. */
function workAmong(rows: readonly store.NewTaskRow[]): (id: string) => store.WorkRow {
  let byId: ReadonlyMap<string, store.NewTaskRow> | undefined
  return (id) => {
    byId ??= new Map(rows.map((row) => [row.id, row]))
    return store.workOf(byId.get(id)!)
  }
}

/** Dispatches of many get an id, under which their numbers stand. */
async function noteBatches(
  tx: Tx,
  inputs: readonly SubmitTasks[],
  outputs: readonly Submitted[][],
): Promise<Submitted[][]> {
  const rows: store.BatchRow[] = []
  const told = outputs.map((output, i) => {
    const { caller, batch } = inputs[i]!
    if (!batch) return output
    const numbers = output.filter(({ duplicate }) => !duplicate).map(({ number }) => number)
    const id = uuidv7(caller.at)
    rows.push({
      id,
      first_number: numbers[0] ?? 1,
      last_number: numbers.at(-1) ?? 0,
      executed_by_id: caller.userId,
      created_at: caller.at,
    })
    return output.map((one) => ({ ...one, batch_id: id }))
  })
  await store.insertBatches(tx, rows)
  return told
}

/**
 * Whom each of these is to wait for, by id. Only what is there already can be named, or what stands before it in its batch: so
 * there is no circle. One that is a duplicate of another waits for nobody: it is not made. Throws TASK_DEPENDENCY_UNKNOWN.
 */
async function findDependencies(
  tx: Tx,
  all: readonly Accepted[],
  /** Those that they get if they are made. */
  ids: readonly string[],
  /** Those that they are: of a duplicate, the one that was there. */
  idOf: (i: number) => string,
): Promise<Map<string, readonly string[]>> {
  const wanting = all.flatMap((one, i) => (one.task.dependsOn ? [{ ...one, i, dependsOn: one.task.dependsOn }] : []))
  const found = new Map<string, readonly string[]>()
  for (const { i, from = i, caller, dependsOn } of wanting) {
    const refs = dependsOn.tasks.map((ref) => ({ ref, at: /^batch:([0-9]{1,3})$/.exec(String(ref))?.[1] }))
    const known = await store.findIds(
      tx,
      refs.filter(({ at }) => at === undefined).map(({ ref }) => ref),
      seesAll(caller) ? undefined : personOf(caller),
    )
    const named = refs.map(({ ref, at }) => {
      const id = at === undefined ? known(ref) : from + Number(at) < i ? idOf(from + Number(at)) : undefined
      if (id === undefined) throw new AppError('TASK_DEPENDENCY_UNKNOWN', { task: String(ref) })
      return id
    })
    if (idOf(i) === ids[i]) found.set(ids[i], [...new Set(named)])
  }
  return found
}

/** What is to be put into the queue where keys or other tasks hold some of it back. `doomed` gets those that have nothing to wait for. */
async function holdBack(
  tx: Tx,
  on: {
    readonly fresh: readonly (Accepted & { readonly id: string })[]
    readonly entries: readonly Entry[]
    readonly dependsOn: ReadonlyMap<string, readonly string[]>
    /** Whose place they take: that one ends first, however it does. */
    readonly after: ReadonlyMap<string, string>
    readonly now: number
    readonly inserted: Promise<void>
    readonly doomed: held.Dependency[]
  },
): Promise<Entry[]> {
  const { fresh, entries, dependsOn, after, now } = on
  // Those of one batch are marked too.
  await on.inserted
  const named = [...new Set([...[...dependsOn.values()].flat(), ...after.values()])]
  const open = named.length > 0 ? await held.markAwaited(tx, named) : new Set<string>()
  const states = await store.findStates(
    tx,
    named.filter((id) => !open.has(id)),
  )
  const links: held.Dependency[] = []
  const holding: Holding[] = []
  const free: Entry[] = []
  for (const [i, { task, id }] of fresh.entries()) {
    const { policy } = task.dependsOn ?? { policy: 'run' as const }
    const on_ids = dependsOn.get(id) ?? []
    const waits = on_ids.filter((one) => open.has(one))
    const lost =
      policy === 'cancel' ? on_ids.find((one) => !open.has(one) && states.get(one) !== 'completed') : undefined
    if (lost !== undefined) on.doomed.push({ run_id: id, on_run_id: lost, policy })
    const mine: held.Dependency[] = waits.map((on_run_id) => ({ run_id: id, on_run_id, policy }))
    const before = after.get(id)
    if (before !== undefined && open.has(before) && !waits.includes(before))
      mine.push({ run_id: id, on_run_id: before, policy: 'run' })
    links.push(...mine)
    const entry = entries[i]!
    if (task.concurrencyKey === null && mine.length === 0) free.push(entry)
    else holding.push({ entry, key: task.concurrencyKey, limits: task.keyLimits, waitsFor: mine.length })
  }
  await held.insertDependencies(tx, links)
  return [...free, ...(holding.length > 0 ? await hold(tx, holding, now) : [])]
}

const specialOf = (
  { task, parent }: Accepted,
  dependsOn: readonly string[] | undefined,
): Pick<store.NewTaskRow, 'concurrency_key' | 'depends_on' | 'parent_run_id'> => ({
  concurrency_key: task.concurrencyKey,
  depends_on: dependsOn ? JSON.stringify({ ids: dependsOn, policy: task.dependsOn!.policy }) : null,
  parent_run_id: parent?.id ?? null,
})

function rowOf(
  { caller, task, id, replays, schedule, parent }: Accepted & { id: string },
  number: number,
): store.NewTaskRow {
  return {
    id,
    number,
    handler: task.handler,
    executed_by_id: caller.userId,
    root_run_id: replays?.root ?? parent?.root ?? id,
    trigger: JSON.stringify({
      ...(schedule
        ? { trigger_type: 'schedule', schedule_id: schedule }
        : { trigger_type: parent ? 'sub_agent' : 'api' }),
      triggered_by: caller.userId,
    }),
    trace_id: caller.traceId,
    queue: task.queue,
    priority: task.priority,
    run_at: task.runAt ?? caller.at,
    max_attempts: task.maxAttempts,
    timeout_ms: task.timeoutMs,
    deadline_at: task.deadlineAt,
    unique_key: task.uniqueKey,
    input: task.input,
    input_sha256: task.inputSha256,
    input_sealed: task.inputSealed,
    replays_run_id: replays?.id ?? null,
    door: task.door,
    callback: task.callback,
    tags: task.tags,
    metadata: task.metadata,
    created_at: caller.at,
    updated_at: caller.at,
  }
}
