// Connections that are kept for themselves: a lock and a subscription last as long as their session.
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Hints, Leadership } from './database.ts'
import { askOnce } from './postgres-batch.ts'
import type { Pool } from './postgres-pool.ts'
import { alive, types } from './postgres-wire.ts'

/** The connection of a leader is asked every two seconds, and is nobody's any more after so long without. */
const LEADER_ANSWER_MS = 5_000
const LEADER_SILENT_MS = 15_000

/**
 * An advisory lock on a connection of its own, direct and not pooled by anything: transaction pooling breaks session
 * locks. It is no fence: a paused leader may wake after another took over, so what it writes must be refused by
 * compare-and-set (logs.size, the signer's memory).
 */
export async function lead(url: string, name: string, signal: AbortSignal, beside?: () => void): Promise<Leadership> {
  for (;;) {
    signal.throwIfAborted()
    const client = new pg.Client({
      ...alive,
      connectionString: url,
      types,
      application_name: `writ_lead_${name}`,
      options: `-c idle_session_timeout=${LEADER_SILENT_MS}`,
      query_timeout: LEADER_ANSWER_MS,
      connectionTimeoutMillis: 5_000,
    })
    const lost = new AbortController()
    client.on('error', (error) => lost.abort(error))
    client.on('end', () => lost.abort(new Error('connection ended')))
    try {
      await client.connect()
      // Beside another leader on the same connection: a new one each second is a process of PostgreSQL each second.
      for (;;) {
        const { rows } = await client.query<{ ok: boolean }>(
          'select pg_try_advisory_lock(hashtext($1), hashtext(current_database())) as ok',
          [`writ.${name}`],
        )
        if (!rows[0]!.ok) {
          beside?.()
          await sleep(1_000, undefined, { signal })
          continue
        }
        const beat = setInterval(() => client.query('select 1').catch((error) => lost.abort(error)), 2_000)
        beat.unref()
        lost.signal.addEventListener('abort', () => clearInterval(beat))
        return {
          lost: lost.signal,
          held: () =>
            client.query('select 1').then(
              () => !lost.signal.aborted,
              () => false,
            ),
          release: async () => {
            clearInterval(beat)
            await client.end().catch(() => {})
          },
        }
      }
    } catch {
      // The database is away, and is asked again; or this process stops.
    }
    await client.end().catch(() => {})
    await sleep(1_000, undefined, { signal }).catch(() => {})
  }
}

/** LISTEN on a connection of its own, opened again when it breaks. What is said meanwhile is lost, as hints may be. */
export function hear(url: string, pool: Pool, channel: string, heard: (text: string) => void): Hints {
  if (!/^[a-z_]+$/.test(channel)) throw new Error('a channel is a plain word')
  const ended = new AbortController()
  const listen = async () => {
    while (!ended.signal.aborted) {
      const client = new pg.Client({
        ...alive,
        connectionString: url,
        application_name: `writ_hear_${channel}`,
        connectionTimeoutMillis: 5_000,
      })
      const broken = Promise.withResolvers<void>()
      client.on('error', () => broken.resolve())
      client.on('end', () => broken.resolve())
      client.on('notification', (note) => heard(note.payload ?? ''))
      const end = () => broken.resolve()
      ended.signal.addEventListener('abort', end)
      try {
        await client.connect()
        await client.query(`listen ${channel}`)
        await broken.promise
      } catch {
        // The database is away; ask again.
      }
      ended.signal.removeEventListener('abort', end)
      await client.end().catch(() => {})
      await sleep(1_000, undefined, { signal: ended.signal }).catch(() => {})
    }
  }
  const listening = listen()
  return {
    say: (text) => {
      notify(pool, channel, text).catch(() => {})
    },
    async close() {
      ended.abort()
      await listening
    },
  }
}

async function notify(pool: Pool, channel: string, text: string): Promise<void> {
  const client = await pool.connect()
  try {
    await askOnce(client, 'select pg_notify($1, $2)', [channel, text])
    client.release()
  } catch (error) {
    client.release(true)
    throw error
  }
}
