import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Run, Ticket } from '@writ/api'
import { lazy, Suspense } from 'react'
import { useTranslation } from 'react-i18next'
import { firstOf } from '../app/client.ts'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Page, Person, RunStateBadge, Section, TicketBadge, Time } from '../parts/bits.tsx'
import { Go } from '../parts/go.tsx'
import { useHealth } from '../parts/health.ts'
import { Icon } from '../parts/icons.tsx'
import { plainText } from '../parts/plain-text.ts'
import { stationsOfTicket } from '../parts/seal.ts'
import { SealLine } from '../parts/seal-line.tsx'
import { useSeals } from '../parts/seals.ts'
import { Answer, Empty, Loading } from '../parts/states.tsx'
import { sayFound, withWords } from '../words/index.ts'

// Not of the first look: it is asked for when the figures are there.
const Trend = lazy(() => withWords(() => import('../parts/trend.tsx')))

/** Among so many of the newest those are looked for that concern whoever looks. */
const LOOKED_AT = 100

/** What waits for me: by what my role can do about it. */
export function Home() {
  const { client, project, me, can } = useSession()
  const { t, i18n } = useTranslation()
  const policy = useQuery({
    queryKey: [project, 'policy'],
    queryFn: () => client.projects.policy(),
    staleTime: 60_000,
  })
  const approver = me.role !== null && policy.data?.approver_roles.includes(me.role) === true
  const overseer = can('audit.log')
  const waiting = useQuery({
    queryKey: [project, 'waiting', 'home', me.id],
    queryFn: async ({ signal }) => {
      // More than are shown: which of them wait for me is only known here.
      const tickets = (query: Record<string, unknown>) =>
        firstOf(client, 'tickets.list', { limit: LOOKED_AT, ...query }, signal)
      const runs = (query: Record<string, unknown>) => firstOf(client, 'runs.list', { limit: 6, ...query }, signal)
      const tasks = () => firstOf(client, 'tasks.list', { limit: 1 }, signal)
      const [submitted, mine, assigned, bad, open] = await Promise.all([
        tickets({ status: 'submitted' }),
        tickets({ created_by_id: me.id }),
        tickets({ assignee_id: me.id }),
        runs({ verdict: 'failed' }),
        runs({ state: 'pending' }),
      ])
      const totals = { submitted: submitted.total, bad: bad.total, open: open.total, mine: mine.total }
      const isQuiet = Object.values(totals).every((total) => total === 0)
      return {
        // That nothing waits does not say that nothing was ever asked for.
        isNew: isQuiet && (await Promise.all([tickets({ limit: 1 }), tasks()])).every(({ total }) => total === 0),
        // What I opened, changed or do myself is somebody else's to agree to.
        submitted: submitted.rows.filter(
          (one) => ![one.created_by_id, one.assignee_id, ...one.edited_by_ids].includes(me.id),
        ),
        mine: [...new Map([...assigned.rows, ...mine.rows].map((one) => [one.id, one])).values()].filter(
          ({ status }) => status !== 'closed',
        ),
        bad: bad.rows,
        open: open.rows,
        totals,
      }
    },
  })
  return (
    <Page
      name={t('nav.home')}
      title={t('home.hello', { name: me.full_name ?? me.username })}
      actions={
        can('tickets.create') && (
          <Button component={Go} to="tickets/new" leftSection={<Icon name="plus" size={14} />}>
            {t('ticket.new')}
          </Button>
        )
      }
    >
      <Answer of={waiting} lines={8}>
        {({ submitted, mine, bad, open, totals, isNew }) => (
          <>
            {isNew && (
              <Empty icon="start" title={t('home.emptyTitle')} text={t('home.emptyText')}>
                {can('tickets.create') && (
                  <Button component={Go} to="start" mt="sm" size="sm">
                    {t('nav.start')}
                  </Button>
                )}
              </Empty>
            )}
            <ul className="figures">
              {approver && (
                <Figure
                  to="tickets"
                  filters={{ status: 'submitted' }}
                  value={count(totals.submitted, i18n.language)}
                  word={t('home.toApprove')}
                  tone={totals.submitted > 0 ? 'wait' : ''}
                />
              )}
              <Figure
                to="runs"
                filters={{ state: 'pending' }}
                value={count(totals.open, i18n.language)}
                word={t('home.waitingRuns')}
              />
              <Figure
                to="runs"
                filters={{ verdict: 'failed' }}
                value={count(totals.bad, i18n.language)}
                word={t('home.badRuns')}
                tone={totals.bad > 0 ? 'bad' : ''}
              />
              {can('deadLetters.list') && <DeadFigure />}
              {overseer && <LogFigure />}
              {can('insight.get') && <HealthFigure />}
            </ul>
            {can('insight.get') && (
              <div className="trend-place">
                <Suspense fallback={<Loading lines={4} />}>
                  <Trend />
                </Suspense>
              </div>
            )}
            <div className="columns columns-lists">
              <div>
                {approver && (
                  <Section title={t('home.toApprove')}>
                    <TicketRows most={8} tickets={submitted} none={t('home.nothingToApprove')} />
                  </Section>
                )}
                <Section title={t('home.mine')}>
                  <TicketRows
                    most={8}
                    tickets={mine}
                    none={t(totals.mine > 0 ? 'home.nothingOpen' : 'home.nothingMine')}
                  />
                </Section>
              </div>
              <aside>
                <Section title={t('home.waitingRuns')}>
                  <RunRows runs={open} none={t('home.noWaitingRuns')} />
                </Section>
                <Section title={t('home.badRuns')}>
                  <RunRows runs={bad} none={t('home.noBadRuns')} />
                </Section>
              </aside>
            </div>
          </>
        )}
      </Answer>
    </Page>
  )
}

