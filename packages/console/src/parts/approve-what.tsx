import { useQuery } from '@tanstack/react-query'
import type { Policy, Run, Ticket, TicketChanges } from '@writ/api'
import type { ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { sayFound } from '../words/index.ts'
import { useAgain } from './ask.tsx'
import { Mono, Person, Time } from './bits.tsx'
import { plainText } from './plain-text.ts'
import { Answer, Both } from './states.tsx'

/** The difference to the last approved version, field by field, in words. */
export function Changes({ ticket }: { ticket: Ticket }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const again = useAgain()
  const changes = useQuery({
    queryKey: [project, 'ticket-changes', ticket.id, ticket.version],
    queryFn: async () => {
      const since = await client.tickets.changes({ params: { id: ticket.id } })
      // The server knows a newer version than this page.
      if (since.version !== ticket.version) again('ticket')
      return since
    },
  })
  return (
    <section className="review">
      <h3>{t('approve.changed')}</h3>
      <Answer of={changes} lines={2}>
        {(since) =>
          since.version !== ticket.version ? (
            <p className="small dimmed">{t('approve.outdated', { version: since.version })}</p>
          ) : since.approval === null ? (
            <p className="small dimmed">{t('approve.firstTime')}</p>
          ) : (
            <>
              <p className="small dimmed">
                {t('approve.lastVersionBy', { version: since.approval.ticket_version })}{' '}
                <Person id={since.approval.decided_by_id} number={since.approval.decided_by_number} /> ·{' '}
                <Time at={since.approval.created_at} />
              </p>
              {since.unreadable > 0 && (
                <p className="small">{t('approve.changesErased', { count: since.unreadable })}</p>
              )}
              {since.changes.length === 0 && since.unreadable === 0 && (
                <p className="small">{t('approve.unchanged')}</p>
              )}
              {since.changes.length > 0 && (
                <dl className="changes">
                  {since.changes.map((one) => (
                    <div key={one.field}>
                      <dt>{t(FIELDS[one.field])}</dt>
                      <OneChange {...one} />
                    </div>
                  ))}
                </dl>
              )}
            </>
          )
        }
      </Answer>
    </section>
  )
}

type Change = TicketChanges['changes'][number]

const FIELDS = {
  title: 'ticket.title',
  description: 'ticket.description',
  asset_id: 'ticket.asset',
  assignee_id: 'ticket.assignee',
  due_at: 'ticket.due',
} as const satisfies Record<Change['field'], string>

function OneChange({ field, from, to }: Change) {
  const { t } = useTranslation()
  const texts = from !== null && to !== null && `${from}${to}`.includes('\n')
  const lines = useQuery({
    queryKey: ['lines', from, to],
    enabled: texts,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async () => (await import('diff')).diffLines(plainText(from ?? ''), plainText(to ?? '')),
  })
  if (texts)
    return (
      <dd>
        <Answer of={lines} lines={2}>
          {(parts) => (
            <p className="prose">
              {parts.map(({ value, added, removed }, i) => {
                const key = `${i}`
                if (added) return <ins key={key}>{value}</ins>
                return removed ? <del key={key}>{value}</del> : <span key={key}>{value}</span>
              })}
            </p>
          )}
        </Answer>
      </dd>
    )
  return (
    <>
      <dd>
        <span className="unseen">{t('approve.was')} </span>
        <del>{shown(field, from)}</del>
      </dd>
      <dd>
        <span className="unseen">{t('approve.is')} </span>
        <ins>{shown(field, to)}</ins>
      </dd>
    </>
  )
}

function shown(field: Change['field'], value: string | null): ReactNode {
  if (value === null || value === '') return '–'
  if (field === 'due_at') return <Time at={value} exact />
  if (field === 'assignee_id') return <Person id={value} />
  return field === 'asset_id' ? <AssetName id={value} /> : plainText(value)
}

/** A device by its number and name. */
export function AssetName({ id }: { id: string }) {
  const { client, project } = useSession()
  const asset = useQuery({
    queryKey: [project, 'assets', id],
    queryFn: () => client.assets.get({ params: { id } }),
    staleTime: 60_000,
  })
  return asset.data ? `#${asset.data.number} ${plainText(asset.data.name)}` : '…'
}

/**
 * By which rules the evidence will be judged. The approval says nothing of them: whoever starts a run names a check. So these
 * are the checks that this ticket's runs named, or else all that may be named, with what the server says of them now.
 */
export function Checks({ ticket }: { ticket: Ticket }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const scripts = useQuery({
    queryKey: [project, 'scripts'],
    queryFn: () => client.rules.scripts(),
    staleTime: 60_000,
  })
  // Which of them count is not known before the runs are.
  const runs = useQuery({
    queryKey: [project, 'ticket-runs', ticket.id],
    queryFn: () => client.runs.list({ query: { ticket_id: ticket.id, limit: 100 } }),
  })
  return (
    <section className="review">
      <h3>{t('approve.checks')}</h3>
      <p className="small dimmed">{t('approve.checksText')}</p>
      <Both of={[scripts, runs]} lines={2}>
        {(all, ran) => {
          const used = lastRunBy(ran)
          const named = all.filter(({ script_id }) => used.has(script_id))
          const rows = (list: typeof all) => (
            <table className="plain lined">
              <thead>
                <tr>
                  <th>{t('approve.check')}</th>
                  <th>{t('approve.version')}</th>
                  <th>SHA-256</th>
                </tr>
              </thead>
              <tbody>
                {list.map((one) => (
                  <tr key={one.script_id}>
                    <td title={sayFound(one.description)}>
                      {one.script_id}
                      {used.has(one.script_id) && (
                        <span className="dimmed small">
                          {' '}
                          {t('run.one', { number: used.get(one.script_id)?.number })}
                        </span>
                      )}
                    </td>
                    <td>{one.version}</td>
                    <td>
                      {one.digest === null ? (
                        <span className="dimmed small">{t('approve.byParameters')}</span>
                      ) : (
                        <Mono value={one.digest} keep={8} label={one.script_id} />
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
          if (named.length === 0)
            return (
              <details>
                <summary>{t('approve.allChecks', { count: all.length })}</summary>
                {rows(all)}
              </details>
            )
          return rows(named)
        }}
      </Both>
    </section>
  )
}

/** The newest run of each check; a version of a rule set that a run named counts as its rule set. */
const lastRunBy = (runs: readonly Run[]): ReadonlyMap<string, Run> =>
  new Map([...runs].reverse().flatMap((run) => (run.script_id ? [[run.script_id.replace(/@\d+$/, ''), run]] : [])))

/** What an approval sets free, until when, and what ends it. */
export function WhatNext({ ticket, rules }: { ticket: Ticket; rules: Policy }) {
  const { t } = useTranslation()
  return (
    <section className="review">
      <h3>{t('approve.nextTitle')}</h3>
      <ol className="small">
        <li>
          <Person
            id={ticket.assignee_id ?? ticket.created_by_id}
            number={ticket.assignee_number ?? ticket.created_by_number}
          />{' '}
          {t('approve.nextRun')}
        </li>
        <li>{t('approve.nextJudged')}</li>
        <li>
          {rules.approval_ttl_hours === null
            ? t('approve.nextEnds')
            : t('approve.nextEndsAfter', { count: rules.approval_ttl_hours })}
        </li>
      </ol>
    </section>
  )
}
