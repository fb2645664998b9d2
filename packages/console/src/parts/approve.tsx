import { Button, Textarea } from '@mantine/core'
import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import type { Policy, SigningKey, Ticket } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { listed } from '../app/format.ts'
import { useMembers, useMembersAsked } from '../app/members.tsx'
import { passkeyHost } from '../app/page-settings.ts'
import { approveSigned, OtherVersion, whyNoPasskeys } from '../app/passkey.ts'
import { useSession } from '../app/session.tsx'
import { AssetName, Changes, Checks, WhatNext } from './approve-what.tsx'
import { useAction, useAgain } from './ask.tsx'
import { Facts, Mono, Person, Time } from './bits.tsx'
import { Dialog } from './dialog.tsx'
import { useDraft } from './draft.tsx'
import { EnrolButton, isCancelled, useAsking } from './enrol.tsx'
import { Icon } from './icons.tsx'
import { plainText } from './plain-text.ts'
import { Answer, Failed, Refusal } from './states.tsx'

/** Who may approve this ticket, and who may not and why, as the project's policy says. */
function useApprovers(ticket: Ticket) {
  const { client, project, me, can } = useSession()
  const { t } = useTranslation()
  const members = useMembers()
  const policy = useQuery({ queryKey: [project, 'policy'], queryFn: () => client.projects.policy(), staleTime: 60_000 })
  const rules: Policy | undefined = policy.data
  const inRole = [...members.values()].filter((one) => one.is_active && rules?.approver_roles.includes(one.role))
  const why = (id: string): string | null => {
    if (!rules?.four_eyes) return null
    if (id === ticket.created_by_id) return t('approve.createdIt')
    if (id === ticket.assignee_id) return t('approve.doesIt')
    return ticket.edited_by_ids.includes(id) ? t('approve.changedIt') : null
  }
  const excluded = inRole.filter((one) => why(one.user_id) !== null)
  const eligible = inRole.filter((one) => why(one.user_id) === null)
  const mineIsRole = me.role !== null && rules?.approver_roles.includes(me.role) === true
  return {
    policy,
    rules,
    eligible,
    excluded,
    why,
    mayI: mineIsRole && can('tickets.approve') && why(me.id) === null,
    mineIsRole,
  }
}

/** Whoever may agree sees it on the page; whoever may not reads why, and who can. */
export function ApprovalPanel({ ticket }: { ticket: Ticket }) {
  const { me } = useSession()
  const { t } = useTranslation()
  const [deciding, setDeciding] = useState<'approve' | 'reject' | null>(null)
  // What somebody reads does not become another text under their hands: a newer version is shown when they ask for it.
  const [read, setRead] = useState(ticket)
  const who = useApprovers(ticket)
  const review = () => {
    setRead(ticket)
    setDeciding('approve')
  }
  const { policy, rules, why, mayI, mineIsRole } = who
  if (!rules) return policy.isError ? <Failed error={policy.error} retry={() => policy.refetch()} /> : null
  return (
    <div className="approval">
      <p>
        <Icon name="hand" size={15} /> {mayI ? t('approve.waitsForYou') : t('approve.waits')}
      </p>
      {mayI ? (
        <div className="form-buttons">
          <Button size="sm" onClick={review} leftSection={<Icon name="check" size={15} />}>
            {t('approve.look')}
          </Button>
          <Button size="sm" variant="default" onClick={() => setDeciding('reject')}>
            {t('approve.reject')}
          </Button>
        </div>
      ) : (
        mineIsRole && <p className="small">{t('approve.notYou', { why: why(me.id) ?? '' })}</p>
      )}
      <WhoMay of={who} />
      <Approve
        ticket={read}
        newest={ticket}
        showNewest={() => setRead(ticket)}
        opened={deciding === 'approve'}
        close={() => setDeciding(null)}
        rules={rules}
        who={who}
      />
      <Reject ticket={ticket} opened={deciding === 'reject'} close={() => setDeciding(null)} />
    </div>
  )
}

type Approvers = ReturnType<typeof useApprovers>

