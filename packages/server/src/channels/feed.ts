import type { Event } from '@writ/api'
import { listEventsBehind, type PlacedEvent, type Position } from '../audit/index.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { createLooks } from '../platform/looks.ts'
import { showEvent } from './event.ts'

/** An event of the log, as it is shown, and as text: written once for all who get it. */
export interface FeedEvent {
  readonly row: PlacedEvent
  readonly event: Event
  readonly text: string
  /** The message of a socket, encoded. */
  readonly message: Buffer
}

export interface Feed {
  /**
   * The events of a project behind a place, in log order, at most `limit`. Waits until there are some; answers none when
   * `signal` aborts.
   */
  next(project: string, after: Position, limit: number, signal: AbortSignal): Promise<readonly FeedEvent[]>
}

/**
 * What everybody who watches reads from. Each watcher has a place of its own and asks for what is behind it, so nothing
 * is pushed at a reader that does not read, and none misses anything. Those at the same place share one question to the
 * database: a thousand who wait for the next event cost as much as one.
 */
export function createFeed(on: { db: Database; pollMs: number; sourceOf(project: string): Promise<string> }): Feed {
  const looks = createLooks(on.pollMs)

  async function load(project: string, after: Position, limit: number): Promise<readonly FeedEvent[]> {
    const rows = await inProject(project, () => on.db.read((tx) => listEventsBehind(tx, after, limit)))
    if (rows.length === 0) return []
    const source = await on.sourceOf(project)
    return rows.map((row) => {
      const event = showEvent(row, { source })
      const text = JSON.stringify(event)
      return { row, event, text, message: Buffer.from(`{"type":"event","event":${text}}`) }
    })
  }

  return {
    next: (project, after, limit, signal) =>
      looks.until(
        `${project}/${after.shard}/${after.index}/${limit}`,
        () => load(project, after, limit),
        (events) => events.length > 0,
        signal,
      ),
  }
}
