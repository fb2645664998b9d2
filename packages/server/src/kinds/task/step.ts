import type { Clock } from '../../platform/clock.ts'
import { type Database, inProject } from '../../platform/db/index.ts'
import { TaskError } from './handler.ts'
import type { Payloads } from './sealed.ts'
import * as store from './store.ts'

export const STEP_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_ .:/#-]{0,99}$/u
const MAX_RESULT_BYTES = 64 * 1024

/** `ctx.step` of one attempt; see `TaskContext`. `began` hears of each step that is asked for, for the run's count. */
export function createSteps(
  on: { db: Database; clock: Clock; payloads: Payloads },
  run: { project: string; id: string; attempt: number; began(): void },
): <T>(name: string, work: () => Promise<T>) => Promise<T> {
  const find = (name: string) => inProject(run.project, () => on.db.read((tx) => store.findStep(tx, run.id, name)))
  const resultOf = (row: store.StepRow): unknown =>
    JSON.parse(row.result_sealed === null ? row.result : on.payloads.open(run.project, row.result_sealed, row.sha256))

  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    if (!STEP_NAME.test(name))
      throw new TaskError('STEP_NAME_INVALID', `"${name}" is no name of a step`, { retryable: false })
    run.began()
    const before = await find(name)
    // What the step answered then is what it answers now.
    if (before) return resultOf(before) as T
    const started_at = on.clock.now()
    const value = await work()
    const text = JSON.stringify(value ?? null) as string | undefined
    if (text === undefined || Buffer.byteLength(text) > MAX_RESULT_BYTES)
      throw new TaskError('STEP_RESULT_INVALID', `The result of step "${name}" is no JSON of at most 64 KiB`, {
        retryable: false,
      })
    const { shown, sha256, sealed } = on.payloads.hide(run.project, text)
    await inProject(run.project, () =>
      on.db.write((tx) =>
        store.keepStep(tx, {
          run_id: run.id,
          name,
          attempt: run.attempt,
          started_at,
          ended_at: on.clock.now(),
          result: shown,
          sha256,
          result_sealed: sealed,
        }),
      ),
    )
    // Whoever kept it first is right, also if that was another worker under a newer lease.
    return resultOf((await find(name))!) as T
  }
}
