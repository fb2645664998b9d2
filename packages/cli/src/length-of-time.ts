import { usage } from './failure.ts'

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** The seconds of a length of time such as `90s`, `15m`, `6h` or `7d`. Throws a Failure. */
export function secondsOf(text: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? []
  if (count === undefined || unit === undefined)
    throw usage(`"${text}" is no length of time`, 'It looks like 90s, 15m, 6h or 7d.')
  return Number(count) * UNITS[unit]!
}

/** As `secondsOf` reads it, in the longest unit that says it exactly; null for none. */
export function lengthText(ms: number | null): string | null {
  if (ms === null) return null
  const [unit, seconds] = Object.entries(UNITS).findLast(([, each]) => ms % (each * 1_000) === 0) ?? []
  return unit === undefined || seconds === undefined ? `${ms} ms` : `${ms / 1_000 / seconds}${unit}`
}