function Figure(props: { to: string; filters?: Record<string, string>; value: string; word: string; tone?: string }) {
  const { to, filters, value, word, tone = '' } = props
  return (
    <li>
      <Go to={to} {...(filters ? { filters } : {})} className={`figure ${tone && `figure-${tone}`}`}>
        <span className="figure-value">{value}</span>
        <span className="figure-word">{word}</span>
      </Go>
    </li>
  )
}

/** Tasks that failed for good and wait for somebody to decide. */
function DeadFigure() {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const dead = useQuery({
    queryKey: [project, 'waiting', 'dead'],
    queryFn: ({ signal }) => firstOf(client, 'deadLetters.list', { limit: 1 }, signal),
  })
  if (dead.isError) return null
  // Its place is there before its number is, so that nothing below moves.
  const total = dead.data?.total
  return (
    <Figure
      to="dead-letters"
      value={total === undefined ? '–' : count(total, i18n.language)}
      word={t('home.deadLetters')}
      tone={total !== undefined && total > 0 ? 'bad' : ''}
    />
  )
}

/** The log, in one figure: how long it is, and how much of it has no witness yet. */
function LogFigure() {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const log = useQuery({ queryKey: [project, 'log'], queryFn: () => client.audit.log() })
  if (log.isError) return null
  const { size, anchored, shard = 0 } = log.data ?? {}
  return (
    <Figure
      to="audit"
      value={size === undefined ? '–' : count(size, i18n.language)}
      word={
        anchored && size !== undefined
          ? t('home.entriesAnchored', { count: size - anchored.size })
          : // Behind closed ones it has not all that there are.
            t(shard > 0 ? 'home.entriesOpen' : 'home.entries')
      }
    />
  )
}

/** Whether the server works as it should, and else what of it does not. */
function HealthFigure() {
  const { t, i18n } = useTranslation()
  const health = useHealth()
  if (health.isError) return null
  const { state, troubles = [] } = health.data ?? {}
  return (
    <li className={`figure ${state === 'down' ? 'figure-bad' : state === 'degraded' ? 'figure-wait' : ''}`}>
      <span className="figure-value">
        {state === undefined
          ? '–'
          : t(
              state === 'ready' ? 'home.healthReady' : state === 'degraded' ? 'home.healthDegraded' : 'home.healthDown',
            )}
      </span>
      <span className="figure-word">{t('home.health')}</span>
      {troubles.map(({ part, reason }) => {
        const [kind = '', ...name] = part.split(' ')
        const known = i18n.exists(`home.part.${kind}`) ? t(`home.part.${kind}` as 'home.part.log') : kind
        return (
          <span key={part} className="figure-word breaks" title={reason}>
            {[known, ...name].join(' ')}
            {t('error.colon')}
            {sayFound(reason)}
          </span>
        )
      })}
    </li>
  )
}

/** Tickets in rows: all that are given, or the first `most`. */
export function TicketRows({
  tickets: given,
  none,
  most,
}: {
  tickets: readonly Ticket[]
  none: string
  most?: number
}) {
  const tickets = given.slice(0, most)
  const seals = useSeals(
    'ticket',
    tickets.map(({ number }) => number),
  )
  if (tickets.length === 0) return <p className="dimmed small">{none}</p>
  return (
    <ul className="rows">
      {tickets.map((one) => (
        <li key={one.id} className="row">
          <Go to={`tickets/${one.number}`} className="row-main">
            <span className="number">#{one.number}</span> <bdi>{plainText(one.title)}</bdi>
          </Go>
          <SealLine stations={stationsOfTicket(one, {}, seals.get(one.number))} />
          <TicketBadge status={one.status} />
          <span className="dimmed small row-time">
            <Person id={one.created_by_id} number={one.created_by_number} /> · <Time at={one.updated_at} />
          </span>
        </li>
      ))}
    </ul>
  )
}

function RunRows({ runs, none }: { runs: readonly Run[]; none: string }) {
  const { t } = useTranslation()
  if (runs.length === 0) return <p className="dimmed small">{none}</p>
  return (
    <ul className="rows">
      {runs.map((one) => (
        <li key={one.id} className="row">
          <Go to={`runs/${one.number}`} className="row-main">
            <span className="number">#{one.number}</span> {one.script_id ?? t('run.defaultScript')}
          </Go>
          <RunStateBadge state={one.state} verdict={one.verdict} />
          <span className="dimmed small row-time">
            <Time at={one.created_at} />
          </span>
        </li>
      ))}
    </ul>
  )
}
