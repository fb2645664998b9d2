import { Button } from '@mantine/core'
import type { Schedule, ScheduleFire } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { exactTime, span } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from './ask.tsx'
import { State } from './bits.tsx'
import { useGo } from './go.tsx'
import { Icon } from './icons.tsx'

/** Colours in which schedules are told apart on the calendar; never without the name. */
const HUES = 8

/** The same colour for a schedule wherever it stands, as long as the list stays. */
export const hueOf = (schedules: readonly Pick<Schedule, 'id'>[], id: string): string =>
  `hue-${
    Math.max(
      0,
      schedules.findIndex((one) => one.id === id),
    ) % HUES
  }`

export const Hue = ({ hue }: { hue: string }) => <span className={`hue ${hue}`} aria-hidden="true" />

/** When: the cron with its zone, the interval, or the one time. */
export function When({ of }: { of: Pick<Schedule, 'cron' | 'every_seconds' | 'at' | 'zone'> }) {
  const { t, i18n } = useTranslation()
  if (of.cron !== null)
    return (
      <>
        <span className={of.cron.length > 24 ? 'mono-text breaks' : 'mono-text one-line'}>{of.cron}</span>{' '}
        <span className="dimmed small breaks">{of.zone}</span>
      </>
    )
  if (of.every_seconds !== null) return t('schedule.everyOf', { time: span(of.every_seconds, i18n.language) })
  return t('schedule.onceOf', { time: of.at === null ? '–' : exactTime(Date.parse(of.at), i18n.language) })
}

export function ScheduleState({ of }: { of: Schedule['state'] }) {
  const { t } = useTranslation()
  const look = { active: 'active', paused: 'waiting', ended: 'disabled' } as const
  return <State of={look[of]} word={t(`scheduleState.${of}`)} />
}

export function FireOutcome({ of }: { of: ScheduleFire['outcome'] }) {
  const { t } = useTranslation()
  const look = { started: 'active', skipped: 'cancelled', refused: 'failed' } as const
  return <State of={look[of]} word={t(`fireOutcome.${of}`)} />
}

type Act = 'pause' | 'resume' | 'trigger' | 'delete'

/** What can be done about a schedule, each asked before; `small` for a row of a table. */
export function ScheduleActs({ schedule, small = false }: { schedule: Schedule; small?: boolean }) {
  const { can } = useSession()
  const { t } = useTranslation()
  const [asking, setAsking] = useState<Act | null>(null)
  const button = (act: Act, icon: 'run' | 'pause' | 'refresh' | 'cross') =>
    can(`schedules.${act}`) && (
      <Button
        variant="default"
        {...(small ? { 'aria-label': `${t(`schedule.${act}`)}${t('error.colon')}${schedule.name}` } : {})}
        onClick={() => setAsking(act)}
        leftSection={<Icon name={icon} size={13} />}
      >
        {t(`schedule.${act}`)}
      </Button>
    )
  return (
    <>
      {button('trigger', 'run')}
      {schedule.state === 'active' && button('pause', 'pause')}
      {schedule.state === 'paused' && button('resume', 'refresh')}
      {!small && button('delete', 'cross')}
      {asking && <AskSchedule act={asking} schedule={schedule} close={() => setAsking(null)} />}
    </>
  )
}

function AskSchedule({ act, schedule, close }: { act: Act; schedule: Schedule; close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const { name, handler } = schedule
  const params = { id: schedule.id }
  return (
    <Ask
      opened
      close={close}
      danger={act === 'delete'}
      title={t(`schedule.${act}Title`, { name })}
      verb={t(`schedule.${act}`)}
      {...(act === 'pause' ? { reason: 'may' as const } : {})}
      changes={['schedules']}
      act={async (reason) => {
        if (act === 'trigger') {
          const { number } = await client.schedules.trigger({ params })
          go(`tasks/${number}`)
        } else if (act === 'pause') await client.schedules.pause({ params, body: reason ? { reason } : {} })
        else await client.schedules[act]({ params })
        if (act === 'delete') go('schedules')
      }}
    >
      <p>{t(`schedule.${act}Text`, { handler })}</p>
      {act === 'trigger' && schedule.when_running === 'skip' && <p className="dimmed">{t('schedule.triggerSkip')}</p>}
    </Ask>
  )
}
