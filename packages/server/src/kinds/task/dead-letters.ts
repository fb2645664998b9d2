import type { Submitted, TaskDetail } from '@writ/api'
import { append, appendAll } from '../../audit/index.ts'
import type { Caller } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { DatabaseConflict, type Tx } from '../../platform/db/index.ts'
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

/** What ended badly: looked at, dispatched again, or taken off the list. */
export interface DeadLetters {
  /**
   * Up to `limit` tasks that ended in the state of the filter as new ones, oldest first, without those whose unique key another has.
   * Throws TASKS_UNFILTERED, TASK_UNKNOWN_HANDLER, HANDLER_DISABLED.
   */
  replayEnded(
    tx: Tx,
    caller: Caller,
    filter: TaskFilter,
    limit: number,
  ): Promise<(Submitted & { replays_run_id: string })[]>

  /** Dead letters for `ask.page`, newest first. */
  listDead(tx: Tx, filter: DeadFilter, page: TaskPage): Promise<TaskRow[]>
  countDead(tx: Tx, filter: DeadFilter): Promise<number>
  /** Throws DEAD_LETTERS_UNFILTERED for a filter that would take all. */
  requireDeadFilter(filter: DeadFilter): void
  /** The whole of a dead letter. Throws TASK_NOT_FOUND, TASK_NOT_DEAD. */
  findDead(asked: Asked, ref: Ref): Promise<TaskDetail>
  /**
   * The same work as a new task that names the old one, which leaves the dead letters. Throws TASK_NOT_FOUND, TASK_NOT_DEAD,
   * TASK_UNKNOWN_HANDLER, HANDLER_DISABLED; TASK_DUPLICATE while another has its unique key, whose work may be other work.
   */
  replay(tx: Tx, caller: Caller, ref: Ref): Promise<Submitted>
  /**
   * As `replay` for up to `limit` of those that the filter takes, oldest first; what has another's unique key stays where it is.
   * Throws DEAD_LETTERS_UNFILTERED, TASK_UNKNOWN_HANDLER, HANDLER_DISABLED.
   */
  replayMany(
    tx: Tx,
    caller: Caller,
    filter: DeadFilter,
    limit: number,
  ): Promise<{ replayed: (Submitted & { replays_run_id: string })[]; left: number }>
  /** Takes those off the list; their runs stay. Throws DEAD_LETTERS_UNFILTERED. */
  purge(tx: Tx, caller: Caller, filter: DeadFilter): Promise<{ purged: number }>
}

export function createDeadLetters(on: {
  readonly handlers: Handlers
  readonly remote: RemoteHandlers
  readonly http: HttpHandlers
  readonly switches: Switches
  accept(tx: Tx, all: readonly Accepted[]): Promise<Submitted[]>
  detail(asked: Asked, row: TaskRow): Promise<TaskDetail>
}): DeadLetters {
  const { handlers, remote, http, switches, accept, detail } = on

  async function seeDead(tx: Tx, ref: Ref): Promise<TaskRow> {
    const row = await store.findTask(tx, ref)
    if (!row) throw new AppError('TASK_NOT_FOUND')
    if (row.dead_at === null || row.purged_at !== null) throw new AppError('TASK_NOT_DEAD')
    return row
  }

  /** Answers those that were made. Of the others the unique key is another's: they stay what they are, or are refused. */
  async function replayRows(
    tx: Tx,
    caller: Caller,
    rows: readonly TaskRow[],
    uniquePolicy: 'return' | 'reject' = 'return',
  ): Promise<{ readonly row: TaskRow; readonly as: Submitted }[]> {
    const names = rows.map((row) => row.handler)
    const theirs = new Map<string, Handler>([...(await remote.find(tx, names)), ...(await http.find(tx, names))])
    const handlerOf = (row: TaskRow): Handler => {
      const found = handlers.find(row.handler) ?? theirs.get(row.handler)
      if (!found) throw new AppError('TASK_UNKNOWN_HANDLER', { handler: row.handler })
      if (found.enabled === false || switches.isOff(caller.project!, found.name))
        throw new AppError('HANDLER_DISABLED', { handler: found.name })
      return found
    }
    const submitted = await accept(
      tx,
      rows.map((row) => ({
        caller,
        task: { ...preparedFrom(row, handlerOf(row)), uniquePolicy },
        replays: { id: row.id, root: row.root_run_id },
      })),
    )
    const replayed = rows.flatMap((row, i) => (submitted[i]!.duplicate ? [] : [{ row, as: submitted[i]! }]))
    const dead = replayed.filter(({ row }) => row.dead_at !== null && row.purged_at === null)
    if (dead.length > 0) {
      const left = await store.purgeDead(tx, { ids: dead.map(({ row }) => row.id) }, caller.at)
      // Another server replayed or purged some of them since they were read: tried again, they are not there.
      if (left < dead.length) throw new DatabaseConflict(new Error('a dead letter is gone meanwhile'))
    }
    await appendAll(
      tx,
      await Promise.all(
        replayed.map(async ({ row, as }) => ({
          at: caller.at,
          by: caller,
          event: {
            type: 'run.replayed' as const,
            resource: { type: 'run', id: row.id, number: row.number },
            action: `Replayed task ${row.number} as task ${as.number}`,
            details: { handler: row.handler, queue: row.queue, replayed_as: as.id },
            run: { id: row.id, seq: await store.nextEvent(tx, row.id) },
          },
        })),
      ),
    )
    return replayed
  }

  const shown = (all: Awaited<ReturnType<typeof replayRows>>) =>
    all.map(({ row, as }) => ({ ...as, replays_run_id: row.id }))

  return {
    async replayEnded(tx, caller, filter, limit) {
      requireTaskFilter(filter)
      const rows = await store.listTasks(tx, filter, { limit, skip: 0, oldest: true })
      return shown(await replayRows(tx, caller, rows))
    },

    requireDeadFilter,
    listDead: (tx, filter, page) => store.listTasks(tx, { ...filter, dead: true }, page),
    countDead: (tx, filter) => store.countTasks(tx, { ...filter, dead: true }),
    findDead: async (asked, ref) => detail(asked, await asked.read((tx) => seeDead(tx, ref))),
    async replay(tx, caller, ref) {
      const row = await seeDead(tx, ref)
      return (await replayRows(tx, caller, [row], 'reject'))[0]!.as
    },
    async replayMany(tx, caller, filter, limit) {
      requireDeadFilter(filter)
      const rows = await store.listTasks(tx, { ...filter, dead: true }, { limit, skip: 0, oldest: true })
      const replayed = shown(await replayRows(tx, caller, rows))
      return {
        replayed,
        left: await store.countTasks(tx, { ...filter, dead: true }),
      }
    },
    async purge(tx, caller, filter) {
      requireDeadFilter(filter)
      const purged = await store.purgeDead(tx, filter, caller.at)
      if (purged > 0)
        await append(tx, caller.at, caller, {
          type: 'dead_letters.purged',
          action: `Purged dead letters: ${purged}`,
          details: { purged, filter: filter as Record<string, unknown> },
        })
      return { purged }
    },
  }
}

/** What a dead letter asked for, without the times that have passed. */
const preparedFrom = (row: TaskRow, handler: Handler): PreparedTask => ({
  handler: row.handler,
  queue: row.queue,
  remote: handler.source === 'worker',
  priority: row.priority,
  runAt: null,
  maxAttempts: row.max_attempts,
  timeoutMs: row.timeout_ms,
  deadlineAt: null,
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
