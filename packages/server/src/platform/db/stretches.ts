import { setImmediate as turn } from 'node:timers/promises'

/** Part of a list by its ids, whose order is that in which they were made: `from` is in it, `above` and `below` are not. */
export interface Stretch {
  readonly from?: string | undefined
  readonly above?: string | undefined
  readonly below?: string | undefined
}

/** Rows that are looked through in one statement: some 15 ms. */
const STRETCH = 10_000

/**
 * A part of a list in stretches, for what no index finds. On SQLite that is looked for in the thread that answers everybody: others are
 * heard between two of them.
 *
 * @param idAt the id that has so many before it in this part and order; undefined if there are fewer
 */
export async function* inStretches(
  whole: Stretch,
  order: 'asc' | 'desc',
  idAt: (part: Stretch, before: number) => Promise<string | undefined>,
): AsyncGenerator<Stretch> {
  for (let rest = whole; ; await turn()) {
    // The first of the next, or the last of this one.
    const edge = await idAt(rest, order === 'asc' ? STRETCH : STRETCH - 1)
    if (edge === undefined) return yield rest
    const older: Stretch = { ...rest, below: edge }
    const newer: Stretch = { from: edge, below: rest.below }
    yield order === 'asc' ? older : newer
    rest = order === 'asc' ? newer : older
  }
}
