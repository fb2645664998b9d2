import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { randomToken } from '../platform/ids.ts'
import { type Place, placeOf, placeText } from './line.ts'
import type { Listener, Queue } from './queue.ts'
import {
  countDepth,
  createQueueLimits,
  enqueueHeld,
  IS_HELD,
  type LeaseRow,
  leaseColumns,
  leasesOf,
  mayHold,
  renewLeases,
  ripenDue,
  sweepRows,
  unpausedAt,
} from './rows.ts'
import { tellOf } from './sqlite.ts'

/** At most one NOTIFY in this many milliseconds from one process. */
const SAY_MS = 20
/** Places that are named in one: PostgreSQL takes less than 8000 bytes, and a place has at most some hundred. */
const SAY_PLACES = 20

/** As an expression of which nothing is known: from a list PostgreSQL would expect that nothing is left, and sort it. */
const PASSED_OVER = 'and case when handler = any(?7) then false else true end'

/** Entries that are held under these leases. An array of their ids, not a join alone, by which the table may be read from its beginning. */
const heldBy = (ids: string): string =>
  `queue.run_id = any(${ids}::text[]) and queue.run_id = held.run_id and queue.fence = held.fence and ${IS_HELD}`

/**
 * The queue in the table `queue` of PostgreSQL, for any number of processes. A claim takes what nobody has locked (SKIP LOCKED),
 * so workers do not wait for each other. Other processes hear by NOTIFY where there is something, throttled and outside the
 * transactions that put it there: it is a hint, and takes a lock of the whole database at commit. Our own worker was told
 * before and does not hear it again.
 */
