import { isStepName, MOST_STEP_NAME } from '@writ/api/step-name'
import { AppError } from '../../platform/app-error.ts'
import type { Clock } from '../../platform/clock.ts'
import { coalesceIn } from '../../platform/coalesce.ts'
import { type Command, type Database, inProject, UniqueViolation } from '../../platform/db/index.ts'
import type { Turns } from '../../platform/turns.ts'
import type { Cost, Costs } from './cost.ts'
import { TaskError } from './handler.ts'
import type { Payloads } from './sealed.ts'
import * as store from './store.ts'
import { addCosts } from './store-cost.ts'

const MAX_RESULT_BYTES = 64 * 1024

/** Throws TaskError: STEP_NAME_INVALID. */
export function requireStepName(name: string): void {
  if (isStepName(name)) return
  const shown = JSON.stringify([...String(name)].slice(0, MOST_STEP_NAME).join(''))
  throw new TaskError('STEP_NAME_INVALID', `${shown} is no name of a step: 1 to 100 characters, in one line`, {
    retryable: false,
  })
}

/** Looks for a step of a task: what is asked for together is one question to the store. */
export function createStepLookup(db: Database) {
  const find = coalesceIn(db, (tx, keys) =>
    store.findSteps(
      tx,
      keys.map((key) => ({ runId: key.slice(0, key.indexOf(' ')), name: key.slice(key.indexOf(' ') + 1) })),
    ),
  )
  return (project: string, runId: string, name: string) => find(project, store.stepKey(runId, name))
}

/** What a task has done in steps, wherever its work is done. */
export interface StepRecord {
  /** What a step answered; undefined if it was not done. Throws TaskError: STEP_NAME_INVALID. */
  find(project: string, runId: string, name: string): Promise<{ readonly result: unknown } | undefined>
  /**
   * Keeps what a step answered, and answers what counts: whoever kept it first is right, also if that was another worker under a
   * newer lease. What it cost is added under the fence, and once: `counted` is false if the step was there already, or the lease is
   * lost. With `held` nothing is kept without the lease. Throws TaskError: STEP_NAME_INVALID, STEP_RESULT_INVALID; LEASE_LOST.
   */
  keep(
    run: { readonly project: string; readonly id: string; readonly attempt: number; readonly fence: number },
    step: {
      readonly name: string
      readonly startedAt: number
      readonly value: unknown
      readonly costs: readonly Cost[]
    },
    held?: 'held',
  ): Promise<{ readonly result: unknown; readonly counted: boolean }>
}

interface NewStep {
  readonly row: store.NewStepRow
  readonly fence: number
  readonly costs: readonly Cost[]
  readonly held: boolean
}

type Exact = Pick<store.StepRow, 'result' | 'result_sealed' | 'sha256'>
/** A refusal is an answer: thrown, it would undo what was kept with it. */
type Kept = AppError | { readonly row: Exact; readonly counted: boolean }

/** Keeps steps of whatever tasks come together, each with what it cost. */
const keepSteps: Command<NewStep, Kept> = {
  name: 'keepSteps',
  async run(tx, all) {
    const lease = ({ row, fence }: NewStep) => ({ runId: row.run_id, fence })
    const asked = all.filter(({ held, costs }) => held || costs.length > 0).map(lease)
    // First, as everybody does who locks them.
    const holds = asked.length > 0 ? await store.heldAmong(tx, asked, 'lock') : () => false
    const there = new Map<string, Exact>(
      await store.findSteps(
        tx,
        all.map(({ row }) => ({ runId: row.run_id, name: row.name })),
      ),
    )
    const fresh: NewStep[] = []
    const counted: NewStep[] = []
    const kept = all.map((one): Kept => {
      const { row, costs, held } = one
      if (held && !holds(lease(one))) return new AppError('LEASE_LOST')
      const key = store.stepKey(row.run_id, row.name)
      const before = there.get(key)
      if (before) return { row: before, counted: false }
      there.set(key, row)
      fresh.push(one)
      const counts = costs.length > 0 && holds(lease(one))
      if (counts) counted.push(one)
      return { row, counted: counts }
    })
    await store.keepSteps(
      tx,
      fresh.map(({ row }) => row),
    )
    await addCosts(
      tx,
      counted.map(({ row, costs }) => ({ runId: row.run_id, attempt: row.attempt, costs })),
    )
    return kept
  },
}

export function createStepRecord(on: { db: Database; clock: Clock; payloads: Payloads }): StepRecord {
  const lookup = createStepLookup(on.db)
  const read = (project: string, row: Exact): unknown =>
    JSON.parse(row.result_sealed === null ? row.result : on.payloads.open(project, row.result_sealed, row.sha256))
  return {
    async find(project, runId, name) {
      requireStepName(name)
      const row = await lookup(project, runId, name)
      return row && { result: read(project, row) }
    },
    async keep(run, { name, startedAt, value, costs }, held) {
      requireStepName(name)
      const text = JSON.stringify(value ?? null) as string | undefined
      if (text === undefined || Buffer.byteLength(text) > MAX_RESULT_BYTES)
        throw new TaskError('STEP_RESULT_INVALID', `The result of step "${name}" is no JSON of at most 64 KiB`, {
          retryable: false,
        })
      const { shown, sha256, sealed } = on.payloads.hide(run.project, text)
      const row = {
        run_id: run.id,
        name,
        attempt: run.attempt,
        started_at: startedAt,
        ended_at: on.clock.now(),
        result: shown,
        sha256,
        result_sealed: sealed,
      }
      const step = { row, fence: run.fence, costs, held: held !== undefined }
      const kept = await inProject(run.project, () => on.db.submit(keepSteps, step)).catch(async (error: unknown) => {
        // Another worker kept it just then, under a lease of its own.
        const first = error instanceof UniqueViolation ? await lookup(run.project, run.id, name) : undefined
        if (!first) throw error
        return { row: first, counted: false }
      })
      if (kept instanceof AppError) throw kept
      return { result: read(run.project, kept.row), counted: kept.counted }
    },
  }
}

/**
 * `ctx.step` of one attempt; see `TaskContext`. `began` hears of each step that is asked for, and answers whether one of this name may
 * be there already; `costs` is what was said up to now; what is asked of the store waits for its turn. Throws what `StepRecord` does.
 */
export function createSteps(
  on: { readonly clock: Clock; readonly record: StepRecord },
  run: {
    project: string
    id: string
    attempt: number
    fence: number
    began(name: string): boolean
    costs(): Costs | null
    inTurn: Turns
  },
): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const { record } = on
  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    requireStepName(name)
    const before = run.began(name) ? await run.inTurn(() => record.find(run.project, run.id, name)) : undefined
    // What the step answered then is what it answers now.
    if (before) return before.result as T
    const startedAt = on.clock.now()
    const value = await work()
    const said = run.costs()?.take() ?? []
    let counted = said.length === 0
    try {
      const kept = await run.inTurn(() => record.keep(run, { name, startedAt, value, costs: said }))
      counted ||= kept.counted
      return kept.result as T
    } finally {
      // With the end of the attempt, then. A store that was lost while it committed, and had: they count twice rather than not at all.
      if (!counted) run.costs()!.giveBack(said)
    }
  }
}
