import { useQuery } from '@tanstack/react-query'
import type { RunState } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { count, usd } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { RunStateBadge } from './bits.tsx'

/** What somebody's own tasks came to, for whom Insight, which tells of everybody's, is closed. */
export function TaskTotals({ query }: { query: Readonly<Record<string, string>> }) {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const totals = useQuery({
    queryKey: [project, 'task-totals', query],
    queryFn: ({ signal }) => client.tasks.totals({ query, signal }),
    enabled: !can('insight.get'),
    refetchInterval: 30_000,
  })
  // A filter that the server refuses is told by the list.
  if (!totals.data || totals.data.tasks === 0) return null
  const { states, tasks, cost_usd } = totals.data
  return (
    <p className="totals small">
      <span className="dimmed">{t('task.totals', { tasks: count(tasks, i18n.language) })}</span>
      <StateCounts states={states} />
      {cost_usd > 0 && (
        <span>
          {t('task.cost')} {usd(cost_usd, i18n.language)}
        </span>
      )}
    </p>
  )
}

/** How many tasks are in each state. */
export function StateCounts({ states }: { states: readonly { readonly state: RunState; readonly tasks: number }[] }) {
  const { i18n } = useTranslation()
  return states.map((one) => (
    <span key={one.state}>
      <RunStateBadge state={one.state} /> {count(one.tasks, i18n.language)}
    </span>
  ))
}
