import { Button, Select } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Schedule } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Page, Time } from '../parts/bits.tsx'
import { Calendar } from '../parts/calendar.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Hue, hueOf, ScheduleActs, ScheduleState, When } from '../parts/schedule-bits.tsx'
import { Search } from '../parts/search.tsx'
import { Answer, Empty } from '../parts/states.tsx'

/** All schedules of the project, by name. */
export function useSchedules() {
  const { client, project, can } = useSession()
  return useQuery({
    queryKey: [project, 'schedules', 'list'],
    queryFn: () => client.all('schedules.list'),
    enabled: can('schedules.list'),
    // A time that comes is an event of its task only.
    refetchInterval: 15_000,
  })
}

const VIEWS = [
  ['list', {}],
  ['month', { view: 'month' }],
  ['week', { view: 'week' }],
] as const

/** What is dispatched by time: as a list, or on a calendar. */
export function Schedules() {
  const { can } = useSession()
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const schedules = useSchedules()
  const view = filters.view === 'month' || filters.view === 'week' ? filters.view : 'list'
  if (!can('schedules.list'))
    return (
      <Page name={t('nav.schedules')} title={t('nav.schedules')}>
        <Empty icon="hand" title={t('error.denied')} text={t('schedule.denied')} />
      </Page>
    )
  const chosen = (all: readonly Schedule[]) => all.filter((one) => matches(one, filters))
  const narrowed = ['state', 'handler', 'q'].some((name) => (filters[name] ?? '') !== '')
  const { view: _, ...kept } = filters
  const add = can('schedules.create') && (
    <Button component={Go} to="schedules/new" leftSection={<Icon name="plus" size={14} />}>
      {t('schedule.new')}
    </Button>
  )
  return (
    <Page name={t('nav.schedules')} title={t('nav.schedules')} actions={add}>
      <nav className="views" aria-label={t('ticket.views')}>
        {VIEWS.map(([name, to]) => (
          <Go
            key={name}
            to="schedules"
            filters={{ ...kept, ...to }}
            className="view"
            {...(name === view ? { 'aria-current': 'true' as const } : {})}
          >
            {t(`scheduleView.${name}`)}
          </Go>
        ))}
      </nav>
      <Answer of={schedules}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="clock" title={t('schedule.noneTitle')} text={t('schedule.noneText')}>
              {add}
            </Empty>
          ) : (
            <>
              <ScheduleFilters schedules={list} filters={filters} set={set} />
              {narrowed && chosen(list).length === 0 ? (
                <Empty
                  icon="search"
                  title={t('list.noMatch')}
                  text={
                    <Go to="schedules" filters={view === 'list' ? {} : { view }}>
                      {t('list.clear')}
                    </Go>
                  }
                />
              ) : view === 'list' ? (
                <Table schedules={chosen(list)} all={list} />
              ) : (
                <Calendar schedules={chosen(list)} all={list} view={view} />
              )}
            </>
          )
        }
      </Answer>
    </Page>
  )
}

/** State, handler, and words that stand in the name, the handler or the cron. All schedules are here, so they are chosen here. */
function matches(one: Schedule, { state, handler, q }: Readonly<Record<string, string>>): boolean {
  const told = `${one.name} ${one.handler} ${one.cron ?? ''}`.toLowerCase()
  return (
    (!state || one.state === state) &&
    (!handler || one.handler === handler) &&
    (q ?? '')
      .toLowerCase()
      .split(/\s+/)
      .every((word) => told.includes(word))
  )
}

function ScheduleFilters(props: {
  schedules: readonly Schedule[]
  filters: Readonly<Record<string, string>>
  set: ReturnType<typeof useFilters>[1]
}) {
  const { schedules, filters, set } = props
  const { t } = useTranslation()
  const handlers = new Set(schedules.map(({ handler }) => handler))
  // What stands in the address is shown, also if no schedule has it any more.
  if (filters.handler) handlers.add(filters.handler)
  return (
    <div className="filters">
      <Select
        aria-label={t('schedule.state')}
        placeholder={t('run.anyState')}
        data={(['active', 'paused', 'ended'] as const).map((value) => ({ value, label: t(`scheduleState.${value}`) }))}
        value={filters.state ?? null}
        onChange={(state) => set({ state })}
        clearable
        w={140}
      />
      <Select
        aria-label={t('task.handler')}
        placeholder={t('task.anyHandler')}
        data={[...handlers].sort()}
        value={filters.handler ?? null}
        onChange={(handler) => set({ handler })}
        clearable
        searchable
        nothingFoundMessage={t('list.none')}
        w={200}
      />
      <Search label={t('schedule.search')} value={filters.q ?? ''} set={(q) => set({ q })} />
    </div>
  )
}

/** `all`: those beside which they have their colours. */
function Table({ schedules, all }: { schedules: readonly Schedule[]; all: readonly Schedule[] }) {
  const { t } = useTranslation()
  return (
    <table className="plain lined cards">
      <thead>
        <tr>
          <th>{t('schedule.name')}</th>
          <th>{t('schedule.state')}</th>
          <th>{t('task.handler')}</th>
          <th>{t('schedule.when')}</th>
          <th className="right">{t('schedule.next')}</th>
          <th className="right">{t('schedule.last')}</th>
          <th>
            <span className="unseen">{t('queue.actions')}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {schedules.map((one) => (
          <tr key={one.id}>
            <td>
              <Hue hue={hueOf(all, one.id)} /> <Go to={`schedules/${one.id}`}>{one.name}</Go>
            </td>
            <td>
              <ScheduleState of={one.state} />
            </td>
            <td className="breaks">{one.handler}</td>
            <td>
              <When of={one} />
            </td>
            <td className="right">
              <span className="card-word">{t('schedule.next')} </span>
              <Time at={one.next_at} />
            </td>
            <td className="right">
              <span className="card-word">{t('schedule.last')} </span>
              {one.last_run_id === null ? (
                <Time at={one.last_due_at} />
              ) : (
                <Go to={`tasks/${one.last_run_id}`}>
                  <Time at={one.last_due_at ?? one.updated_at} />
                </Go>
              )}
            </td>
            <td className="right">
              <span className="row-actions">
                <ScheduleActs schedule={one} small />
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
