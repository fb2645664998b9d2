import { Button, Checkbox, MultiSelect, NumberInput, Select, Switch } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Policy, PolicyChange, Role } from '@writ/api'
import type { TFunction } from 'i18next'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { listed } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Facts, Person, Section, State, Time } from '../parts/bits.tsx'
import { Begun, useDraft } from '../parts/draft.tsx'
import { plainText } from '../parts/plain-text.ts'
import { Answer } from '../parts/states.tsx'
import { ROLES } from './settings-people.tsx'

/** The rules of the project, and the changes that somebody asked for. */
export function PolicyPart() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const policy = useQuery({ queryKey: [project, 'policy'], queryFn: () => client.projects.policy() })
  const changes = useQuery({
    queryKey: [project, 'policy-changes'],
    queryFn: () => client.all('projects.policyChanges'),
  })
  return (
    <div className="columns columns-even">
      <Section title={t('settings.policy')}>
        <p className="small dimmed">{t('policy.text')}</p>
        <Answer of={policy}>
          {(now) => (can('projects.changePolicy') ? <Form now={now} /> : <Shown policy={now} />)}
        </Answer>
      </Section>
      <Section title={t('policy.changes')}>
        <Answer of={changes}>
          {(list) =>
            list.length === 0 ? (
              <p className="dimmed small">{t('policy.noChanges')}</p>
            ) : (
              <ul className="plain-list">
                {list.map((one) => (
                  <Change key={one.id} change={one} now={policy.data} />
                ))}
              </ul>
            )
          }
        </Answer>
      </Section>
    </div>
  )
}

/** Why the server rejects what waits when something else is applied. */
const OVERTAKEN = 'another change was applied first'

/** How long the records of ended tasks are kept, in words. */
export const keptFor = (t: TFunction, days: number | null | undefined): string =>
  days ? t('policy.days', { count: days }) : t('policy.always')

function useRows(): (policy: Policy) => [string, string][] {
  const { t, i18n } = useTranslation()
  const yes = (value: boolean | undefined) => t(value ? 'policy.yes' : 'policy.no')
  return (policy) => [
    [t('policy.fourEyes'), yes(policy.four_eyes)],
    [
      t('policy.approvers'),
      listed(
        policy.approver_roles.map((role) => t(`role.${role}`)),
        i18n.language,
      ),
    ],
    [t('policy.signature'), yes(policy.require_signature)],
    [t('policy.inPerson'), yes(policy.approve_in_person)],
    [
      t('policy.approvalTtl'),
      policy.approval_ttl_hours === null
        ? t('policy.forever')
        : t('policy.hours', { count: policy.approval_ttl_hours }),
    ],
    [t('policy.evidenceTtl'), t('policy.hours', { count: policy.evidence_ttl_hours })],
    [t('policy.scan'), t(`scan.${policy.artifact_scan ?? 'flag'}`)],
    [t('policy.completedTasks'), keptFor(t, policy.completed_task_days)],
    [t('policy.failedTasks'), keptFor(t, policy.failed_task_days)],
  ]
}

function Shown({ policy }: { policy: Policy }) {
  return <Facts rows={useRows()(policy)} />
}

function Form({ now }: { now: Policy }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const rows = useRows()
  // What differs alone: a change of somebody else that applies meanwhile is not asked to be taken back.
  const draft = useDraft<Partial<Policy>>('policy', {})
  const wanted: Policy = { ...now, ...draft.value }
  const [asking, setAsking] = useState(false)
  const put = (change: Partial<Policy>) => draft.write((before) => differing({ ...before, ...change }, now))
  const differences = rows(wanted).filter(([name, value]) => rows(now).find(([other]) => other === name)?.[1] !== value)
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        setAsking(true)
      }}
    >
      <Begun of={draft} />
      <Switch
        label={t('policy.fourEyes')}
        description={t('policy.fourEyesText')}
        checked={wanted.four_eyes}
        onChange={(event) => put({ four_eyes: event.currentTarget.checked })}
      />
      <Switch
        label={t('policy.signature')}
        description={t('policy.signatureText')}
        checked={wanted.require_signature === true}
        onChange={(event) => put({ require_signature: event.currentTarget.checked })}
      />
      <Switch
        label={t('policy.inPerson')}
        description={t('policy.inPersonText')}
        checked={wanted.approve_in_person === true}
        onChange={(event) => put({ approve_in_person: event.currentTarget.checked })}
      />
      <MultiSelect
        label={t('policy.approvers')}
        data={ROLES.map((role) => ({ value: role, label: t(`role.${role}`) }))}
        value={wanted.approver_roles}
        onChange={(roles) => put({ approver_roles: roles as Role[] })}
      />
      <Checkbox
        label={t('policy.approvalForever')}
        checked={wanted.approval_ttl_hours === null}
        onChange={(event) => put({ approval_ttl_hours: event.currentTarget.checked ? null : 72 })}
      />
      {wanted.approval_ttl_hours !== null && (
        <NumberInput
          label={t('policy.approvalTtl')}
          value={wanted.approval_ttl_hours}
          onChange={(value) => put({ approval_ttl_hours: Number(value) || 1 })}
          min={1}
          max={8760}
        />
      )}
      <NumberInput
        label={t('policy.evidenceTtl')}
        description={t('policy.evidenceText')}
        value={wanted.evidence_ttl_hours}
        onChange={(value) => put({ evidence_ttl_hours: Number(value) || 1 })}
        min={1}
        max={8760}
      />
      <Select
        label={t('policy.scan')}
        data={(['flag', 'refuse'] as const).map((value) => ({ value, label: t(`scan.${value}`) }))}
        value={wanted.artifact_scan ?? 'flag'}
        onChange={(value) => put({ artifact_scan: value === 'refuse' ? 'refuse' : 'flag' })}
        allowDeselect={false}
      />
      {(['completed_task_days', 'failed_task_days'] as const).map((name) => (
        <NumberInput
          key={name}
          label={t(name === 'completed_task_days' ? 'policy.completedTasksDays' : 'policy.failedTasksDays')}
          description={t(name === 'completed_task_days' ? 'policy.tasksText' : 'policy.failedTasksText')}
          placeholder={t('policy.always')}
          value={wanted[name] ?? ''}
          onChange={(value) => put({ [name]: Number(value) || null })}
          allowDecimal={false}
          min={1}
          max={36_500}
        />
      ))}
      <div className="form-buttons">
        <Button type="submit" disabled={differences.length === 0 || wanted.approver_roles.length === 0}>
          {t('policy.ask')}
        </Button>
      </div>
      <Ask
        opened={asking}
        close={() => setAsking(false)}
        title={t('policy.askTitle', { project })}
        verb={t('policy.ask')}
        changes={['policy', 'policy-changes']}
        act={async () => {
          await client.projects.changePolicy({ body: wanted })
          draft.startOver()
        }}
      >
        <p>{t('policy.askText')}</p>
        <Facts
          rows={differences.map(([name, value]) => [
            name,
            <span key={name}>
              <s className="dimmed">{rows(now).find(([other]) => other === name)?.[1]}</s> {value}
            </span>,
          ])}
        />
      </Ask>
    </form>
  )
}

