/** Days of a calendar and what is due on them. Pure: local dates in, cells out. */

export type CalendarView = 'month' | 'week'

/** A schedule's times from the first day on, as far as they were asked for. */
export interface Plan {
  readonly id: string
  /** Milliseconds, ascending. */
  readonly times: readonly number[]
  /** There are others behind the last, which nobody asked for. */
  readonly more: boolean
}

/** What one schedule does on one day: `count` times that are known, from `first` on; `more` behind the last known. */
export interface Due {
  readonly id: string
  readonly count: number
  readonly first: number | null
  readonly more: boolean
}

/** `2026-11-26`, in the zone of whoever looks. */
export const dayOf = (at: Date): string =>
  `${String(at.getFullYear()).padStart(4, '0')}-${String(at.getMonth() + 1).padStart(2, '0')}-${String(at.getDate()).padStart(2, '0')}`

/** Midnight of `2026-11-26` there; of what is no date, today's. */
export function dateOf(day: string | undefined, now: Date): Date {
  const [, year, month, date] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day ?? '') ?? []
  const at = new Date(Number(year), Number(month) - 1, Number(date))
  return Number.isNaN(at.getTime()) ? new Date(now.getFullYear(), now.getMonth(), now.getDate()) : at
}

/** Whole weeks from Monday on: the one that holds `at`, or all that touch its month. */
export function weeksOf(view: CalendarView, at: Date): Date[][] {
  const from = view === 'week' ? at : new Date(at.getFullYear(), at.getMonth(), 1)
  const end = view === 'week' ? at : new Date(at.getFullYear(), at.getMonth() + 1, 0)
  const monday = (day: Date) => new Date(day.getFullYear(), day.getMonth(), day.getDate() - ((day.getDay() + 6) % 7))
  const weeks: Date[][] = []
  for (let week = monday(from); week <= end || weeks.length === 0; week = later(week, 7))
    weeks.push(Array.from({ length: 7 }, (_, i) => later(week, i)))
  return weeks
}

/** So many days later, at midnight, whatever clocks do between. */
export const later = (day: Date, days: number): Date =>
  new Date(day.getFullYear(), day.getMonth(), day.getDate() + days)

/** What is due on each of these days, by its name, in the order of the day; what has no time that is known stands last. */
export function dueDays(plans: readonly Plan[], days: readonly Date[]): Map<string, Due[]> {
  const cells = new Map<string, Due[]>(days.map((day) => [dayOf(day), []]))
  for (const { id, times, more } of plans) {
    const known = new Map<string, number[]>()
    for (const at of times) {
      const day = dayOf(new Date(at))
      known.set(day, [...(known.get(day) ?? []), at])
    }
    const last = times.at(-1)
    for (const day of days) {
      const on = known.get(dayOf(day)) ?? []
      // Behind the last known time nothing is known but that there are others.
      const further = more && last !== undefined && later(day, 1).getTime() > last
      if (on.length > 0 || further)
        cells.get(dayOf(day))!.push({ id, count: on.length, first: on[0] ?? null, more: further })
    }
  }
  for (const due of cells.values())
    due.sort((a, b) => (a.first ?? Number.POSITIVE_INFINITY) - (b.first ?? Number.POSITIVE_INFINITY) || 0)
  return cells
}
