/** Times as fields of a browser hold them (`2026-11-26T09:30`): local, in the zone of whoever looks, without a word of it. */

/** The text of a local time field for an instant. */
export function localOf(at: number): string {
  const date = new Date(at)
  return new Date(at - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

/** The text of a local time field as the API takes it; undefined for no time. */
export function instantOf(local: string | undefined): string | undefined {
  if (!local) return undefined
  const at = new Date(local)
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString()
}

const DAY_MS = 86_400_000

/**
 * What a change of the clocks makes of a local time. `skipped`: there is no such time that day, and `taken` is the instant that it is read
 * as. `twice`: it comes at `taken` and again at `other`. Null where the clock shows it once.
 */
export function clockChangeAt(
  local: string,
):
  | { readonly what: 'skipped'; readonly taken: number }
  | { readonly what: 'twice'; taken: number; other: number }
  | null {
  const taken = new Date(local).getTime()
  if (Number.isNaN(taken)) return null
  if (localOf(taken) !== local.slice(0, 16)) return { what: 'skipped', taken }
  const offsetAt = (at: number) => new Date(at).getTimezoneOffset() * 60_000
  // Clocks are set back by the difference between the day before and the day after.
  const back = offsetAt(taken + DAY_MS) - offsetAt(taken - DAY_MS)
  if (back <= 0) return null
  const other = [taken + back, taken - back].find((at) => localOf(at) === localOf(taken))
  return other === undefined ? null : { what: 'twice', taken, other }
}
