import type { WorkResult } from '@writ/api'
import { createCostCheck, nanosOf, usdOf } from '@writ/api/costs'
import { TaskError } from './handlers.ts'

type Said = NonNullable<WorkResult['costs']>

/** What a task costs, until it is sent. Added up in billionths of a dollar, which are whole numbers: so sums are exact. */
export function createCosts() {
  const nanos = new Map<string | undefined, number>()
  const check = createCostCheck()
  const put = (what: string | undefined, more: number) => void nanos.set(what, (nanos.get(what) ?? 0) + more)
  return {
    /** Throws TaskError: COST_INVALID. The server refuses the same. */
    add(usd: number, what?: string): void {
      const fault = check(usd, what)
      if (fault !== null) throw new TaskError('COST_INVALID', fault, { retryable: false })
      put(what, nanosOf(usd))
    },
    /** What was said since it was last taken; it is the caller's now. */
    take(): { costs?: Said } {
      if (nanos.size === 0) return {}
      const costs = [...nanos].map(([what, sum]) => ({ usd: usdOf(sum), ...(what === undefined ? {} : { what }) }))
      nanos.clear()
      return { costs }
    },
    /** It was not kept after all. */
    giveBack({ costs = [] }: { costs?: Said }): void {
      for (const { usd, what } of costs) put(what, nanosOf(usd))
    },
  }
}