/** Who may agree, and who may not and why. */
function WhoMay({ of: { rules, eligible, excluded, why } }: { of: Approvers }) {
  const { t, i18n } = useTranslation()
  // Members come by a request of their own: until then it would say that nobody may.
  const members = useMembersAsked()
  return (
    <Answer of={members} lines={1}>
      {() => (
        <p className="small dimmed">
          {eligible.length === 0
            ? t('approve.nobody')
            : t('approve.eligible', {
                names: listed(
                  eligible.map(({ username }) => username),
                  i18n.language,
                ),
              })}
          {excluded.map((one) => (
            <span key={one.user_id}> {t('approve.excluded', { name: one.username, why: why(one.user_id) ?? '' })}</span>
          ))}
          {rules?.four_eyes === false && <span> {t('approve.noFourEyes')}</span>}
        </p>
      )}
    </Answer>
  )
}

function Approve(props: {
  ticket: Ticket
  newest: Ticket
  showNewest: () => void
  opened: boolean
  close: () => void
  rules: Policy
  who: Approvers
}) {
  const { ticket, newest, showNewest, opened, close, rules, who } = props
  const { client, project, projects, me } = useSession()
  const { t } = useTranslation()
  const again = useAgain()
  const draft = useDraft(`approval of ticket ${ticket.id}`, '')
  const reason = draft.value
  const action = useAction()
  const projectId = projects.find(({ slug }) => slug === project)?.id ?? ''
  const keys = useQuery({
    queryKey: [project, 'signing-keys'],
    queryFn: () => client.all('signingKeys.list'),
    enabled: opened,
  })
  const digest = useQuery({
    queryKey: ['digest', ticket.id, ticket.version, ticket.digest],
    enabled: opened,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () => {
      const [{ digestOfTicket }, { sha256 }] = await Promise.all([
        import('../proof/promise.ts'),
        import('@noble/hashes/sha2.js'),
      ])
      return digestOfTicket(ticket, projectId, sha256)
    },
  })
  const mine = (keys.data ?? []).filter((key) => key.user_id === me.id && key.type === 'passkey')
  const usable = mine.filter((key) => key.state === 'enrolled')
  const byKey = usable.length > 0 && whyNoPasskeys() === null
  const same = digest.data === ticket.digest
  const outdated = newest.version !== ticket.version
  const given = reason.trim() === '' ? undefined : reason.trim()
  // Whoever closes this says no: the authenticator is not asked any more, and what it would still sign approves nothing.
  const asking = useAsking()
  const shut = () => {
    asking.stop()
    action.clear()
    close()
  }
  const finish = async (work: () => Promise<unknown>) => {
    if (await action.run(work)) {
      draft.startOver()
      close()
      again('ticket', 'approvals', 'trail', 'seals', 'waiting')
    } else again('ticket')
  }
  const signed = () => finish(() => asking.ask((stop) => approveSigned(client, ticket, usable, given, stop)))
  const plain = () =>
    finish(() =>
      client.tickets.approve({
        params: { id: ticket.id },
        body: { digest: ticket.digest, ...(given ? { reason: given } : {}) },
      }),
    )
  const said = outdated
    ? t('approve.outdated', { version: newest.version })
    : action.error instanceof OtherVersion
      ? t('approve.otherVersion')
      : isCancelled(action.error)
        ? t('approve.cancelled')
        : null
  return (
    <Dialog
      opened={opened}
      onClose={shut}
      title={t('approve.title', { number: ticket.number })}
      closeOnClickOutside={false}
      size="lg"
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <p className="small dimmed">{t('approve.text')}</p>
      <div className="promise">
        <h2>
          <bdi>{plainText(ticket.title)}</bdi>
        </h2>
        {ticket.description && <p className="prose">{plainText(ticket.description)}</p>}
        <Facts
          rows={[
            [t('ticket.createdBy'), <Person key="by" id={ticket.created_by_id} number={ticket.created_by_number} />],
            [t('ticket.assignee'), <Person key="for" id={ticket.assignee_id} number={ticket.assignee_number} />],
            [t('ticket.asset'), ticket.asset_id === null ? '–' : <AssetName key="asset" id={ticket.asset_id} />],
            [t('ticket.due'), <Time key="due" at={ticket.due_at} exact />],
            [t('approve.version'), String(ticket.version)],
            [t('approve.digest'), <Mono key="digest" value={ticket.digest} keep={10} />],
          ]}
        />
        <Answer of={digest} lines={1}>
          {() => (
            <p className={same ? 'verdict verdict-good' : 'verdict verdict-bad'} role="status">
              <Icon name={same ? 'check' : 'cross'} /> {same ? t('approve.sameDigest') : t('approve.otherDigest')}
            </p>
          )}
        </Answer>
      </div>
      {opened && <Changes ticket={ticket} />}
      {opened && <Checks ticket={ticket} />}
      <section className="review">
        <h3>{t('approve.who')}</h3>
        <WhoMay of={who} />
      </section>
      <WhatNext ticket={ticket} rules={rules} />
      <Textarea
        label={t('form.reasonOptional')}
        value={reason}
        onChange={(event) => draft.write(event.currentTarget.value)}
        autosize
        minRows={1}
        maxLength={2000}
      />
      <div className="ask-buttons">
        {said === null ? (
          <Refusal error={action.error} />
        ) : (
          <p className="refusal" role="alert">
            {said}
          </p>
        )}
        <Button variant="default" size="sm" onClick={shut}>
          {t('action.cancel')}
        </Button>
        {outdated ? (
          <Button
            size="sm"
            onClick={() => {
              action.clear()
              showNewest()
            }}
          >
            {t('approve.showNewest', { version: newest.version })}
          </Button>
        ) : keys.data === undefined ? (
          // Whether there is a key decides what is offered: signed or not, or to make one.
          <KeysAsked of={keys} />
        ) : (
          <>
            {!rules.require_signature && usable.length > 0 && (
              <Button variant="default" size="sm" onClick={() => void plain()} disabled={!same || action.busy}>
                {t('approve.unsigned')}
              </Button>
            )}
            {rules.require_signature && !byKey ? (
              <NoKey keys={mine} />
            ) : (
              <Button
                size="sm"
                loading={action.busy}
                disabled={!same}
                onClick={() => void (byKey ? signed() : plain())}
                leftSection={<Icon name={byKey ? 'key' : 'check'} size={15} />}
              >
                {byKey ? t('approve.signed') : t('approve.verb')}
              </Button>
            )}
          </>
        )}
      </div>
    </Dialog>
  )
}

