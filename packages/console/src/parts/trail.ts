import { useQuery } from '@tanstack/react-query'
import { useSession } from '../app/session.tsx'
import type { VerifiedTrail } from '../proof/verify-trail.ts'

/** What proves a ticket or a run, fetched and verified here; the verifier and its cryptography are loaded with it. */
export function useTrail(subject: 'ticket' | 'run', number: number | undefined) {
  const { client, project } = useSession()
  return useQuery({
    queryKey: [project, 'trail', subject, number],
    enabled: number !== undefined,
    queryFn: async ({ signal }) => {
      const [trail, { verifyTrail }, { primitives, verifyEd25519 }] = await Promise.all([
        client.evidence.trail({ query: { subject, id: String(number) }, signal }),
        import('../proof/verify-trail.ts'),
        import('../proof/primitives.ts'),
      ])
      return { trail, verified: await verifyTrail(trail, { ...primitives, verifyEd25519 }) }
    },
    // As with seals: what has no proof yet has one a moment later.
    refetchInterval: ({ state }) => {
      const shown = state.data?.trail
      return shown && (shown.pending > 0 || shown.entries.some(({ hashes }) => hashes === null)) ? 2_000 : false
    },
  })
}

/** Whether something of it was checked and does not fit; what is not known yet is not broken. */
export const isBroken = (verified: VerifiedTrail | undefined): boolean =>
  verified?.entries.some(({ good }) => !good) === true
