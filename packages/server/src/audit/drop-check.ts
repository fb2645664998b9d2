import { openCheckpoint } from '@writ/tlog'
import { findContinuation, openNote } from './continuation.ts'
import { Found } from './finding.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import type { Log, LogRow } from './store.ts'

/**
 * Holds logs that retention dropped against what is left: the last checkpoint must be the log's own, the next log must begin
 * with it (as far as that is left), and a `log.dropped` in a later log must name it. So a log that somebody just deleted is
 * still found.
 */
export interface DropCheck {
  /** A dropped log, with the one that continues it and the checkpoints of it that were kept. Throws Found. */
  expect(log: Log, following: readonly Log[], kept: readonly string[]): Promise<void>
  /** Every row that goes by, compared with its commitment before. */
  see(row: Pick<LogRow, 'event'>): void
  end(): void
}

/**
 * The last that was published of a log. That is more than its rows were where a restore closed it, and nothing where two did, one after
 * the other.
 */
async function lastOf(log: Log, unfit: (reason: string) => Found): Promise<{ size: number }> {
  if (log.checkpoint === null && log.size === 0) return { size: 0 }
  if (log.checkpoint === null || log.vkey === null) throw unfit('its last checkpoint is gone')
  const trust = { vkeys: [log.vkey], origin: log.origin, hash: sha256, verify: verifyEd25519 }
  const opened = await openCheckpoint(log.checkpoint, trust)
  if (!opened.ok || opened.checkpoint.size < log.size) throw unfit('its last checkpoint is not its own')
  return opened.checkpoint
}

export function createDropCheck(firstRows: (shard: number, limit: number) => Promise<readonly LogRow[]>): DropCheck {
  const said = new Set<string>()
  const expected: Log[] = []
  return {
    async expect(log, following, kept) {
      const [next] = following
      const unfit = (reason: string) =>
        new Found({ code: 'LOG_DROPPED', reason: `${log.origin} was dropped, but ${reason}` })
      if (!next || log.closed_at === null) throw unfit('nothing continues it')
      const { size } = await lastOf(log, unfit)
      for (const note of kept) {
        const seen = openNote(note)
        if (
          seen &&
          (seen.size > size || (seen.size === size && note.split('\n')[2] !== log.checkpoint?.split('\n')[2]))
        )
          throw unfit('a kept checkpoint does not fit its end')
      }
      if (next.dropped_at === null) {
        const end = await findContinuation(log.origin, following, firstRows)
        if (end?.last_checkpoint !== (log.checkpoint ?? '') || end.restored_size !== log.size)
          throw unfit(`${next.origin} does not begin with its end`)
      }
      expected.push(log)
    },
    see(row) {
      if (!row.event.includes('"event_type":"log.dropped"')) return
      const event = JSON.parse(row.event) as { event_type: string; details?: { dropped?: { origin: string }[] } }
      if (event.event_type === 'log.dropped') for (const one of event.details?.dropped ?? []) said.add(one.origin)
    },
    end() {
      const unsaid = expected.find((log) => !said.has(log.origin))
      if (unsaid)
        throw new Found({ code: 'LOG_DROPPED', reason: `${unsaid.origin} is gone, and no log.dropped says why` })
    },
  }
}
