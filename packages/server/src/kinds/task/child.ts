import { KEY, type NewTask } from '@writ/api'
import { append, SYSTEM } from '../../audit/index.ts'
import { type Caller, createActing } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import { type Clock, rfc3339 } from '../../platform/clock.ts'
import { coalesceIn } from '../../platform/coalesce.ts'
import { type Command, type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { isFirstClaim, type Lease } from '../../queue/index.ts'
import { isFinal } from '../../runs/index.ts'
import { type Dispatched, type Outcome, TaskError } from './handler.ts'
import { pauseKey } from './hold.ts'
import { attemptSpanId } from './lane.ts'
import { readResult } from './payload.ts'
import type { Payloads } from './sealed.ts'
import { createStepLookup, requireStepName } from './step.ts'
import * as store from './store.ts'
import { findAwaited, isAfter } from './store-held.ts'
import { type Accepted, type PreparedTask, someMeet } from './submit.ts'

const IS_KEY = new RegExp(KEY, 'u')
const MAX_KEY = 200

/** A task at work, as what it may ask the server for sees it. */
export interface AtWork {
  readonly project: string
  readonly row: Pick<
    store.WorkRow,
    'id' | 'executed_by_id' | 'trace_id' | 'traceparent' | 'tracestate' | 'concurrency_key'
  >
  readonly attempt: number
  /** Asked for, and locked, in the transaction of each change: without it the work is somebody else's by now, or over. */
  readonly lease: Pick<Lease, 'runId' | 'fence'>
}

/** Whose lease it is, until this transaction ends. Throws LEASE_LOST. */
export async function requireHolder(tx: Tx, lease: Pick<Lease, 'runId' | 'fence'>): Promise<void> {
  const holds = await store.heldAmong(tx, [lease], 'lock')
  if (!holds(lease)) throw new AppError('LEASE_LOST')
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

interface NewChild {
  readonly work: AtWork
  readonly name: string
  readonly caller: Accepted['caller']
  readonly task: PreparedTask
}

/** A refusal is an answer: thrown, it would undo what is asked for with it. Undefined: the step is there already. */
type Begun = Dispatched | AppError | undefined

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

  const findStep = createStepLookup(db)
  const findCaller = createActing(on, 'tasks.submit')
  const findOutcome = coalesceIn(db, async (tx, asked) => {
    const pairs = asked.map((pair) => pair.split(' ') as [parent: string, child: string])
    const parents = [...new Set(pairs.map(([parent]) => parent))]
    const rows = await store.findOutcomes(
      tx,
      pairs.map(([, child]) => child),
    )
    const awaited = await findAwaited(tx, parents)
    const found = new Map<string, { row: store.OutcomeRow; circle: boolean }>()
    for (const [parent, child] of pairs) {
      const row = rows.get(child)
      if (row?.parent_run_id !== parent) continue
      const circle = awaited.has(parent) && (await isAfter(tx, child, parent))
      found.set(`${parent} ${child}`, { row, circle })
    }
    return found
  })

  async function stepOf(work: AtWork, name: string): Promise<Dispatched | undefined> {
    const row = await findStep(work.project, work.row.id, name)
    if (!row) return undefined
    const kept = JSON.parse(row.result) as Partial<Dispatched> | null
    if (typeof kept?.id !== 'string' || typeof kept.number !== 'number')
      throw never('STEP_NAME_TAKEN', `Step "${name}" was no dispatch`)
    // Steps of before do not say.
    return { id: kept.id, number: kept.number, duplicate: kept.duplicate === true }
  }

  /**
   * Children and their records are one transaction, however many ask together: whatever attempt comes after this one finds both of a
   * child or neither.
   */
  const dispatchChildren: Command<NewChild, Begun> = {
    name: 'dispatchChildren',
    async run(tx, all) {
      // Whoever has a parent stopped waits for this, and then finds the children; or this finds that it was stopped.
      const held = await store.heldAmong(
        tx,
        all.map(({ work }) => work.lease),
        'lock',
      )
      const [parents, kept] = await Promise.all([
        store.findParents(
          tx,
          all.map(({ work }) => work.row.id),
        ),
        store.findSteps(
          tx,
          all.map(({ work, name }) => ({ runId: work.row.id, name })),
        ),
      ])
      const begun: Begun[] = Array.from(all, () => undefined)
      const taken = new Set<string>()
      const fresh: (NewChild & { readonly at: number })[] = []
      for (const [at, one] of all.entries()) {
        const { lease, row } = one.work
        const parent = parents.get(row.id)
        const step = store.stepKey(row.id, one.name)
        if (!held(lease)) begun[at] = new AppError('LEASE_LOST')
        else if (!parent || parent.cancel_requested_at !== null) begun[at] = new AppError('TASK_STOPPING')
        // Of two of one name the first counts, as of two attempts.
        else if (!taken.has(step) && !kept.has(step)) fresh.push({ ...one, at })
        taken.add(step)
      }
      if (fresh.length === 0) return begun
      if (fresh.length > 1 && someMeet(fresh.map(({ task }) => ({ tasks: [task] }))))
        throw new Error('one after the other')
      const accepted = await on.accept(
        tx,
        fresh.map(({ work: { row }, caller, task }) => ({
          caller,
          task,
          parent: { id: row.id, root: parents.get(row.id)!.root_run_id ?? row.id },
        })),
      )
      const ended_at = clock.now()
      const steps = fresh.map(({ work, name, caller, at }, i) => {
        const { id, number, duplicate } = accepted[i]!
        begun[at] = { id, number, duplicate }
        const { shown, sha256, sealed } = on.payloads.hide(work.project, JSON.stringify(begun[at]))
        return {
          run_id: work.row.id,
          name,
          attempt: work.attempt,
          started_at: caller.at,
          ended_at,
          result: shown,
          sha256,
          result_sealed: sealed,
        }
      })
      await store.keepSteps(tx, steps)
      return begun
    },
  }

  /** Undefined: a step of this name is there already. */
  async function begin(work: AtWork, name: string, task: NewTask): Promise<Dispatched | undefined> {
    const { project, row } = work
    const by = row.executed_by_id
    const caller = by && (await findCaller(project, by))
    if (!caller) throw never('DISPATCH_DENIED', 'Whoever dispatched this task may not dispatch tasks any more')
    const asker: Caller = {
      ...caller,
      requestId: 'task',
      traceId: row.trace_id,
      spanId: row.traceparent === null ? attemptSpanId(row.id, work.attempt) : null,
      traceparent: row.traceparent,
      tracestate: row.tracestate,
    }
    const prepared = await on.prepare(asker, task)
    const begun = await inProject(project, () =>
      db.submit(dispatchChildren, { work, name, caller: asker, task: prepared }),
    )
    if (begun instanceof AppError) throw begun
    return begun
  }

  return {
    async dispatch(work, name, task) {
      requireStepName(name)
      // Under the first lease it is there only if this attempt asks again.
      const before = isFirstClaim(work.lease) ? undefined : await stepOf(work, name)
      if (before) return before
      let refusal: unknown
      try {
        const begun = await begin(work, name, task)
        if (begun) return begun
      } catch (error) {
        // What is there is answered, whoever may dispatch by now. And a step of that name which is no dispatch may have been kept
        // meanwhile: it locks no lease.
        refusal = error instanceof AppError ? never(error.code, error.message, error) : error
      }
      const kept = await stepOf(work, name)
      if (!kept) throw refusal
      return kept
    },

    async outcome(work, id) {
      const found = await findOutcome(work.project, `${work.row.id} ${id}`)
      if (!found) throw never('NOT_A_CHILD', `Task ${id} was not dispatched by this one`)
      if (found.circle) throw never('WAIT_CIRCLE', `Task ${id} waits until this one has ended`)
      const { row } = found
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
          await requireHolder(tx, work.lease)
          const pause = { at: now, by: null, run: work.row.id, reason: null }
          const { before, counts } = await pauseKey(tx, key, end, pause)
          // Of tasks that meet the same limit each would write that it is a moment longer.
          if (counts && !before?.run)
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
