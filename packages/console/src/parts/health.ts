import { useQuery } from '@tanstack/react-query'
import { askReadiness } from '../app/client.ts'
import { withWords } from '../words/index.ts'

/** A part of the server (`witness w1`), and what is wrong with it, as the server says it. */
interface Trouble {
  readonly part: string
  readonly reason: string
}

/** What the server says of itself: whether it serves, and in a few words what of it does not work as it should. */
export interface Health {
  readonly state: 'ready' | 'degraded' | 'down'
  readonly troubles: readonly Trouble[]
}

async function loadHealth(signal: AbortSignal): Promise<Health> {
  const { status, checks, degraded = {} } = await askReadiness(signal)
  const said = (of: Readonly<Record<string, string>>) =>
    Object.entries(of).flatMap(([part, reason]) => (reason === 'ok' ? [] : [{ part, reason }]))
  const troubles = [...said(checks), ...said(degraded)]
  // What is wrong is told with words that the first page leaves out.
  if (troubles.length > 0) await withWords(async () => {})
  return { state: status !== 'ready' ? 'down' : troubles.length > 0 ? 'degraded' : 'ready', troubles }
}

export const useHealth = () =>
  useQuery({ queryKey: ['health'], queryFn: ({ signal }) => loadHealth(signal), refetchInterval: 30_000 })
