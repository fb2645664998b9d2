import type { NotReplayed, Submitted, TaskDetail } from '@writ/api'
import { append, appendAll } from '../../audit/index.ts'
import type { Caller } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { type Database, DatabaseConflict, inProject, type Tx } from '../../platform/db/index.ts'
import { missingTask } from '../../runs/index.ts'
import type { Ref } from '../../tickets/index.ts'
import {
  type Asked,
  type DeadFilter,
  requireDeadFilter,
  requireTaskFilter,
  type TaskFilter,
  type TaskPage,
} from './filter.ts'
import type { Handler, Handlers } from './handler.ts'
import type { HttpHandlers } from './http/http-handlers.ts'
import type { Switches } from './http/switches.ts'
import type { RemoteHandlers } from './remote/registry.ts'
import * as store from './store.ts'
import type { Accepted, PreparedTask } from './submit.ts'

type TaskRow = store.TaskRow

/** So many of those that cannot be replayed are named. */
const MOST_NAMED = 10
/** So many whose unique key is taken are passed over, before no more are looked for. */
const MOST_PASSED = 1_000

const PURGED_AT_ONCE = 1_000

/** So many are looked at before they are replayed. */
const MOST_FORESEEN = 10_000

interface Foreseen {
  count: number
  not_replayed: NotReplayed[]
}

/** The states in which something can be replayed. */
const ENDED: ReadonlySet<string | undefined> = new Set(['completed', 'failed', 'timeout', 'cancelled'])

type Replayed = Submitted & { readonly replays_run_id: string }

/** `Asked` by whom something is changed, too. */
export interface Changing extends Asked {
  change<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

/** What ended badly: looked at, dispatched again, or taken off the list. */
export interface DeadLetters {
  /**
   * Up to `limit` tasks that ended in the state of the filter as new ones, oldest first, and which were passed over.
   * Throws TASKS_UNFILTERED.
   */
  replayEnded(
    tx: Tx,
    caller: Caller,
    filter: TaskFilter,
    limit: number,
  ): Promise<{ replayed: Replayed[]; not_replayed: NotReplayed[] }>

  /**
   * How many ended in the state of the filter, up to 10,000, and which of those `replayEnded` would pass over as things are now. Of a
   * filter without such a state only how many. Throws TASKS_UNFILTERED.
   */
  previewEnded(tx: Tx, caller: Caller, filter: TaskFilter): Promise<Foreseen & { more: boolean }>

