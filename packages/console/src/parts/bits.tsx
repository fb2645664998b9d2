import { Tooltip } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Client } from '@writ/sdk'
import { type ReactNode, useEffect, useState, useSyncExternalStore } from 'react'
import { useTranslation } from 'react-i18next'
import { exactTime, middle, relativeTime } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Icon, type IconName } from './icons.tsx'

// One clock for all times on the page.
let now = Date.now()
const ticking = new Set<() => void>()
setInterval(() => {
  now = Date.now()
  for (const tick of ticking) tick()
}, 20_000)
const onTick = (tick: () => void) => {
  ticking.add(tick)
  return () => ticking.delete(tick)
}

/** A time from now, with the exact one on hover, in copies and for screen readers. */
export function Time({ at }: { at: string | null | undefined }) {
  const { i18n } = useTranslation()
  const current = useSyncExternalStore(onTick, () => now)
  if (!at) return <span className="dimmed">–</span>
  const ms = Date.parse(at)
  return (
    <time dateTime={at} title={exactTime(ms, i18n.language)}>
      {relativeTime(ms, Math.max(current, ms > Date.now() ? 0 : ms), i18n.language)}
    </time>
  )
}

/** An id, hash or path: shortened in the middle, never wrapped, copied by a click. */
export function Mono({ value, keep = 6, label }: { value: string; keep?: number; label?: string }) {
  const { t } = useTranslation()
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1_500)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = () => void navigator.clipboard?.writeText(value).then(() => setCopied(true))
  return (
    <button type="button" className="mono" onClick={copy} title={value}>
      <span>{middle(value, keep)}</span>
      <span className="unseen">
        {label} {t('action.copy')}
      </span>
      <Icon name={copied ? 'check' : 'copy'} size={12} />
    </button>
  )
}

/** Everybody in the project, by id. People who left it are known by their number only. */
export function useMembers(): ReadonlyMap<string, Member> {
  const { client, project } = useSession()
  const members = useQuery({
    queryKey: [project, 'members'],
    queryFn: () => client.projects.members(),
    staleTime: 300_000,
    select: (list) => new Map(list.map((one) => [one.user_id, one])),
  })
  return members.data ?? NOBODY
}
type Member = Awaited<ReturnType<Client['projects']['members']>>[number]
const NOBODY: ReadonlyMap<string, Member> = new Map()

/** A person by name; `number` stands in for somebody who left the project. */
export function Person({ id, number }: { id?: string | null; number?: number | null }) {
  const { t } = useTranslation()
  const { me } = useSession()
  const members = useMembers()
  const found = id ? members.get(id) : [...members.values()].find((one) => one.user_number === number)
  if (!id && (number === null || number === undefined)) return <span className="dimmed">–</span>
  const name = found?.username ?? (number ? t('person.number', { number }) : t('person.unknown'))
  const mine = found?.user_id === me.id
  return <span className="person">{mine ? t('person.me', { name }) : name}</span>
}

const STATE_ICONS: Readonly<Record<string, IconName>> = {
  pending: 'clock',
  running: 'run',
  waiting_approval: 'hand',
  waiting_tool: 'plug',
  completed: 'check',
  failed: 'cross',
  cancelled: 'slash',
  timeout: 'clock',
  passed: 'check',
  draft: 'pencil',
  submitted: 'hand',
  approved: 'check',
  done: 'check',
  closed: 'slash',
  active: 'check',
  disabled: 'slash',
  delivered: 'check',
  waiting: 'clock',
  applied: 'check',
  rejected: 'cross',
  enrolled: 'check',
  proposed: 'hand',
  revoked: 'slash',
}

/** A state: a colour together with a shape and a word, everywhere the same. */
export function State({ of, word }: { of: string; word: string }) {
  return (
    <span className={`state state-${of}`}>
      <Icon name={STATE_ICONS[of] ?? 'dots'} size={13} strokeWidth={2.4} />
      {word}
    </span>
  )
}

export function RunStateBadge({ state, verdict }: { state: string; verdict?: string | null }) {
  const { t } = useTranslation()
  // Judged bad is another thing than broken: the run went well, the evidence did not.
  if (state === 'completed' && verdict === 'failed') return <State of="failed" word={t('verdict.failed')} />
  if (state === 'completed' && verdict === 'passed') return <State of="completed" word={t('verdict.passed')} />
  return <State of={state} word={t(`runState.${state}` as 'runState.pending')} />
}

export function TicketBadge({ status }: { status: string }) {
  const { t } = useTranslation()
  return <State of={status} word={t(`ticketStatus.${status}` as 'ticketStatus.draft')} />
}

/** Names and values in two columns; on a narrow page one above the other. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode] | null)[] }) {
  return (
    <dl className="facts">
      {rows.map((row) =>
        row === null ? null : (
          <div key={row[0]}>
            <dt>{row[0]}</dt>
            <dd>{row[1]}</dd>
          </div>
        ),
      )}
    </dl>
  )
}

/** A word that explains itself when asked. */
export function Hint({ text, children }: { text: string; children: ReactNode }) {
  return (
    <Tooltip label={text} multiline w={260}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the explanation has to be reachable without a mouse */}
      <span tabIndex={0} className="hint">
        {children}
      </span>
    </Tooltip>
  )
}

/** A heading with what can be done beside it. */
export function Page(props: {
  title: ReactNode
  name: string
  actions?: ReactNode
  children: ReactNode
  above?: ReactNode
}) {
  const { title, name, actions, children, above } = props
  useEffect(() => {
    document.title = `${name} · Writ`
  }, [name])
  return (
    <div className="page">
      {above}
      <div className="page-head">
        <h1>{title}</h1>
        {actions !== undefined && <div className="actions">{actions}</div>}
      </div>
      {children}
    </div>
  )
}

export function Section({
  title,
  actions,
  children,
  id,
}: {
  title: ReactNode
  actions?: ReactNode
  children: ReactNode
  id?: string
}) {
  return (
    <section className="section" id={id}>
      <div className="section-head">
        <h2>{title}</h2>
        {actions !== undefined && <div className="actions">{actions}</div>}
      </div>
      {children}
    </section>
  )
}
