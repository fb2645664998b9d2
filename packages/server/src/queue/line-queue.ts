import type { Clock } from '../platform/clock.ts'
import { type Database, inList, type Tx } from '../platform/db/index.ts'
import { type Change, HANDOVER_MS, type Line, type Place, type Placed, placeText, type Taken } from './line.ts'
import {
  countWaiting,
  endLapsed,
  findWaiting,
  insertEntries,
  keepDue,
  PAGE,
  removeUnheld,
  seeInLine,
  unpaused,
} from './line-store.ts'
import type { Ask, Listener, Queue, Settlement } from './queue.ts'
import {
  createQueueLimits,
  endOwn,
  enqueueHeld,
  type LeaseRow,
  leaseColumns,
  leasesOf,
  mayHold,
  renewLeases,
  unpausedAt,
} from './rows.ts'

/** How long after its time it is not yet looked for an entry in the line: most are claimed and done by then. */
const LOOK_AFTER_MS = 2_000

interface Reserved {
  readonly place: Place
  readonly taken: readonly Taken[]
  readonly at: number
}

/**
 * A queue whose order is kept in a line (Redis, memory) and whose truth is the table `queue`: an entry is accepted when it
 * committed there, a lease is valid while it stands there, and settling is one compare-and-set there, which `base`, the
 * database's own queue, does. The line is changed after a commit and taken from before a transaction, never inside of one.
 *
 * - Stopped between the commit of an entry and its way into the line: the table says that it was not seen there, and a sweep
 *   puts it in, two seconds after its time.
 * - Stopped between taking it out and the commit of its claim: the line gives it out again.
 * - Stopped after that commit: the lease runs out in the table, and a sweep puts the entry back into the line.
 */
