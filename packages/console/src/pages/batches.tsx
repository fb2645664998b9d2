import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type { Batch, Task } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Page, RunStateBadge, Time } from '../parts/bits.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { type Column, List } from '../parts/list.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { useTaskColumns } from '../parts/task-bits.tsx'

const STATES = ['pending', 'running', 'completed', 'failed', 'timeout', 'cancelled'] as const
/** As many as one call cancels at most. */
const CANCEL_AT_ONCE = 10_000

/** Tasks that were dispatched together, newest first, and how far each batch is. */
export function Batches() {
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const columns: Column<Batch>[] = [
    {
      name: 'title',
      title: t('batch.batch'),
      width: 'minmax(160px, 1fr)',
      show: (row) => t('batch.tasks', { count: row.total, shown: count(row.total, i18n.language) }),
    },
    { name: 'progress', title: t('batch.ended'), width: 'minmax(140px, 1fr)', show: (row) => <Progress of={row} /> },
    {
      name: 'failed',
      title: t('runState.failed'),
      width: '90px',
      right: true,
      show: (row) => {
        const bad = row.failed + row.timeout
        return <span className={bad > 0 ? 'bad' : ''}>{count(bad, i18n.language)}</span>
      },
    },
    {
      name: 'when',
      title: t('task.created'),
      width: '118px',
      right: true,
      show: (row) => <Time at={row.created_at} />,
    },
  ]
  return (
    <Page
      name={t('batch.title')}
      title={t('batch.title')}
      above={
        <Go to="tasks" className="back">
          <Icon name="left" size={13} /> {t('nav.tasks')}
        </Go>
      }
    >
      <List<Batch>
        name="batches"
        label={t('batch.title')}
        filters={{}}
        columns={columns}
        load={(cursor, signal) => client.tasks.batches({ query: { limit: 50, cursor } as { cursor: string }, signal })}
        to={(row) => `batches/${row.id}`}
        pulse={5_000}
        empty={<Empty icon="task" title={t('batch.noneTitle')} text={t('batch.noneText')} />}
      />
    </Page>
  )
}

/** One batch: how many of its tasks are in each state, and the tasks themselves. */
export function BatchPage() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const { id = '' } = useParams({ strict: false }) as { id?: string }
  const [filters, set] = useFilters()
  const [asking, setAsking] = useState(false)
  const batch = useQuery({
    queryKey: [project, 'batches', id],
    queryFn: () => client.tasks.batch({ params: { id } }),
    refetchInterval: ({ state }) => (state.data?.done ? false : 2_000),
  })
  const columns = useTaskColumns({ title: t('task.created'), at: (row) => row.created_at })
  const one = batch.data
  const open = one ? one.pending + one.running : 0
  const query = { batch: id, ...(filters.state ? { state: filters.state } : {}) }
  const name = one ? t('batch.tasks', { count: one.total, shown: count(one.total, i18n.language) }) : t('batch.batch')
  return (
    <Page
      name={name}
      title={name}
      above={
        <Go to="batches" className="back">
          <Icon name="left" size={13} /> {t('batch.title')}
        </Go>
      }
      actions={
        open > 0 &&
        can('tasks.cancelBatch') && (
          <Button variant="default" onClick={() => setAsking(true)} leftSection={<Icon name="stop" size={14} />}>
            {t('batch.cancel')}
          </Button>
        )
      }
    >
      <Answer of={batch}>
        {(found) => (
          <>
            <Progress of={found} />
            <div className="batch-states">
              {STATES.map((state) => (
                <button
                  key={state}
                  type="button"
                  className="batch-state"
                  aria-pressed={filters.state === state}
                  onClick={() => set({ state: filters.state === state ? null : state })}
                >
                  <RunStateBadge state={state} /> {count(found[state], i18n.language)}
                </button>
              ))}
            </div>
            <List<Task>
              name="tasks"
              label={t('nav.tasks')}
              filters={query}
              columns={columns}
              // The server checks what stands in the address.
              load={(cursor, signal) =>
                client.tasks.list({ query: { ...query, limit: 100, cursor } as { cursor: string }, signal })
              }
              to={(row) => `tasks/${row.number}`}
              pulse={3_000}
              empty={<Empty icon="search" title={t('list.noMatch')} text={t('batch.otherState')} />}
            />
            <Ask
              opened={asking}
              close={() => setAsking(false)}
              title={t('batch.cancelTitle')}
              verb={t('batch.cancelVerb', { count: open, shown: count(open, i18n.language) })}
              back={t('batch.keep')}
              danger
              changes={['batches', 'tasks', 'waiting', 'queues']}
              act={() => client.tasks.cancelBatch({ params: { id }, body: { limit: CANCEL_AT_ONCE } })}
            >
              <p>{t('batch.cancelText')}</p>
            </Ask>
          </>
        )}
      </Answer>
    </Page>
  )
}

/** How much of a batch has ended: what completed, what did not, and the rest. */
function Progress({ of }: { of: Batch }) {
  const { t, i18n } = useTranslation()
  const bad = of.failed + of.timeout + of.cancelled
  const ended = of.completed + bad
  const share = (n: number) => ({ inlineSize: `${of.total === 0 ? 0 : (n / of.total) * 100}%` })
  return (
    <span className="progress">
      <span className="progress-bar" aria-hidden="true">
        <span className="progress-good" style={share(of.completed)} />
        <span className="progress-bad" style={share(bad)} />
      </span>
      <span className="small">
        {t('batch.of', { ended: count(ended, i18n.language), total: count(of.total, i18n.language) })}
      </span>
    </span>
  )
}
