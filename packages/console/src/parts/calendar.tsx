import { ActionIcon, Button } from '@mantine/core'
import { useQueries } from '@tanstack/react-query'
import type { PreviewSchedule, Schedule } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { now as serverNow } from '../app/clock.ts'
import { useSession } from '../app/session.tsx'
import { type CalendarView, type Due, dateOf, dayOf, dueDays, later, type Plan, weeksOf } from './due-days.ts'
import { Go, useFilters } from './go.tsx'
import { Icon } from './icons.tsx'
import { Hue, hueOf } from './schedule-bits.tsx'
import { Failed, Loading } from './states.tsx'

/** As many times as one question answers, and as many schedules as one page asks about. */
const TIMES = 100
const MOST_SCHEDULES = 40

/** The times of a schedule as the API takes them. */
export const timingOf = (of: Schedule): PreviewSchedule => ({
  ...(of.cron === null ? {} : { cron: of.cron }),
  ...(of.every_seconds === null ? {} : { every_seconds: of.every_seconds }),
  ...(of.at === null ? {} : { at: of.at }),
  zone: of.zone,
  dst_gap: of.dst_gap,
  dst_overlap: of.dst_overlap,
  ...(of.starts_at === null ? {} : { starts_at: of.starts_at }),
  ...(of.ends_at === null ? {} : { ends_at: of.ends_at }),
})

/** What the active schedules will do, day by day, as the server computes it. What is over is not asked for: runs tell of it. */
export function Calendar(props: {
  schedules: readonly Schedule[]
  /** Those beside which they have their colours. */
  all: readonly Schedule[]
  view: CalendarView
}) {
  const { schedules, all, view } = props
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const [filters, set] = useFilters()
  const now = new Date(serverNow())
  const at = dateOf(filters.on, now)
  const weeks = weeksOf(view, at)
  const days = weeks.flat()
  const first = days[0]!
  const from = Math.max(first.getTime(), Math.floor(now.getTime() / 60_000) * 60_000)
  const end = later(days.at(-1)!, 1).getTime()
  const active = schedules.filter(({ state }) => state === 'active')
  const asked = from < end ? active.slice(0, MOST_SCHEDULES) : []
  const plans = useQueries({
    queries: asked.map((one) => ({
      queryKey: [project, 'schedules', 'calendar', one.id, one.version, dayOf(first), view],
      queryFn: () =>
        client.schedules.preview({
          // From the instant itself on: `after` leaves it out.
          body: { ...timingOf(one), after: new Date(from - 1).toISOString(), count: TIMES },
        }),
      staleTime: 60_000,
    })),
  })
  const step = (way: 1 | -1) =>
    set({
      on: dayOf(view === 'week' ? later(at, 7 * way) : new Date(at.getFullYear(), at.getMonth() + way, 1)),
    })
  // Where days stand below each other, each says all of itself.
  const whole = new Intl.DateTimeFormat(i18n.language, { weekday: 'long', day: 'numeric', month: 'long' })
  const title = new Intl.DateTimeFormat(
    i18n.language,
    view === 'week' ? { day: 'numeric', month: 'long', year: 'numeric' } : { month: 'long', year: 'numeric' },
  )
  const failed = plans.find((one) => one.isError)
  const known: Plan[] = asked.flatMap((one, i) => {
    const times = plans[i]?.data?.next.map((time) => Date.parse(time))
    return times === undefined
      ? []
      : [{ id: one.id, times: times.filter((time) => time < end), more: times.length === TIMES && times.at(-1)! < end }]
  })
  const cells = dueDays(known, days)
  const weekdays = days
    .slice(0, 7)
    .map((day) => new Intl.DateTimeFormat(i18n.language, { weekday: 'short' }).format(day))
  const today = dayOf(now)
  return (
    <>
      <div className="calendar-head">
        <ActionIcon variant="default" aria-label={t('calendar.before')} onClick={() => step(-1)}>
          <Icon name="left" size={14} />
        </ActionIcon>
        <Button variant="default" onClick={() => set({ on: null })}>
          {t('calendar.today')}
        </Button>
        <ActionIcon variant="default" aria-label={t('calendar.after')} onClick={() => step(1)}>
          <Icon name="right" size={14} />
        </ActionIcon>
        <h2 aria-live="polite">{view === 'week' ? title.formatRange(days[0]!, days[6]!) : title.format(at)}</h2>
        <span className="dimmed small push">{Intl.DateTimeFormat().resolvedOptions().timeZone}</span>
      </div>
      {failed && <Failed error={failed.error} retry={() => failed.refetch()} />}
      {plans.some((one) => one.isPending) ? (
        <Loading lines={8} />
      ) : (
        <table className={`calendar calendar-${view}`}>
          <caption className="unseen">{t('calendar.caption')}</caption>
          <thead>
            <tr>
              {weekdays.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {weeks.map((week) => (
              <tr key={dayOf(week[0]!)}>
                {week.map((day) => {
                  const name = dayOf(day)
                  const due = cells.get(name) ?? []
                  const other = view === 'month' && day.getMonth() !== at.getMonth()
                  return (
                    <td
                      key={name}
                      className={`${name === today ? 'calendar-today' : ''} ${other ? 'calendar-other' : ''} ${due.length === 0 ? 'calendar-free' : ''}`}
                    >
                      <time dateTime={name} className="calendar-day">
                        <span className="calendar-short">{day.getDate()}</span>
                        <span className="calendar-long">{whole.format(day)}</span>
                      </time>
                      <ul>
                        {due.map((one) => (
                          <li key={one.id}>
                            <DueLine due={one} schedules={all} />
                          </li>
                        ))}
                      </ul>
                    </td>
                  )
                })}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p className="dimmed small">
        {known.every(({ times }) => times.length === 0) && `${t('calendar.nothing')} `}
        {t('calendar.text')}
        {active.length > MOST_SCHEDULES && ` ${t('calendar.most', { count: MOST_SCHEDULES })}`}
      </p>
    </>
  )
}

function DueLine({ due, schedules }: { due: Due; schedules: readonly Schedule[] }) {
  const { t, i18n } = useTranslation()
  const name = schedules.find(({ id }) => id === due.id)?.name ?? ''
  const clock = new Intl.DateTimeFormat(i18n.language, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  const when =
    due.first === null
      ? t('calendar.further')
      : due.more
        ? t('calendar.often', { count: due.count })
        : due.count === 1
          ? clock.format(due.first)
          : t('calendar.times', { count: due.count })
  return (
    <Go to={`schedules/${due.id}`} className="calendar-due" title={`${name}: ${when}`}>
      <Hue hue={hueOf(schedules, due.id)} />
      <span className="calendar-when">{when}</span> <span className="calendar-name">{name}</span>
    </Go>
  )
}
