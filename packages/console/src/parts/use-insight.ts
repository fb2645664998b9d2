import { useQuery } from '@tanstack/react-query'
import { now as serverNow } from '../app/clock.ts'
import { useSession } from '../app/session.tsx'
import { PERIODS, type Period } from './insight.ts'

const MINUTE = 60_000

/** How runs ended in a period, beside the period before. Asked again every half minute. */
export function useInsight(period: Period, filter: { handler?: string | undefined; queue?: string | undefined } = {}) {
  const { client, project, can } = useSession()
  const { handler, queue } = filter
  const what = { ...(handler ? { handler } : {}), ...(queue?.trim() ? { queue: queue.trim() } : {}) }
  return useQuery({
    queryKey: [project, 'insight', period, what],
    queryFn: async ({ signal }) => {
      const length = PERIODS[period] * MINUTE
      const to = Math.ceil(serverNow() / MINUTE) * MINUTE
      const ask = (from: number, until: number) =>
        client.insight.get({
          query: { from: new Date(from).toISOString(), to: new Date(until).toISOString(), ...what },
          signal,
        })
      const [now, before] = await Promise.all([ask(to - length, to), ask(to - 2 * length, to - length)])
      return { now, before }
    },
    enabled: can('insight.get'),
    refetchInterval: 30_000,
  })
}
