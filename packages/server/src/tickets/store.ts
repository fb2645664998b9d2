import { setImmediate as turn } from 'node:timers/promises'
import { type Selectable, sql } from 'kysely'
import { countOf, forUpdate, inList, type ListPart, type Tx, totalOf } from '../platform/db/index.ts'
import type { ApprovalsTable, AssetsTable, TicketsTable } from '../platform/db/tables.ts'

// All SQL of tickets, assets, approvals and comments.

export type AssetRow = Selectable<AssetsTable> & { readonly created_by_number: number }
export type TicketRow = Selectable<TicketsTable> & {
  readonly created_by_number: number
  readonly assignee_number: number | null
  readonly approved_by_number: number | null
  readonly asset_number: number | null
}
export type ApprovalRow = Selectable<ApprovalsTable> & {
  readonly decided_by_number: number
  readonly signing_key_id: string | null
}
export interface CommentRow {
  readonly id: string
  readonly author_id: string
  readonly author_number: number
  readonly author_username: string
  readonly body: string
  readonly created_at: number
}

/** An id or a number, as paths and bodies carry them. */
export type Ref = string | number
const asNumber = (ref: Ref): number | undefined =>
  typeof ref === 'number' ? ref : /^[0-9]+$/.test(ref) ? Number(ref) : undefined

// ---- assets

const assets = (tx: Tx) =>
  tx.db
    .selectFrom('assets')
    .innerJoin('users', 'users.id', 'assets.created_by_id')
    .selectAll('assets')
    .select('users.number as created_by_number')

export async function findAsset(tx: Tx, ref: Ref): Promise<AssetRow | undefined> {
  const number = asNumber(ref)
  return assets(tx)
    .where((eb) => (number === undefined ? eb('assets.id', '=', String(ref)) : eb('assets.number', '=', number)))
    .executeTakeFirst()
}

/** The same, and nobody else changes it until the commit. */
export async function lockAsset(tx: Tx, ref: Ref): Promise<AssetRow | undefined> {
  const number = asNumber(ref)
  const column = number === undefined ? 'id' : 'number'
  await tx.sql(`select 1 from assets where project_id = ?1 and ${column} = ?2 ${forUpdate(tx)}`, [
    tx.project,
    number ?? String(ref),
  ])
  return findAsset(tx, ref)
}

/** Ids of assets by the refs that name them; a missing one is missing from the map. */
export async function findAssetIds(
  tx: Tx,
  refs: readonly Ref[],
): Promise<ReadonlyMap<Ref, { id: string; number: number }>> {
  const numbers = refs.map(asNumber).filter((n) => n !== undefined)
  const ids = refs.filter((ref): ref is string => asNumber(ref) === undefined)
  const rows = await tx.sql<{ id: string; number: number }>(
    `select id, number from assets where project_id = ?1 and (${inList(tx, 'number', '?2')} or ${inList(tx, 'id', '?3')})`,
    [tx.project, numbers, ids],
  )
  return new Map(
    refs.flatMap((ref) =>
      rows.filter((row) => row.id === ref || row.number === asNumber(ref)).map((row) => [ref, row] as const),
    ),
  )
}

export interface AssetFilter {
  readonly asset_type?: string | undefined
  readonly q?: string | undefined
  /** Only assets with numbers above one and up to another: where a search begins and ends. */
  readonly above?: number | undefined
  readonly upTo?: number | undefined
}

/** So many assets, or tickets, a search looks at for each page. */
const SEARCHED = 20_000

/** The numbers of the assets that a search looks at: behind one, or the newest. A page of it costs the same however many assets there are. */
export async function assetSearchSpan(
  tx: Tx,
  behind: number | undefined,
): Promise<{ above: number; upTo: number; last: number }> {
  const newest = await tx.db.selectFrom('assets').select('number').orderBy('number', 'desc').limit(1).executeTakeFirst()
  const last = newest?.number ?? 0
  const above = behind ?? Math.max(0, last - SEARCHED)
  return { above, upTo: above + SEARCHED, last }
}

