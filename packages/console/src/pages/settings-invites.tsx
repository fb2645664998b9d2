import { Button, Select, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Invite, Role } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { now } from '../app/clock.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { ActsHead, Person, Section, State, Time } from '../parts/bits.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { useFilters } from '../parts/go.tsx'
import { RowAct, Told } from '../parts/row-bits.tsx'
import { Answer } from '../parts/states.tsx'
import { RoleSelect } from './settings-people.tsx'

const STATES = ['open', 'used', 'expired', 'revoked'] as const
const DAYS = [1, 7, 30] as const

const stateOf = (one: Invite): (typeof STATES)[number] =>
  one.used_at ? 'used' : one.revoked_at ? 'revoked' : Date.parse(one.expires_at) <= now() ? 'expired' : 'open'
const LOOKS = { open: 'waiting', used: 'active', expired: 'disabled', revoked: 'revoked' } as const

/** Who was invited into the project, and what became of it. The link is shown once, to whoever made it. */
export function Invites() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const [adding, setAdding] = useState(false)
  const invites = useQuery({ queryKey: [project, 'invites'], queryFn: () => client.all('users.invites') })
  const wanted = STATES.find((one) => one === filters.invites) ?? null
  return (
    <Section
      title={t('invite.title')}
      actions={
        can('users.invite') && (
          <Button variant="default" onClick={() => setAdding(true)}>
            {t('invite.new')}
          </Button>
        )
      }
    >
      <Answer of={invites} lines={1}>
        {(list) => {
          const shown = list.filter((one) => wanted === null || stateOf(one) === wanted)
          return (
            <>
              {list.length > 0 && (
                <div className="filters">
                  <Select
                    aria-label={t('invite.state')}
                    placeholder={t('invite.anyState')}
                    data={STATES.map((value) => ({ value, label: t(`invite.${value}`) }))}
                    value={wanted}
                    onChange={(invites) => set({ invites })}
                    clearable
                    w={170}
                  />
                </div>
              )}
              {shown.length === 0 ? (
                <p className="dimmed small">{t(list.length === 0 ? 'invite.none' : 'list.noMatch')}</p>
              ) : (
                <table className="plain lined cards">
                  <thead>
                    <tr>
                      <th>{t('invite.for')}</th>
                      <th>{t('me.role')}</th>
                      <th>{t('people.state')}</th>
                      <th>{t('invite.by')}</th>
                      <th className="right">{t('invite.made')}</th>
                      <ActsHead />
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map((one) => (
                      <Row key={one.id} invite={one} />
                    ))}
                  </tbody>
                </table>
              )}
            </>
          )
        }}
      </Answer>
      <NewInvite opened={adding} close={() => setAdding(false)} />
    </Section>
  )
}

function Row({ invite }: { invite: Invite }) {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const [asking, setAsking] = useState(false)
  const state = stateOf(invite)
  const whom = invite.email ?? t('invite.anybody')
  return (
    <tr>
      <td className="breaks">{whom}</td>
      <Told word={t('me.role')} left>
        {t(`role.${invite.role}`)}
      </Told>
      <td>
        <State of={LOOKS[state]} word={t(`invite.${state}`)} />{' '}
        <span className="dimmed small">
          {state === 'open' && t('token.until')} <Time at={invite.used_at ?? invite.revoked_at ?? invite.expires_at} />
        </span>
      </td>
      <Told word={t('invite.by')} left>
        <Person id={invite.created_by_id} />
      </Told>
      <Told word={t('invite.made')}>
        <Time at={invite.created_at} />
      </Told>
      <td className="right">
        {state === 'open' && can('users.revokeInvite') && (
          <RowAct verb={t('action.revoke')} of={whom} onClick={() => setAsking(true)} />
        )}
        <Ask
          opened={asking}
          close={() => setAsking(false)}
          danger
          title={t('invite.revokeTitle', { whom, role: t(`role.${invite.role}`) })}
          verb={t('action.revoke')}
          changes={['invites']}
          act={() => client.users.revokeInvite({ params: { id: invite.id } })}
        >
          <p>{t('invite.revokeText')}</p>
        </Ask>
      </td>
    </tr>
  )
}

function NewInvite({ opened, close }: { opened: boolean; close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const [role, setRole] = useState<Role>('employee')
  const [days, setDays] = useState('7')
  return (
    <FormDialog
      opened={opened}
      close={close}
      title={t('invite.new')}
      verb={t('invite.create')}
      secret={t('invite.link')}
      changes={['invites']}
      act={async (text) => {
        const { invite } = await client.users.invite({
          body: { role, email: text('email') || null, expires_in_hours: Number(days) * 24 },
        })
        return `${location.origin}/app/?invite=${encodeURIComponent(invite)}`
      }}
    >
      <TextInput
        data-autofocus
        label={t('signIn.email')}
        description={t('invite.emailHint')}
        name="email"
        type="email"
        maxLength={255}
        autoComplete="off"
      />
      <RoleSelect value={role} set={setRole} />
      <Select
        label={t('token.lasts')}
        data={DAYS.map((value) => ({ value: String(value), label: t('token.days', { count: value }) }))}
        value={days}
        onChange={(value) => value && setDays(value)}
        allowDeselect={false}
      />
    </FormDialog>
  )
}