/** Without what is as it is now. */
const differing = (change: Partial<Policy>, now: Policy): Partial<Policy> =>
  Object.fromEntries(
    Object.entries(change).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(now[name as keyof Policy]),
    ),
  )

function Change({ change, now }: { change: PolicyChange; now: Policy | undefined }) {
  const { client, project, me, can } = useSession()
  const { t, i18n } = useTranslation()
  const rows = useRows()
  const [asking, setAsking] = useState<'approve' | 'reject' | null>(null)
  const params = { id: change.id }
  const shut = () => setAsking(null)
  const mine = change.requested_by_id === me.id
  const no = t(mine ? 'policy.withdraw' : 'approve.reject')
  const withdrawn = change.state === 'rejected' && change.decided_by_id === change.requested_by_id
  const open = change.state === 'pending' && can('projects.approvePolicy')
  const differences = now
    ? rows(change.policy).filter(([name, value]) => rows(now).find(([other]) => other === name)?.[1] !== value)
    : rows(change.policy)
  return (
    <li>
      <p>
        <State of={change.state} word={t(`policyState.${withdrawn ? 'withdrawn' : change.state}`)} />{' '}
        <Person id={change.requested_by_id} /> · <Time at={change.created_at} />
      </p>
      {change.state === 'pending' && <Facts rows={differences} />}
      {change.decided_by_id && (
        <p className="small dimmed">
          {t('policy.decidedBy')} <Person id={change.decided_by_id} /> · <Time at={change.decided_at} />
        </p>
      )}
      {change.reason && (
        <p className="prose small">{change.reason === OVERTAKEN ? t('policy.overtaken') : plainText(change.reason)}</p>
      )}
      {change.warnings.map((text) => (
        <p key={text} className="small">
          {i18n.exists(`policyWarning.${text}`)
            ? t(`policyWarning.${text}` as 'policyWarning.NO_ELIGIBLE_APPROVER')
            : text}
        </p>
      ))}
      {change.state !== 'pending' && (
        <details className="small">
          <summary>{t('policy.asked')}</summary>
          <Facts rows={rows(change.policy)} />
        </details>
      )}
      {open && (
        <div className="form-buttons">
          {!mine && (
            <Button size="compact-xs" onClick={() => setAsking('approve')}>
              {t('approve.verb')}
            </Button>
          )}
          <Button size="compact-xs" variant="default" onClick={() => setAsking('reject')}>
            {no}
          </Button>
        </div>
      )}
      <Ask
        opened={asking === 'reject'}
        close={shut}
        title={t(mine ? 'policy.withdrawTitle' : 'policy.rejectTitle', { project })}
        verb={no}
        reason="may"
        thing={`no to policy ${change.id}`}
        changes={['policy', 'policy-changes']}
        act={(reason) => client.projects.rejectPolicy({ params, body: reason ? { reason } : {} })}
      >
        <p>{t('policy.rejectText')}</p>
        <Facts rows={differences} />
      </Ask>
      <Ask
        opened={asking === 'approve'}
        close={shut}
        title={t('policy.approveTitle', { project })}
        verb={t('approve.verb')}
        changes={['policy', 'policy-changes']}
        act={() => client.projects.approvePolicy({ params })}
      >
        <p>{t('policy.approveText')}</p>
        <Facts rows={differences} />
      </Ask>
    </li>
  )
}
