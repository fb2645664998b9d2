import { KEY, type NewTask } from '@writ/api'
import { append, SYSTEM } from '../../audit/index.ts'
import { actFor } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import { type Clock, rfc3339 } from '../../platform/clock.ts'
import { type Database, inProject, type Tx } from '../../platform/db/index.ts'
import type { Lease } from '../../queue/index.ts'
import { isFinal } from '../../runs/index.ts'
import { type Dispatched, type Outcome, TaskError } from './handler.ts'
import { pauseKey } from './hold.ts'
import { attemptSpanId } from './lane.ts'
import { readResult } from './payload.ts'
import type { Payloads } from './sealed.ts'
import { requireStepName } from './step.ts'
import * as store from './store.ts'
import { isAfter } from './store-held.ts'
import type { Accepted, PreparedTask } from './submit.ts'

const IS_KEY = new RegExp(KEY, 'u')
const MAX_KEY = 200

/** A task at work, as what it may ask the server for sees it. */
export interface AtWork {
  readonly project: string
  readonly row: Pick<store.WorkRow, 'id' | 'executed_by_id' | 'trace_id' | 'concurrency_key'>
  readonly attempt: number
  /** Asked in the transaction of each change; throws when the work is somebody else's by now, or over. */
  readonly allowed: (tx: Tx) => Promise<void>
}

/** Whose lease it is, until this transaction ends. Throws LEASE_LOST. */
export async function requireHolder(tx: Tx, { runId, fence }: Pick<Lease, 'runId' | 'fence'>): Promise<void> {
  if (!(await store.isHolder(tx, runId, fence, 'lock'))) throw new AppError('LEASE_LOST')
}

/** What a task may do with other tasks while it runs. Throws TaskError; no try mends one that is not retryable. */
export interface Children {
  /**
   * Dispatches a task, once for each name whatever attempts come; the person who dispatched the parent asks for it. One that was asked
   * to stop dispatches nothing more, TASK_STOPPING: what it dispatched is cancelled with it, and this would come too late for that.
   */
  dispatch(work: AtWork, name: string, task: NewTask): Promise<Dispatched>
  /** What a child came to; null while it has not ended. One that waits, itself or through others, for the end of this is refused: WAIT_CIRCLE. */
  outcome(work: AtWork, id: string): Promise<Outcome | null>
  pauseKey(work: AtWork, key: string, until: number): Promise<void>
}

const LONGEST_PAUSE_MS = 30 * 24 * 3_600_000

export function createChildren(on: {
  readonly db: Database
  readonly clock: Clock
  readonly blobs: Blobs
  readonly payloads: Payloads
  prepare(caller: Accepted['caller'], task: NewTask): Promise<PreparedTask>
  accept(tx: Tx, all: readonly Accepted[]): Promise<{ id: string; number: number; duplicate: boolean }[]>
}): Children {
  const { db, clock } = on
  const never = (code: string, message: string, cause?: unknown) =>
    new TaskError(code, message, { retryable: false, cause })

  async function stepOf(work: AtWork, name: string): Promise<Dispatched | undefined> {
    const row = await inProject(work.project, () => db.read((tx) => store.findStep(tx, work.row.id, name)))
    if (!row) return undefined
    const kept = JSON.parse(row.result) as Partial<Dispatched> | null
    if (typeof kept?.id !== 'string' || typeof kept.number !== 'number')
      throw never('STEP_NAME_TAKEN', `Step "${name}" was no dispatch`)
    // Steps of before do not say.
    return { id: kept.id, number: kept.number, duplicate: kept.duplicate === true }
  }

  return {
    async dispatch(work, name, task) {
      requireStepName(name)
      const before = await stepOf(work, name)
      if (before) return before
      const { project, row } = work
      const started_at = clock.now()
      const by = row.executed_by_id
      const caller = by && (await inProject(project, () => db.read((tx) => actFor(tx, by, 'tasks.submit', started_at))))
      if (!caller) throw never('DISPATCH_DENIED', 'Whoever dispatched this task may not dispatch tasks any more')
      const asker = { ...caller, requestId: 'task', traceId: row.trace_id, spanId: attemptSpanId(row.id, work.attempt) }
      const prepared = await on.prepare(asker, task).catch((error: unknown) => {
        throw error instanceof AppError ? never(error.code, error.message, error) : error
      })
      // Child and record are one transaction: whatever attempt comes after this one finds both or neither.
      const dispatched = await inProject(project, () =>
        db.write(async (tx) => {
          // Whoever has it stopped waits for this, and then finds the child; or this finds that it was stopped.
          await work.allowed(tx)
          const parent = await store.findParent(tx, row.id)
          if (!parent || parent.cancel_requested_at !== null) throw new AppError('TASK_STOPPING')
          const [child] = await on.accept(tx, [
            { caller: asker, task: prepared, parent: { id: row.id, root: parent.root_run_id ?? row.id } },
          ])
          const { id, number, duplicate } = child!
          const { shown, sha256, sealed } = on.payloads.hide(project, JSON.stringify({ id, number, duplicate }))
          const kept = await store.keepStep(tx, {
            run_id: row.id,
            name,
            attempt: work.attempt,
            started_at,
            ended_at: clock.now(),
            result: shown,
            sha256,
            result_sealed: sealed,
          })
          // Somebody under another lease was quicker.
          if (!kept) throw new Taken()
          return { id, number, duplicate }
        }),
      ).catch((error: unknown) => {
        if (error instanceof AppError) throw never(error.code, error.message, error)
        if (!(error instanceof Taken)) throw error
        return undefined
      })
      return dispatched ?? (await stepOf(work, name))!
    },

    async outcome(work, id) {
      const { row, circle } = await inProject(work.project, () =>
        db.read(async (tx) => ({
          row: await store.findTask(tx, id),
          circle: (await isAfter(tx, id, work.row.id)) && !(await isToStop(tx, work.row.id)),
        })),
      )
      if (row?.parent_run_id !== work.row.id) throw never('NOT_A_CHILD', `Task ${id} was not dispatched by this one`)
      if (circle) throw never('WAIT_CIRCLE', `Task ${id} waits until this one has ended`)
      if (!isFinal(row.state)) return null
      return {
        id: row.id,
        // Final, and of the four that a task can have.
        state: row.state as Outcome['state'],
        result: (await readResult(on, work.project, row)) ?? null,
        error_code: row.error_code,
        error: row.error,
      }
    },

    async pauseKey(work, key, until) {
      const now = clock.now()
      if (key.length > MAX_KEY || !IS_KEY.test(key)) throw never('KEY_INVALID', 'This is no concurrency key')
      if (!Number.isFinite(until)) throw never('KEY_PAUSE_INVALID', 'A pause needs an end')
      const end = Math.min(Math.ceil(until), now + LONGEST_PAUSE_MS)
      if (end <= now) return
      await inProject(work.project, () =>
        db.write(async (tx) => {
          await work.allowed(tx)
          const begins = await pauseKey(tx, key, end, now)
          if (begins)
            await append(tx, now, SYSTEM, {
              type: 'concurrency_key.paused',
              action: `Paused concurrency key: ${key}`,
              details: { key, until: rfc3339(end), run_id: work.row.id },
            })
        }),
      )
    },
  }
}

/** Whoever waits for the end of one that is to stop waits for no wait of it. */
const isToStop = async (tx: Tx, id: string): Promise<boolean> => (await store.findCancelled(tx, [id])).has(id)

class Taken extends Error {}
