import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { ScheduleDetail, ScheduleFire } from '@writ/api'
import type { TFunction } from 'i18next'
import { useTranslation } from 'react-i18next'
import { exactTime } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Facts, Page, Person, RunStateBadge, Section, Time } from '../parts/bits.tsx'
import { Go } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { FireOutcome, ScheduleActs, ScheduleState, When } from '../parts/schedule-bits.tsx'
import { StandingStill } from '../parts/standing-still.tsx'
import { Answer } from '../parts/states.tsx'
import { Tree } from '../parts/tree.tsx'

export function useSchedule(id: string) {
  const { client, project } = useSession()
  return useQuery({
    queryKey: [project, 'schedules', id],
    queryFn: () => client.schedules.get({ params: { id } }),
    refetchInterval: 15_000,
  })
}

/** One schedule: when it is due next, what became of its last times, and what it does about clocks and missed times. */
export function SchedulePage() {
  const { can } = useSession()
  const { t } = useTranslation()
  const { id = '' } = useParams({ strict: false }) as { id?: string }
  const schedule = useSchedule(id)
  const one = schedule.data
  const name = one?.name ?? t('nav.schedules')
  return (
    <Page
      name={name}
      above={
        <Go to="schedules" className="back">
          <Icon name="left" size={13} /> {t('nav.schedules')}
        </Go>
      }
      title={
        <>
          {name} {one && <ScheduleState of={one.state} />}
        </>
      }
      actions={
        one && (
          <>
            {can('schedules.update') && (
              <Button
                component={Go}
                to={`schedules/${one.id}/edit`}
                variant="default"
                leftSection={<Icon name="pencil" size={13} />}
              >
                {t('action.edit')}
              </Button>
            )}
            <ScheduleActs schedule={one} />
          </>
        )
      }
    >
      <Answer of={schedule}>{(found) => <Whole key={found.id} schedule={found} />}</Answer>
    </Page>
  )
}

/** Why the server paused it by itself, in the language of the page. */
function pausedByServer({ paused_cause }: ScheduleDetail, t: TFunction): string | null {
  if (paused_cause === null) return null
  const { code, refusals, error_code } = paused_cause
  return t(`schedule.pausedBy.${code}`, { times: refusals, code: error_code })
}

