import { Button, Menu, Select, Textarea } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { Approval, Run, Ticket } from '@writ/api'
import { type ReactNode, useId, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration, listed } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { ApprovalPanel } from '../parts/approve.tsx'
import { Artifacts, Dropzone } from '../parts/artifacts.tsx'
import { Ask, useAction, useAgain } from '../parts/ask.tsx'
import { Facts, Mono, Page, Person, RunStateBadge, Section, TicketBadge, Time } from '../parts/bits.tsx'
import { Bundle } from '../parts/bundle.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { useDraft } from '../parts/draft.tsx'
import { Go } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { LegalHolds } from '../parts/legal-holds.tsx'
import { plainText } from '../parts/plain-text.ts'
import { ProofDrawer } from '../parts/proof-drawer.tsx'
import { type StationName, stationsOfTicket } from '../parts/seal.ts'
import { SealStations } from '../parts/seal-line.tsx'
import { useSeals } from '../parts/seals.ts'
import { Answer, Both, Empty, Refusal } from '../parts/states.tsx'
import { SummaryText } from '../parts/summary-text.tsx'
import { Timeline } from '../parts/timeline.tsx'
import { isBroken, useTrail } from '../parts/trail.ts'
import type { VerifiedTrail } from '../proof/verify-trail.ts'
import { sayFound } from '../words/index.ts'
import { EditTicket } from './ticket-form.tsx'

export function TicketPage() {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const { number = '' } = useParams({ strict: false }) as { number?: string }
  const ticket = useQuery({
    queryKey: [project, 'ticket', number],
    queryFn: () => client.tickets.get({ params: { id: number } }),
  })
  const back = (
    <Go to="tickets" className="back">
      <Icon name="left" size={13} /> {t('nav.tickets')}
    </Go>
  )
  // By its ticket: what is open or chosen on one is not on the next.
  if (ticket.data) return <Whole key={ticket.data.id} ticket={ticket.data} back={back} />
  return (
    <Page name={t('ticket.one', { number })} title={t('ticket.one', { number })} above={back}>
      <Answer of={ticket}>{() => null}</Answer>
    </Page>
  )
}

