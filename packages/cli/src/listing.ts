import type { ItemOf, ListId } from '@writ/sdk'
import { Option } from 'commander'
import type { App } from './app.ts'
import { usage } from './failure.ts'
import type { Column } from './table.ts'

/** How many of a list a person wants. */
export interface ListOptions {
  limit: number
  all?: boolean
}

export const limitOption = () =>
  new Option('-n, --limit <count>', 'at most so many, newest first').default(50).argParser(countOf)
export const allOption = () => new Option('--all', 'all of them, page by page').default(false)

/** A whole number from 1. Throws a usage failure on anything else. */
export function countOf(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw usage(`"${text}" is not a whole number from 1 on`)
  return Number(text)
}

/** US dollars, from 0. Throws a usage failure on anything else. */
export function dollarsOf(text: string): number {
  if (!/^[0-9]{1,9}(?:\.[0-9]{1,9})?$/.test(text)) throw usage(`"${text}" is no amount of US dollars: 2 or 0.05`)
  return Number(text)
}

/** Prints the first `limit` of a list, or all, by cursor, and says beside it when there are more. */
export async function listSome<I extends ListId>(
  app: App,
  id: I,
  query: Record<string, unknown>,
  { limit, all }: ListOptions,
  columns: readonly Column<ItemOf<I>>[],
  key: (row: ItemOf<I>) => string | number,
): Promise<void> {
  const client = await app.client()
  // The filters of each list are typed where they are made; here any list will do, and with a cursor each answers pages.
  const call = client.call as unknown as (id: string, args: object) => Promise<{ data: Page<ItemOf<I>> }>
  const wanted = all ? Number.POSITIVE_INFINITY : limit
  const found: ItemOf<I>[] = []
  let cursor: string | null = ''
  while (cursor !== null && found.length < wanted) {
    const asked = { ...query, limit: Math.min(wanted - found.length, 500), cursor }
    const { data }: { data: Page<ItemOf<I>> } = await call(id, { query: asked })
    found.push(...data.items.slice(0, wanted - found.length))
    cursor = data.next_cursor
  }
  app.out().list(found, columns, key)
  if (cursor !== null) app.out().note(`The first ${found.length} are shown; there are more: --all, or --limit.`)
}

interface Page<Item> {
  readonly items: readonly Item[]
  readonly next_cursor: string | null
}

/** What was counted, or done so often. `more` is what a program is told besides, `rows` the same for people. */
export const sayCount = (
  app: App,
  what: string,
  count: number,
  next: string | null = null,
  more: { readonly said: object; readonly rows: readonly [string, string | null][] } = { said: {}, rows: [] },
) => app.out().item({ count, ...more.said }, [[what, count], ...more.rows, ['Next', next]], String(count))

/**
 * Work that takes several requests, each a transaction of its own. Where one fails, what was done by those before it stands, and the same
 * command takes the rest: both are said beside the failure, or somebody would look for what is lost.
 */
export async function bySteps<T>(app: App, work: (did: (count: number) => void) => Promise<T>): Promise<T> {
  let done = 0
  try {
    return await work((count) => {
      done += count
    })
  } catch (error) {
    if (done > 0) app.out().note(`Done for ${done} before this failed; the same command takes the rest.`)
    throw error
  }
}
