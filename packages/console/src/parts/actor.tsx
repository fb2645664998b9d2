import { useTranslation } from 'react-i18next'
import { useMembers } from '../app/members.tsx'
import type { VerifiedTrail } from '../proof/verify-trail.ts'
import { Person } from './bits.tsx'

type Acted = Pick<VerifiedTrail['entries'][number], 'entry' | 'event'>

/** Whether somebody did it: the server itself is nobody. */
export const hasActor = ({ entry }: Acted): boolean => entry?.actor.kind === 'user' || entry?.actor.kind === 'token'

/**
 * Who did what an entry is about. The entry names a person or a token by an id that says nothing; whose token it was is in the payload,
 * for whoever is given it.
 */
export function Actor({ of }: { of: Acted }) {
  const { t } = useTranslation()
  const members = useMembers()
  if (!of.entry || !hasActor(of)) return null
  const { kind, id } = of.entry.actor
  if (kind === 'user') return <Person id={id} />
  const name = of.event?.actor_username
  if (typeof name !== 'string') return <span className="person">{t('person.aToken')}</span>
  const owner = [...members.values()].find(({ username }) => username === name)
  return owner ? (
    <Person id={id} number={owner.user_number} />
  ) : (
    <span className="person">{t('person.token', { name })}</span>
  )
}