/** Nothing to press as long as it is not known which keys there are. */
function KeysAsked({ of }: { of: UseQueryResult }) {
  const { t } = useTranslation()
  if (!of.isError)
    return (
      <Button size="sm" loading>
        {t('approve.verb')}
      </Button>
    )
  return (
    <>
      <Refusal error={of.error} />
      <Button size="sm" variant="default" onClick={() => void of.refetch()}>
        {t('action.retry')}
      </Button>
    </>
  )
}

/** The policy asks for a signature and there is no key to make one with: how to get it. */
function NoKey({ keys }: { keys: readonly SigningKey[] }) {
  const { t } = useTranslation()
  const why = whyNoPasskeys()
  if (why !== null) return <p className="small">{t(why, { host: passkeyHost, here: location.hostname })}</p>
  if (keys.some(({ state }) => state === 'proposed')) return <p className="small">{t('approve.keyWaits')}</p>
  return <EnrolButton />
}

function Reject({ ticket, opened, close }: { ticket: Ticket; opened: boolean; close: () => void }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const again = useAgain()
  const draft = useDraft(`rejection of ticket ${ticket.id}`, '')
  const reason = draft.value
  const action = useAction()
  const reject = async () => {
    const done = await action.run(() =>
      client.tickets.reject({ params: { id: ticket.id }, body: { reason: reason.trim() } }),
    )
    if (!done) return
    draft.startOver()
    close()
    again('ticket', 'approvals', 'trail', 'waiting')
  }
  return (
    <Dialog
      opened={opened}
      onClose={close}
      title={t('approve.rejectTitle', { number: ticket.number })}
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      <p className="small">{t('approve.rejectText')}</p>
      <Textarea
        data-autofocus
        label={t('form.reason')}
        value={reason}
        onChange={(event) => draft.write(event.currentTarget.value)}
        autosize
        minRows={3}
        maxLength={2000}
      />
      <div className="ask-buttons">
        <Refusal error={action.error} />
        <Button variant="default" onClick={close}>
          {t('action.cancel')}
        </Button>
        <Button color="red.8" loading={action.busy} disabled={reason.trim() === ''} onClick={() => void reject()}>
          {t('approve.reject')}
        </Button>
      </div>
    </Dialog>
  )
}
