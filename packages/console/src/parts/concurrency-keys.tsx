import { Button, NumberInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { ConcurrencyKey } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { now } from '../app/clock.ts'
import { count, duration, listed } from '../app/format.ts'
import { localOf } from '../app/local-time.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from './ask.tsx'
import { Section, Time } from './bits.tsx'
import { Go } from './go.tsx'
import { LocalTime } from './local-time.tsx'
import { RowAct, Told } from './row-bits.tsx'
import { StandingStill } from './standing-still.tsx'
import { Answer } from './states.tsx'

interface Asking {
  readonly act: 'pause' | 'resume' | 'limit'
  readonly of: ConcurrencyKey
}

type Limit = ConcurrencyKey['limits'][number]

interface Lifting {
  readonly name: string
  readonly limit: Limit
}

const HOUR_MS = 3_600_000

/** Keys under which tasks run one after the other: how many have a place, how many wait, and until when nothing is started. */
export function ConcurrencyKeys() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const [asking, setAsking] = useState<Asking | null>(null)
  const [lifting, setLifting] = useState<Lifting | null>(null)
  const keys = useQuery({
    queryKey: [project, 'queues', 'keys'],
    queryFn: () => client.all('concurrencyKeys.list'),
    refetchInterval: 3_000,
  })
  return (
    <Section title={t('key.title')}>
      <p className="dimmed small">{t('key.text')}</p>
      <Answer of={keys} lines={1}>
        {(list) =>
          list.length === 0 ? (
            <p className="dimmed small">{t('key.none')}</p>
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('key.key')}</th>
                  <th className="right">{t('key.active')}</th>
                  <th className="right">{t('queue.waiting')}</th>
                  <th className="right">{t('key.paused')}</th>
                  <th>
                    <span className="unseen">{t('queue.actions')}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {list.map((one) => (
                  <tr key={one.key}>
                    <td>
                      <Go to="tasks" filters={{ key: one.key }} className="mono-text breaks">
                        {one.key}
                      </Go>
                      {one.limits.map((limit) => (
                        <span key={limit.handler ?? ''} className="dimmed handler-title">
                          <LimitText of={limit} />{' '}
                          {can('concurrencyKeys.liftLimit') && (
                            <Button
                              variant="subtle"
                              size="compact-xs"
                              aria-label={`${t('key.lift')}${t('error.colon')}${one.key}${limit.handler === null ? '' : `, ${limit.handler}`}`}
                              onClick={() => setLifting({ name: one.key, limit })}
                            >
                              {t('key.lift')}
                            </Button>
                          )}
                        </span>
                      ))}
                    </td>
                    {(['active', 'waiting'] as const).map((name) => (
                      <Told key={name} word={t(name === 'active' ? 'key.active' : 'queue.waiting')}>
                        {count(one[name], i18n.language)}
                      </Told>
                    ))}
                    <Told word={t('key.paused')}>
                      <Time at={one.paused_until} />{' '}
                      {one.paused_until !== null && (
                        <StandingStill
                          at={one.paused_at}
                          byId={one.paused_by_id}
                          by={one.paused_by_run_id && <Go to={`tasks/${one.paused_by_run_id}`}>{t('key.byTask')}</Go>}
                          reason={one.paused_reason}
                          log={{ event_type: 'concurrency_key.paused' }}
                        />
                      )}
                    </Told>
                    <td className="right">
                      <span className="row-actions">
                        {can('concurrencyKeys.pause') && (
                          <RowAct
                            verb={t('key.pause')}
                            of={one.key}
                            icon="pause"
                            onClick={() => setAsking({ act: 'pause', of: one })}
                          />
                        )}
                        {can('concurrencyKeys.limit') && (
                          <RowAct
                            verb={t('key.limit')}
                            of={one.key}
                            onClick={() => setAsking({ act: 'limit', of: one })}
                          />
                        )}
                        {one.paused_until !== null && can('concurrencyKeys.resume') && (
                          <RowAct
                            verb={t('queue.resume')}
                            of={one.key}
                            icon="run"
                            onClick={() => setAsking({ act: 'resume', of: one })}
                          />
                        )}
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Answer>
      {asking?.act === 'limit' ? (
        <AskLimit of={asking.of} close={() => setAsking(null)} />
      ) : (
        asking && <AskKey {...asking} act={asking.act} close={() => setAsking(null)} />
      )}
      {lifting && <AskLift {...lifting} close={() => setLifting(null)} />}
    </Section>
  )
}

/** What an operator allows, for whom, until when and why. */
function LimitText({ of: { handler, concurrency, rate, until, reason } }: { of: Limit }) {
  const { t, i18n } = useTranslation()
  const said = [
    concurrency === undefined
      ? null
      : concurrency === null
        ? t('key.anyNumber')
        : t('handler.atOnce', { count: concurrency }),
    rate === undefined
      ? null
      : rate === null
        ? t('key.anyRate')
        : t('handler.rate', { limit: rate.limit, period: duration(rate.period_ms, i18n.language) }),
  ]
  return (
    <>
      {handler ?? t('key.limited')}
      {t('error.colon')}
      {listed(
        said.filter((one) => one !== null),
        i18n.language,
      )}
      {until !== null && (
        <>
          {' · '}
          {t('key.until')} <Time at={until} />
        </>
      )}
      {` · ${reason}`}
    </>
  )
}

/** Something else than its handlers say, for all of them. */
function AskLimit({ of: { key, active }, close }: { of: ConcurrencyKey; close: () => void }) {
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const [concurrency, setConcurrency] = useState<number | null>(null)
  const [starts, setStarts] = useState<number | null>(null)
  const [seconds, setSeconds] = useState<number | null>(60)
  const [until, setUntil] = useState('')
  const numberOf = (value: number | string) => (typeof value === 'number' ? value : null)
  const rate = starts === null || seconds === null ? undefined : { limit: starts, period_ms: seconds * 1_000 }
  const soon = until !== '' && Date.parse(until) <= now()
  return (
    <Ask
      opened
      close={close}
      changes={['queues']}
      title={t('key.limitTitle', { key })}
      verb={t('key.limitVerb')}
      reason="must"
      ready={(concurrency !== null || rate !== undefined) && !soon}
      filled={concurrency !== null || starts !== null || until !== ''}
      act={async (reason) => {
        await client.concurrencyKeys.limit({
          body: {
            key,
            ...(concurrency === null ? {} : { concurrency }),
            ...(rate === undefined ? {} : { rate }),
            ...(until === '' ? {} : { until: new Date(until).toISOString() }),
            reason: reason!,
          },
        })
      }}
    >
      <p>{t('key.limitText', { active: count(active, i18n.language) })}</p>
      <NumberInput
        label={t('key.atOnce')}
        min={1}
        max={10_000}
        allowDecimal={false}
        value={concurrency ?? ''}
        onChange={(value) => setConcurrency(numberOf(value))}
      />
      <NumberInput
        label={t('key.starts')}
        min={1}
        max={1_000_000}
        allowDecimal={false}
        value={starts ?? ''}
        onChange={(value) => setStarts(numberOf(value))}
      />
      <NumberInput
        label={t('key.seconds')}
        min={1}
        max={86_400}
        allowDecimal={false}
        value={seconds ?? ''}
        onChange={(value) => setSeconds(numberOf(value))}
      />
      <LocalTime label={t('key.untilOrGood')} value={until} onChange={(event) => setUntil(event.currentTarget.value)} />
    </Ask>
  )
}

function AskLift({ name, limit, close }: Lifting & { close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  return (
    <Ask
      opened
      close={close}
      changes={['queues']}
      title={t('key.liftTitle', { key: name })}
      verb={t('key.lift')}
      act={async () => {
        await client.concurrencyKeys.liftLimit({
          body: { key: name, ...(limit.handler === null ? {} : { handler: limit.handler }) },
        })
      }}
    >
      <p>
        <LimitText of={limit} />
      </p>
      <p>{t('key.liftText')}</p>
    </Ask>
  )
}

function AskKey({
  act,
  of: { key, active, waiting },
  close,
}: {
  act: 'pause' | 'resume'
  of: ConcurrencyKey
  close: () => void
}) {
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const [until, setUntil] = useState(() => localOf(now() + HOUR_MS))
  const at = Date.parse(until)
  const pauses = act === 'pause'
  return (
    <Ask
      opened
      close={close}
      changes={['queues']}
      title={t(pauses ? 'key.pauseTitle' : 'key.resumeTitle', { key })}
      verb={t(pauses ? 'key.pauseVerb' : 'queue.resume')}
      ready={!pauses || at > now()}
      filled={pauses}
      {...(pauses ? { reason: 'may' } : {})}
      act={async (reason) => {
        if (pauses)
          await client.concurrencyKeys.pause({
            body: { key, until: new Date(at).toISOString(), ...(reason === undefined ? {} : { reason }) },
          })
        else await client.concurrencyKeys.resume({ body: { key } })
      }}
    >
      <p>
        {pauses
          ? t('key.pauseText', { active: count(active, i18n.language) })
          : t('key.resumeText', { waiting: count(waiting, i18n.language) })}
      </p>
      {pauses && (
        <LocalTime
          label={t('key.until')}
          value={until}
          onChange={(event) => setUntil(event.currentTarget.value)}
          required
          withAsterisk={false}
        />
      )}
    </Ask>
  )
}
