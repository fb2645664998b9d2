import { useQuery } from '@tanstack/react-query'

/** What the server says of itself: whether it serves, and in a few words what of it does not work as it should. */
export interface Health {
  readonly state: 'ready' | 'degraded' | 'down'
  readonly troubles: readonly string[]
}

interface Readiness {
  readonly status: string
  readonly checks: Readonly<Record<string, string>>
  readonly degraded?: Readonly<Record<string, string>>
}

/** Asks `/readyz`, which stands beside the API; a proxy that keeps it to itself leaves this without an answer. */
async function loadHealth(signal: AbortSignal): Promise<Health> {
  const answer = await fetch('/readyz', { signal })
  const { status, checks, degraded = {} } = (await answer.json()) as Readiness
  const said = (of: Readonly<Record<string, string>>) =>
    Object.entries(of).flatMap(([part, reason]) => (reason === 'ok' ? [] : [`${part}: ${reason}`]))
  const troubles = [...said(checks), ...said(degraded)]
  return { state: status !== 'ready' ? 'down' : troubles.length > 0 ? 'degraded' : 'ready', troubles }
}

export const useHealth = () =>
  useQuery({ queryKey: ['health'], queryFn: ({ signal }) => loadHealth(signal), refetchInterval: 30_000 })
