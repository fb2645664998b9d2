import type { Position } from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import type { Logger } from '../platform/log.ts'
import { covers } from './event.ts'
import type { Feed, FeedEvent } from './feed.ts'
import { visibleTo } from './visible.ts'

/** What somebody wants to hear of. */
export interface Interest {
  readonly patterns: readonly string[]
  readonly run?: string | undefined
}

export interface Watching {
  readonly db: Database
  readonly feed: Feed
  /** Ends everything that waits: the server is stopping. */
  readonly stopping: AbortSignal
  /** Something is said at least so often; a reader that takes nothing for twice as long is closed. */
  readonly heartbeatMs: number
  readonly log: Logger
}

/** Some events, and the place up to which the log was looked through for them. */
export interface Heard {
  readonly events: readonly FeedEvent[]
  readonly upTo: Position
}

/**
 * The next events behind a place that the caller may see and asked for; possibly none, then `upTo` has moved on. Waits
 * for the log to grow until `signal` aborts.
 */
export async function hear(
  on: Watching,
  caller: Caller,
  interest: Interest,
  after: Position,
  limit: number,
  signal: AbortSignal,
): Promise<Heard> {
  const project = caller.project!
  const events = await on.feed.next(project, after, limit, signal)
  const upTo = events.at(-1)?.row.position ?? after
  const wanted = events.filter((event) => isWanted(event, interest))
  if (wanted.length === 0) return { events: [], upTo }
  return { events: await inProject(project, () => visibleTo(on.db, caller, wanted)), upTo }
}

const isWanted = ({ row }: FeedEvent, { patterns, run }: Interest): boolean =>
  covers(patterns, row.event_type) && (run === undefined || row.run_id === run || row.resource_id === run)
