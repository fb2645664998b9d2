import type { DeliveryState } from '@writ/api'
import { type Selectable, sql, type Updateable } from 'kysely'
import type { Position } from '../audit/index.ts'
import {
  byId,
  countOf,
  forChange,
  forUpdate,
  inList,
  inStretches,
  type ListPart,
  type Stretch,
  skipLocked,
  type Tx,
} from '../platform/db/index.ts'
import type { DeliveriesTable, WebhooksTable } from '../platform/db/tables.ts'
import { firstIdAt } from '../platform/ids.ts'

export type WebhookRow = Selectable<WebhooksTable>
export type DeliveryRow = Selectable<DeliveriesTable>

/** Said in each statement about what waits or failed: so the narrow index of what was not delivered is used. */
const UNDELIVERED = sql<boolean>`deliveries.state <> 'delivered'`

// ---- webhooks

const WEBHOOKS = `select * from webhooks where project_id = ?1 and state <> 'deleted'`

export async function insertWebhook(tx: Tx, row: Omit<WebhookRow, 'project_id'>): Promise<void> {
  await tx.insert('webhooks', [{ project_id: tx.project, ...row }])
}

export const findWebhook = (tx: Tx, id: string): Promise<WebhookRow | undefined> =>
  tx.db.selectFrom('webhooks').selectAll().where('id', '=', id).where('state', '!=', 'deleted').executeTakeFirst()

/** As `findWebhook`, with the row locked until commit. */
export const lockWebhook = async (tx: Tx, id: string): Promise<WebhookRow | undefined> =>
  (await lockWebhooks(tx, [id]))[0]

/** Those that are there of several, locked in the order of their ids. */
export const lockWebhooks = (tx: Tx, ids: readonly string[]): Promise<WebhookRow[]> =>
  tx.sql(`${WEBHOOKS} and ${inList(tx, 'id', '?2')} order by id ${forChange(tx)}`, [tx.project, ids])

export const findWebhooks = async (tx: Tx, ids: readonly string[]): Promise<Map<string, WebhookRow>> => {
  const rows = await tx.sql<WebhookRow>(`${WEBHOOKS} and ${inList(tx, 'id', '?2')}`, [tx.project, ids])
  return new Map(rows.map((row) => [row.id, row]))
}

/** The oldest first, behind the id `after`, callbacks of single runs left out. */
export const listWebhooks = (tx: Tx, page: ListPart): Promise<WebhookRow[]> =>
  listed(tx).selectAll().where('state', '!=', 'deleted').$call(byId('oldest', page)).execute()

export const countWebhooks = (tx: Tx): Promise<number> => countOf(listed(tx).where('state', '!=', 'deleted'))

/** Those that listen to something, or did before a change to which the log has not been read. */
export const listListening = (tx: Tx): Promise<WebhookRow[]> =>
  listed(tx).selectAll().where('state', '!=', 'deleted').where(LISTENS).orderBy('id').execute()

const LISTENS = sql<boolean>`(webhooks.state = 'active' or webhooks.earlier is not null)`

const listed = (tx: Tx) => tx.db.selectFrom('webhooks').where('callback', 'is', null)

export const findCallback = (tx: Tx, words: 'event' | 'dispatch', urlMac: string): Promise<WebhookRow | undefined> =>
  tx.db
    .selectFrom('webhooks')
    .selectAll()
    .where('callback', '=', words)
    .where('url_mac', '=', urlMac)
    .executeTakeFirst()

/** One that was found, in whatever state it is, with the row locked until commit. */
export const lockCallback = async (tx: Tx, id: string): Promise<WebhookRow | undefined> =>
  (
    await tx.sql<WebhookRow>(`select * from webhooks where project_id = ?1 and id = ?2 ${forChange(tx)}`, [
      tx.project,
      id,
    ])
  )[0]

