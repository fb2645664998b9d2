import { Button, Select, Textarea, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Hold, Log } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { ActsHead, Facts, Mono, Person, Section, State, Time } from '../parts/bits.tsx'
import { useDraft } from '../parts/draft.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { Go } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { useHolds } from '../parts/legal-holds.tsx'
import { plainText } from '../parts/plain-text.ts'
import { Told } from '../parts/row-bits.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { keptFor } from './settings-policy.tsx'

/** How long the log is kept, and what must be kept whatever anybody asks. */
export function Retention() {
  return (
    <>
      <Tasks />
      <Logs />
      <Holds />
    </>
  )
}

/** By the rules of the project, which a second admin agrees to. */
function Tasks() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const policy = useQuery({ queryKey: [project, 'policy'], queryFn: () => client.projects.policy() })
  return (
    <Section
      title={t('retention.tasks')}
      actions={can('projects.changePolicy') && <Go to="settings/policy">{t('retention.tasksChange')}</Go>}
    >
      <p className="small dimmed">{t('retention.tasksText')}</p>
      <Answer of={policy}>
        {(now) => (
          <Facts
            rows={[
              [t('retention.completed'), keptFor(t, now.completed_task_days)],
              [t('retention.failed'), keptFor(t, now.failed_task_days)],
            ]}
          />
        )}
      </Answer>
    </Section>
  )
}

