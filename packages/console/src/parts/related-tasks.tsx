import { useQuery } from '@tanstack/react-query'
import type { Task, TaskDetail } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { RunStateBadge, Section } from './bits.tsx'
import { Go } from './go.tsx'
import { Answer } from './states.tsx'
import { StateCounts } from './task-totals.tsx'

/** More are a list of their own. */
const SHOWN = 5
const LOOK_MS = 2_000

/** The tasks that it begins after, and those that its work dispatched. Nothing where there are neither. */
export function RelatedTasks({ task }: { task: TaskDetail }) {
  return (
    <>
      {task.depends_on.length > 0 && <Dependencies task={task} />}
      <Children task={task} />
    </>
  )
}

function Dependencies({ task }: { task: TaskDetail }) {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const known = task.depends_on_numbers.filter((number) => number !== null)
  const shown = known.slice(0, SHOWN)
  const found = useQuery({
    queryKey: [project, 'task', 'depends', task.id, shown],
    queryFn: ({ signal }) => Promise.all(shown.map((id) => client.tasks.get({ params: { id }, signal }))),
    refetchInterval: task.waiting_for === 'dependencies' ? LOOK_MS : false,
  })
  const more = task.depends_on.length - shown.length
  return (
    <Section title={t('task.dependsOn')}>
      <Answer of={found} lines={1}>
        {(rows) => <Rows rows={rows} />}
      </Answer>
      {more > 0 && <p className="dimmed small">{t('task.othersMore', { tasks: count(more, i18n.language) })}</p>}
    </Section>
  )
}

function Children({ task }: { task: TaskDetail }) {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const query = { parent: String(task.number) }
  const found = useQuery({
    queryKey: [project, 'task', 'children', task.id],
    queryFn: async ({ signal }) => {
      const items = await client.tasks.list({ query: { ...query, limit: SHOWN }, signal })
      // Most tasks dispatch none, and then there is nothing to count.
      return { items, totals: items.length === 0 ? null : await client.tasks.totals({ query, signal }) }
    },
    refetchInterval: ({ state }) => (isOver(task, state.data?.totals ?? null) ? false : LOOK_MS),
  })
  if (!found.data?.totals) return null
  const { items, totals } = found.data
  return (
    <Section title={t('task.children')}>
      <div className="related">
        <p className="totals small">
          <StateCounts states={totals.states} />
        </p>
        <Rows rows={items} />
        {totals.tasks > items.length && (
          <p className="small">
            <Go to="tasks" filters={query}>
              {t('task.childrenAll', { tasks: count(totals.tasks, i18n.language) })}
            </Go>
          </p>
        )}
      </div>
    </Section>
  )
}

/** Whether nothing about its children changes any more. */
const isOver = (task: TaskDetail, totals: { states: readonly { state: string }[] } | null) =>
  task.completed_at !== null &&
  (totals === null || !totals.states.some(({ state }) => state === 'pending' || state === 'running'))

function Rows({ rows }: { rows: readonly Task[] }) {
  return (
    <ol className="path">
      {rows.map((one) => (
        <li key={one.id}>
          <Go to={`tasks/${one.number}`}>#{one.number}</Go>
          <RunStateBadge state={one.state} />
          <span className="dimmed small breaks">{one.handler}</span>
        </li>
      ))}
    </ol>
  )
}
