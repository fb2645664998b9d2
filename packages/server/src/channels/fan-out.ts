import { setTimeout as sleep } from 'node:timers/promises'
import { endOfLog, listEventsBehind, type PlacedEvent, type Position, RUN_ENDS, readLine } from '../audit/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { eachAlone } from '../platform/each-alone.ts'
import { firstIdAt, uuidv7 } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { createTrouble } from '../platform/trouble.ts'
import { hears, listListeners } from './listening.ts'
import * as store from './store.ts'

const BATCH = 200
/** About so many deliveries are made in one transaction: meanwhile nobody else changes anything. */
const MOST_DELIVERIES = 2_000

/**
 * Reads each project's log behind its cursor and makes a delivery for every webhook that listens. The audit log is the
 * outbox: an event is in it or its change never happened, and its places are dense, so a cursor skips nothing
 * (docs/decisions/0050). Any process may do a round; the cursor's row is locked meanwhile.
 *
 * Deliveries and the cursor move in one transaction. Stopped before it: the next round reads the same events. Stopped
 * after it: everything is in the queue.
 */
export function createFanOut(on: { db: Database; clock: Clock; log: Logger; pollMs: number; told(): void }): {
  run(stop: AbortSignal): Promise<void>
} {
  async function round(): Promise<void> {
    const read = await inProject(INSTANCE, () => on.db.read((tx) => store.listRead(tx)))
    await eachAlone(read, ({ project_id, shard, log_index }) =>
      inProject(project_id, async () => {
        // Looking costs one row and no lock; most of the time there is nothing.
        const more = await on.db.read((tx) => listEventsBehind(tx, { shard, index: log_index }, 1))
        if (more.length === 0) return
        while (await on.db.write((tx) => fanOut(tx, on.clock.now()))) {}
        on.told()
      }),
    )
  }

  const trouble = createTrouble(on.log, {
    stopped: 'no events read for webhooks',
    again: 'events are read for webhooks again',
  })
  return {
    async run(stop) {
      while (!stop.aborted) {
        await round().then(trouble.over, trouble.met)
        await sleep(on.pollMs, undefined, { signal: stop }).catch(() => {})
      }
    },
  }
}

const MEMORY_MS = 30 * 86_400_000
/** So many at a time: whoever was away for a month has many to forget, and others want to write meanwhile. */
const FORGETS = 1_000

/** Forgets deliveries that were settled and are older than 30 days; the events themselves stay in the log. */
export async function forgetOldDeliveries(db: Database, now: number): Promise<void> {
  const read = await inProject(INSTANCE, () => db.read((tx) => store.listRead(tx)))
  await eachAlone(read, ({ project_id }) =>
    inProject(project_id, async () => {
      const before = firstIdAt(now - MEMORY_MS)
      while ((await db.write((tx) => store.forgetDeliveries(tx, before, FORGETS))) === FORGETS) {}
    }),
  )
}

/** Of the end of a task: its handler, and the webhook that is to hear of it if it was dispatched with a callback. Most have none, and are not read for it. */
function taskIn(
  event: PlacedEvent,
  withoutToo: boolean,
): { handler: string; callback: string | undefined } | undefined {
  if (!RUN_ENDS.has(event.event_type) || event.event === '') return undefined
  if (!withoutToo && !event.event.includes('"callback"')) return undefined
  const details = readLine(event.event)?.details as { handler?: unknown; callback?: unknown } | null | undefined
  if (typeof details?.handler !== 'string') return undefined
  return { handler: details.handler, callback: typeof details.callback === 'string' ? details.callback : undefined }
}

/** A place in the log as one number; a log that was closed comes before the next. Exact up to 8,000 logs of 10^12 entries. */
const turnOf = ({ shard, index }: Position): number => shard * 1e12 + index

/** One batch of one project; true if there may be more. */
async function fanOut(tx: Tx, now: number): Promise<boolean> {
  const after = await store.lockCursor(tx)
  if (after === undefined) return false
  // Before it is looked who listens: whoever is added meanwhile hears of what is behind it.
  const end = await endOfLog(tx)
  if (!(await store.hasListeners(tx))) {
    // Nobody listens, so nobody is owed what happened meanwhile.
    await store.moveCursor(tx, end)
    return false
  }
  const events = await listEventsBehind(tx, after, BATCH)
  if (!events.at(-1)?.position) return false
  // A restored database may give an event another place, and a test message is sent without waiting for its own.
  const given = await store.listGiven(
    tx,
    events.map((event) => event.id),
  )
  const listeners = await listListeners(tx)
  const heeded = listeners.some(({ heeds }) => heeds)
  const tasks = new Map(events.map((event) => [event.id, taskIn(event, heeded)]))
  const callbacks = await store.listActiveCallbacks(
    tx,
    [...tasks.values()].flatMap((task) => task?.callback ?? []),
  )
  const ordered = new Set(listeners.filter((one) => one.ordered).map(({ id }) => id))
  const owedBy = (event: PlacedEvent): store.NewDelivery[] => {
    const task = tasks.get(event.id)
    // What a dispatch names is instead of what is told of its handler.
    const handler = task?.callback === undefined ? task?.handler : undefined
    // Each of them has its place: it was read behind the cursor.
    const told = listeners
      .filter((one) => hears(one.at(event.position!), event.event_type, handler))
      .map(({ id }) => id)
    if (task?.callback !== undefined && callbacks.has(task.callback)) told.push(task.callback)
    return told
      .filter((webhook) => !given.has(`${webhook}/${event.id}`))
      .map((webhook) => ({
        id: uuidv7(now),
        webhook_id: webhook,
        event_id: event.id,
        event_type: event.event_type,
        replay_of: null,
        ...(ordered.has(webhook) ? { turn: turnOf(event.position!) } : {}),
      }))
  }
  const deliveries: store.NewDelivery[] = []
  let read = 0
  for (const event of events) {
    if (deliveries.length >= MOST_DELIVERIES) break
    deliveries.push(...owedBy(event))
    read++
  }
  await store.insertDeliveries(tx, deliveries, now)
  const upTo = events[read - 1]!.position!
  for (const { id, keptBehind } of listeners) {
    const earlier = keptBehind(upTo)
    if (earlier !== undefined) await store.updateWebhook(tx, id, { earlier })
  }
  await store.moveCursor(tx, upTo)
  return read < events.length || events.length === BATCH
}
