const FIRST_MS = 1_000
const LONGEST_MS = 3_600_000

/**
 * How long after its nth failure a task waits: one second, doubled each time, at most an hour, and up to a quarter more or
 * less, so that what failed together does not come back together. `random` is in [0, 1).
 */
export function backoffMs(failures: number, random: () => number): number {
  const ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1))
  return Math.round(ms * (0.75 + random() / 2))
}
