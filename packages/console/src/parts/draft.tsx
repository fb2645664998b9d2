import { useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { drafts } from '../app/drafts.ts'
import { useSession } from '../app/session.tsx'

/** What a form holds, kept from its first key to its sending. */
export interface Draft<T> {
  readonly value: T
  /** Another value; of several in one event each is made of the one before. */
  write(next: T | ((before: T) => T)): void
  /** Whether it was begun before this form was opened. */
  readonly begun: boolean
  /** Counts how often it began anew: fields that keep a text of their own are other fields then. */
  readonly turn: number
  startOver(): void
  /** It was sent, or given up. What was typed since `sent` was read is the next one. */
  done(sent?: T): void
}

/**
 * The draft of one thing, for whoever looks at this project (see app/drafts.ts). `keep` says what of a value is kept when the form is left:
 * passwords are not.
 */
export function useDraft<T>(thing: string, first: T, keep: (value: T) => T = (value) => value): Draft<T> {
  const { me, project } = useSession()
  const of = { person: me.id, project, thing }
  const [blank] = useState(first)
  const read = (turn: number) => {
    // Of this thing nothing else is ever kept.
    const before = drafts.get(of) as T | undefined
    return { thing, value: before ?? blank, begun: before !== undefined, turn }
  }
  const [held, hold] = useState(() => read(0))
  const latest = useRef(held.value)
  let now = held
  if (held.thing !== thing) {
    // The same place, about something else: what was begun about the other is not about this.
    now = read(held.turn + 1)
    latest.current = now.value
    hold(now)
  }
  return {
    ...now,
    write(next) {
      latest.current = typeof next === 'function' ? (next as (before: T) => T)(latest.current) : next
      const value = latest.current
      drafts.set(of, keep(value), keep(blank))
      hold((before) => ({ ...before, value }))
    },
    startOver() {
      latest.current = blank
      drafts.drop(of)
      hold((before) => ({ ...before, value: blank, begun: false, turn: before.turn + 1 }))
    },
    done(sent) {
      if (sent !== undefined && sent !== latest.current) return
      drafts.drop(of)
      hold((before) => ({ ...before, begun: false }))
    },
  }
}

/** Says that a form holds what was begun earlier, and how to begin anew. */
export function Begun({ of: { begun, startOver } }: { of: Pick<Draft<unknown>, 'begun' | 'startOver'> }) {
  const { t } = useTranslation()
  if (!begun) return null
  return (
    <p className="small dimmed" role="status">
      {t('form.begun')}{' '}
      <button type="button" className="link" onClick={startOver}>
        {t('form.startOver')}
      </button>
    </p>
  )
}
