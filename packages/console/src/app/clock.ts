import { createStore } from './store.ts'

/**
 * The clock of the server, by which everything on the page is dated: that of a browser may be an hour or a year off, and then tells what
 * has just happened as to come, and what has expired as valid. In milliseconds ahead of this browser; none unless an answer says so.
 */
export const ahead = createStore(0)

/** Now, as the server has it. */
export const now = (): number => Date.now() + ahead.get()

/** An answer says its second, and a slow machine takes a while to look at it. */
export const SLACK_MS = 2_000

/** Hears from an answer (`Date`) when it was written: some time between the question and the answer, or the clocks differ. */
export function hearTime(date: string | null, askedAt: number, answeredAt: number): void {
  const written = Date.parse(date ?? '')
  if (Number.isNaN(written)) return
  const differs = ahead.get()
  if (written + 1_000 + SLACK_MS >= askedAt + differs && written - SLACK_MS <= answeredAt + differs) return
  const off = written + 500 - answeredAt
  ahead.set(Math.abs(off) <= SLACK_MS ? 0 : off)
}
