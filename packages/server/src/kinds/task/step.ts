import { KEY } from '@writ/api'
import type { Turns } from '@writ/api/turns'
import type { Clock } from '../../platform/clock.ts'
import { coalesceIn } from '../../platform/coalesce.ts'
import { type Database, inProject, type Tx } from '../../platform/db/index.ts'
import type { Cost, Costs } from './cost.ts'
import { TaskError } from './handler.ts'
import type { Payloads } from './sealed.ts'
import * as store from './store.ts'
import { addCosts } from './store-cost.ts'

const NAME = new RegExp(KEY, 'u')
const MOST_CHARACTERS = 100
const MAX_RESULT_BYTES = 64 * 1024

/** In any language, in one line: a name says what was done. Throws TaskError: STEP_NAME_INVALID. */
export function requireStepName(name: string): void {
  const characters = [...String(name)]
  if (NAME.test(name) && characters.length <= MOST_CHARACTERS) return
  const shown = JSON.stringify(characters.slice(0, MOST_CHARACTERS).join(''))
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
   * lost. `allowed` is asked in the same transaction. Throws TaskError: STEP_NAME_INVALID, STEP_RESULT_INVALID.
   */
  keep(
    run: { readonly project: string; readonly id: string; readonly attempt: number; readonly fence: number },
    step: {
      readonly name: string
      readonly startedAt: number
      readonly value: unknown
      readonly costs: readonly Cost[]
    },
    allowed?: (tx: Tx) => Promise<void>,
  ): Promise<{ readonly result: unknown; readonly counted: boolean }>
}

export function createStepRecord(on: { db: Database; clock: Clock; payloads: Payloads }): StepRecord {
  const lookup = createStepLookup(on.db)
  async function find(project: string, runId: string, name: string) {
    requireStepName(name)
    const row = await lookup(project, runId, name)
    if (!row) return undefined
    const text = row.result_sealed === null ? row.result : on.payloads.open(project, row.result_sealed, row.sha256)
    return { result: JSON.parse(text) as unknown }
  }
  return {
    find,
    async keep(run, { name, startedAt, value, costs }, allowed) {
      requireStepName(name)
      const text = JSON.stringify(value ?? null) as string | undefined
      if (text === undefined || Buffer.byteLength(text) > MAX_RESULT_BYTES)
        throw new TaskError('STEP_RESULT_INVALID', `The result of step "${name}" is no JSON of at most 64 KiB`, {
          retryable: false,
        })
      const { shown, sha256, sealed } = on.payloads.hide(run.project, text)
      const counted = await inProject(run.project, () =>
        on.db.write(async (tx) => {
          await allowed?.(tx)
          // First, as everybody does who locks it.
          const counts = costs.length > 0 && (await store.isHolder(tx, run.id, run.fence, 'lock'))
          const first = await store.keepStep(tx, {
            run_id: run.id,
            name,
            attempt: run.attempt,
            started_at: startedAt,
            ended_at: on.clock.now(),
            result: shown,
            sha256,
            result_sealed: sealed,
          })
          if (!counts || !first) return false
          await addCosts(tx, [{ runId: run.id, attempt: run.attempt, costs }])
          return true
        }),
      )
      return { ...(await find(run.project, run.id, name))!, counted }
    },
  }
}

/** `ctx.step` of one attempt; see `TaskContext`. `began` hears of each step that is asked for, for the run's count; `costs` is what was said up to now; what is asked of the store waits for its turn. */
export function createSteps(
  on: { db: Database; clock: Clock; payloads: Payloads },
  run: {
    project: string
    id: string
    attempt: number
    fence: number
    began(): void
    costs(): Costs | null
    inTurn: Turns
  },
): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const record = createStepRecord(on)
  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    run.began()
    const before = await run.inTurn(() => record.find(run.project, run.id, name))
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
