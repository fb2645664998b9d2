import type { Client, ItemOf, ListId } from '@writ/sdk'
import { Option } from 'commander'
import type { App } from './app.ts'
import { usage } from './failure.ts'

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

/** The first `limit` of a list, or all, by cursor. */
export async function listSome<I extends ListId>(
  client: Client,
  id: I,
  query: Record<string, unknown>,
  { limit, all }: ListOptions,
): Promise<ItemOf<I>[]> {
  const found: ItemOf<I>[] = []
  const wanted = all ? Number.POSITIVE_INFINITY : limit
  // The filters of each list are typed where they are made; here any list will do.
  const args = { query: { ...query, limit: Math.min(wanted, 500) } } as unknown as Parameters<Client['items']>[1]
  for await (const page of client.pages(id, args as never)) {
    found.push(...page.slice(0, wanted - found.length))
    if (found.length >= wanted) break
  }
  return found
}

/** What was counted, or done so often. */
export const sayCount = (app: App, what: string, count: number, next: string | null = null) =>
  app.out().item(
    { count },
    [
      [what, count],
      ['Next', next],
    ],
    String(count),
  )