function Whole({ schedule }: { schedule: ScheduleDetail }) {
  const { t, i18n } = useTranslation()
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone
  const input = schedule.input as unknown
  const given = typeof input !== 'object' || input === null || Object.keys(input).length > 0
  return (
    <div className="columns">
      <div>
        {schedule.state === 'paused' && (
          <p className="summary summary-wait">
            {t('schedule.pausedText')} {pausedByServer(schedule, t)}{' '}
            <StandingStill
              at={schedule.paused_at}
              byId={schedule.paused_by_id}
              reason={schedule.paused_cause === null ? schedule.paused_reason : null}
              log={{ resource_type: 'schedule', resource_id: schedule.id }}
            />
          </p>
        )}
        <Section title={t('schedule.nextTimes')}>
          {schedule.next.length === 0 ? (
            <p className="dimmed small">{t('schedule.noNext')}</p>
          ) : (
            <table className="plain lined">
              <thead>
                <tr>
                  <th>{t('schedule.in')}</th>
                  <th>{here}</th>
                  {schedule.zone !== here && <th className="breaks">{schedule.zone}</th>}
                </tr>
              </thead>
              <tbody>
                {schedule.next.map((time) => (
                  <tr key={time}>
                    <td>
                      <Time at={time} />
                    </td>
                    <td>{exactTime(Date.parse(time), i18n.language)}</td>
                    {schedule.zone !== here && (
                      <td className="dimmed">{exactTime(Date.parse(time), i18n.language, schedule.zone)}</td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Section>
        <Section title={t('schedule.fires')}>
          {schedule.fires.length === 0 ? (
            <p className="dimmed small">{t('schedule.noFires')}</p>
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('schedule.due')}</th>
                  <th>{t('schedule.outcome')}</th>
                  <th>{t('schedule.task')}</th>
                </tr>
              </thead>
              <tbody>
                {schedule.fires.map((fire) => (
                  <tr key={fire.due_at}>
                    <td>
                      <Time at={fire.due_at} />
                      {/* Told apart only where it was caught up with. */}
                      {Date.parse(fire.fired_at) - Date.parse(fire.due_at) > 60_000 && (
                        <span className="dimmed small">
                          {' '}
                          · {t('schedule.caughtUp')} <Time at={fire.fired_at} />
                        </span>
                      )}
                    </td>
                    <td>
                      <FireOutcome of={fire.outcome} />{' '}
                      {fire.error_code !== null && <span className="mono-text small">{fire.error_code}</span>}
                    </td>
                    <td>
                      <Fired fire={fire} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </Section>
        <Section title={t('task.input')}>
          {given ? (
            <Tree name={t('task.input')} value={input} open />
          ) : (
            <p className="dimmed small">{t('task.noInput')}</p>
          )}
          {Object.keys(schedule.options).length > 0 && (
            <Tree name={t('dispatch.options')} value={schedule.options} open />
          )}
          {(given || Object.keys(schedule.options).length > 0) && <p className="dimmed small">{t('task.secrets')}</p>}
        </Section>
      </div>
      <aside>
        <Section title={t('ticket.facts')}>
          <Facts
            rows={[
              [t('task.handler'), schedule.handler],
              [t('schedule.when'), <When key="w" of={schedule} />],
              schedule.starts_at === null ? null : [t('schedule.from'), <Time key="s" at={schedule.starts_at} />],
              schedule.ends_at === null ? null : [t('schedule.until'), <Time key="e" at={schedule.ends_at} />],
              schedule.callback === null ? null : [t('task.callback'), schedule.callback.url],
              [t('schedule.owner'), <Person key="o" id={schedule.owner_id} />],
              [t('schedule.version'), String(schedule.version)],
              [t('ticket.changed'), <Time key="u" at={schedule.updated_at} />],
            ]}
          />
        </Section>
        <Section title={t('schedule.policies')}>
          <dl className="explained">
            {schedule.cron !== null && (
              <>
                <dt>
                  {t('schedule.gap')}
                  {t('error.colon')}
                  {t(`dstGap.${schedule.dst_gap}`)}
                </dt>
                <dd>{t(`dstGapText.${schedule.dst_gap}`)}</dd>
                <dt>
                  {t('schedule.overlap')}
                  {t('error.colon')}
                  {t(`dstOverlap.${schedule.dst_overlap}`)}
                </dt>
                <dd>{t(`dstOverlapText.${schedule.dst_overlap}`)}</dd>
              </>
            )}
            <dt>
              {t('schedule.catchUp')}
              {t('error.colon')}
              {t(`catchUp.${schedule.catch_up}`)}
            </dt>
            <dd>{t(`catchUpText.${schedule.catch_up}`, { count: schedule.catch_up_limit })}</dd>
            <dt>
              {t('schedule.whenRunning')}
              {t('error.colon')}
              {t(`whenRunning.${schedule.when_running}`)}
            </dt>
            <dd>{t(`whenRunningText.${schedule.when_running}`)}</dd>
          </dl>
        </Section>
      </aside>
    </div>
  )
}

/** The task of a due time, as it is now. */
function Fired({ fire }: { fire: ScheduleFire }) {
  const { client, project } = useSession()
  const id = fire.run_id
  const task = useQuery({
    queryKey: [project, 'task', id],
    queryFn: () => client.tasks.get({ params: { id: id! } }),
    enabled: id !== null,
    staleTime: 10_000,
    refetchInterval: ({ state }) => (state.data && state.data.completed_at === null ? 2_000 : false),
  })
  if (id === null) return <span className="dimmed">–</span>
  return (
    <>
      <Go to={`tasks/${id}`}>{task.data ? `#${task.data.number}` : id.slice(0, 8)}</Go>{' '}
      {task.data && <RunStateBadge state={task.data.state} />}
    </>
  )
}