function Whole({ ticket, back }: { ticket: Ticket; back: ReactNode }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const [station, setStation] = useState<StationName | null>(null)
  const params = { id: ticket.id }
  const runs = useQuery({
    queryKey: [project, 'ticket-runs', ticket.id],
    queryFn: () => client.runs.list({ query: { ticket_id: ticket.id, limit: 100 } }),
  })
  const approvals = useQuery({
    queryKey: [project, 'approvals', ticket.id],
    queryFn: () => client.all('tickets.approvals', { params }),
  })
  const comments = useQuery({
    queryKey: [project, 'comments', ticket.id],
    queryFn: () => client.all('tickets.comments', { params }),
  })
  const trail = useTrail('ticket', ticket.number)
  const seal = useSeals('ticket', [ticket.number]).get(ticket.number)
  const last = approvals.data?.at(-1)
  const lastRun = runs.data?.find(({ verifies_run_id }) => verifies_run_id === null)
  const stations = stationsOfTicket(
    ticket,
    {
      approvedAt:
        approvals.data?.findLast(({ decision, voided_at }) => decision === 'approved' && voided_at === null)
          ?.created_at ?? null,
      rejected:
        last?.decision === 'rejected' && ticket.status === 'draft'
          ? { who: last.decided_by_number, when: last.created_at }
          : undefined,
      lastRun,
    },
    seal,
  )
  return (
    <Page
      name={`#${ticket.number} ${plainText(ticket.title)}`}
      state={ticket.status}
      stateWord={t(`ticketStatus.${ticket.status}`)}
      above={back}
      title={
        <>
          <span className="number">#{ticket.number}</span> <bdi>{plainText(ticket.title)}</bdi>{' '}
          <TicketBadge status={ticket.status} />
        </>
      }
      actions={<Actions ticket={ticket} />}
    >
      <SealStations stations={stations} seal={seal} broken={isBroken(trail.data?.verified)} open={setStation} />
      <ProofDrawer
        subject={{ type: 'ticket', number: ticket.number }}
        station={station}
        close={() => setStation(null)}
      />
      {ticket.status === 'submitted' && <ApprovalPanel ticket={ticket} />}
      {last?.decision === 'rejected' && ticket.status === 'draft' && (
        <div className="approval approval-rejected">
          <p>
            <Icon name="cross" size={15} /> {t('ticket.rejectedBy')}{' '}
            <Person id={last.decided_by_id} number={last.decided_by_number} /> · <Time at={last.created_at} />
          </p>
          <p className="prose">{plainText(last.reason ?? '')}</p>
        </div>
      )}
      <div className="columns">
        <div>
          {ticket.description && (
            <Section title={t('ticket.description')}>
              <p className="prose">{plainText(ticket.description)}</p>
            </Section>
          )}
          <Section title={t('ticket.runs')} actions={<StartRun ticket={ticket} />}>
            <Answer of={runs} lines={2}>
              {(list) =>
                list.length === 0 ? (
                  <Empty icon="run" title={t('run.noneTitle')} text={t('ticket.noRuns')} />
                ) : (
                  list.map((run, i) => (
                    <RunCard key={run.id} run={run} open={i === 0} entries={trail.data?.verified.entries} />
                  ))
                )
              }
            </Answer>
          </Section>
          <Section title={t('ticket.timeline')}>
            <Both of={[trail, comments]} lines={5}>
              {({ trail: shown, verified }, said) => <Timeline verified={verified} logs={shown.logs} comments={said} />}
            </Both>
            <AddComment ticket={ticket} />
          </Section>
        </div>
        <aside>
          <Section title={t('ticket.facts')}>
            <Facts
              rows={[
                [
                  t('ticket.createdBy'),
                  <Person key="by" id={ticket.created_by_id} number={ticket.created_by_number} />,
                ],
                [t('ticket.assignee'), <Person key="for" id={ticket.assignee_id} number={ticket.assignee_number} />],
                [
                  t('ticket.asset'),
                  ticket.asset_number === null ? '–' : <AssetLink key="asset" number={ticket.asset_number} />,
                ],
                [t('ticket.due'), <Time key="due" at={ticket.due_at} />],
                [t('ticket.created'), <Time key="created" at={ticket.created_at} />],
                [t('ticket.changed'), <Time key="changed" at={ticket.updated_at} />],
                [
                  t('approve.version'),
                  <span key="v">
                    {ticket.version} · <Mono value={ticket.digest} label={t('approve.digest')} />
                  </span>,
                ],
              ]}
            />
          </Section>
          <Section title={t('ticket.approvals')}>
            <Answer of={approvals} lines={1}>
              {(list) =>
                list.length === 0 ? (
                  <p className="dimmed small">{t('ticket.noApprovals')}</p>
                ) : (
                  <ul className="plain-list">
                    {list.map((one) => (
                      <li key={one.id} className={one.voided_at ? 'void' : ''}>
                        <Icon name={one.decision === 'approved' ? 'check' : 'cross'} size={13} />{' '}
                        {t(`decision.${one.decision}`)} ·{' '}
                        <Person id={one.decided_by_id} number={one.decided_by_number} /> · <Time at={one.created_at} />
                        <span className="dimmed small">
                          {' '}
                          {t('ticket.versionOf', { version: one.ticket_version })}
                          {one.signed_with_id && ` · ${t('ticket.signed')}`}
                          {one.voided_at && ` · ${t('ticket.voided')}`}
                          <LoggedIn before={one} />
                        </span>
                        {one.reason && <p className="prose small">{plainText(one.reason)}</p>}
                      </li>
                    ))}
                  </ul>
                )
              }
            </Answer>
          </Section>
          <LegalHolds type="ticket" id={ticket.id} name={t('ticket.one', { number: ticket.number })} />
          <Section title={t('bundle.title')}>
            <Bundle subject="ticket" number={ticket.number} />
          </Section>
        </aside>
      </div>
    </Page>
  )
}

