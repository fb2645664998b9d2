import { useQuery } from '@tanstack/react-query'
import type { Queue } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Page, State, Time } from '../parts/bits.tsx'
import { ConcurrencyKeys } from '../parts/concurrency-keys.tsx'
import { Go } from '../parts/go.tsx'
import { RowAct, Told } from '../parts/row-bits.tsx'
import { StandingStill } from '../parts/standing-still.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { useInsight } from '../parts/use-insight.ts'

/** As many as one call cancels at most. */
const DRAIN_AT_MOST = 10_000

type Asking = { readonly act: 'pause' | 'resume' | 'drain'; readonly queue: Queue }

/** Where tasks wait: how many, since when, and whether anything is started. */
export function Queues() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const [asking, setAsking] = useState<Asking | null>(null)
  const [drained, setDrained] = useState<{ cancelled: number; left: number } | null>(null)
  const queues = useQuery({
    queryKey: [project, 'queues'],
    queryFn: () => client.all('queues.list'),
    enabled: can('queues.list'),
    // Depths move without an event.
    refetchInterval: 3_000,
  })
  // What ended, as the log told it: some seconds behind the depths.
  const hour = useInsight('1h').data?.now
  const rates = new Map(hour?.queues.map((one) => [one.queue, one]))
  if (!can('queues.list'))
    return (
      <Page name={t('nav.queues')} title={t('nav.queues')}>
        <Empty icon="hand" title={t('error.denied')} text={t('queue.denied')} />
      </Page>
    )
  const number = (value: number) => count(value, i18n.language)
  return (
    <Page name={t('nav.queues')} title={t('nav.queues')}>
      {drained && (
        <p className="summary" role="status">
          {t('queue.drained', { cancelled: number(drained.cancelled), left: number(drained.left) })}
        </p>
      )}
      <Answer of={queues}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="queue" title={t('queue.noneTitle')} text={t('queue.noneText')} />
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('queue.name')}</th>
                  <th>{t('queue.state')}</th>
                  <th className="right">{t('queue.waiting')}</th>
                  <th className="right">{t('queue.delayed')}</th>
                  <th className="right">{t('queue.inFlight')}</th>
                  <th className="right">{t('queue.oldest')}</th>
                  {hour && <th className="right">{t('queue.lastHour')}</th>}
                  <th>
                    <span className="unseen">{t('queue.actions')}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {list.map((one) => (
                  <tr key={one.name}>
                    <td>
                      <Go to="tasks" filters={{ queue: one.name }}>
                        {one.name}
                      </Go>
                    </td>
                    <td>
                      {one.paused_at === null ? (
                        <State of="active" word={t('queue.open')} />
                      ) : (
                        <>
                          <State of="waiting" word={t('queue.paused')} />{' '}
                          <StandingStill
                            at={one.paused_at}
                            byId={one.paused_by_id}
                            reason={one.paused_reason}
                            log={{ event_type: 'queue.paused' }}
                          />
                        </>
                      )}
                    </td>
                    {(['waiting', 'delayed', 'in_flight'] as const).map((name) => (
                      <Told key={name} word={t(`queue.${name === 'in_flight' ? 'inFlight' : name}`)}>
                        {number(one[name])}
                      </Told>
                    ))}
                    <Told word={t('queue.oldest')}>
                      <Time at={one.oldest_waiting_at} />
                    </Told>
                    {hour && (
                      <Told word={t('queue.lastHour')}>
                        {number(rates.get(one.name)?.ended ?? 0)}
                        {(rates.get(one.name)?.failed ?? 0) > 0 && (
                          <span className="bad">
                            {' '}
                            {t('queue.failed', { number: number(rates.get(one.name)!.failed) })}
                          </span>
                        )}
                      </Told>
                    )}
                    <td className="right">
                      <span className="row-actions">
                        {one.paused_at === null
                          ? can('queues.pause') && (
                              <RowAct
                                verb={t('queue.pause')}
                                of={one.name}
                                icon="pause"
                                onClick={() => setAsking({ act: 'pause', queue: one })}
                              />
                            )
                          : can('queues.resume') && (
                              <RowAct
                                verb={t('queue.resume')}
                                of={one.name}
                                icon="run"
                                onClick={() => setAsking({ act: 'resume', queue: one })}
                              />
                            )}
                        {can('queues.drain') && (
                          <RowAct
                            verb={t('queue.drain')}
                            of={one.name}
                            icon="slash"
                            disabled={one.waiting + one.delayed === 0}
                            onClick={() => setAsking({ act: 'drain', queue: one })}
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
      {can('concurrencyKeys.list') && <ConcurrencyKeys />}
      {asking && (
        <AskQueue
          // What is asked for stays as it was named, though the depth moves on.
          asking={asking}
          close={() => setAsking(null)}
          drained={setDrained}
        />
      )}
    </Page>
  )
}

function AskQueue(props: {
  asking: Asking
  close: () => void
  drained: (done: { cancelled: number; left: number }) => void
}) {
  const { asking, close, drained } = props
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const { act, queue } = asking
  const params = { name: queue.name }
  const number = (value: number) => count(value, i18n.language)
  const numbers = {
    waiting: number(queue.waiting + (act === 'drain' ? 0 : queue.delayed)),
    delayed: number(queue.delayed),
    running: number(queue.in_flight),
  }
  const doomed = Math.min(queue.waiting + queue.delayed, DRAIN_AT_MOST)
  if (act === 'drain')
    return (
      <Ask
        opened
        close={close}
        danger
        title={t('queue.drainTitle', { count: doomed, name: queue.name })}
        verb={t('queue.drainVerb', { count: doomed })}
        changes={['queues']}
        // No more than were named: others may have come meanwhile.
        act={async () => drained(await client.queues.drain({ params, body: { limit: doomed } }))}
      >
        <p>{t('queue.drainText', numbers)}</p>
      </Ask>
    )
  return (
    <Ask
      opened
      close={close}
      title={t(`queue.${act}Title`, { name: queue.name })}
      verb={t(`queue.${act}`)}
      changes={['queues']}
      {...(act === 'pause' ? { reason: 'may' } : {})}
      act={(reason) =>
        act === 'pause'
          ? client.queues.pause({ params, body: reason === undefined ? null : { reason } })
          : client.queues.resume({ params })
      }
    >
      <p>{t(`queue.${act}Text`, numbers)}</p>
    </Ask>
  )
}
