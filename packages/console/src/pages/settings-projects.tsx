import { Button, Select, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { Project, Role } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Ask, useAction, useAgain } from '../parts/ask.tsx'
import { ActsHead, Mono, Section, State, Time } from '../parts/bits.tsx'
import { FormDialog } from '../parts/form-dialog.tsx'
import { Go } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { Told } from '../parts/row-bits.tsx'
import { Answer, Refusal } from '../parts/states.tsx'
import { ROLES } from './settings-people.tsx'

/** My projects, and who is in this one. */
export function Projects() {
  const { client, me, projects } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const [adding, setAdding] = useState(false)
  return (
    <>
      <Section
        title={t('settings.projects')}
        actions={
          me.is_instance_admin && (
            <Button onClick={() => setAdding(true)} leftSection={<Icon name="plus" size={14} />}>
              {t('project.new')}
            </Button>
          )
        }
      >
        <table className="plain lined cards projects">
          <thead>
            <tr>
              <th>{t('notice.name')}</th>
              <th>{t('project.slug')}</th>
              <th>{t('me.role')}</th>
              <th>{t('audit.access')}</th>
              <th>{t('audit.origin')}</th>
              <th className="right">{t('ticket.created')}</th>
            </tr>
          </thead>
          <tbody>
            {projects.map((one) => (
              <Row key={one.id} one={one} />
            ))}
          </tbody>
        </table>
      </Section>
      <Members />
      <FormDialog
        opened={adding}
        close={() => setAdding(false)}
        title={t('project.new')}
        verb={t('project.create')}
        act={async (text) => {
          await client.projects.create({ body: { slug: text('slug'), name: text('name') } })
          await queries.invalidateQueries({ queryKey: ['person'] })
          return null
        }}
      >
        <TextInput data-autofocus label={t('notice.name')} name="name" required withAsterisk={false} maxLength={100} />
        <TextInput
          label={t('project.slug')}
          description={t('project.slugHint')}
          name="slug"
          pattern="[a-z0-9][a-z0-9_\-]{1,63}"
          required
          withAsterisk={false}
        />
      </FormDialog>
    </>
  )
}

function Row({ one }: { one: Project }) {
  const { t } = useTranslation()
  return (
    <tr>
      <td>
        <Go to="" project={one.slug}>
          {one.name}
        </Go>
      </td>
      <td className="mono-text">{one.slug}</td>
      <td>
        <span className="card-word">{t('me.role')} </span>
        {one.role ? t(`role.${one.role}`) : '–'}
      </td>
      <td>
        <span className="card-word">{t('audit.access')} </span>
        {t(`logAccess.${one.log_access}`)}
      </td>
      <td>
        <span className="card-word">{t('audit.origin')} </span>
        <Mono value={one.log_origin} keep={10} />
      </td>
      <Told word={t('ticket.created')}>
        <Time at={one.created_at} />
      </Told>
    </tr>
  )
}

function Members() {
  const { client, project, me, can } = useSession()
  const { t } = useTranslation()
  const again = useAgain()
  const [leaving, setLeaving] = useState<{ id: string; name: string } | null>(null)
  const action = useAction()
  const members = useQuery({ queryKey: [project, 'members', 'list'], queryFn: () => client.all('projects.members') })
  const refresh = () => again('members')
  return (
    <Section title={t('project.members', { name: project })}>
      <Refusal error={action.error} />
      <Answer of={members}>
        {(list) => (
          <table className="plain lined cards members">
            <thead>
              <tr>
                <th>{t('signIn.username')}</th>
                <th>{t('me.role')}</th>
                <th>{t('people.state')}</th>
                <ActsHead />
              </tr>
            </thead>
            <tbody>
              {list.map((one) => (
                <tr key={one.user_id}>
                  <td>{one.username}</td>
                  <td>
                    {can('projects.setMember') && one.user_id !== me.id ? (
                      <Select
                        size="xs"
                        w={170}
                        aria-label={`${t('me.role')}${t('error.colon')}${one.username}`}
                        data={ROLES.map((role) => ({ value: role, label: t(`role.${role}`) }))}
                        value={one.role}
                        allowDeselect={false}
                        onChange={(role) =>
                          role &&
                          void action.run(async () => {
                            await client.projects.setMember({
                              params: { id: one.user_id },
                              body: { role: role as Role },
                            })
                            refresh()
                          })
                        }
                      />
                    ) : (
                      t(`role.${one.role}`)
                    )}
                  </td>
                  <td>
                    {one.is_active ? (
                      <State of="active" word={t('people.active')} />
                    ) : (
                      <State of="disabled" word={t('people.inactive')} />
                    )}
                  </td>
                  <td className="right">
                    {can('projects.removeMember') && one.user_id !== me.id && (
                      <Button
                        variant="default"
                        size="compact-xs"
                        onClick={() => setLeaving({ id: one.user_id, name: one.username })}
                        aria-label={`${t('project.remove')}${t('error.colon')}${one.username}`}
                      >
                        {t('project.remove')}
                      </Button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Answer>
      <Ask
        opened={leaving !== null}
        close={() => setLeaving(null)}
        danger
        title={t('project.removeTitle', { name: leaving?.name ?? '', project })}
        verb={t('project.remove')}
        changes={['members']}
        act={async () => {
          if (leaving) await client.projects.removeMember({ params: { id: leaving.id } })
        }}
      >
        <p>{t('project.removeText')}</p>
      </Ask>
    </Section>
  )
}