/** How long before a decision its approver had proved who they are, and how; nothing where nobody knows. */
function LoggedIn({ before: { auth_time, amr, created_at } }: { before: Approval }) {
  const { t, i18n } = useTranslation()
  if (auth_time === null) return null
  const long = duration(Date.parse(created_at) - Date.parse(auth_time), i18n.language)
  // The words of an identity provider that we have none for stand as they are.
  const how = amr.map((way) => t(`amr.${way}`, { defaultValue: way })).join(' + ')
  return ` · ${how === '' ? t('ticket.loggedIn', { long }) : t('ticket.loggedInBy', { long, how })}`
}

/** What is asked for again after a move of the ticket. */
const CHANGED = ['ticket', 'trail', 'seals', 'waiting', 'approvals'] as const

/** What may follow, named by its verb. What the server would refuse is not offered. */
function Actions({ ticket }: { ticket: Ticket }) {
  const { client, me, can } = useSession()
  const { t } = useTranslation()
  const again = useAgain()
  const [asking, setAsking] = useState<'submit' | 'close' | 'reopen' | 'edit' | null>(null)
  const mine = ticket.created_by_id === me.id
  const part = mine || ticket.assignee_id === me.id || me.role === 'admin' || me.role === 'ops'
  const params = { id: ticket.id }
  const may = {
    submit: ticket.status === 'draft' && part && can('tickets.submit'),
    edit: ticket.status !== 'closed' && (mine || me.role === 'admin') && can('tickets.update'),
    close: ['submitted', 'approved', 'done', 'failed'].includes(ticket.status) && part && can('tickets.close'),
    reopen: ['closed', 'done', 'failed'].includes(ticket.status) && part && can('tickets.reopen'),
  }
  const shut = () => setAsking(null)
  const finished = ticket.status === 'done' || ticket.status === 'failed'
  return (
    <>
      {may.submit && <Button onClick={() => setAsking('submit')}>{t('ticket.submit')}</Button>}
      {may.close && finished && <Button onClick={() => setAsking('close')}>{t('ticket.close')}</Button>}
      {(may.edit || may.close || may.reopen) && (
        <Menu position="bottom-end">
          <Menu.Target>
            <Button variant="default" rightSection={<Icon name="down" size={13} />}>
              {t('action.more')}
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            {may.edit && (
              <Menu.Item onClick={() => setAsking('edit')} leftSection={<Icon name="pencil" size={14} />}>
                {t('action.edit')}
              </Menu.Item>
            )}
            {may.close && (
              <Menu.Item onClick={() => setAsking('close')} leftSection={<Icon name="slash" size={14} />}>
                {t('ticket.close')}
              </Menu.Item>
            )}
            {may.reopen && (
              <Menu.Item onClick={() => setAsking('reopen')} leftSection={<Icon name="refresh" size={14} />}>
                {t('ticket.reopen')}
              </Menu.Item>
            )}
          </Menu.Dropdown>
        </Menu>
      )}
      <Ask
        opened={asking === 'submit'}
        close={shut}
        title={t('ticket.submitTitle', { number: ticket.number })}
        verb={t('ticket.submit')}
        changes={CHANGED}
        act={() => client.tickets.submit({ params })}
      >
        <p>{t('ticket.submitText')}</p>
      </Ask>
      <Ask
        opened={asking === 'close'}
        close={shut}
        title={t('ticket.closeTitle', { number: ticket.number })}
        verb={t('ticket.close')}
        reason="may"
        changes={CHANGED}
        act={(reason) => client.tickets.close({ params, body: reason ? { reason } : {} })}
      >
        <p>{t('ticket.closeText')}</p>
      </Ask>
      <Ask
        opened={asking === 'reopen'}
        close={shut}
        title={t('ticket.reopenTitle', { number: ticket.number })}
        verb={t('ticket.reopen')}
        reason="may"
        changes={CHANGED}
        act={(reason) => client.tickets.reopen({ params, body: reason ? { reason } : {} })}
      >
        <p>{t('ticket.reopenText')}</p>
      </Ask>
      <Dialog
        opened={asking === 'edit'}
        onClose={shut}
        closeOnClickOutside={false}
        title={t('ticket.editTitle', { number: ticket.number })}
        size="lg"
        closeButtonProps={{ 'aria-label': t('action.close') }}
      >
        {ticket.status === 'approved' && (
          <p className="refusal">
            <Icon name="warning" size={14} /> {t('ticket.editVoids')}
          </p>
        )}
        <EditTicket
          ticket={ticket}
          cancel={shut}
          done={() => {
            again(...CHANGED)
            shut()
          }}
        />
      </Dialog>
    </>
  )
}