  /** Dead letters for `ask.page`, newest first. */
  listDead(tx: Tx, filter: DeadFilter, page: TaskPage): Promise<TaskRow[]>
  countDead(tx: Tx, filter: DeadFilter): Promise<number>
  /** How many the filter takes, and which of the oldest 10,000 `replayMany` would pass over as things are now. Throws DEAD_LETTERS_UNFILTERED. */
  previewDead(tx: Tx, caller: Caller, filter: DeadFilter): Promise<Foreseen>
  /** The whole of a dead letter. Throws TASK_NOT_FOUND, TASK_NOT_DEAD. */
  findDead(asked: Asked, ref: Ref): Promise<TaskDetail>
  /**
   * The same work as a new task that names the old one, which leaves the dead letters. Throws TASK_NOT_FOUND, TASK_NOT_DEAD,
   * TASK_UNKNOWN_HANDLER, HANDLER_DISABLED; TASK_DUPLICATE while another has its unique key, whose work may be other work.
   */
  replay(tx: Tx, caller: Caller, ref: Ref): Promise<Submitted>
  /**
   * As `replay` for up to `limit` of those that the filter takes, oldest first. What cannot be replayed stays where it is, and keeps no
   * other back: the answer says which those are, and why. Throws DEAD_LETTERS_UNFILTERED.
   */
  replayMany(
    tx: Tx,
    caller: Caller,
    filter: DeadFilter,
    limit: number,
  ): Promise<{ replayed: Replayed[]; not_replayed: NotReplayed[]; left: number }>
  /**
   * Takes those off the list that the filter takes now; their runs stay. A thousand in a transaction, between which others are heard:
   * stopped in between, some are purged, and asked again it goes on. Throws DEAD_LETTERS_UNFILTERED.
   */
  purge(ask: Changing, filter: DeadFilter): Promise<{ purged: number }>
}

export function createDeadLetters(on: {
  readonly db: Database
  readonly handlers: Handlers
  readonly remote: RemoteHandlers
  readonly http: HttpHandlers
  readonly switches: Switches
  accept(tx: Tx, all: readonly Accepted[]): Promise<Submitted[]>
  detail(asked: Asked, row: TaskRow): Promise<TaskDetail>
}): DeadLetters {
  const { db, handlers, remote, http, switches, accept, detail } = on

  async function seeDead(tx: Tx, ref: Ref): Promise<TaskRow> {
    const row = await store.findTask(tx, ref)
    if (!row) throw await missingTask(tx, ref, 'TASK_NOT_FOUND')
    if (row.dead_at === null || row.purged_at !== null) throw new AppError('TASK_NOT_DEAD')
    return row
  }

  /** Why the handler of each of these tasks takes none; of those that take them, the handler. */
  async function handlersOf(
    tx: Tx,
    caller: Caller,
    rows: readonly Pick<TaskRow, 'handler'>[],
  ): Promise<(row: Pick<TaskRow, 'handler'>) => Handler | AppError> {
    const names = [...new Set(rows.map((row) => row.handler))]
    const theirs = new Map<string, Handler>([...(await remote.find(tx, names)), ...(await http.find(tx, names))])
    return ({ handler }) => {
      const found = handlers.find(handler) ?? theirs.get(handler)
      if (!found) return new AppError('TASK_UNKNOWN_HANDLER', { handler })
      return found.enabled === false || switches.isOff(caller.project!, found.name)
        ? new AppError('HANDLER_DISABLED', { handler })
        : found
    }
  }

  /** Answers those that were made. Of the others the unique key is another's: they stay what they are, or are refused. */
  async function replayRows(
    tx: Tx,
    caller: Caller,
    rows: readonly { readonly row: TaskRow; readonly handler: Handler }[],
    uniquePolicy: 'return' | 'reject' = 'return',
  ): Promise<{ readonly row: TaskRow; readonly as: Submitted }[]> {
    if (rows.length === 0) return []
    const submitted = await accept(
      tx,
      rows.map(({ row, handler }) => ({
        caller,
        task: { ...preparedFrom(row, handler, caller.at), uniquePolicy },
        replays: { id: row.id, root: row.root_run_id },
      })),
    )
    const replayed = rows.flatMap(({ row }, i) => (submitted[i]!.duplicate ? [] : [{ row, as: submitted[i]! }]))
    const dead = replayed.filter(({ row }) => row.dead_at !== null && row.purged_at === null)
    const left = await store.leaveDead(tx, idsOf(dead), caller.at)
    // Another server replayed or purged some of them since they were read: tried again, they are not there.
    if (left.size < dead.length) throw new DatabaseConflict(new Error('a dead letter is gone meanwhile'))
    const others = await store.nextEvents(tx, idsOf(replayed.filter(({ row }) => !left.has(row.id))))
    await appendAll(
      tx,
      replayed.map(({ row, as }) => ({
        at: caller.at,
        by: caller,
        event: {
          type: 'run.replayed' as const,
          resource: { type: 'run', id: row.id, number: row.number },
          action: `Replayed task ${row.number} as task ${as.number}`,
          details: { handler: row.handler, queue: row.queue, replayed_as: as.id },
          run: { id: row.id, seq: (left.get(row.id) ?? others.get(row.id))! },
        },
      })),
    )
    return replayed
  }

  /**
   * As many of those that a filter takes as may be replayed, up to `limit`, oldest first. Of a handler that takes none the others are
   * not even read, however many there are; of those whose unique key is taken, as many as there are before the last that is replayed.
   */
  async function replaySome(tx: Tx, caller: Caller, want: store.Wanted, limit: number) {
    const replayed: { readonly row: TaskRow; readonly as: Submitted }[] = []
    const taken: TaskRow[] = []
    const refused = new Map<string, AppError>()
    for (let more = true; more && replayed.length < limit; ) {
      const otherHandlers = [...refused.keys()]
      // What was replayed is not taken any more.
      const page = { limit: limit - replayed.length, skip: taken.length, oldest: true }
      const rows = await store.listTasks(tx, { ...want, otherHandlers }, page)
      const handlerOf = await handlersOf(tx, caller, rows)
      const able: { readonly row: TaskRow; readonly handler: Handler }[] = []
      for (const row of rows) {
        const handler = handlerOf(row)
        if (handler instanceof AppError) refused.set(row.handler, handler)
        else able.push({ row, handler })
      }
      const done = await replayRows(tx, caller, able)
      const made = new Set(done.map(({ row }) => row.id))
      taken.push(...able.flatMap(({ row }) => (made.has(row.id) ? [] : [row])))
      replayed.push(...done)
      more = rows.length === page.limit && taken.length < MOST_PASSED
    }
    return {
      replayed: replayed.map(({ row, as }) => ({ ...as, replays_run_id: row.id })),
      not_replayed: await passedOver(tx, want, refused, taken),
    }
  }

  async function passedOver(
    tx: Tx,
    want: store.Wanted,
    refused: ReadonlyMap<string, AppError>,
    taken: readonly TaskRow[],
  ): Promise<NotReplayed[]> {
    const all: NotReplayed[] = []
    for (const [handler, { code }] of [...refused].sort(([a], [b]) => order(a, b))) {
      const of = { ...want, handler }
      const first = named(await store.listTasks(tx, of, { limit: MOST_NAMED, skip: 0, oldest: true }))
      // Of the two that `handlersOf` answers.
      all.push({ error_code: code as NotReplayed['error_code'], handler, count: await store.countTasks(tx, of), first })
    }
    if (taken.length > 0)
      all.push({ error_code: 'TASK_DUPLICATE', handler: null, count: taken.length, first: named(taken) })
    return all
  }

  /** What `replaySome` would pass over of these, the oldest first. */
  async function foresee(tx: Tx, caller: Caller, rows: readonly store.Replayable[]): Promise<NotReplayed[]> {
    const handlerOf = await handlersOf(tx, caller, rows)
    const keys = [...new Set(rows.flatMap(({ unique_key }) => unique_key ?? []))]
    const taken = await store.findTakenKeys(tx, keys)
    const passed = new Map<string, { of: Pick<NotReplayed, 'error_code' | 'handler'>; rows: store.Replayable[] }>()
    const pass = (row: store.Replayable, error_code: NotReplayed['error_code'], handler: string | null) => {
      const group = passed.get(handler ?? '') ?? { of: { error_code, handler }, rows: [] }
      group.rows.push(row)
      passed.set(handler ?? '', group)
    }
    for (const row of rows) {
      const handler = handlerOf(row)
      // Of the two that `handlersOf` answers.
      if (handler instanceof AppError) pass(row, handler.code as NotReplayed['error_code'], row.handler)
      else if (row.unique_key !== null) {
        if (taken.has(row.unique_key)) pass(row, 'TASK_DUPLICATE', null)
        // The first of them has it then.
        taken.add(row.unique_key)
      }
    }
    const byName = [...passed.values()].sort((a, b) => order(a.of.handler, b.of.handler))
    return byName.map((group) => ({ ...group.of, count: group.rows.length, first: named(group.rows) }))
  }

  async function purgeSome(tx: Tx, caller: Caller, filter: DeadFilter): Promise<number> {
    const purged = await store.purgeDead(tx, filter, caller.at, PURGED_AT_ONCE)
    if (purged > 0)
      await append(tx, caller.at, caller, {
        type: 'dead_letters.purged',
        action: `Purged dead letters: ${purged}`,
        details: { purged, filter: filter as Record<string, unknown> },
      })
    return purged
  }

  return {
    async replayEnded(tx, caller, filter, limit) {
      requireTaskFilter(filter)
      // Asked twice, each is done again once: of what was replayed it is the replay that can be replayed.
      return replaySome(tx, caller, { ...filter, unreplayed: true }, limit)
    },
    async previewEnded(tx, caller, filter) {
      requireTaskFilter(filter)
      const isReplay = ENDED.has(filter.state)
      const rows = await store.listReplayable(tx, { ...filter, unreplayed: isReplay }, MOST_FORESEEN + 1)
      const seen = rows.slice(0, MOST_FORESEEN)
      const not_replayed = isReplay ? await foresee(tx, caller, seen) : []
      return { count: seen.length, more: rows.length > seen.length, not_replayed }
    },

    async previewDead(tx, caller, filter) {
      requireDeadFilter(filter)
      const want = { ...filter, dead: true }
      const rows = await store.listReplayable(tx, want, MOST_FORESEEN)
      const count = rows.length < MOST_FORESEEN ? rows.length : await store.countTasks(tx, want)
      return { count, not_replayed: await foresee(tx, caller, rows) }
    },
    listDead: (tx, filter, page) => store.listTasks(tx, { ...filter, dead: true }, page),
    countDead: (tx, filter) => store.countTasks(tx, { ...filter, dead: true }),
    findDead: async (asked, ref) => detail(asked, await asked.read((tx) => seeDead(tx, ref))),
    async replay(tx, caller, ref) {
      const row = await seeDead(tx, ref)
      const handler = (await handlersOf(tx, caller, [row]))(row)
      if (handler instanceof AppError) throw handler
      return (await replayRows(tx, caller, [{ row, handler }], 'reject'))[0]!.as
    },
    async replayMany(tx, caller, filter, limit) {
      requireDeadFilter(filter)
      const want = { ...filter, dead: true }
      const done = await replaySome(tx, caller, want, limit)
      return { ...done, left: await store.countTasks(tx, want) }
    },
    async purge(ask, filter) {
      requireDeadFilter(filter)
      const { caller } = ask
      let purged = 0
      const found = await ask.read((tx) => store.countTasks(tx, { ...filter, dead: true }))
      for (let more = found - PURGED_AT_ONCE; more > 0; more -= PURGED_AT_ONCE)
        purged += await inProject(caller.project!, () => db.write((tx) => purgeSome(tx, caller, filter)))
      return ask.change(async (tx) => ({ purged: purged + (await purgeSome(tx, caller, filter)) }))
    },
  }
}

const idsOf = (all: readonly { readonly row: TaskRow }[]) => all.map(({ row }) => row.id)

const named = (rows: readonly Pick<TaskRow, 'id' | 'number'>[]) =>
  rows.slice(0, MOST_NAMED).map(({ id, number }) => ({ id, number }))

/** Handlers by name, and last what is not about one. */
const order = (a: string | null, b: string | null): number => (a === null ? 1 : b === null ? -1 : a < b ? -1 : 1)

/** What a dead letter asked for, without the times that have passed. */
const preparedFrom = (row: TaskRow, handler: Handler, now: number): PreparedTask => ({
  handler: row.handler,
  queue: row.queue,
  remote: handler.source === 'worker',
  priority: row.priority,
  runAt: null,
  maxAttempts: row.max_attempts,
  timeoutMs: row.timeout_ms,
  deadlineAt: handler.ttlMs == null ? null : now + handler.ttlMs,
  uniqueKey: row.unique_key,
  uniquePolicy: 'return',
  debounce: null,
  concurrencyKey: row.concurrency_key,
  keyLimits: handler.perKey ?? null,
  // What it waited for has ended.
  dependsOn: null,
  input: row.input,
  inputSha256: row.input_sha256!,
  inputSealed: row.input_sealed,
  tags: row.tags,
  metadata: row.metadata,
  callback: row.callback,
  door: row.door,
})
