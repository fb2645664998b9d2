import { useQuery } from '@tanstack/react-query'
import type { Seal } from '@writ/api'
import { useSession } from '../app/session.tsx'

/** How far the tickets or runs of a list are sealed, asked for all of them at once. */
export function useSeals(subject: 'ticket' | 'run', numbers: readonly number[]): ReadonlyMap<number, Seal> {
  const { client, project } = useSession()
  // The newest hundred: further down nothing changes any more, and the page of a thing says it.
  const ids = numbers.slice(0, 100).join(',')
  const seals = useQuery({
    queryKey: [project, 'seals', subject, ids],
    enabled: ids !== '',
    queryFn: () => client.evidence.seals({ query: { subject, ids } }),
    // An event is told of when it has its place; the checkpoint over it follows a moment later, and nobody tells of that.
    refetchInterval: ({ state }) =>
      state.data?.some((one) => !one.sealed && one.entries + one.pending > 0) ? 2_000 : false,
    placeholderData: (before: Seal[] | undefined) => before,
  })
  return new Map((seals.data ?? []).map((one) => [one.number, one]))
}
