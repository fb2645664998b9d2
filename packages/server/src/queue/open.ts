import type { Clock } from '../platform/clock.ts'
import type { Database } from '../platform/db/index.ts'
import type { Logger } from '../platform/log.ts'
import type { Secret } from '../platform/secret.ts'
import { openLineQueue } from './line-queue.ts'
import { createSource, leaveLine } from './line-store.ts'
import { openMemoryLine } from './memory.ts'
import { openPostgresQueue } from './postgres.ts'
import type { Queue } from './queue.ts'
import { openSqliteQueue } from './sqlite.ts'

export interface QueueSettings {
  readonly backend: 'database' | 'memory' | 'redis'
  /** For `redis`. */
  readonly redisUrl: Secret<string>
  readonly clock: Clock
  readonly log: Logger
  /** Hears why Redis cannot be used, and null when it can again. */
  health(reason: string | null): void
  /** Hears the code of each error that Redis answers with. */
  refused(code: string): void
  /** For `redis`: after how many milliseconds a place in which nothing is goes; ten minutes when left out. */
  readonly idleMs?: number
}

/** How long a second server with a queue in memory waits for the first to end. */
const ALONE_MS = 3_000

/**
 * The queue that the settings ask for; the table `queue` is behind each. Servers of one database must have the same.
 * @throws Error with a sentence when another server of the database has its queue in memory
 */
export async function openQueue(db: Database, settings: QueueSettings): Promise<Queue> {
  const base = db.dialect === 'postgres' ? openPostgresQueue(db) : openSqliteQueue(db)
  if (settings.backend === 'database') {
    await leaveLine(db)
    return base
  }
  const { clock } = settings
  if (settings.backend === 'redis') {
    // Its client is loaded by those who use it.
    const { openRedisLine } = await import('./redis.ts')
    const line = await openRedisLine({ ...settings, url: settings.redisUrl, source: createSource(db) })
    return openLineQueue({ db, base, line, clock })
  }
  const alone = await db.lead('queue', AbortSignal.timeout(ALONE_MS)).catch(async (error) => {
    await base.close()
    throw new Error(
      'Another server keeps the queue of this database in memory, and only one can. Set QUEUE_BACKEND to database or redis.',
      { cause: error },
    )
  })
  const queue = openLineQueue({ db, base, line: await openMemoryLine(createSource(db)), clock })
  return { ...queue, close: () => queue.close().finally(() => alone.release()) }
}
