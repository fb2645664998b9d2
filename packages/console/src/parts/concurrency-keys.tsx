import { Button, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { ConcurrencyKey } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from './ask.tsx'
import { Section, Time } from './bits.tsx'
import { Icon } from './icons.tsx'
import { Answer } from './states.tsx'

interface Asking {
  readonly act: 'pause' | 'resume'
  readonly of: ConcurrencyKey
}

const HOUR_MS = 3_600_000

/** As an input of this browser has it: the time here, to the minute. */
const localOf = (ms: number): string =>
  new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16)

/** Keys under which tasks run one after the other: how many have a place, how many wait, and until when nothing is started. */
export function ConcurrencyKeys() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const [asking, setAsking] = useState<Asking | null>(null)
  const keys = useQuery({
    queryKey: [project, 'queues', 'keys'],
    queryFn: () => client.concurrencyKeys.list(),
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
                    <td className="mono-text breaks">{one.key}</td>
                    {(['active', 'waiting'] as const).map((name) => (
                      <td key={name} className="right">
                        <span className="card-word">{t(name === 'active' ? 'key.active' : 'queue.waiting')} </span>
                        {count(one[name], i18n.language)}
                      </td>
                    ))}
                    <td className="right">
                      <span className="card-word">{t('key.paused')} </span>
                      <Time at={one.paused_until} />
                    </td>
                    <td className="right">
                      <span className="row-actions">
                        {can('concurrencyKeys.pause') && (
                          <Button
                            variant="default"
                            aria-label={`${t('key.pause')}: ${one.key}`}
                            onClick={() => setAsking({ act: 'pause', of: one })}
                            leftSection={<Icon name="pause" size={13} />}
                          >
                            {t('key.pause')}
                          </Button>
                        )}
                        {one.paused_until !== null && can('concurrencyKeys.resume') && (
                          <Button
                            variant="default"
                            aria-label={`${t('queue.resume')}: ${one.key}`}
                            onClick={() => setAsking({ act: 'resume', of: one })}
                            leftSection={<Icon name="run" size={13} />}
                          >
                            {t('queue.resume')}
                          </Button>
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
      {asking && <AskKey {...asking} close={() => setAsking(null)} />}
    </Section>
  )
}

function AskKey({ act, of: { key, active, waiting }, close }: Asking & { close: () => void }) {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const queries = useQueryClient()
  const [until, setUntil] = useState(() => localOf(Date.now() + HOUR_MS))
  const at = Date.parse(until)
  const pauses = act === 'pause'
  return (
    <Ask
      opened
      close={close}
      title={t(pauses ? 'key.pauseTitle' : 'key.resumeTitle', { key })}
      verb={t(pauses ? 'key.pauseVerb' : 'queue.resume')}
      ready={!pauses || at > Date.now()}
      act={async () => {
        if (pauses) await client.concurrencyKeys.pause({ body: { key, until: new Date(at).toISOString() } })
        else await client.concurrencyKeys.resume({ body: { key } })
        void queries.invalidateQueries({ queryKey: [project, 'queues'] })
      }}
    >
      <p>
        {pauses
          ? t('key.pauseText', { active: count(active, i18n.language) })
          : t('key.resumeText', { waiting: count(waiting, i18n.language) })}
      </p>
      {pauses && (
        <TextInput
          type="datetime-local"
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
