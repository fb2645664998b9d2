import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Hold } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Ask } from './ask.tsx'
import { Person, Section, Time } from './bits.tsx'
import { Go } from './go.tsx'
import { Icon } from './icons.tsx'
import { plainText } from './plain-text.ts'
import { Answer } from './states.tsx'

/** The holds of the project, for whoever oversees it. They are few: each was set by a person, with a reason. */
export function useHolds() {
  const { client, project, can } = useSession()
  return useQuery({
    queryKey: [project, 'holds'],
    queryFn: () => client.all('privacy.holds'),
    enabled: can('privacy.holds'),
  })
}

/** Which holds keep this, and setting one. A hold on the ticket of a run keeps the run, and one on the project all of it. */
export function LegalHolds(of: {
  type: 'ticket' | 'run'
  id: string
  ticket?: string
  /** As it is called: "Task #12". */
  name: string
}) {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const [setting, setSetting] = useState(false)
  const holds = useHolds()
  if (!can('privacy.holds')) return null
  const keeps = ({ subject_type, subject_id, released_at }: Hold) =>
    released_at === null && (subject_type === 'project' || subject_id === of.id || subject_id === of.ticket)
  return (
    <Section
      title={t('retention.holds')}
      actions={
        can('privacy.setHold') && (
          <Button
            variant="default"
            size="compact-xs"
            onClick={() => setSetting(true)}
            leftSection={<Icon name="plus" size={12} />}
          >
            {t('retention.set')}
          </Button>
        )
      }
    >
      <Answer of={holds} lines={1}>
        {(all) => {
          const kept = all.filter(keeps)
          if (kept.length === 0) return <p className="dimmed small">{t('retention.notHeld')}</p>
          return (
            <ul className="held">
              {kept.map((hold) => (
                <li key={hold.id}>
                  <Icon name="hand" size={13} /> {plainText(hold.reason)}
                  <div className="dimmed small">
                    {hold.subject_id !== of.id && (
                      <>
                        {t('retention.on')}
                        {t('error.colon')}
                        {t(`retention.${hold.subject_type}`, { number: hold.subject_number })} ·{' '}
                      </>
                    )}
                    <Person id={hold.set_by_id} /> · <Time at={hold.created_at} />
                  </div>
                </li>
              ))}
            </ul>
          )
        }}
      </Answer>
      <p className="small">
        <Go to="settings/retention">{t('retention.all')}</Go>
      </p>
      <Ask
        opened={setting}
        close={() => setSetting(false)}
        title={t('retention.setOn', { name: of.name })}
        verb={t('retention.set')}
        reason="must"
        changes={['holds']}
        act={(reason) =>
          client.privacy.setHold({ body: { subject_type: of.type, subject_id: of.id, reason: reason ?? '' } })
        }
      >
        <p>{t('retention.holdsText')}</p>
        <p className="dimmed small">{t('retention.reasonHint')}</p>
      </Ask>
    </Section>
  )
}
