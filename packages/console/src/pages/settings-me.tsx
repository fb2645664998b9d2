import { Button, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { browserOf } from '../app/browser-name.ts'
import { useSession } from '../app/session.tsx'
import { useAction } from '../parts/ask.tsx'
import { Facts, Mono, Section, Time } from '../parts/bits.tsx'
import { PasswordField } from '../parts/password-field.tsx'
import { Answer, Refusal } from '../parts/states.tsx'

/** What is mine: the account, its second factor, and where I am logged in. */
export function Me() {
  const { me } = useSession()
  const { t } = useTranslation()
  return (
    <div className="columns columns-even">
      <div>
        <Section title={t('settings.account')}>
          <Facts
            rows={[
              [t('signIn.username'), me.username],
              [t('signIn.email'), me.email ?? '–'],
              [t('me.fullName'), me.full_name ?? '–'],
              [t('me.role'), me.role ? t(`role.${me.role}`) : '–'],
              me.is_instance_admin ? [t('me.instance'), t('me.instanceYes')] : null,
            ]}
          />
        </Section>
        <Password />
        <Totp />
      </div>
      <Sessions />
    </div>
  )
}

function Password() {
  const { client } = useSession()
  const { t } = useTranslation()
  const action = useAction()
  const [done, setDone] = useState(false)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    const text = (name: string) => String(new FormData(form).get(name) ?? '')
    void action
      .run(() =>
        client.auth.changePassword({
          body: { current_password: text('current_password'), new_password: text('new_password') },
        }),
      )
      .then((changed) => {
        setDone(changed)
        if (changed) form.reset()
      })
  }
  return (
    <Section title={t('me.password')}>
      <form className="form" onSubmit={submit}>
        <PasswordField
          label={t('me.current')}
          name="current_password"
          autoComplete="current-password"
          required
          withAsterisk={false}
        />
        <PasswordField
          label={t('signIn.newPassword')}
          name="new_password"
          autoComplete="new-password"
          minLength={10}
          required
          withAsterisk={false}
          description={t('signIn.newHint')}
        />
        <Refusal error={action.error} />
        {done && <p role="status">{t('me.changed')}</p>}
        <div className="form-buttons">
          <Button type="submit" variant="default" loading={action.busy}>
            {t('signIn.newSubmit')}
          </Button>
        </div>
      </form>
    </Section>
  )
}

function Totp() {
  const { client, project, me } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const [setup, setSetup] = useState<{ secret: string; otpauth_url: string } | null>(null)
  const action = useAction()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const code = String(new FormData(event.currentTarget).get('code') ?? '')
    void action.run(async () => {
      await (me.totp_enabled ? client.auth.totpOff({ body: { code } }) : client.auth.totpConfirm({ body: { code } }))
      setSetup(null)
      await queries.invalidateQueries({ queryKey: [project, 'me'] })
    })
  }
  return (
    <Section title={t('me.totp')}>
      <p className="small dimmed">{t(me.totp_enabled ? 'me.totpOn' : 'me.totpOff')}</p>
      {!me.totp_enabled && !setup ? (
        <>
          <Button
            variant="default"
            loading={action.busy}
            onClick={() => void action.run(async () => setSetup(await client.auth.totpStart()))}
          >
            {t('me.totpStart')}
          </Button>
          <Refusal error={action.error} />
        </>
      ) : (
        <form className="form" onSubmit={submit}>
          {setup && (
            <p className="small">
              {t('me.totpSecret')} <Mono value={setup.secret} keep={16} /> ·{' '}
              <a href={setup.otpauth_url}>{t('me.totpOpen')}</a>
            </p>
          )}
          <TextInput
            label={t('signIn.totp')}
            name="code"
            inputMode="numeric"
            pattern="[0-9]{6}"
            maxLength={6}
            autoComplete="one-time-code"
            required
            withAsterisk={false}
          />
          <Refusal error={action.error} />
          <div className="form-buttons">
            <Button type="submit" variant="default" loading={action.busy}>
              {t(me.totp_enabled ? 'me.totpStop' : 'me.totpConfirm')}
            </Button>
          </div>
        </form>
      )}
    </Section>
  )
}

function Sessions() {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const action = useAction()
  const sessions = useQuery({ queryKey: [project, 'sessions'], queryFn: () => client.all('auth.sessions') })
  const end = (id: string) =>
    action.run(async () => {
      await client.auth.revokeSession({ params: { id } })
      await queries.invalidateQueries({ queryKey: [project, 'sessions'] })
    })
  return (
    <Section title={t('me.sessions')}>
      <Refusal error={action.error} />
      <Answer of={sessions}>
        {(list) => (
          <ul className="rows">
            {list.map((one) => (
              <li key={one.id} className="row row-tall">
                <span className="row-main">
                  {browserOf(one.user_agent) ?? t(`session.${one.kind}`)}{' '}
                  {one.current && <span className="tag">{t('session.current')}</span>}
                  <br />
                  <span className="dimmed small">
                    {one.ip_address ?? ''} · {t('session.seen')} <Time at={one.last_seen_at} />
                  </span>
                </span>
                {!one.current && (
                  <Button variant="default" size="compact-xs" loading={action.busy} onClick={() => void end(one.id)}>
                    {t('session.end')}
                  </Button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Answer>
    </Section>
  )
}
