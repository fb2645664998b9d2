import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Schedule } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Page, Time } from '../parts/bits.tsx'
import { Calendar } from '../parts/calendar.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Hue, hueOf, ScheduleActs, ScheduleState, When } from '../parts/schedule-bits.tsx'
import { Answer, Empty } from '../parts/states.tsx'

/** All schedules of the project, by name. */
export function useSchedules() {
  const { client, project, can } = useSession()
  return useQuery({
    queryKey: [project, 'schedules', 'list'],
    queryFn: () => client.schedules.list(),
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
  const [filters] = useFilters()
  const schedules = useSchedules()
  const view = filters.view === 'month' || filters.view === 'week' ? filters.view : 'list'
  if (!can('schedules.list'))
    return (
      <Page name={t('nav.schedules')} title={t('nav.schedules')}>
        <Empty icon="hand" title={t('error.denied')} text={t('schedule.denied')} />
      </Page>
    )
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
            filters={to}
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
          ) : view === 'list' ? (
            <Table schedules={list} />
          ) : (
            <Calendar schedules={list} view={view} />
          )
        }
      </Answer>
    </Page>
  )
}

function Table({ schedules }: { schedules: readonly Schedule[] }) {
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
              <Hue hue={hueOf(schedules, one.id)} /> <Go to={`schedules/${one.id}`}>{one.name}</Go>
            </td>
            <td>
              <ScheduleState of={one.state} />
            </td>
            <td>{one.handler}</td>
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