function Logs() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const logs = useQuery({ queryKey: [project, 'logs'], queryFn: () => client.all('privacy.logs') })
  const [asking, setAsking] = useState<'rotate' | Log | null>(null)
  const [requested, setRequested] = useState<number | null>(null)
  const shut = () => setAsking(null)
  const dropping = asking === 'rotate' ? null : asking
  return (
    <Section
      title={t('retention.logs')}
      actions={
        can('privacy.rotateLog') && (
          <Button variant="default" onClick={() => setAsking('rotate')}>
            {t('retention.rotate')}
          </Button>
        )
      }
    >
      <p className="small dimmed">{t('retention.logsText')}</p>
      {requested !== null && (
        <p className="small" role="status">
          {t('retention.requested', { shard: requested })}
        </p>
      )}
      <Answer of={logs}>
        {(list) => {
          // Logs go in the order in which they continue each other.
          const oldest = list.find((log) => log.dropped_at === null && log.closed_at !== null)
          return (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('retention.log')}</th>
                  <th>{t('people.state')}</th>
                  <th className="right">{t('retention.entries')}</th>
                  <th className="right">{t('retention.opened')}</th>
                  <th className="right">{t('retention.closed')}</th>
                  <ActsHead />
                </tr>
              </thead>
              <tbody>
                {list.map((log) => (
                  <tr key={log.shard}>
                    <td>
                      {log.shard} <Mono value={log.origin} keep={10} />
                    </td>
                    <td>
                      <LogState log={log} />
                    </td>
                    <Told word={t('retention.entries')}>{count(log.size, i18n.language)}</Told>
                    <Told word={t('retention.opened')}>
                      <Time at={log.opened_at} />
                    </Told>
                    <Told word={t('retention.closed')}>
                      <Time at={log.closed_at} />
                    </Told>
                    <td className="right">
                      {log === oldest && can('privacy.dropLog') && (
                        <Button
                          variant="default"
                          size="compact-xs"
                          onClick={() => setAsking(log)}
                          aria-label={`${t('retention.drop')}${t('error.colon')}${log.origin}`}
                        >
                          {t('retention.drop')}
                        </Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }}
      </Answer>
      <Ask
        opened={asking === 'rotate'}
        close={shut}
        title={t('retention.rotateTitle')}
        verb={t('retention.rotate')}
        reason="must"
        changes={['logs']}
        act={(reason) => client.privacy.rotateLog({ body: { reason: reason! } })}
      >
        <p>{t('retention.rotateText')}</p>
      </Ask>
      <Ask
        opened={dropping !== null}
        close={shut}
        danger
        title={t('retention.dropTitle', { origin: dropping?.origin })}
        verb={t('retention.drop')}
        reason="must"
        changes={['logs']}
        act={async (reason) => {
          const { shard } = dropping!
          const { state } = await client.privacy.dropLog({ params: { shard }, body: { reason: reason! } })
          setRequested(state === 'requested' ? shard : null)
        }}
      >
        <p>{t('retention.dropText', { entries: count(dropping?.size ?? 0, i18n.language) })}</p>
        <p>{t('retention.dropTwo')}</p>
      </Ask>
    </Section>
  )
}

function LogState({ log }: { log: Log }) {
  const { t } = useTranslation()
  if (log.dropped_at !== null)
    return (
      <>
        <State of="revoked" word={t('retention.isDropped')} />{' '}
        <span className="small dimmed">
          <Time at={log.dropped_at} />
        </span>
      </>
    )
  if (log.closed_at !== null) return <State of="disabled" word={t('retention.isClosed')} />
  return <State of="active" word={t('retention.isOpen')} />
}

function Holds() {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const [setting, setSetting] = useState(false)
  const [releasing, setReleasing] = useState<Hold | null>(null)
  const holds = useHolds()
  return (
    <Section
      title={t('retention.holds')}
      actions={
        can('privacy.setHold') && (
          <Button onClick={() => setSetting(true)} leftSection={<Icon name="plus" size={14} />}>
            {t('retention.set')}
          </Button>
        )
      }
    >
      <p className="small dimmed">{t('retention.holdsText')}</p>
      <Answer of={holds}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="hand" title={t('retention.noneTitle')} text={t('retention.noneText')} />
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('retention.on')}</th>
                  <th>{t('form.reason')}</th>
                  <th>{t('people.state')}</th>
                  <th>{t('retention.by')}</th>
                  <th className="right">{t('retention.since')}</th>
                  <ActsHead />
                </tr>
              </thead>
              <tbody>
                {list.map((hold) => (
                  <tr key={hold.id}>
                    <td>
                      <Subject hold={hold} />
                    </td>
                    <td>
                      {plainText(hold.reason)}
                      {hold.release_reason !== null && (
                        <div className="small dimmed">{plainText(hold.release_reason)}</div>
                      )}
                    </td>
                    <td>
                      {hold.released_at === null ? (
                        <State of="active" word={t('retention.lasts')} />
                      ) : (
                        <>
                          <State of="disabled" word={t('retention.isReleased')} />{' '}
                          <span className="small dimmed">
                            <Person id={hold.released_by_id} /> · <Time at={hold.released_at} />
                          </span>
                        </>
                      )}
                    </td>
                    <Told word={t('retention.by')} left>
                      <Person id={hold.set_by_id} />
                    </Told>
                    <Told word={t('retention.since')}>
                      <Time at={hold.created_at} />
                    </Told>
                    <td className="right">
                      {hold.released_at === null && can('privacy.releaseHold') && (
                        <Button
                          variant="default"
                          size="compact-xs"
                          onClick={() => setReleasing(hold)}
                          aria-label={`${t('retention.release')}${t('error.colon')}${hold.reason}`}
                        >
                          {t('retention.release')}
                        </Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Answer>
      <NewHold opened={setting} close={() => setSetting(false)} />
      <Ask
        opened={releasing !== null}
        close={() => setReleasing(null)}
        danger
        title={t('retention.releaseTitle', { reason: releasing?.reason })}
        verb={t('retention.release')}
        reason="must"
        changes={['holds']}
        act={(reason) => client.privacy.releaseHold({ params: { id: releasing!.id }, body: { reason: reason! } })}
      >
        <p>{t('retention.releaseText')}</p>
      </Ask>
    </Section>
  )
}

function Subject({ hold: { subject_type, subject_number } }: { hold: Hold }) {
  const { t } = useTranslation()
  if (subject_type === 'project') return t('retention.project')
  const name = t(`retention.${subject_type}`, { number: subject_number })
  return <Go to={`${subject_type}s/${subject_number}`}>{name}</Go>
}

const NO_HOLD = { subject: 'ticket' as Hold['subject_type'], number: '', reason: '' }

function NewHold({ opened, close }: { opened: boolean; close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const draft = useDraft('new hold', NO_HOLD)
  const { subject, number, reason } = draft.value
  const put = (change: Partial<typeof NO_HOLD>) => draft.write((old) => ({ ...old, ...change }))
  return (
    <FormDialog
      draft={draft}
      opened={opened}
      close={close}
      title={t('retention.set')}
      verb={t('retention.set')}
      changes={['holds']}
      act={async () => {
        await client.privacy.setHold({
          body: {
            subject_type: subject,
            ...(subject === 'project' ? {} : { subject_id: number.trim() }),
            reason: reason.trim(),
          },
        })
        draft.startOver()
        return null
      }}
    >
      <Select
        label={t('retention.on')}
        data={(['ticket', 'run', 'project'] as const).map((value) => ({
          value,
          label: t(`retention.of_${value}`),
        }))}
        value={subject}
        onChange={(value) => value && put({ subject: value as Hold['subject_type'] })}
        allowDeselect={false}
      />
      {subject !== 'project' && (
        <TextInput
          label={t('retention.number')}
          value={number}
          onChange={(event) => put({ number: event.currentTarget.value })}
          inputMode="numeric"
          pattern="[0-9]+"
          required
          withAsterisk={false}
        />
      )}
      <Textarea
        label={t('form.reason')}
        description={t('retention.reasonHint')}
        value={reason}
        onChange={(event) => put({ reason: event.currentTarget.value })}
        required
        withAsterisk={false}
        minLength={3}
        maxLength={500}
      />
    </FormDialog>
  )
}
