import type { ReactNode } from 'react'
import { Person, Time } from './bits.tsx'
import { InLog } from './in-log.tsx'

/**
 * Who made something stand still, since when and why, with the way to its entries. Of what stood still before that was kept nothing is said
 * but where the log tells it.
 */
export function StandingStill(props: {
  at: string | null
  /** The person's id, null of the server; `by` stands in for somebody else. */
  byId: string | null
  by?: ReactNode
  reason: string | null
  /** Which entries tell of it. */
  log: Readonly<Record<string, string>>
}) {
  const { at, byId, by, reason, log } = props
  const who = by ?? (byId === null ? null : <Person id={byId} />)
  return (
    <span className="small standing-still">
      {at !== null && (
        <span className="dimmed">
          {who} {who && '·'} <Time at={at} />{' '}
        </span>
      )}
      <InLog filters={log} />
      {reason !== null && <q className="breaks">{reason}</q>}
    </span>
  )
}
