import { Alert, Button, Tabs, TextInput } from '@mantine/core'
import { WritError } from '@writ/sdk'
import { type FormEvent, useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { clientOf, setCsrf } from '../app/client.ts'
import { forgetSignInFailure, hasIdentityProvider, instanceName, prefix, signInFailure } from '../app/page-settings.ts'
import { LanguageButton, ThemeButton } from '../app/switches.tsx'
import { useAction } from '../parts/ask.tsx'
import { Icon } from '../parts/icons.tsx'
import { PasswordField } from '../parts/password-field.tsx'
import { Refusal } from '../parts/states.tsx'

/** Who are you? By password, with a one-time code if the account asks for one; a one-time password is changed at once. */
export function SignIn({ done, ended = false }: { done: () => Promise<unknown>; ended?: boolean }) {
  const { t } = useTranslation()
  const [change, setChange] = useState<string | null>(null)
  const [joining] = useState(() => new URLSearchParams(location.search).get('invite'))
  useEffect(() => {
    const before = document.title
    document.title = `${t('signIn.title')} · ${instanceName}`
    return () => {
      document.title = before
    }
  }, [t])
  const Place = ended ? 'div' : 'main'
  return (
    <Place className="sign-in">
      <div className="sign-in-card">
        <div className="sign-in-head">
          <span className="brand">
            <span className="brand-mark" aria-hidden="true" />
            {instanceName}
          </span>
          <span>
            <LanguageButton />
            <ThemeButton />
          </span>
        </div>
        {change !== null ? (
          <NewPassword current={change} done={done} />
        ) : joining !== null ? (
          <Tabs defaultValue="join" keepMounted={false}>
            <Tabs.List>
              <Tabs.Tab value="join">{t('signIn.join')}</Tabs.Tab>
              <Tabs.Tab value="in">{t('signIn.title')}</Tabs.Tab>
            </Tabs.List>
            <Tabs.Panel value="join">
              <Join invite={joining} done={done} />
            </Tabs.Panel>
            <Tabs.Panel value="in">
              <Password done={done} mustChange={setChange} ended={ended} />
            </Tabs.Panel>
          </Tabs>
        ) : (
          <Password done={done} mustChange={setChange} ended={ended} />
        )}
      </div>
      <p className="dimmed small">{t('signIn.foot')}</p>
    </Place>
  )
}

/** Opens the session of this browser; answers whether its one-time password has to be changed. */
async function open(body: { username: string; password: string; totp?: string }): Promise<boolean> {
  const client = clientOf()
  setCsrf((await client.auth.cookieLogin({ body })).csrf_token)
  return (await client.auth.me()).must_change_password
}

function Password(props: {
  done: () => Promise<unknown>
  mustChange: (current: string) => void
  /** The page behind waits for its session. */
  ended: boolean
}) {
  const { done, mustChange, ended } = props
  const { t } = useTranslation()
  const [totp, setTotp] = useState(false)
  const action = useAction()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const text = (name: string) => String(form.get(name) ?? '')
    void action.run(async () => {
      try {
        const code = text('totp')
        const mustBeChanged = await open({
          username: text('username'),
          password: text('password'),
          ...(code === '' ? {} : { totp: code }),
        })
        if (mustBeChanged) mustChange(text('password'))
        else await done()
      } catch (error) {
        if (error instanceof WritError && error.code === 'TOTP_REQUIRED') setTotp(true)
        else throw error
      }
    })
  }
  return (
    <form onSubmit={submit} className="stack">
      <h1>{t('signIn.title')}</h1>
      {ended && <p role="status">{t('signIn.ended')}</p>}
      <TextInput
        label={t('signIn.username')}
        name="username"
        autoComplete="username"
        autoFocus
        required
        withAsterisk={false}
      />
      <PasswordField
        label={t('signIn.password')}
        name="password"
        autoComplete="current-password"
        required
        withAsterisk={false}
      />
      {totp && (
        <>
          <Alert color="gray" variant="light" p="xs">
            {t('signIn.totpAsked')}
          </Alert>
          <TextInput
            label={t('signIn.totp')}
            name="totp"
            inputMode="numeric"
            autoComplete="one-time-code"
            maxLength={6}
            autoFocus
            required
            withAsterisk={false}
          />
        </>
      )}
      <Refusal error={action.error} />
      <Button type="submit" size="sm" loading={action.busy}>
        {t('signIn.submit')}
      </Button>
      <OtherWays />
    </form>
  )
}

/** The identity provider, where the server has one, and why the last login there came to nothing. */
function OtherWays() {
  const { t } = useTranslation()
  const [failure] = useState(signInFailure)
  useEffect(() => forgetSignInFailure, [])
  if (!hasIdentityProvider) return null
  return (
    <>
      {failure !== null && (
        <p className="refusal" role="alert">
          <Icon name="warning" size={14} /> {t(`signIn.oidcFailed.${failure}`)}
        </p>
      )}
      <Button component="a" href={`${prefix}/auth/oidc/start`} variant="default" size="sm">
        {t('signIn.oidc')}
      </Button>
    </>
  )
}

function NewPassword({ current, done }: { current: string; done: () => Promise<unknown> }) {
  const { t } = useTranslation()
  const action = useAction()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const password = String(new FormData(event.currentTarget).get('new_password') ?? '')
    void action.run(async () => {
      await clientOf().auth.changePassword({ body: { current_password: current, new_password: password } })
      await done()
    })
  }
  return (
    <form onSubmit={submit} className="stack">
      <h1>{t('signIn.newTitle')}</h1>
      <p className="dimmed">{t('signIn.newText')}</p>
      <PasswordField
        label={t('signIn.newPassword')}
        name="new_password"
        autoComplete="new-password"
        minLength={10}
        autoFocus
        required
        withAsterisk={false}
        description={t('signIn.newHint')}
      />
      <Refusal error={action.error} />
      <Button type="submit" size="sm" loading={action.busy}>
        {t('signIn.newSubmit')}
      </Button>
    </form>
  )
}

function Join({ invite, done }: { invite: string; done: () => Promise<unknown> }) {
  const { t } = useTranslation()
  const action = useAction()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const text = (name: string) => String(form.get(name) ?? '')
    void action.run(async () => {
      const [username, password] = [text('username'), text('password')]
      await clientOf().auth.register({ body: { username, email: text('email'), password, invite } })
      await open({ username, password })
      history.replaceState(null, '', location.pathname)
      await done()
    })
  }
  return (
    <form onSubmit={submit} className="stack">
      <h1>{t('signIn.joinTitle')}</h1>
      <TextInput label={t('signIn.username')} name="username" autoComplete="username" required withAsterisk={false} />
      <TextInput
        label={t('signIn.email')}
        name="email"
        type="email"
        autoComplete="email"
        required
        withAsterisk={false}
      />
      <PasswordField
        label={t('signIn.newPassword')}
        name="password"
        autoComplete="new-password"
        minLength={10}
        required
        withAsterisk={false}
        description={t('signIn.newHint')}
      />
      <Refusal error={action.error} />
      <Button type="submit" size="sm" loading={action.busy} leftSection={<Icon name="user" size={14} />}>
        {t('signIn.joinSubmit')}
      </Button>
    </form>
  )
}