function filterAssets({ asset_type, q, above, upTo }: AssetFilter) {
  return sql.join(
    [
      ...(asset_type === undefined ? [] : [sql<boolean>`assets.asset_type = ${asset_type}`]),
      ...(q === undefined ? [] : [matches(['name', 'serial_number', 'location'], 'assets', q)]),
      ...(above === undefined ? [] : [sql<boolean>`assets.number > ${above}`]),
      ...(upTo === undefined ? [] : [sql<boolean>`assets.number <= ${upTo}`]),
      sql<boolean>`1 = 1`,
    ],
    sql` and `,
  )
}

export async function listAssets(
  tx: Tx,
  filter: AssetFilter,
  page: { limit: number; skip: number; after?: number | undefined },
): Promise<AssetRow[]> {
  return assets(tx)
    .where(sql<boolean>`${filterAssets(filter)}`)
    .$if(page.after !== undefined, (q) => q.where('assets.number', '>', page.after!))
    .orderBy('assets.number')
    .limit(page.limit)
    .offset(page.skip)
    .execute()
}

export async function countAssets(tx: Tx, filter: AssetFilter): Promise<number> {
  if (filter.asset_type === undefined && filter.q === undefined) return totalOf(tx, 'assets')
  const row = await tx.db
    .selectFrom('assets')
    .select(sql<number>`count(*)`.as('n'))
    .where(sql<boolean>`${filterAssets(filter)}`)
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

export async function insertAsset(tx: Tx, row: Omit<Selectable<AssetsTable>, 'project_id'>): Promise<void> {
  await tx.insert('assets', [{ project_id: tx.project, ...row }])
}

export async function updateAsset(tx: Tx, id: string, change: Partial<Selectable<AssetsTable>>): Promise<void> {
  await tx.db.updateTable('assets').set(change).where('id', '=', id).execute()
}

// ---- tickets

const tickets = (tx: Tx) =>
  tx.db
    .selectFrom('tickets')
    .innerJoin('users as creator', 'creator.id', 'tickets.created_by_id')
    .leftJoin('users as assignee', 'assignee.id', 'tickets.assignee_id')
    .leftJoin('users as approver', 'approver.id', 'tickets.approved_by_id')
    .leftJoin('assets', 'assets.id', 'tickets.asset_id')
    .selectAll('tickets')
    .select([
      'creator.number as created_by_number',
      'assignee.number as assignee_number',
      'approver.number as approved_by_number',
      'assets.number as asset_number',
    ])

export async function findTicket(tx: Tx, ref: Ref): Promise<TicketRow | undefined> {
  const number = asNumber(ref)
  return tickets(tx)
    .where((eb) => (number === undefined ? eb('tickets.id', '=', String(ref)) : eb('tickets.number', '=', number)))
    .executeTakeFirst()
}

/** As `findTicket`, with the row locked until commit: whoever decides about a state reads it so. */
export async function lockTicket(tx: Tx, ref: Ref): Promise<TicketRow | undefined> {
  const number = asNumber(ref)
  await tx.db
    .updateTable('tickets')
    .set((eb) => ({ version: eb.ref('version') }))
    .where((eb) => (number === undefined ? eb('id', '=', String(ref)) : eb('number', '=', number)))
    .execute()
  return findTicket(tx, ref)
}

export interface TicketFilter {
  /** Only tickets that this user opened or is assigned to. */
  readonly of?: string | undefined
  readonly status?: TicketRow['status'] | undefined
  readonly asset_id?: string | undefined
  readonly created_by_id?: string | undefined
  readonly assignee_id?: string | undefined
  readonly q?: string | undefined
  readonly due_before?: number | undefined
  /** Only tickets with a higher number: where a search ends. */
  readonly above?: number | undefined
}

/** The number above which a search looks that begins before a number, or at the newest: so that a page of it costs the same however many tickets there are. */
export async function ticketSearchFloor(tx: Tx, before: number | undefined): Promise<number> {
  if (before !== undefined) return before - 1 - SEARCHED
  const newest = await tx.db
    .selectFrom('tickets')
    .select('number')
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst()
  return (newest?.number ?? 0) - SEARCHED
}

/** Part of the tickets by their numbers, both ends left out. */
interface Stretch {
  readonly above?: number | undefined
  readonly before?: number | undefined
}

function filterTickets({ of: _, above: __, ...f }: TicketFilter, { above, before }: Stretch) {
  return sql.join(
    [
      sql<boolean>`1 = 1`,
      ...(f.status === undefined ? [] : [sql<boolean>`tickets.status = ${f.status}`]),
      ...(f.asset_id === undefined ? [] : [sql<boolean>`tickets.asset_id = ${f.asset_id}`]),
      ...(f.created_by_id === undefined ? [] : [sql<boolean>`tickets.created_by_id = ${f.created_by_id}`]),
      ...(f.assignee_id === undefined ? [] : [sql<boolean>`tickets.assignee_id = ${f.assignee_id}`]),
      ...(f.q === undefined ? [] : [matches(['title', 'description'], 'tickets', f.q)]),
      ...(f.due_before === undefined ? [] : [sql<boolean>`tickets.due_at < ${f.due_before}`]),
      ...(above === undefined ? [] : [sql<boolean>`tickets.number > ${above}`]),
      ...(before === undefined ? [] : [sql<boolean>`tickets.number < ${before}`]),
    ],
    sql` and `,
  )
}

/** Tickets that are looked through in one statement: some 15 ms. */
const STRETCH = 10_000

/**
 * The numbers among which a filter looks, the highest first. When tickets are due no index knows. On SQLite they are looked through in the
 * thread that answers everybody, in stretches between which others are heard.
 */
async function* stretches(
  tx: Tx,
  { above, due_before }: TicketFilter,
  before: number | undefined,
): AsyncGenerator<Stretch> {
  if (tx.dialect !== 'sqlite' || due_before === undefined) return yield { above, before }
  const newest = await tx.db
    .selectFrom('tickets')
    .select('number')
    .$if(before !== undefined, (q) => q.where('number', '<', before!))
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst()
  const least = Math.max(0, above ?? 0)
  for (let end = (newest?.number ?? 0) + 1; end - 1 > least; end -= STRETCH) {
    yield { above: Math.max(end - 1 - STRETCH, least), before: end }
    await turn()
  }
}

/** Those that somebody opened and, without these, those that they are assigned to: each has its index, and of either both none. */
const openedAndAssigned = (tx: Tx, of: string) => {
  const all = tx.db.selectFrom('tickets')
  return [
    all.where('tickets.created_by_id', '=', of),
    all.where('tickets.assignee_id', '=', of).where('tickets.created_by_id', '!=', of),
  ] as const
}

async function listIn(
  tx: Tx,
  filter: TicketFilter,
  stretch: Stretch,
  { limit, skip }: { limit: number; skip: number },
): Promise<TicketRow[]> {
  const takes = sql<boolean>`${filterTickets(filter, stretch)}`
  const { of } = filter
  if (of === undefined)
    return tickets(tx).where(takes).orderBy('tickets.number', 'desc').limit(limit).offset(skip).execute()
  const newest = await Promise.all(
    openedAndAssigned(tx, of).map((some) =>
      some
        .where(takes)
        .select('tickets.number')
        .orderBy('tickets.number', 'desc')
        .limit(skip + limit)
        .execute(),
    ),
  )
  const numbers = newest.flatMap((rows) => rows.map(({ number }) => number)).sort((a, b) => b - a)
  const page = numbers.slice(skip, skip + limit)
  if (page.length === 0) return []
  return tickets(tx).where('tickets.number', 'in', page).orderBy('tickets.number', 'desc').execute()
}

async function countIn(tx: Tx, filter: TicketFilter, stretch: Stretch): Promise<number> {
  const all = filter.of === undefined ? [tx.db.selectFrom('tickets')] : openedAndAssigned(tx, filter.of)
  const counts = await Promise.all(
    all.map((some) => countOf(some.where(sql<boolean>`${filterTickets(filter, stretch)}`))),
  )
  return counts.reduce((sum, count) => sum + count, 0)
}

export async function listTickets(
  tx: Tx,
  filter: TicketFilter,
  page: { limit: number; skip: number; before?: number | undefined },
): Promise<TicketRow[]> {
  const found: TicketRow[] = []
  let { skip } = page
  for await (const stretch of stretches(tx, filter, page.before)) {
    const rows = await listIn(tx, filter, stretch, { limit: page.limit - found.length, skip })
    // Nothing was found: there are too few before the place.
    skip = skip === 0 || rows.length > 0 ? 0 : skip - (await countIn(tx, filter, stretch))
    found.push(...rows)
    if (found.length === page.limit) break
  }
  return found
}

export async function countTickets(tx: Tx, filter: TicketFilter): Promise<number> {
  if (Object.values(filter).every((value) => value === undefined)) return totalOf(tx, 'tickets')
  let count = 0
  for await (const stretch of stretches(tx, filter, undefined)) count += await countIn(tx, filter, stretch)
  return count
}

/** The numbers beside the ids are other tables' and stay out. */
export async function insertTickets(tx: Tx, rows: readonly TicketRow[]): Promise<void> {
  await tx.insert(
    'tickets',
    rows.map(({ created_by_number, assignee_number, approved_by_number, asset_number, ...row }) => row),
  )
}

export async function updateTicket(tx: Tx, id: string, change: Partial<Selectable<TicketsTable>>): Promise<void> {
  await tx.db.updateTable('tickets').set(change).where('id', '=', id).execute()
}

// Case-insensitive "contains", with the person's % and _ taken literally.
function matches(columns: readonly string[], table: string, text: string) {
  const pattern = `%${text.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`
  return sql<boolean>`(${sql.join(
    columns.map((column) => sql`lower(${sql.ref(`${table}.${column}`)}) like ${pattern} escape '\\'`),
    sql` or `,
  )})`
}

// ---- approvals and comments

const approvalsOf = (tx: Tx, ticketId: string) =>
  tx.db
    .selectFrom('approvals')
    .where('approvals.subject_type', '=', 'ticket')
    .where('approvals.subject_id', '=', ticketId)

/** All of a ticket, or with `page` those from a place on, oldest first. */
export async function listApprovals(tx: Tx, ticketId: string, page?: ListPart): Promise<ApprovalRow[]> {
  return approvalsOf(tx, ticketId)
    .innerJoin('users', 'users.id', 'approvals.decided_by_id')
    .leftJoin('approval_signatures', 'approval_signatures.approval_id', 'approvals.id')
    .selectAll('approvals')
    .select(['users.number as decided_by_number', 'approval_signatures.signing_key_id'])
    .$if(page?.after !== undefined, (q) => q.where('approvals.id', '>', page!.after!))
    .orderBy('approvals.id')
    .$if(page !== undefined, (q) => q.limit(page!.limit).offset(page!.skip))
    .execute()
}

export const countApprovals = (tx: Tx, ticketId: string): Promise<number> => countOf(approvalsOf(tx, ticketId))

/** Voids what was agreed about a ticket and not used yet. */
export async function voidApprovals(tx: Tx, ticketId: string, now: number): Promise<void> {
  await tx.db
    .updateTable('approvals')
    .set({ voided_at: now })
    .where('subject_type', '=', 'ticket')
    .where('subject_id', '=', ticketId)
    .where('decision', '=', 'approved')
    .where('voided_at', 'is', null)
    .where('consumed_at', 'is', null)
    .execute()
}

export async function insertComment(
  tx: Tx,
  row: { id: string; ticket_id: string; author_id: string; body: string; created_at: number },
): Promise<void> {
  await tx.insert('comments', [{ project_id: tx.project, ...row }])
}

const commentsOf = (tx: Tx, ticketId: string) => tx.db.selectFrom('comments').where('ticket_id', '=', ticketId)

export const countComments = (tx: Tx, ticketId: string): Promise<number> => countOf(commentsOf(tx, ticketId))

/** Oldest first, behind the id `after`. */
export async function listComments(tx: Tx, ticketId: string, page: ListPart): Promise<CommentRow[]> {
  return commentsOf(tx, ticketId)
    .innerJoin('users', 'users.id', 'comments.author_id')
    .select([
      'comments.id',
      'author_id',
      'users.number as author_number',
      'users.username as author_username',
      'body',
      'comments.created_at',
    ])
    .$if(page.after !== undefined, (q) => q.where('comments.id', '>', page.after!))
    .orderBy('comments.id')
    .limit(page.limit)
    .offset(page.skip)
    .execute()
}
