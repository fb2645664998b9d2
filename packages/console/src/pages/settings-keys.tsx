import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { SigningKey } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { passkeyHost } from '../app/page-settings.ts'
import { whyNoPasskeys } from '../app/passkey.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { ActsHead, Mono, Person, Section, State, Time } from '../parts/bits.tsx'
import { EnrolButton } from '../parts/enrol.tsx'
import { InLog } from '../parts/in-log.tsx'
import { Told } from '../parts/row-bits.tsx'
import { Answer, Empty } from '../parts/states.tsx'

/** Whose signature counts, and what this instance signs with. */
export function Keys() {
  const { client, project, me, can } = useSession()
  const { t } = useTranslation()
  const keys = useQuery({ queryKey: [project, 'signing-keys'], queryFn: () => client.all('signingKeys.list') })
  const noPasskeys = whyNoPasskeys()
  return (
    <>
      <Section title={t('signing.people')} actions={can('signingKeys.enrol') && noPasskeys === null && <EnrolButton />}>
        <p className="small dimmed">
          {t(noPasskeys ?? 'signing.text', { host: passkeyHost, here: location.hostname })}
        </p>
        <Answer of={keys}>
          {(list) =>
            list.length === 0 ? (
              <Empty icon="key" title={t('signing.noneTitle')} text={t('signing.noneText')} />
            ) : (
              <table className="plain lined cards">
                <thead>
                  <tr>
                    <th>{t('token.owner')}</th>
                    <th>{t('notice.name')}</th>
                    <th>{t('people.state')}</th>
                    <th>{t('signing.fingerprint')}</th>
                    <th className="right">{t('ticket.created')}</th>
                    <ActsHead />
                  </tr>
                </thead>
                <tbody>
                  {list.map((key) => (
                    <tr key={key.id}>
                      <td>{key.username}</td>
                      <td>
                        {key.name}{' '}
                        <span className="dimmed small">{t(key.type === 'ssh' ? 'proof.ssh' : 'proof.passkey')}</span>
                      </td>
                      <td>
                        <State of={key.state} word={t(`keyState.${isWithdrawn(key) ? 'withdrawn' : key.state}`)} />
                        {key.bootstrap && <span className="tag">{t('signing.first')}</span>}
                        {key.decided_at !== null && !key.bootstrap && (
                          <div className="small dimmed">
                            {t(key.state === 'rejected' ? 'signing.decided' : 'signing.enrolledBy')}{' '}
                            <Person id={key.decided_by_id} /> · <Time at={key.decided_at} />
                          </div>
                        )}
                        {key.revoked_at !== null && (
                          <div className="small dimmed">
                            {t('keyState.revoked')} <Person id={key.revoked_by_id} /> · <Time at={key.revoked_at} />
                          </div>
                        )}
                        {(key.state === 'revoked' || key.state === 'rejected') && (
                          <InLog filters={{ resource_type: 'signing_key', resource_id: key.id }} />
                        )}
                      </td>
                      <Told word={t('signing.fingerprint')} left>
                        <Mono value={key.fingerprint} keep={8} />
                      </Told>
                      <Told word={t('ticket.created')}>
                        <Time at={key.created_at} />
                      </Told>
                      <td className="right">
                        <KeyActions signingKey={key} mine={key.user_id === me.id} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Answer>
      </Section>
      {me.is_instance_admin && <InstanceKeys />}
    </>
  )
}

const isWithdrawn = (key: SigningKey): boolean => key.state === 'rejected' && key.decided_by_id === key.user_id

function KeyActions({ signingKey, mine }: { signingKey: SigningKey; mine: boolean }) {
  const { client, can, me } = useSession()
  const { t } = useTranslation()
  const [asking, setAsking] = useState<'approve' | 'reject' | 'withdraw' | 'revoke' | null>(null)
  const params = { id: signingKey.id }
  const decide = signingKey.state === 'proposed' && can('signingKeys.approve') && !mine
  // One's own proposal is taken back by what rejects that of another; the log tells them apart.
  const withdraw = signingKey.state === 'proposed' && can('signingKeys.reject') && mine
  const revoke = signingKey.state === 'enrolled' && can('signingKeys.revoke') && (mine || me.role === 'admin')
  const name = `${signingKey.username} · ${signingKey.name}`
  const shut = () => setAsking(null)
  return (
    <>
      {decide && (
        <>
          <Button size="compact-xs" onClick={() => setAsking('approve')}>
            {t('approve.verb')}
          </Button>{' '}
          <Button size="compact-xs" variant="default" onClick={() => setAsking('reject')}>
            {t('approve.reject')}
          </Button>
        </>
      )}
      {withdraw && (
        <Button size="compact-xs" variant="default" onClick={() => setAsking('withdraw')}>
          {t('policy.withdraw')}
        </Button>
      )}
      {revoke && (
        <Button size="compact-xs" variant="default" onClick={() => setAsking('revoke')}>
          {t('action.revoke')}
        </Button>
      )}
      <Ask
        opened={asking === 'approve'}
        close={shut}
        title={t('signing.approveTitle', { name })}
        verb={t('approve.verb')}
        changes={['signing-keys']}
        act={() => client.signingKeys.approve({ params })}
      >
        <p>{t('signing.approveText')}</p>
        <p>
          <Mono value={signingKey.fingerprint} keep={30} />
        </p>
      </Ask>
      <Ask
        opened={asking === 'reject'}
        close={shut}
        title={t('signing.rejectTitle', { name })}
        verb={t('approve.reject')}
        reason="may"
        changes={['signing-keys']}
        act={(reason) => client.signingKeys.reject({ params, body: reason ? { reason } : {} })}
      >
        <p>{t('signing.rejectText')}</p>
      </Ask>
      <Ask
        opened={asking === 'withdraw'}
        close={shut}
        title={t('signing.withdrawTitle', { name: signingKey.name })}
        verb={t('policy.withdraw')}
        reason="may"
        changes={['signing-keys']}
        act={(reason) => client.signingKeys.reject({ params, body: reason ? { reason } : {} })}
      >
        <p>{t('signing.withdrawText')}</p>
        <p>
          <Mono value={signingKey.fingerprint} keep={30} />
        </p>
      </Ask>
      <Ask
        opened={asking === 'revoke'}
        close={shut}
        danger
        title={t('signing.revokeTitle', { name })}
        verb={t('action.revoke')}
        reason="may"
        changes={['signing-keys']}
        act={(reason) => client.signingKeys.revoke({ params, body: reason ? { reason } : {} })}
      >
        <p>{t('signing.revokeText')}</p>
      </Ask>
    </>
  )
}

function InstanceKeys() {
  const { client } = useSession()
  const { t } = useTranslation()
  const keys = useQuery({ queryKey: ['instance', 'keys'], queryFn: () => client.keys.list() })
  return (
    <Section title={t('signing.instance')}>
      <p className="small dimmed">{t('signing.instanceText')}</p>
      <Answer of={keys}>
        {({ logs, signing }) => (
          <table className="plain lined cards">
            <thead>
              <tr>
                <th>{t('signing.purpose')}</th>
                <th>{t('signing.public')}</th>
                <th>{t('signing.since')}</th>
              </tr>
            </thead>
            <tbody>
              {logs.map((log) => (
                <tr key={log.origin}>
                  <td>
                    {log.project ? t('signing.log', { name: log.project }) : t('signing.instanceLog')}{' '}
                    {log.closed && (
                      // A project whose log was closed has several.
                      <span className="tag">{t('signing.closedLog', { shard: log.shard })}</span>
                    )}
                  </td>
                  <td>
                    <Mono value={log.vkeys.at(-1) ?? ''} keep={14} />
                  </td>
                  <Told word={t('signing.since')} left>
                    {log.overlap_until ? (
                      <>
                        {t('signing.overlap')} <Time at={log.overlap_until} />
                      </>
                    ) : (
                      '–'
                    )}
                  </Told>
                </tr>
              ))}
              {signing.map((key) => (
                <tr key={key.keyid} className={key.valid_until ? 'void' : ''}>
                  <td>{t(`keyPurpose.${key.purpose}`)}</td>
                  <td>
                    <Mono value={key.keyid} keep={14} />
                  </td>
                  <Told word={t('signing.since')} left>
                    <Time at={key.valid_from} />
                  </Told>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Answer>
    </Section>
  )
}
