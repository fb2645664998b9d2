import { decodeEntry, type Entry } from '@writ/tlog'
import { type Database, inProject } from '../platform/db/index.ts'
import { Found } from './finding.ts'
import type * as store from './store.ts'
import * as erasures from './store-erasure.ts'

/**
 * Holds emptied rows against the log: each must have a `payload.erased` whose leaf names it. A table that says so proves
 * nothing; a leaf does.
 */
export interface ErasureCheck {
  /** Every leaf that goes by, in log order. */
  see(leaf: Entry): void
  /** An emptied row. Throws Found if nothing claims to have erased it. */
  expect(row: Pick<store.LogRow, 'id' | 'erased_by'>, index: number): void
  /** After the last one: throws Found for a row whose erasure is nowhere. */
  end(): Promise<void>
}

export function createErasureCheck(db: Database, project: string): ErasureCheck {
  /** From a payload.erased to what it erased, as the leaves say. */
  const said = new Map<string, string>()
  const expected: { id: string; by: string; index: number }[] = []
  const unexplained = (index: number) =>
    new Found({
      code: 'PAYLOAD_CHANGED',
      index,
      reason: `the event of entry ${index} is gone, and no payload.erased in the log says why`,
    })
  return {
    see(leaf) {
      if (leaf.act === 'payload.erased' && leaf.res !== undefined) said.set(leaf.id, leaf.res)
    },
    expect(row, index) {
      if (row.erased_by === null) throw unexplained(index)
      expected.push({ id: row.id, by: row.erased_by, index })
    },
    async end() {
      for (const { id, by, index } of expected) {
        if (said.get(by) === id) continue
        // Newer than what is being verified: then it waits for its place, or has one beyond.
        const found = await inProject(project, () => db.read((tx) => erasures.findErasure(tx, by)))
        if (!found || decodeEntry(found.entry).res !== id || said.has(by)) throw unexplained(index)
      }
    },
  }
}
