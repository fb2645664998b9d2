import { usage } from './failure.ts'

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** The seconds of a length of time such as `90s`, `15m`, `6h` or `7d`. Throws a Failure. */
export function secondsOf(text: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(text) ?? []
  if (count === undefined || unit === undefined)
    throw usage(`"${text}" is no length of time`, 'It looks like 90s, 15m, 6h or 7d.')
  return Number(count) * UNITS[unit]!
}
