import { Button, Select, TagsInput, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Role, Token } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { now } from '../app/clock.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { ActsHead, Person, Section, State, Time } from '../parts/bits.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { Icon } from '../parts/icons.tsx'
import { InLog } from '../parts/in-log.tsx'
import { plainText } from '../parts/plain-text.ts'
import { Told } from '../parts/row-bits.tsx'
import { SecretDialog } from '../parts/shown-once.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { ROLES, RoleSelect } from './settings-people.tsx'

const DAYS = [7, 30, 90, 365] as const

/** Tokens of programs: each is shown once, and is worth at most what its owner is. */
export function Tokens() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const [adding, setAdding] = useState(false)
  const [secret, setSecret] = useState<string | null>(null)
  const tokens = useQuery({ queryKey: [project, 'tokens'], queryFn: () => client.all('tokens.list') })
  return (
    <Section
      title={t('settings.tokens')}
      actions={
        can('tokens.create') && (
          <Button onClick={() => setAdding(true)} leftSection={<Icon name="plus" size={14} />}>
            {t('token.new')}
          </Button>
        )
      }
    >
      <Answer of={tokens}>
        {(list) =>
          list.length === 0 ? (
            <Empty icon="key" title={t('token.noneTitle')} text={t('token.noneText')} />
          ) : (
            <table className="plain lined cards">
              <thead>
                <tr>
                  <th>{t('notice.name')}</th>
                  <th>{t('token.prefix')}</th>
                  <th>{t('token.owner')}</th>
                  <th>{t('me.role')}</th>
                  <th>{t('people.state')}</th>
                  <th className="right">{t('token.lastUsed')}</th>
                  <ActsHead />
                </tr>
              </thead>
              <tbody>
                {list.map((token) => (
                  <tr key={token.id}>
                    <td>{plainText(token.name)}</td>
                    <td className="mono-text">{token.prefix}</td>
                    <Told word={t('token.owner')} left>
                      <Person id={token.user_id} />
                    </Told>
                    <Told word={t('me.role')} left>
                      {t(`role.${token.role}`)}
                      {token.scopes.length > 0 && <span className="dimmed small"> · {token.scopes.join(', ')}</span>}
                    </Told>
                    <td>
                      <TokenState token={token} />
                    </td>
                    <Told word={t('token.lastUsed')}>
                      <Time at={token.last_used_at} />
                    </Told>
                    <td className="right">
                      {token.revoked_at === null && <TokenActions token={token} show={setSecret} />}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Answer>
      <NewToken opened={adding} close={() => setAdding(false)} />
      <SecretDialog secret={secret} what={t('token.one')} close={() => setSecret(null)} />
    </Section>
  )
}

function TokenState({ token }: { token: Token }) {
  const { t } = useTranslation()
  const ended = (of: string, word: string, at: string) => (
    <>
      <State of={of} word={word} />{' '}
      <span className="small dimmed">
        <Time at={at} />
      </span>
    </>
  )
  if (token.revoked_at)
    return (
      <>
        {ended('revoked', t('token.revoked'), token.revoked_at)}{' '}
        <InLog filters={{ resource_type: 'token', resource_id: token.id }} />
      </>
    )
  if (Date.parse(token.expires_at) < now()) return ended('disabled', t('token.expired'), token.expires_at)
  return (
    <span className="small">
      {t('token.until')} <Time at={token.expires_at} />
    </span>
  )
}

function TokenActions({ token, show }: { token: Token; show: (secret: string) => void }) {
  const { client, me, can } = useSession()
  const { t } = useTranslation()
  const [asking, setAsking] = useState<'rotate' | 'revoke' | null>(null)
  const params = { id: token.id }
  const mine = token.user_id === me.id
  // Nobody gets a token that speaks for somebody else, nor a next one of what has ended.
  const mayRotate = mine && Date.parse(token.expires_at) > now() && can('tokens.rotate')
  const mayRevoke = (mine || me.role === 'admin') && can('tokens.revoke')
  return (
    <>
      {mayRotate && (
        <Button
          variant="default"
          size="compact-xs"
          onClick={() => setAsking('rotate')}
          aria-label={`${t('token.rotate')}${t('error.colon')}${token.name}`}
        >
          {t('token.rotate')}
        </Button>
      )}{' '}
      {mayRevoke && (
        <Button
          variant="default"
          size="compact-xs"
          onClick={() => setAsking('revoke')}
          aria-label={`${t('action.revoke')}${t('error.colon')}${token.name}`}
        >
          {t('action.revoke')}
        </Button>
      )}
      <Ask
        opened={asking === 'rotate'}
        close={() => setAsking(null)}
        title={t('token.rotateTitle', { name: token.name })}
        verb={t('token.rotate')}
        changes={['tokens']}
        act={async () => {
          show((await client.tokens.rotate({ params })).token)
        }}
      >
        <p>{t('token.rotateText')}</p>
      </Ask>
      <Ask
        opened={asking === 'revoke'}
        close={() => setAsking(null)}
        danger
        title={t('token.revokeTitle', { name: token.name })}
        verb={t('action.revoke')}
        changes={['tokens']}
        act={() => client.tokens.revoke({ params })}
      >
        <p>{t('token.revokeText')}</p>
      </Ask>
    </>
  )
}

// What a role may lend; the server decides, this only offers what it would take.
const lendable: Readonly<Record<Role, readonly Role[]>> = {
  admin: ROLES,
  ops: ['ops', 'dev', 'employee'],
  dev: ['dev', 'employee'],
  employee: ['employee'],
  auditor: ['auditor'],
}

function NewToken({ opened, close }: { opened: boolean; close: () => void }) {
  const { client, me } = useSession()
  const { t } = useTranslation()
  const mine = lendable[me.role ?? 'employee']
  const [role, setRole] = useState<Role>(mine.at(-1) === 'auditor' && mine.length > 1 ? 'employee' : mine.at(-1)!)
  const [days, setDays] = useState('90')
  const [scopes, setScopes] = useState<string[]>([])
  return (
    <FormDialog
      opened={opened}
      close={close}
      title={t('token.new')}
      verb={t('token.create')}
      secret={t('token.one')}
      changes={['tokens']}
      act={async (text) => {
        const expires_at = new Date(now() + Number(days) * 86_400_000).toISOString()
        const { token } = await client.tokens.create({
          body: { name: text('name'), role, expires_at, ...(scopes.length > 0 ? { scopes } : {}) },
        })
        return token
      }}
    >
      <TextInput data-autofocus label={t('notice.name')} name="name" required withAsterisk={false} maxLength={100} />
      <RoleSelect value={role} set={setRole} among={mine} />
      <Select
        label={t('token.lasts')}
        data={DAYS.map((value) => ({ value: String(value), label: t('token.days', { count: value }) }))}
        value={days}
        onChange={(value) => value && setDays(value)}
        allowDeselect={false}
      />
      <TagsInput
        data-field="scopes"
        label={t('token.scopes')}
        description={t('token.scopesHint')}
        data={me.permissions}
        value={scopes}
        onChange={setScopes}
      />
    </FormDialog>
  )
}
