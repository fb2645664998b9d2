import pg from 'pg'
import { DatabaseUnavailable } from './database.ts'
import { mindPatience } from './postgres-batch.ts'

/** Connections to share, of which as many are opened as there is work for. */
export interface Pool {
  /** One that is nobody else's until it is given back with `release`. */
  connect(): Promise<pg.PoolClient>
  end(): Promise<void>
}

/**
 * A pool that opens one connection at a time. The driver's opens one for each that is asked for while none is free; but each is a process of
 * PostgreSQL, which takes longer to come up than most of what is asked lasts, and every minute, and above all at a start, much is asked for at
 * one moment. Whoever waits here gets what is given back first, or opens the next; a load that keeps all of them busy opens all.
 */
export function createPool(config: pg.PoolConfig & { readonly max: number }): Pool {
  const pool = new pg.Pool(config)
  // A broken idle connection is replaced at the next use; without a listener it would end the process.
  pool.on('error', () => {})
  // The same for one that is in use: its query rejects with the reason, and whoever asked answers for it.
  pool.on('connect', (client) => {
    client.on('error', () => {})
    mindPatience(client)
  })
  let isOpening = false
  const waiting: PromiseWithResolvers<pg.PoolClient>[] = []
  /** Whether somebody who asks now would be given a connection of his own, neither a free one nor a place in the queue of a full pool. */
  const wouldOpen = () => pool.idleCount <= pool.waitingCount && pool.totalCount < config.max

  function serveWaiting(): void {
    while (waiting.length > 0 && !(isOpening && wouldOpen())) {
      const { resolve, reject } = waiting.shift()!
      take().then(resolve, reject)
    }
  }

  async function take(): Promise<pg.PoolClient> {
    if (!wouldOpen()) return pool.connect()
    isOpening = true
    try {
      return await pool.connect()
    } catch (error) {
      // They have waited for it as long as it took, and would fare no better.
      for (const { reject } of waiting.splice(0)) reject(error)
      throw error
    } finally {
      isOpening = false
      serveWaiting()
    }
  }

  pool.on('release', () => {
    // It says so just before the connection is free.
    if (waiting.length > 0) process.nextTick(serveWaiting)
  })
  return {
    async connect() {
      try {
        if (waiting.length === 0 && !(isOpening && wouldOpen())) return await take()
        const asked = Promise.withResolvers<pg.PoolClient>()
        waiting.push(asked)
        return await asked.promise
      } catch (error) {
        throw new DatabaseUnavailable(error)
      }
    },
    end: () => pool.end(),
  }
}