export function openLineQueue(on: { db: Database; base: Queue; line: Line; clock: Clock }): Queue {
  const { db, base, line, clock } = on
  let listener: Listener | undefined
  const limits = createQueueLimits(db)
  const reserved = new Map<Ask, Reserved>()
  const outgoing = createOutgoing(line, clock, (place, count) => listener?.runnable(place, count))
  let swept = false

  /** `hint`: say that there may be something to claim. */
  const put = (how: 'put' | 'keep', entries: readonly Placed[], hint: boolean) => {
    for (const entry of entries) outgoing.add(entry, { do: how, entry }, hint)
  }
  const putAfterwards = (tx: Tx, how: 'put' | 'keep', entries: readonly Placed[]) => {
    if (entries.length > 0) tx.afterCommit(() => put(how, entries, true))
  }

  return {
    async enqueue(tx, entries) {
      const there = await insertEntries(tx, entries)
      putAfterwards(
        tx,
        'put',
        there.map((entry) => ({ ...entry, project: tx.project })),
      )
    },
    mayHold: (tx, queue) => mayHold(tx, queue, limits),
    enqueueHeld,
    async reserve(project, ask) {
      const place = { queue: ask.queue, project }
      await outgoing.sent()
      const taken = await line.take(place, ask)
      if (taken.length > 0) reserved.set(ask, { place, taken, at: ask.now })
    },
    async claim(tx, ask) {
      const mine = reserved.get(ask)
      if (!mine) return []
      // What comes in no more stays where it was.
      const some = mine.taken.slice(0, await limits.room(tx, ask))
      const rows = await tx.sql<LeaseRow>(
        `update queue set lease_owner = ?1, lease_until = ?2, claimed_at = ?3, fence = fence + 1, attempt = attempt + 1, ready = 0
         where ${inList(tx, 'run_id', '?4')} and project_id = ?5 and lease_until is null and run_at <= ?3 and ${unpausedAt('?6', '?5')}
         returning ${leaseColumns.replaceAll('queue.', '')}`,
        [ask.worker, ask.leaseUntil, ask.now, some.map((one) => one.runId), tx.project, ask.queue],
      )
      const claimed = new Set(rows.map((row) => row.run_id))
      const refused = mine.taken.filter((one) => !claimed.has(one.runId))
      // Held by another or gone, they leave the line; paused or not due, they stay.
      const stay = await findWaiting(
        tx,
        refused.map((one) => one.runId),
      )
      tx.afterCommit(() => {
        reserved.delete(ask)
        for (const taken of mine.taken) outgoing.add(mine.place, { do: 'ack', taken }, false)
        put('keep', stay, false)
        // Fewer came than were asked for, but not because there are no more.
        if (refused.length > stay.length) listener?.runnable(mine.place)
      })
      return leasesOf(rows)
    },
    extend: base.extend,
    async settle(tx, settlements) {
      const held = settlements.filter((one) => one.fence !== 'unclaimed')
      const ends = await base.settle(tx, held)
      // By settlement, not by run: a run may stand here under two fences.
      const settled = new Set<Settlement>(held.filter((_, i) => ends[i]))
      const again = [...settled].filter((one) => one.next !== 'done').map((one) => one.runId)
      putAfterwards(tx, 'keep', await findWaiting(tx, again))
      const free = new Map(settlements.filter((one) => one.fence === 'unclaimed').map((one) => [one.runId, one]))
      const gone = await removeUnheld(tx, [...free.keys()])
      if (gone.length > 0)
        tx.afterCommit(() => {
          for (const { runId, queue } of gone)
            outgoing.add({ queue, project: tx.project }, { do: 'remove', runId }, false)
        })
      for (const { runId } of gone) settled.add(free.get(runId)!)
      limits.ended(tx, () => listener)
      return settlements.map((one) => settled.has(one))
    },
    async sweep(now) {
      await limits.refresh()
      if (!swept && db.dialect === 'sqlite') await endOwn(db)
      swept = true
      const { lapsed, stopped } = await endLapsed(db, now)
      put('keep', lapsed, true)
      for (const [ask, { place, taken, at }] of reserved)
        if (at + HANDOVER_MS <= now) {
          reserved.delete(ask)
          for (const one of taken) outgoing.add(place, { do: 'back', taken: one }, false)
        }
      await outgoing.sent()
      const looked = line.shared ? await seeInLine(db, line, now - LOOK_AFTER_MS, now) : 0
      const { runnable, next } = await line.sweep(now)
      return {
        runnable: await unpaused(db, runnable),
        next: lapsed.length === PAGE || looked === PAGE ? now : next,
        stopped,
      }
    },
    async clockSet(change) {
      await renewLeases(db, change)
      // What fell due after the last sweep would stand in the line at a time that is still to come.
      if (change.to < change.from) await line.sweep(change.from)
      await keepDue(db, change)
    },
    stop: base.stop,
    wake(heard) {
      listener = heard
      base.wake({ runnable() {}, stop: (runId) => listener?.stop(runId) })
      line.hear((place) => listener?.runnable(place))
    },
    depth: (tx, name) => countWaiting(tx, clock.now(), name),
    async close() {
      listener = undefined
      await outgoing.sent()
      await line.close()
      await base.close()
    },
  }
}

interface Outgoing {
  add(place: Place, change: Change, hint: boolean): void
  /** Sends what waits, and resolves when all that was sent by then has arrived or failed. */
  sent(): Promise<void>
}

/** Changes on their way into the line, those of one turn of the event loop together. */
function createOutgoing(line: Line, clock: Clock, hint: (place: Place, count: number) => void): Outgoing {
  let waiting = new Map<string, { place: Place; changes: Change[]; hints: number }>()
  const underWay = new Set<Promise<void>>()
  let scheduled = false

  function send(): void {
    const batch = waiting
    waiting = new Map()
    for (const one of batch.values()) {
      const way: Promise<void> = line
        .change(one.place, one.changes, clock.now())
        .then((arrived) => {
          if (!arrived || one.hints === 0) return
          hint(one.place, one.hints)
          line.say(one.place)
        })
        .finally(() => underWay.delete(way))
      underWay.add(way)
    }
  }

  return {
    add(place, change, hint) {
      const key = placeText(place)
      const one = waiting.get(key)
      if (one) {
        one.changes.push(change)
        if (hint) one.hints++
      } else
        waiting.set(key, {
          place: { queue: place.queue, project: place.project },
          changes: [change],
          hints: hint ? 1 : 0,
        })
      if (scheduled) return
      scheduled = true
      setImmediate(() => {
        scheduled = false
        send()
      })
    },
    async sent() {
      send()
      await Promise.all(underWay)
    },
  }
}
