import { setTimeout as sleep } from 'node:timers/promises'
import type { Event } from '@writ/api'
import { listEventsBehind, type PlacedEvent, type Position } from '../audit/index.ts'
import { type Database, inProject } from '../platform/db/index.ts'
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
  const asked = new Map<string, Promise<readonly FeedEvent[]>>()
  let tick: Promise<void> | undefined

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

  function read(project: string, after: Position, limit: number): Promise<readonly FeedEvent[]> {
    const key = `${project}/${after.shard}/${after.index}/${limit}`
    const same = asked.get(key)
    if (same) return same
    const answer = load(project, after, limit)
    asked.set(key, answer)
    answer.finally(() => asked.delete(key)).catch(() => {})
    return answer
  }

  /** The same moment for all who wait: they wake together, and so ask together. */
  function nextTick(): Promise<void> {
    tick ??= sleep(on.pollMs, undefined, { ref: false }).then(() => {
      tick = undefined
    })
    return tick
  }

  return {
    async next(project, after, limit, signal) {
      for (;;) {
        const events = await read(project, after, limit)
        if (events.length > 0 || signal.aborted) return events
        await orAborted(nextTick(), signal)
        if (signal.aborted) return []
      }
    },
  }
}

function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      signal.removeEventListener('abort', end)
      resolve()
    }
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    work.then(end, end)
  })
}
