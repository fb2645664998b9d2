import { Button, Menu, Select, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Role, User } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { ActsHead, Section, State, Time } from '../parts/bits.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Told } from '../parts/row-bits.tsx'
import { Search } from '../parts/search.tsx'
import { SecretDialog } from '../parts/shown-once.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { Invites } from './settings-invites.tsx'

export const ROLES: readonly Role[] = ['admin', 'ops', 'dev', 'employee', 'auditor']

/** Who works here, in which role; who was invited. */
export function People() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const [adding, setAdding] = useState(false)
  const q = filters.q ?? ''
  const users = useQuery({
    queryKey: [project, 'users', q],
    queryFn: () => client.users.list({ query: { limit: 500, ...(q === '' ? {} : { q }) } }),
  })
  return (
    <>
      <Section
        title={t('settings.people')}
        actions={
          can('users.create') && (
            <Button onClick={() => setAdding(true)} leftSection={<Icon name="plus" size={14} />}>
              {t('people.new')}
            </Button>
          )
        }
      >
        <div className="filters">
          <Search value={q} set={(value) => set({ q: value })} label={t('people.search')} />
        </div>
        <Answer of={users}>
          {(list) =>
            list.length === 0 ? (
              <Empty icon="search" title={t('list.noMatch')} />
            ) : (
              <table className="plain lined cards people">
                <thead>
                  <tr>
                    <th>{t('signIn.username')}</th>
                    <th>{t('me.fullName')}</th>
                    <th>{t('me.role')}</th>
                    <th>{t('people.state')}</th>
                    <th className="right">{t('ticket.created')}</th>
                    <ActsHead />
                  </tr>
                </thead>
                <tbody>
                  {list.map((user) => (
                    <tr key={user.id}>
                      <td>{user.username}</td>
                      <td>{user.full_name ?? '–'}</td>
                      <Told word={t('me.role')} left>
                        {user.role ? t(`role.${user.role}`) : '–'}
                      </Told>
                      <td>
                        {user.is_active ? (
                          <State of="active" word={t('people.active')} />
                        ) : (
                          <State of="disabled" word={t('people.inactive')} />
                        )}
                      </td>
                      <Told word={t('ticket.created')}>
                        <Time at={user.created_at} />
                      </Told>
                      <td className="right">{can('users.update') && <UserMenu user={user} />}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Answer>
      </Section>
      {can('users.invites') && <Invites />}
      <NewUser opened={adding} close={() => setAdding(false)} />
    </>
  )
}

function NewUser({ opened, close }: { opened: boolean; close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const [role, setRole] = useState<Role>('employee')
  return (
    <FormDialog
      opened={opened}
      close={close}
      title={t('people.new')}
      verb={t('people.create')}
      secret={t('people.oneTime')}
      changes={['users', 'members']}
      act={async (text) => {
        const { one_time_password } = await client.users.create({
          body: {
            username: text('username'),
            email: text('email') || null,
            full_name: text('full_name') || null,
            role,
          },
        })
        return one_time_password
      }}
    >
      <TextInput
        data-autofocus
        label={t('signIn.username')}
        name="username"
        required
        withAsterisk={false}
        maxLength={50}
        autoComplete="off"
      />
      <TextInput label={t('me.fullName')} name="full_name" maxLength={100} />
      <TextInput label={t('signIn.email')} name="email" type="email" maxLength={255} />
      <RoleSelect value={role} set={setRole} />
    </FormDialog>
  )
}

export function RoleSelect({
  value,
  set,
  among = ROLES,
}: {
  value: Role
  set: (role: Role) => void
  among?: readonly Role[]
}) {
  const { t } = useTranslation()
  return (
    <Select
      label={t('me.role')}
      description={t(`roleText.${value}`)}
      data={among.map((role) => ({ value: role, label: t(`role.${role}`) }))}
      value={value}
      // Only roles stand in the list.
      onChange={(role) => role !== null && set(role as Role)}
      allowDeselect={false}
    />
  )
}

function UserMenu({ user }: { user: User }) {
  const { client, me } = useSession()
  const { t } = useTranslation()
  const [asking, setAsking] = useState<'role' | 'activity' | 'reset' | null>(null)
  const [role, setRole] = useState<Role>(user.role ?? 'employee')
  const [password, setPassword] = useState<string | null>(null)
  const params = { id: user.id }
  const shut = () => setAsking(null)
  if (user.id === me.id) return null
  const name = user.username
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <Button
            variant="subtle"
            color="gray"
            size="compact-xs"
            aria-label={`${t('action.more')}${t('error.colon')}${name}`}
          >
            <Icon name="dots" />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => setAsking('role')}>{t('people.changeRole')}</Menu.Item>
          <Menu.Item onClick={() => setAsking('reset')}>{t('people.reset')}</Menu.Item>
          <Menu.Item onClick={() => setAsking('activity')}>
            {t(user.is_active ? 'people.deactivate' : 'people.activate')}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Ask
        opened={asking === 'role'}
        close={shut}
        title={t('people.roleTitle', { name })}
        verb={t('people.changeRole')}
        changes={['users', 'members']}
        act={() => client.users.update({ params, body: { role } })}
      >
        <RoleSelect value={role} set={setRole} />
      </Ask>
      <Ask
        opened={asking === 'activity'}
        close={shut}
        danger={user.is_active}
        title={t(user.is_active ? 'people.deactivateTitle' : 'people.activateTitle', { name })}
        verb={t(user.is_active ? 'people.deactivate' : 'people.activate')}
        changes={['users', 'members']}
        act={() => client.users.update({ params, body: { is_active: !user.is_active } })}
      >
        <p>{t(user.is_active ? 'people.deactivateText' : 'people.activateText')}</p>
      </Ask>
      <Ask
        opened={asking === 'reset'}
        close={shut}
        danger
        title={t('people.resetTitle', { name })}
        verb={t('people.reset')}
        act={async () => {
          setPassword((await client.users.resetPassword({ params })).one_time_password)
        }}
      >
        <p>{t('people.resetText')}</p>
      </Ask>
      <SecretDialog secret={password} what={t('people.oneTime')} close={() => setPassword(null)} />
    </>
  )
}
