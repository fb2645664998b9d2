/** Random programs: data, so that one that fails is printed, shortened and run again. */

/** A number in [0, 1), the same for the same seed. Source: mulberry32, by Tommy Ettinger, public domain. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What random programs choose by; the same for the same seed. */
export function choiceOf(seed: number) {
  const random = randomOf(seed)
  /** A whole number from 0 on. */
  const below = (n: number): number => Math.floor(random() * n)
  return {
    below,
    pick: <T>(all: readonly T[]): T => all[below(all.length)]!,
    maybe: (chance: number): boolean => random() < chance,
  }
}

/** So many of one, to be picked from. */
export const repeated = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one)

/** The shortest program that `fails` as the whole does, by leaving out ever smaller parts. */
export async function shorten<Order>(
  orders: readonly Order[],
  fails: (some: readonly Order[]) => Promise<boolean>,
): Promise<readonly Order[]> {
  let found = orders
  for (let size = Math.ceil(found.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2))
    for (let from = 0; from < found.length; ) {
      const some = found.toSpliced(from, size)
      if (some.length > 0 && (await fails(some))) found = some
      else from += size
    }
  return found
}
