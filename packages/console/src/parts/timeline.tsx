import type { Trail } from '@writ/api'
import type { Client } from '@writ/sdk'
import { useTranslation } from 'react-i18next'
import type { VerifiedTrail } from '../proof/verify-trail.ts'
import { Actor, hasActor } from './actor.tsx'
import { Person, Time } from './bits.tsx'
import { areSeveral, useEntryNumber } from './entry-number.ts'
import { Erased } from './erased.tsx'
import { Icon, type IconName } from './icons.tsx'
import { plainText } from './plain-text.ts'
import { stationOfEvent } from './seal.ts'
import { SummaryText } from './summary-text.tsx'

type Comment = Awaited<ReturnType<Client['tickets']['comments']>>[number]
type Item =
  | { at: string; kind: 'event'; key: string; entry: VerifiedTrail['entries'][number] }
  | { at: string; kind: 'comment'; key: string; comment: Comment }

const icons: Readonly<Record<string, IconName>> = {
  asked: 'ticket',
  agreed: 'hand',
  ran: 'run',
  proved: 'check',
  sealed: 'audit',
}

const wentWrong = (type: string) => /\.(failed|rejected|timeout|refused|approval_voided)$/.test(type)
const iconOf = (type: string): IconName => (wentWrong(type) ? 'cross' : (icons[stationOfEvent(type)] ?? 'dots'))

/** Everything that happened, in one order: what the log says, and what people said to it. */
export function Timeline(props: { verified: VerifiedTrail; logs: Trail['logs']; comments: readonly Comment[] }) {
  const { verified, logs, comments } = props
  const { t, i18n } = useTranslation()
  const entryNumber = useEntryNumber(areSeveral(logs))
  const items: Item[] = [
    ...verified.entries
      .filter(({ shown }) => shown.event_type !== 'ticket.commented' && shown.event_type !== 'artifact.verified')
      .map((entry) => ({ at: entry.entry?.t ?? '', kind: 'event' as const, key: entry.shown.event_id, entry })),
    ...comments.map((comment) => ({ at: comment.created_at, kind: 'comment' as const, key: comment.id, comment })),
  ].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
  return (
    <ol className="timeline">
      {items.map((item) =>
        item.kind === 'comment' ? (
          <li key={item.key} className="said">
            <span className="timeline-icon">
              <Icon name="comment" size={13} />
            </span>
            <div>
              <p className="timeline-head">
                <Person id={item.comment.author_id} number={item.comment.author_number} /> ·{' '}
                <Time at={item.comment.created_at} />
              </p>
              <p className="prose">{plainText(item.comment.body)}</p>
            </div>
          </li>
        ) : (
          <li key={item.key} className={wentWrong(item.entry.shown.event_type) || !item.entry.good ? 'went-wrong' : ''}>
            <span className="timeline-icon">
              <Icon name={iconOf(item.entry.shown.event_type)} size={13} />
            </span>
            <div>
              <p className="timeline-head">
                <strong>
                  {i18n.exists(`event.${item.entry.shown.event_type.replace('.', '_')}`)
                    ? t(`event.${item.entry.shown.event_type.replace('.', '_')}` as 'event.ticket_created')
                    : item.entry.shown.event_type}
                </strong>
                {hasActor(item.entry) && (
                  <>
                    {' · '}
                    <Actor of={item.entry} />
                  </>
                )}
                {' · '}
                <Time at={item.at} />
                <span className="number"> · {entryNumber(item.entry.shown.shard, item.entry.shown.log_index)}</span>{' '}
                <Erased one={item.entry} entries={verified.entries} number={entryNumber} />
              </p>
              {!item.entry.good && (
                <p className="refusal">
                  <Icon name="warning" size={13} /> {t('proof.bad')}
                </p>
              )}
              {textsOf(item.entry.event).map((text) => (
                <p key={text} className="prose">
                  <SummaryText text={text} />
                </p>
              ))}
            </div>
          </li>
        ),
      )}
    </ol>
  )
}

/** What it was about and the reason that somebody gave, where the payload is there to be read. */
function textsOf(event: Record<string, unknown> | null): string[] {
  const { reason, filename, result_summary, ground } = (event?.details ?? {}) as Readonly<Record<string, unknown>>
  // A run that was cancelled says why where others say what went wrong.
  const said = reason ?? filename ?? result_summary ?? event?.error_message
  return [said, ground].filter((text) => typeof text === 'string' && text !== '') as string[]
}