export function openPostgresQueue(db: Database): Queue {
  let listener: Listener | undefined
  const limits = createQueueLimits(db)
  const me = randomToken(6)
  const hints = db.hints('writ_queue', (text) => {
    if (text.startsWith('stop ')) return listener?.stop(text.slice('stop '.length))
    const [from, ...places] = text.split('\n')
    if (from === me) return
    if (places.length === 0) listener?.runnable(null)
    for (const place of places) listener?.runnable(placeOf(place))
  })
  const fresh = new Set<string>()
  let saying: NodeJS.Timeout | undefined
  function say(places: readonly Place[]): void {
    for (const place of places) fresh.add(placeText(place))
    saying ??= setTimeout(() => {
      saying = undefined
      // Where there is so much, they look for themselves.
      hints.say([me, ...(fresh.size > SAY_PLACES ? [] : fresh)].join('\n'))
      fresh.clear()
    }, SAY_MS)
  }

  return {
    async enqueue(tx, entries, now) {
      if (entries.length === 0) return
      await tx.sql(
        `insert into queue (run_id, project_id, queue, handler, priority, run_at, ready)
         select u.run_id, ?1, u.queue, u.handler, u.priority, u.run_at, case when u.run_at <= ?7 then 1 else 0 end
         from unnest(?2::text[], ?3::text[], ?4::text[], ?5::smallint[], ?6::bigint[]) as u(run_id, queue, handler, priority, run_at)
         on conflict (run_id) do update set run_at = excluded.run_at, ready = excluded.ready where queue.lease_until is null`,
        [
          tx.project,
          entries.map((entry) => entry.runId),
          entries.map((entry) => entry.queue),
          entries.map((entry) => entry.handler),
          entries.map((entry) => entry.priority),
          entries.map((entry) => entry.runAt),
          now,
        ],
      )
      tellOf(tx, entries, now, () => listener)
      tx.afterCommit(() => say(entries.map((entry) => ({ queue: entry.queue, project: tx.project }))))
    },
    mayHold: (tx, queue) => mayHold(tx, queue, limits),
    enqueueHeld,
    async reserve() {},
    async claim(tx, ask) {
      const room = await limits.room(tx, ask)
      if (room === 0) return []
      // An array of ids, not a join: a generic plan expects a tenth of the table to be within the limit, and would read all of it.
      const rows = await tx.sql<LeaseRow>(
        `with due as (
           select run_id from queue where queue = ?4 and project_id = ?5 and ready = 1 and ${unpausedAt('?4', '?5')}
             ${ask.except.length > 0 ? PASSED_OVER : ''}
           order by priority desc, run_at, run_id limit ?6 for update skip locked)
         update queue set lease_owner = ?1, lease_until = ?2, claimed_at = ?3, fence = fence + 1, attempt = attempt + 1, ready = 0
         where queue.run_id = any(array(select run_id from due))
         returning ${leaseColumns}`,
        [
          ask.worker,
          ask.leaseUntil,
          ask.now,
          ask.queue,
          tx.project,
          room,
          ...(ask.except.length > 0 ? [ask.except] : []),
        ],
      )
      return leasesOf(rows)
    },
    async extend(leases, until) {
      if (leases.length === 0) return { lost: [], stop: [] }
      const rows = await inProject(INSTANCE, () =>
        db.write((tx) =>
          tx.sql<{ run_id: string; fence: number; stop: number }>(
            `update queue set lease_until = ?1 from unnest(?2::text[], ?3::bigint[]) as held(run_id, fence)
             where ${heldBy('?2')}
             returning queue.run_id, queue.fence, queue.stop`,
            [until, leases.map((lease) => lease.runId), leases.map((lease) => lease.fence)],
          ),
        ),
      )
      const kept = new Map(rows.map((row) => [`${row.run_id} ${row.fence}`, row.stop]))
      return {
        lost: leases.filter((lease) => !kept.has(keyOf(lease))),
        stop: leases.filter((lease) => kept.get(keyOf(lease)) === 1),
      }
    },
    async settle(tx, settlements) {
      const settled = new Set<string>()
      const run = async (sql: string, of: typeof settlements, params: (string | number | string[] | number[])[]) => {
        if (of.length === 0) return
        for (const row of await tx.sql<{ run_id: string; fence: number | string }>(sql, params))
          settled.add(`${row.run_id} ${row.fence}`)
      }
      const idsOf = (of: typeof settlements) => of.map((one) => one.runId)
      const fencesOf = (of: typeof settlements) => of.map((one) => Number(one.fence))
      const held = settlements.filter((one) => one.fence !== 'unclaimed')
      const free = settlements.filter((one) => one.fence === 'unclaimed')
      const done = held.filter((one) => one.next === 'done')
      const again = held.filter((one) => one.next !== 'done')
      await Promise.all([
        run(
          `delete from queue using unnest(?1::text[], ?2::bigint[]) as held(run_id, fence)
           where ${heldBy('?1')}
           returning queue.run_id, queue.fence`,
          done,
          [idsOf(done), fencesOf(done)],
        ),
        run(
          `update queue set lease_owner = null, lease_until = null, claimed_at = null, ready = 0, stop = 0, run_at = held.run_at,
             failures = queue.failures + held.failed, attempt = queue.attempt - 1 + held.failed
           from unnest(?1::text[], ?2::bigint[], ?3::bigint[], ?4::bigint[]) as held(run_id, fence, run_at, failed)
           where ${heldBy('?1')}
           returning queue.run_id, queue.fence`,
          again,
          [
            idsOf(again),
            fencesOf(again),
            again.map((one) => ('runAt' in one ? one.runAt : 0)),
            again.map((one) => (one.next === 'retry' ? 1 : 0)),
          ],
        ),
        run(
          `delete from queue where run_id = any(?1) and lease_until is null returning run_id, 'unclaimed' as fence`,
          free,
          [idsOf(free)],
        ),
      ])
      limits.ended(tx, () => listener)
      return settlements.map((one) => settled.has(keyOf(one)))
    },
    async sweep(now) {
      await limits.refresh()
      return sweepRows(db, now)
    },
    async clockSet(change) {
      await renewLeases(db, change)
      await ripenDue(db, change)
    },
    async stop(tx, runId) {
      const rows = await tx.sql(
        `update queue set stop = 1 where run_id = ?1 and project_id = ?2 and ${IS_HELD} returning run_id`,
        [runId, tx.project],
      )
      tx.afterCommit(() => {
        listener?.stop(runId)
        hints.say(`stop ${runId}`)
      })
      return rows.length === 1
    },
    wake(heard) {
      listener = heard
    },
    depth: countDepth,
    async close() {
      clearTimeout(saying)
      listener = undefined
      await hints.close()
    },
  }
}

/** A run may stand in one batch under two fences, of which only the newer one counts. */
const keyOf = (one: { readonly runId: string; readonly fence: number | 'unclaimed' }): string =>
  `${one.runId} ${one.fence}`
