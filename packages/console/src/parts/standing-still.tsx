import type { ReactNode } from 'react'
import { Person, Time } from './bits.tsx'
import { InLog } from './in-log.tsx'

/**
 * Who made something stand still, since when and why, with the way to its entries. Of what stood still before that was kept nothing is said
 * but where the log tells it.
 */
export function StandingStill(props: {
  at: string | null
  /** The person's id; `by` stands in for somebody else. */
  byId: string | null
  by?: ReactNode
  reason: string | null
  event: string
}) {
  const { at, byId, by, reason, event } = props
  return (
    <span className="small standing-still">
      {at !== null && (
        <span className="dimmed">
          {by ?? <Person id={byId} />} · <Time at={at} />{' '}
        </span>
      )}
      <InLog filters={{ event_type: event }} />
      {reason !== null && <q className="breaks">{reason}</q>}
    </span>
  )
}