/** Whether anybody listens, or did, or may be named by the end of a task. */
export async function hasListeners(tx: Tx): Promise<boolean> {
  const row = await tx.db
    .selectFrom('webhooks')
    .select('id')
    .where((eb) => eb.or([eb('callback', 'is not', null), LISTENS]))
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** Which of these ids are callbacks that may be told. */
export async function listActiveCallbacks(tx: Tx, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await tx.db
    .selectFrom('webhooks')
    .select('id')
    .where('id', 'in', ids)
    .where('callback', 'is not', null)
    .where('state', '=', 'active')
    .execute()
  return new Set(rows.map(({ id }) => id))
}

export async function updateWebhook(tx: Tx, id: string, change: Updateable<WebhooksTable>): Promise<void> {
  await tx.db.updateTable('webhooks').set(change).where('id', '=', id).execute()
}

/**
 * Of one webhook, by its index: PostgreSQL would rather go through what is due of all, in its order, and expects to meet one of these soon.
 */
const ofWebhook = (place: string) => `webhook_id >= ${place} and webhook_id <= ${place}`
const IN_ITS_ORDER = 'order by webhook_id, due_at'

/** Ended in one transaction, for which on SQLite everybody waits who writes: 50 ms. */
const MOST_ENDED = 1_000

/**
 * Ends what waits for a webhook that gets no more. It stays in the log of deliveries, to be replayed. Of very much the rest is made due, for
 * whoever sends, and finds that there is nobody to send to, to go on with it; meanwhile it waits, and is sent if the webhook is active again.
 *
 * By the queue: on PostgreSQL a delivery that is made in the same moment is ended with its entry, or left with it.
 */
export async function failWaiting(tx: Tx, webhookId: string, now: number): Promise<void> {
  // What somebody claims just now, or has sent, they will end.
  const queued = await tx.sql<{ delivery_id: string }>(
    `select delivery_id from delivery_queue where ${ofWebhook('?1')} ${IN_ITS_ORDER} limit ?2 ${skipLocked(tx)}`,
    [webhookId, MOST_ENDED + 1],
  )
  const [ids, next] = [queued.slice(0, MOST_ENDED).map(({ delivery_id }) => delivery_id), queued[MOST_ENDED]]
  await tx.sql(`delete from delivery_queue where ${inList(tx, 'delivery_id', '?1')}`, [ids])
  await tx.sql(
    `update deliveries set state = 'failed', next_attempt_at = null, settled_at = ?3
     where project_id = ?1 and ${inList(tx, 'id', '?2')} and state = 'waiting'`,
    [tx.project, ids, now],
  )
  if (next)
    await tx.sql('update delivery_queue set due_at = ?2 where delivery_id = ?1 and due_at > ?2', [
      next.delivery_id,
      now,
    ])
}

// ---- deliveries

export interface NewDelivery {
  readonly id: string
  readonly webhook_id: string
  readonly event_id: string
  readonly event_type: string
  readonly replay_of: string | null
  /** Where it stands among those of an ordered webhook, whose row is locked; left out, it goes when it is due. */
  readonly turn?: number
}

/** When a message is due whose turn has not come: the end of the year 9999. */
const NOT_YET = 253_402_300_799_000

/**
 * Records what is to be sent and puts it into the queue: due now, or in its turn, when what is before it has ended. So one that waits
 * for its turn costs a claim nothing.
 */
export async function insertDeliveries(tx: Tx, deliveries: readonly NewDelivery[], now: number): Promise<void> {
  if (deliveries.length === 0) return
  const held = await listHeldUp(
    tx,
    deliveries.flatMap(({ turn, webhook_id }) => (turn === undefined ? [] : [webhook_id])),
  )
  const dueAt = new Map(
    deliveries.map(({ id, webhook_id, turn }) => {
      const waits = turn !== undefined && held.has(webhook_id)
      if (turn !== undefined) held.add(webhook_id)
      return [id, waits ? NOT_YET : now]
    }),
  )
  await tx.insert(
    'deliveries',
    deliveries.map(({ turn: _, ...one }) => ({
      project_id: tx.project,
      ...one,
      state: 'waiting',
      next_attempt_at: dueAt.get(one.id) === NOT_YET ? null : now,
      attempts: '[]',
      created_at: now,
      settled_at: null,
    })),
  )
  await tx.insert(
    'delivery_queue',
    deliveries.map(({ id, webhook_id, turn = null }) => ({
      delivery_id: id,
      project_id: tx.project,
      webhook_id,
      turn,
      due_at: dueAt.get(id)!,
      fence: 0,
      lease_owner: null,
      lease_until: null,
    })),
  )
}

/** Of these webhooks, those of which something waits in turn. */
async function listHeldUp(tx: Tx, webhookIds: readonly string[]): Promise<Set<string>> {
  if (webhookIds.length === 0) return new Set()
  const rows = await tx.sql<{ webhook_id: string }>(
    `select distinct webhook_id from delivery_queue where ${inList(tx, 'webhook_id', '?1')} and turn is not null`,
    [[...new Set(webhookIds)]],
  )
  return new Set(rows.map(({ webhook_id }) => webhook_id))
}

/** What was before it has ended: the next of an ordered webhook, whose row is locked, is due. */
export async function nextInTurn(tx: Tx, webhookId: string, now: number): Promise<void> {
  const rows = await tx.sql<{ delivery_id: string }>(
    `update delivery_queue set due_at = ?2 where due_at = ?3 and delivery_id = (
       select delivery_id from delivery_queue where webhook_id = ?1 and turn is not null order by turn limit 1)
     returning delivery_id`,
    [webhookId, now, NOT_YET],
  )
  for (const { delivery_id } of rows) await updateDelivery(tx, delivery_id, { next_attempt_at: now })
}

/** Nothing waits for its turn any more: all of it is due. */
export async function endTurns(tx: Tx, webhookId: string, now: number): Promise<void> {
  await tx.db
    .updateTable('deliveries')
    .set({ next_attempt_at: now })
    .where('webhook_id', '=', webhookId)
    .where('state', '=', 'waiting')
    .where(UNDELIVERED)
    .where('next_attempt_at', 'is', null)
    .execute()
  await tx.sql(
    'update delivery_queue set turn = null, due_at = case when due_at = ?2 then ?3 else due_at end where webhook_id = ?1 and turn is not null',
    [webhookId, NOT_YET, now],
  )
}

/** Of these webhooks, the delivery before which nothing else is sent, if it was tried and failed. */
export async function listHeads(tx: Tx, webhookIds: readonly string[]): Promise<Map<string, string>> {
  if (webhookIds.length === 0) return new Map()
  const rows = await tx.sql<{ webhook_id: string; id: string }>(
    `select d.webhook_id, d.id from deliveries d join delivery_queue q on q.delivery_id = d.id
     where d.project_id = ?1 and ${inList(tx, 'd.webhook_id', '?2')} and d.state = 'waiting' and d.state <> 'delivered' and q.turn is not null
       and q.due_at < ?3 and d.attempts <> '[]'`,
    [tx.project, webhookIds, NOT_YET],
  )
  return new Map(rows.map(({ webhook_id, id }) => [webhook_id, id]))
}

export const findDelivery = (tx: Tx, id: string): Promise<DeliveryRow | undefined> =>
  tx.db.selectFrom('deliveries').selectAll().where('id', '=', id).executeTakeFirst()

export async function findDeliveries(tx: Tx, ids: readonly string[]): Promise<Map<string, DeliveryRow>> {
  const rows = await tx.sql<DeliveryRow>(
    `select * from deliveries where project_id = ?1 and ${inList(tx, 'id', '?2')}`,
    [tx.project, ids],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

/** What an attempt makes of a delivery that waits. */
export type DeliveryChange = Pick<DeliveryRow, 'id' | 'state' | 'attempts' | 'next_attempt_at' | 'settled_at'>

export async function updateDeliveries(tx: Tx, changes: readonly DeliveryChange[]): Promise<void> {
  if (changes.length > 0) await tx.update('deliveries', 'id', changes, "state = 'waiting'", 'created_at')
}

export async function updateDelivery(tx: Tx, id: string, change: Updateable<DeliveriesTable>): Promise<void> {
  await tx.db.updateTable('deliveries').set(change).where('id', '=', id).execute()
}

/** Which of these events were given to which webhooks already, as `<webhook>/<event>`. */
export async function listGiven(tx: Tx, events: readonly string[]): Promise<Set<string>> {
  if (events.length === 0) return new Set()
  const rows = await tx.sql<{ webhook_id: string; event_id: string }>(
    `select webhook_id, event_id from deliveries where project_id = ?1 and ${inList(tx, 'event_id', '?2')}`,
    [tx.project, events],
  )
  return new Set(rows.map((row) => `${row.webhook_id}/${row.event_id}`))
}

export interface DeliveryFilter {
  readonly webhook_id: string
  readonly ids?: readonly string[] | undefined
  readonly state?: DeliveryState | undefined
  readonly event_type?: string | undefined
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Without those that were sent again already. */
  readonly once?: boolean
}

const NOT_SENT_AGAIN = sql<boolean>`not exists (select 1 from deliveries as again
  where again.project_id = deliveries.project_id and again.replay_of = deliveries.id)`

/** What an index finds of a webhook's deliveries: all, or those in one state of the few. */
const indexed = (tx: Tx, f: DeliveryFilter, { from, below }: Stretch) =>
  tx.db
    .selectFrom('deliveries')
    .where('webhook_id', '=', f.webhook_id)
    .$if(f.state === 'waiting' || f.state === 'failed', (q) => q.where('state', '=', f.state!).where(UNDELIVERED))
    .$if(from !== undefined, (q) => q.where('id', '>=', from!))
    .$if(below !== undefined, (q) => q.where('id', '<', below!))

const filtered = (tx: Tx, f: DeliveryFilter, stretch: Stretch) =>
  indexed(tx, f, stretch)
    .$if(f.ids !== undefined, (q) => q.where('id', 'in', f.ids!))
    .$if(f.state === 'delivered', (q) => q.where('state', '=', f.state!))
    .$if(f.event_type !== undefined, (q) => q.where('event_type', '=', f.event_type!))
    .$if(f.since !== undefined, (q) => q.where('created_at', '>=', f.since!))
    .$if(f.until !== undefined, (q) => q.where('created_at', '<', f.until!))
    .$if(f.once === true, (q) => q.where(NOT_SENT_AGAIN))

/**
 * The deliveries in which a filter looks, in stretches. On SQLite that is done in the thread that answers everybody: others are heard between
 * them. No delivery of a time has a sooner id: a clock that is set back makes ids later than it.
 */
function stretches(tx: Tx, filter: DeliveryFilter, order: 'asc' | 'desc', below?: string): AsyncGenerator<Stretch> {
  const from = filter.since === undefined ? undefined : firstIdAt(filter.since)
  return inStretches({ from, below }, order, async (part, before) => {
    if (tx.dialect === 'postgres' || filter.ids !== undefined) return undefined
    const ids = indexed(tx, filter, part).select('id').orderBy('id', order)
    return (await ids.offset(before).limit(1).executeTakeFirst())?.id
  })
}

const countIn = (tx: Tx, filter: DeliveryFilter, stretch: Stretch): Promise<number> =>
  countOf(filtered(tx, filter, stretch))

/** Newest first, older than `before` (an id). */
export async function listDeliveries(
  tx: Tx,
  filter: DeliveryFilter,
  page: { limit: number; skip: number; before: string | undefined },
): Promise<DeliveryRow[]> {
  const found: DeliveryRow[] = []
  let { skip } = page
  for await (const stretch of stretches(tx, filter, 'desc', page.before)) {
    const rows = await filtered(tx, filter, stretch)
      .selectAll()
      .orderBy('id', 'desc')
      .limit(page.limit - found.length)
      .$if(skip > 0, (q) => q.offset(skip))
      .execute()
    // Nothing was found: there are too few before the place.
    skip = skip === 0 || rows.length > 0 ? 0 : skip - (await countIn(tx, filter, stretch))
    found.push(...rows)
    if (found.length === page.limit) break
  }
  return found
}

/** Oldest first. */
export async function listDeliveriesForward(tx: Tx, filter: DeliveryFilter, limit: number): Promise<DeliveryRow[]> {
  const found: DeliveryRow[] = []
  for await (const stretch of stretches(tx, filter, 'asc')) {
    const some = filtered(tx, filter, stretch).selectAll().orderBy('id')
    found.push(...(await some.limit(limit - found.length).execute()))
    if (found.length === limit) break
  }
  return found
}

export async function countDeliveries(tx: Tx, filter: DeliveryFilter): Promise<number> {
  let count = 0
  for await (const stretch of stretches(tx, filter, 'desc')) count += await countIn(tx, filter, stretch)
  return count
}

/** Forgets up to `limit` settled deliveries made before an id; answers how many there were. */
export async function forgetDeliveries(tx: Tx, before: string, limit: number): Promise<number> {
  const old = await tx.db
    .selectFrom('deliveries')
    .select('id')
    .where('id', '<', before)
    .where('state', '!=', 'waiting')
    .orderBy('id')
    .limit(limit)
    .execute()
  const ids = old.map(({ id }) => id)
  await tx.sql(`delete from deliveries where project_id = ?1 and ${inList(tx, 'id', '?2')}`, [tx.project, ids])
  return ids.length
}

// ---- how far each project's log was read; no tenant policy

/** Begins to read a project's log behind `position`, unless it is read already. */
export async function beginReading(tx: Tx, position: Position): Promise<void> {
  await tx.sql(
    `insert into webhook_cursors (project_id, shard, log_index) values (?1, ?2, ?3) on conflict (project_id) do nothing`,
    [tx.project, position.shard, position.index],
  )
}

/** Every project whose log is read for webhooks, outside the fences. */
export const listRead = (tx: Tx): Promise<{ project_id: string; shard: number; log_index: number }[]> =>
  tx.sql('select project_id, shard, log_index from webhook_cursors order by project_id')

/** Up to where this project's log was read; locked, so that one process at a time reads on. */
export async function lockCursor(tx: Tx): Promise<Position | undefined> {
  const rows = await tx.sql<{ shard: number; log_index: number }>(
    `select shard, log_index from webhook_cursors where project_id = ?1 ${forUpdate(tx)}`,
    [tx.project],
  )
  return rows[0] && { shard: rows[0].shard, index: rows[0].log_index }
}

export async function moveCursor(tx: Tx, to: Position): Promise<void> {
  await tx.sql('update webhook_cursors set shard = ?2, log_index = ?3 where project_id = ?1', [
    tx.project,
    to.shard,
    to.index,
  ])
}

// ---- the queue of deliveries; no tenant policy: a process claims, then enters the project

export interface DeliveryClaim {
  readonly delivery_id: string
  readonly project_id: string
  readonly webhook_id: string
  readonly fence: number
}

/** So much of what is due is looked at where some of it is of webhooks that have all they may: two milliseconds. */
const NEAR = 2_000
/** Of each other webhook, where there is more than that before them. */
const OF_EACH = 16

type DueEntry = Pick<DeliveryClaim, 'delivery_id' | 'webhook_id'>

const DUE = 'due_at <= ?1 and (lease_until is null or lease_until <= ?1)'

/**
 * What is due and not leased, or whose lease ran out, the longest waiting first; nothing of the webhooks in `full`. Outside the fences.
 * A receiver that keeps silent may have hundreds of thousands of messages due, which are not looked through each time for those of others.
 */
export async function listDue(
  tx: Tx,
  now: number,
  { limit, full }: { limit: number; full: readonly string[] },
): Promise<DueEntry[]> {
  if (full.length === 0)
    return tx.sql(`select delivery_id, webhook_id from delivery_queue where ${DUE} order by due_at limit ?2`, [
      now,
      limit,
    ])
  const near = await tx.sql<DueEntry & { free: number }>(
    `select delivery_id, webhook_id, case when ${DUE} then 1 else 0 end as free
     from delivery_queue where due_at <= ?1 order by due_at limit ?2`,
    [now, NEAR],
  )
  const others = near.filter(({ webhook_id, free }) => free === 1 && !full.includes(webhook_id)).slice(0, limit)
  if (near.length < NEAR || others.length === limit) return others
  const found: DueEntry[] = []
  for (const webhook of await listDueWebhooks(tx, now, { limit, full })) {
    if (found.length === limit) break
    found.push(
      ...(await tx.sql<DueEntry>(
        `select delivery_id, webhook_id from delivery_queue where (webhook_id, due_at) >= (?2, 0) and (webhook_id, due_at) <= (?2, ?1) and ${DUE}
         ${IN_ITS_ORDER} limit ?3`,
        [now, webhook, Math.min(OF_EACH, limit - found.length)],
      )),
    )
  }
  return found
}

/** Of which webhooks something is due, but for those in `full`: from one to the next in the index. */
async function listDueWebhooks(
  tx: Tx,
  now: number,
  { limit, full }: { limit: number; full: readonly string[] },
): Promise<string[]> {
  const rows = await tx.sql<{ webhook_id: string }>(
    `with recursive hooks (webhook_id) as (
       select min(webhook_id) from delivery_queue
       union all
       select (select min(q.webhook_id) from delivery_queue q where q.webhook_id > hooks.webhook_id)
       from hooks where hooks.webhook_id is not null),
     firsts as (
       select webhook_id, (
         select due_at from delivery_queue q where q.webhook_id >= hooks.webhook_id order by q.webhook_id, q.due_at limit 1) as first_due
       from hooks where webhook_id is not null and not (${inList(tx, 'webhook_id', '?2')}))
     select webhook_id from firsts where first_due <= ?1 order by first_due, webhook_id limit ?3`,
    [now, full, limit],
  )
  return rows.map(({ webhook_id }) => webhook_id)
}

/** Leases those of these deliveries that nobody has leased meanwhile. */
export const claimDeliveries = (
  tx: Tx,
  by: string,
  on: { ids: readonly string[]; now: number; leaseUntil: number },
): Promise<DeliveryClaim[]> =>
  tx.sql(
    `update delivery_queue set lease_owner = ?1, lease_until = ?3, fence = fence + 1
     where delivery_id in (
       select delivery_id from delivery_queue
       where ${inList(tx, 'delivery_id', '?4')} and due_at <= ?2 and (lease_until is null or lease_until <= ?2)
       ${skipLocked(tx)})
     returning delivery_id, project_id, webhook_id, fence`,
    [by, on.now, on.leaseUntil, on.ids],
  )

/** Locks the entries of these claims, in the order of their ids; answers which leases hold. */
export async function lockHeld(
  tx: Tx,
  claims: readonly Pick<DeliveryClaim, 'delivery_id' | 'fence'>[],
): Promise<(claim: Pick<DeliveryClaim, 'delivery_id' | 'fence'>) => boolean> {
  const rows = await tx.sql<{ delivery_id: string; fence: number }>(
    `select delivery_id, fence from delivery_queue
     where ${inList(tx, 'delivery_id', '?1')} and lease_until is not null order by delivery_id ${forUpdate(tx)}`,
    [claims.map(({ delivery_id }) => delivery_id)],
  )
  const fences = new Map(rows.map((row) => [row.delivery_id, row.fence]))
  return ({ delivery_id, fence }) => fences.get(delivery_id) === fence
}

/** Ends entries whose leases hold. */
export async function finishDeliveries(tx: Tx, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await tx.sql(`delete from delivery_queue where ${inList(tx, 'delivery_id', '?1')}`, [ids])
}

/** Ends leases that hold; what they held is claimed again when it is due. */
export async function deferDeliveries(tx: Tx, all: readonly { id: string; dueAt: number }[]): Promise<void> {
  const rows = all.map(({ id, dueAt }) => ({ delivery_id: id, due_at: dueAt, lease_owner: null, lease_until: null }))
  if (rows.length > 0) await tx.update('delivery_queue', 'delivery_id', rows, 'lease_until is not null', 'fence')
}

/** Ends every lease: for a store that only this process may use, where each belongs to a process that is gone. */
export async function endDeliveryLeases(tx: Tx, now: number): Promise<void> {
  await tx.sql('update delivery_queue set lease_until = ?1 where lease_until is not null', [now])
}

export interface ClockChange {
  /** The time that would be, if nobody had set the clock. */
  readonly from: number
  readonly to: number
  readonly leaseUntil: number
}

/**
 * The clock was set: every lease is counted from now, and what waits after the time went back waits for as long as it still had to,
 * not until that time comes again. A wait that ends early, since the time went forward, is one attempt that comes early.
 * Where several processes see it, a wait that is longer than the step may be cut by it more than once; nothing is sent twice for that.
 * When nothing is known of a step (`from` is `to`), only leases that last longer than any can are cut.
 */
export async function countAnew(tx: Tx, { from, to, leaseUntil }: ClockChange): Promise<void> {
  await tx.sql(
    `update delivery_queue set lease_until = ?1 where lease_until is not null and lease_until ${from === to ? '>' : '<>'} ?1`,
    [leaseUntil],
  )
  if (to < from)
    await tx.sql(
      `update delivery_queue set due_at = case when due_at > ?1 then due_at - ?1 + ?2 else ?2 end
       where due_at > ?2 and due_at < ?3`,
      [from, to, NOT_YET],
    )
}

/** Every project of which something is to be sent; outside the fences. */
export async function listQueuedProjects(tx: Tx): Promise<string[]> {
  const rows = await tx.sql<{ project_id: string }>('select distinct project_id from delivery_queue')
  return rows.map(({ project_id }) => project_id)
}

/** Deliveries of a project are shown with the times at which they are due. */
export async function showDueTimes(tx: Tx): Promise<void> {
  await tx.sql(
    `update deliveries set next_attempt_at = q.due_at from delivery_queue q
     where deliveries.project_id = ?1 and deliveries.id = q.delivery_id and q.project_id = ?1
       and deliveries.next_attempt_at is not null and deliveries.next_attempt_at <> q.due_at`,
    [tx.project],
  )
}

/** How many wait, and since when the oldest is due; for metrics, outside the fences. */
export async function countQueued(tx: Tx): Promise<number> {
  const rows = await tx.sql<{ n: number }>('select count(*) as n from delivery_queue')
  return Number(rows[0]!.n)
}
