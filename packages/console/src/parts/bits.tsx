import { Tooltip } from '@mantine/core'
import type { Run, RunState } from '@writ/api'
import { type ReactNode, useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { SLACK_MS, now as serverNow } from '../app/clock.ts'
import { exactTime, middle, relativeTime } from '../app/format.ts'
import { useHere } from '../app/here.tsx'
import { useMembers } from '../app/members.tsx'
import { instanceName } from '../app/page-settings.ts'
import { useSession } from '../app/session.tsx'
import { Icon, type IconName } from './icons.tsx'
import { plainText } from './plain-text.ts'
import { useTabIcon } from './tab-icon.ts'

/** A time from now, with the exact one on hover, in copies and for screen readers; `exact`: the other way round. */
export function Time({ at, exact = false }: { at: string | null | undefined; exact?: boolean }) {
  const { language, now } = useHere()
  if (!at) return <span className="dimmed">–</span>
  const ms = Date.parse(at)
  const whole = exactTime(ms, language)
  // What has happened is not told as to come, neither by a clock that moves rarely nor by one that is known to a second or two.
  const fromNow = relativeTime(ms, Math.max(now, ms > serverNow() + SLACK_MS ? 0 : ms), language)
  return (
    <time dateTime={at} title={exact ? fromNow : whole} className={exact ? 'time-exact' : undefined}>
      {exact ? whole : fromNow}
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

/** What a row of a list is called: its number, then its name, in the direction in which that was written. Called, not mounted. */
export const numbered = (number: number, name: string): ReactNode => (
  <>
    <span className="number">{`#${number}`}</span> <bdi>{plainText(name)}</bdi>
  </>
)

/**
 * A person by name. `number` stands in for somebody who left the project, unless `name` is known. Where it is that of somebody with another
 * id, that is a token of theirs: events name what acted, and whose it was beside.
 */
export function Person(props: { id?: string | null; number?: number | null; name?: string | null }) {
  const { id, number } = props
  const { t, word } = useHere()
  const { me } = useSession()
  const members = useMembers()
  const known = id ? members.get(id) : undefined
  const found = known ?? [...members.values()].find((one) => one.user_number === number)
  if (!id && (number === null || number === undefined)) return <span className="dimmed">–</span>
  const mine = (found?.user_id ?? id) === me.id
  // Members come by a request of their own; of oneself more is known.
  const name =
    found?.username ??
    (mine ? me.username : (props.name ?? (number ? t('person.number', { number }) : word('person.unknown'))))
  const whole = mine ? t('person.me', { name }) : name
  const byToken = Boolean(id) && found !== undefined && found.user_id !== id
  return <span className="person">{byToken ? t('person.token', { name: whole }) : whole}</span>
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

/** The shape of a state. */
const iconOf = (state: string): IconName => STATE_ICONS[state] ?? 'dots'

/** A state: a colour together with a shape and a word, everywhere the same. */
export function State({ of, word }: { of: string; word: string }) {
  return (
    <span className={`state state-${of}`}>
      {/* Called, not mounted, here and below: lists mount hundreds of badges a second, and this is a third of each. */}
      {Icon({ name: iconOf(of), size: 13 })}
      {word}
    </span>
  )
}

// Judged bad is another thing than broken: the run went well, the evidence did not.
/** What is said of a run: its state, or what was found once it was judged. */
export const shownState = (state: string, verdict?: string | null): string =>
  state !== 'completed' ? state : verdict === 'failed' ? 'failed' : 'completed'

/** The colour of what it ended with: nothing but what went well is green, and what was called off is neither good nor bad. */
export const toneOf = (shown: string): string =>
  shown === 'completed' ? '' : shown === 'failed' || shown === 'timeout' ? 'summary-bad' : 'summary-off'

/** The words of a run's state, or of what was found. */
export const wordOfRun = (
  state: RunState,
  verdict: Run['verdict'] = null,
): `verdict.${NonNullable<Run['verdict']>}` | `runState.${RunState}` =>
  state === 'completed' && verdict !== null ? `verdict.${verdict}` : `runState.${state}`

export function RunStateBadge({ state, verdict }: { state: RunState; verdict?: Run['verdict'] }) {
  const { word } = useHere()
  return State({ of: shownState(state, verdict), word: word(wordOfRun(state, verdict)) })
}

export function TicketBadge({ status }: { status: string }) {
  const { word } = useHere()
  return State({ of: status, word: word(`ticketStatus.${status}`) })
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

/** The head of a column of buttons: said to readers of the screen, and not shown. */
export function ActsHead() {
  const { t } = useTranslation()
  return (
    <th>
      <span className="unseen">{t('action.more')}</span>
    </th>
  )
}

/** Tells whoever does not see it what a state has become since the page was opened: a check of evidence ends while one waits. */
function NewState({ word }: { word: string }) {
  const [first] = useState(word)
  const [isOther, setOther] = useState(false)
  if (!isOther && word !== first) setOther(true)
  return (
    <p className="unseen" role="status">
      {isOther && word}
    </p>
  )
}

/** A heading with what can be done beside it. The tab is called `name`, and shows the state of what the page is about. */
export function Page(props: {
  title: ReactNode
  name: string
  state?: string | undefined
  /** The state in words: told when it becomes another. */
  stateWord?: string
  actions?: ReactNode
  children: ReactNode
  above?: ReactNode
}) {
  const { title, name, state, stateWord, actions, children, above } = props
  useTabIcon(state, state === undefined ? undefined : iconOf(state))
  useEffect(() => {
    document.title = `${name} · ${instanceName}`
  }, [name])
  return (
    <div className="page">
      {above}
      <div className="page-head">
        <h1>{title}</h1>
        {actions !== undefined && <div className="actions">{actions}</div>}
      </div>
      {stateWord !== undefined && <NewState word={stateWord} />}
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
