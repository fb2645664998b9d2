/** A reporter for `node --test` that tells run.ts, as JSON lines, what was skipped and how it ended. */
import type { TestEvent } from 'node:test/reporters'

export type Tally =
  | { type: 'skip'; name: string; file: string; reason: string }
  | { type: 'summary'; passed: number; failed: number; skipped: number }

export default async function* tally(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const line = (one: Tally) => `${JSON.stringify(one)}\n`
  for await (const event of source) {
    if (event.type === 'test:pass' && event.data.skip !== undefined) {
      const reason = typeof event.data.skip === 'string' ? event.data.skip : ''
      yield line({ type: 'skip', name: event.data.name, file: event.data.file ?? '', reason })
    } else if (event.type === 'test:summary' && event.data.file === undefined) {
      const { tests, passed, skipped } = event.data.counts
      // Neither passed nor skipped: failed, cancelled, or a todo that nobody did.
      yield line({ type: 'summary', passed, failed: tests - passed - skipped, skipped })
    }
  }
}