/** Opens a proof run: evidence is awaited, and judged one second after the last file. */
function StartRun({ ticket }: { ticket: Ticket }) {
  const { client, project, me, can } = useSession()
  const { t } = useTranslation()
  const [open, setOpen] = useState(false)
  const [script, setScript] = useState<string | null>('proof.config_format')
  const scripts = useQuery({
    queryKey: [project, 'scripts'],
    queryFn: () => client.rules.scripts(),
    enabled: open,
    staleTime: 60_000,
  })
  const part =
    ticket.created_by_id === me.id || ticket.assignee_id === me.id || me.role === 'admin' || me.role === 'ops'
  const may =
    can('runs.start') && part && ['submitted', 'approved', 'running', 'done', 'failed'].includes(ticket.status)
  if (!may) return null
  const proofs = (scripts.data ?? []).filter(({ script_type }) => script_type === 'proof')
  const chosen = proofs.find(({ script_id }) => script_id === script)
  return (
    <>
      <Button variant="default" onClick={() => setOpen(true)} leftSection={<Icon name="plus" size={14} />}>
        {t('run.start')}
      </Button>
      <Ask
        opened={open}
        close={() => setOpen(false)}
        title={t('run.startTitle', { number: ticket.number })}
        verb={t('run.start')}
        // What will judge is on the page before it is started.
        ready={scripts.data !== undefined}
        changes={['ticket', 'ticket-runs', 'trail']}
        act={() =>
          client.runs.start({
            body: { run_type: 'proof', ticket_id: ticket.id, ...(script ? { script_id: script } : {}) },
          })
        }
      >
        <p>{t('run.startText')}</p>
        <Answer of={scripts} lines={2}>
          {() => (
            <Select
              label={t('run.script')}
              data={proofs.map(({ script_id, name }) => ({
                value: script_id,
                label: `${sayFound(name)}${t('error.inside', { what: script_id })}`,
              }))}
              value={script}
              onChange={setScript}
              placeholder={t('run.defaultScript')}
              clearable
              searchable
            />
          )}
        </Answer>
        {chosen && <p className="small dimmed">{sayFound(chosen.description)}</p>}
        {chosen?.superseded.map(({ validator, newest }) => (
          <p key={validator} className="small dimmed">
            {t('run.superseded', { validator, newest })}
          </p>
        ))}
      </Ask>
    </>
  )
}

/** What the ticket touches, by name. */
function AssetLink({ number }: { number: number }) {
  const { client, project } = useSession()
  const asset = useQuery({
    queryKey: [project, 'assets', String(number)],
    queryFn: () => client.assets.get({ params: { id: String(number) } }),
  })
  return (
    <Go to={`assets/${number}`}>
      <span className="number">#{number}</span> <bdi>{plainText(asset.data?.name ?? '')}</bdi>
    </Go>
  )
}

