import type { CountRuns } from '@writ/api'
import { type Caller, personOf, seesAll } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { NOBODY } from '../platform/ids.ts'
import { findAsset, findTicket } from '../tickets/index.ts'
import * as store from './store.ts'

/** What a caller may choose runs by. */
export type RunChoice = Omit<CountRuns, 'act' | 'state'> & {
  readonly state?: store.RunFilter['state']
  readonly kind?: string | undefined
}

const millisOf = (time: string | undefined): number | undefined => (time === undefined ? undefined : Date.parse(time))

/** The choice as the store takes it: of the runs that the caller sees. A ticket or asset that is not there has no runs. */
export async function filterOf(tx: Tx, caller: Caller, choice: RunChoice): Promise<store.RunFilter> {
  const { ticket_id, asset_id, script_id, q, state, verdict, kind } = choice
  const created_before = millisOf(choice.created_before)
  const [ticket, asset] = await Promise.all([
    ticket_id === undefined ? undefined : findTicket(tx, ticket_id),
    asset_id === undefined ? undefined : findAsset(tx, asset_id),
  ])
  return {
    of: seesAll(caller) ? undefined : personOf(caller),
    ticket_id: ticket_id === undefined ? undefined : (ticket?.id ?? NOBODY),
    asset_id: asset_id === undefined ? undefined : (asset?.id ?? NOBODY),
    script_id,
    state,
    verdict,
    kind,
    created_after: millisOf(choice.created_after),
    created_before,
    q,
    above: q === undefined ? undefined : await store.searchFloor(tx, created_before),
  }
}

/** As many as are counted. */
const MOST_COUNTED = 10_000

/**
 * What is done to many is done to runs that the caller may work on one by one: who sees all and may change something works on all,
 * the others on those of their tickets. Throws RUNS_UNFILTERED for a filter that would take all; a state or verdict alone is none.
 */
async function filterToWorkOn(
  tx: Tx,
  caller: Caller,
  choice: RunChoice,
  act: 'cancel' | 'verify',
): Promise<store.RunFilter> {
  const { state: _, verdict: __, ...filter } = choice
  if (Object.values(filter).every((value) => value === undefined)) throw new AppError('RUNS_UNFILTERED')
  return { ...(await filterOf(tx, caller, choice)), act }
}

export async function countChosen(
  tx: Tx,
  caller: Caller,
  { act, ...choice }: CountRuns,
): Promise<{ count: number; more: boolean }> {
  const found = await store.countUpTo(tx, await filterToWorkOn(tx, caller, choice, act), MOST_COUNTED + 1)
  return { count: Math.min(found, MOST_COUNTED), more: found > MOST_COUNTED }
}

/**
 * Up to `limit` runs that still wait, locked. In the order of ids while they are locked, and of tickets as they are answered: the end of
 * a run locks its ticket, and whoever holds several of either took them in the same order.
 */
export async function lockWaiting(
  tx: Tx,
  caller: Caller,
  choice: RunChoice,
  limit: number,
): Promise<{ rows: store.RunRow[]; left: () => Promise<number> }> {
  const filter = await filterToWorkOn(tx, caller, choice, 'cancel')
  const rows: store.RunRow[] = []
  for (const { id } of byId(await store.listOldest(tx, filter, limit))) {
    const row = await store.lockRun(tx, id)
    // A worker took it meanwhile.
    if (row?.state === 'pending') rows.push(row)
  }
  rows.sort((a, b) => compare(a.ticket_id, b.ticket_id) || compare(a.id, b.id))
  return { rows, left: () => store.countUpTo(tx, filter, MOST_COUNTED) }
}

/** Up to `limit` runs that can be verified again, behind the number `after`, in the order in which they are locked. */
export async function chooseSettled(
  tx: Tx,
  caller: Caller,
  choice: RunChoice,
  page: { after: number | undefined; limit: number },
): Promise<{ ids: string[]; last: number | null; left: () => Promise<number> }> {
  const filter = { ...(await filterToWorkOn(tx, caller, choice, 'verify')), after: page.after }
  const rows = await store.listOldest(tx, filter, page.limit)
  const last = rows.at(-1)?.number ?? null
  return {
    ids: byId(rows).map(({ id }) => id),
    last,
    left: async () => (last === null ? 0 : store.countUpTo(tx, { ...filter, after: last }, MOST_COUNTED)),
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const byId = <T extends { readonly id: string }>(rows: readonly T[]): T[] =>
  rows.toSorted((a, b) => compare(a.id, b.id))
