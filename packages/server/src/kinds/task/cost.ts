import { createCostCheck, nanosOf } from '@writ/api/costs'
import { redactor } from '../../platform/redact/index.ts'
import { TaskError } from './handler.ts'

/** What was paid for one thing; `what` is redacted, and empty when nobody said. */
export interface Cost {
  readonly what: string
  /** Billionths of a US dollar, a whole number. */
  readonly nanos: number
}

/**
 * What the work under one lease costs, from when it is said until it is kept. It is kept in the transaction of a step, or of what
 * becomes of the attempt, under the fence of its lease: so it counts exactly when they do.
 *
 * Stopped in between: what was said since the last step is gone with the attempt.
 */
export interface Costs {
  /** Throws TaskError: COST_INVALID. */
  add(usd: number, what?: string): void
  /** What was said and is not kept; it is the caller's now. */
  take(): readonly Cost[]
  /** It was not kept after all. */
  giveBack(costs: readonly Cost[]): void
}

export function createCosts(): Costs {
  const said = new Map<string, number>()
  const check = createCostCheck()
  const put = (what: string, nanos: number) => void said.set(what, (said.get(what) ?? 0) + nanos)
  return {
    add(usd, what) {
      const fault = check(usd, what)
      if (fault !== null) throw new TaskError('COST_INVALID', fault, { retryable: false })
      put(what === undefined ? '' : redactor.text(what), nanosOf(usd))
    },
    take() {
      const all = [...said].map(([what, nanos]) => ({ what, nanos }))
      said.clear()
      return all
    },
    giveBack(costs) {
      for (const { what, nanos } of costs) put(what, nanos)
    },
  }
}

/** What a worker elsewhere says that an attempt cost, by what it was paid for; undefined if it says nothing. Throws TaskError: COST_INVALID. */
export function costsSaid(
  all: readonly { readonly usd: number; readonly what?: string }[] | undefined,
): Cost[] | undefined {
  if (all === undefined || all.length === 0) return undefined
  const costs = createCosts()
  for (const { usd, what } of all) costs.add(usd, what)
  return [...costs.take()]
}