function RunCard(props: { run: Run; open: boolean; entries: VerifiedTrail['entries'] | undefined }) {
  const { run, open: begun, entries } = props
  const { t } = useTranslation()
  const waits = run.state === 'pending' && run.waiting_for === 'evidence'
  const [open, setOpen] = useState(begun || waits)
  const inside = useId()
  return (
    <div className="run-card">
      <div className="run-head">
        <button
          type="button"
          className="toggle"
          aria-expanded={open}
          aria-controls={inside}
          aria-label={t('run.files', { number: run.number })}
          onClick={() => setOpen(!open)}
        >
          <Icon name={open ? 'down' : 'right'} size={14} />
        </button>
        <Go to={`runs/${run.number}`}>{t('run.one', { number: run.number })}</Go>
        <RunStateBadge state={run.state} verdict={run.verdict} />
        <span className="dimmed small">{run.script_id ?? t('run.defaultScript')}</span>
        {run.verifies_run_id && <span className="tag">{t('run.again')}</span>}
        <span className="push dimmed small">
          <Time at={run.completed_at ?? run.created_at} />
        </span>
      </div>
      <div className="run-inside" id={inside} hidden={!open}>
        {open && (
          <>
            {run.result_summary && (
              <p className="small">
                <SummaryText text={run.result_summary} />
              </p>
            )}
            <Artifacts run={run} entries={entries} />
            {waits && <WaitingRun run={run} />}
          </>
        )}
      </div>
    </div>
  )
}

/** A run that waits for its evidence: files in, and, where it was asked for, the word that all are there. */
export function WaitingRun({ run }: { run: Run }) {
  const { client, can } = useSession()
  const { t, i18n } = useTranslation()
  const action = useAction()
  if (!can('artifacts.upload')) return <p className="dimmed small">{t('run.waitsForEvidence')}</p>
  return (
    <>
      <p className="small dimmed">{t(run.finalize === 'manual' ? 'run.waitsManual' : 'run.waitsAuto')}</p>
      {run.expect && (
        <p className="small">
          {t('run.expects', {
            names: listed(
              run.expect.map(({ name }) => name),
              i18n.language,
            ),
          })}
        </p>
      )}
      <Dropzone run={run} compact />
      {run.finalize === 'manual' && (
        <Button
          mt="xs"
          loading={action.busy}
          onClick={() => void action.run(() => client.runs.finalize({ params: { id: run.id } }))}
        >
          {t('run.finalize')}
        </Button>
      )}
      <Refusal error={action.error} />
    </>
  )
}

function AddComment({ ticket }: { ticket: Ticket }) {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const draft = useDraft(`comment on ticket ${ticket.id}`, '')
  const { value: text, write } = draft
  const action = useAction()
  if (!can('tickets.comment')) return null
  const send = async () => {
    const sent = await action.run(() =>
      client.tickets.comment({ params: { id: ticket.id }, body: { body: text.trim() } }),
    )
    if (!sent) return
    // What was typed while it was under way is the next one.
    write((now) => (now === text ? '' : now))
    void queries.invalidateQueries({ queryKey: [project, 'comments', ticket.id] })
  }
  return (
    <form
      className="comment-form"
      onSubmit={(event) => {
        event.preventDefault()
        void send()
      }}
    >
      <Textarea
        aria-label={t('ticket.comment')}
        placeholder={t('ticket.comment')}
        value={text}
        onChange={(event) => write(event.currentTarget.value)}
        autosize
        minRows={2}
        maxLength={20_000}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && text.trim() !== '') void send()
        }}
      />
      <Refusal error={action.error} />
      <Button type="submit" variant="default" mt="xs" loading={action.busy} disabled={text.trim() === ''}>
        {t('ticket.send')}
      </Button>
    </form>
  )
}
