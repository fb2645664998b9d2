import { Button, Select } from '@mantine/core'
import type { Task } from '@writ/api'
import { useCallback, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { instantOf } from '../app/local-time.ts'
import { useSession } from '../app/session.tsx'
import { Page } from '../parts/bits.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { List } from '../parts/list.tsx'
import { Views } from '../parts/saved-views.tsx'
import { Search } from '../parts/search.tsx'
import { Empty } from '../parts/states.tsx'
import { TASK_STATES, TimeFilters, untilNow, useTaskColumns, WhatFilters } from '../parts/task-bits.tsx'
import { AskTasks, type TaskChoice } from '../parts/task-many.tsx'
import { TaskTotals } from '../parts/task-totals.tsx'

const VIEWS = [
  ['all', {}],
  ['waiting', { state: 'pending' }],
  ['running', { state: 'running' }],
  ['failed', { state: 'failed' }],
] as const

/** What somebody types as an amount, if it is one. */
const dollarsOf = (text: string | undefined) => /^\s*\$?\s*([0-9]{1,9}(?:\.[0-9]{0,9})?)\s*$/.exec(text ?? '')?.[1]

/** Every task that the person may see, newest first. */
export function Tasks() {
  const { client, can, me } = useSession()
  const { t } = useTranslation()
  const all = useFilters()
  const [asking, setAsking] = useState<{ act: 'cancel' | 'replay'; choice: TaskChoice } | null>(null)
  const [said, setSaid] = useState<string | null>(null)
  const [filters, set] = all
  const [costs, setCosts] = useState(false)
  const [keyed, setKeyed] = useState(false)
  /** Who dispatched something that was shown, by their ids. */
  const [people, setPeople] = useState<ReadonlyMap<string, string>>(new Map())
  const onRows = useCallback((rows: readonly Task[]) => {
    setCosts(rows.some((row) => row.cost_usd !== null))
    setKeyed(rows.some((row) => row.concurrency_key !== null))
    setPeople((before) => {
      const met = new Map(before)
      for (const { executed_by_id: id, executed_by_username: name } of rows) if (id && name) met.set(id, name)
      return met.size === before.size ? before : met
    })
  }, [])
  const columns = useTaskColumns({ title: t('task.created'), at: (row) => row.created_at }, costs)
  const times = { created_after: instantOf(filters.from), created_before: instantOf(filters.to) }
  const query: Record<string, string> = Object.fromEntries(
    Object.entries({
      state: filters.state,
      handler: filters.handler,
      queue: filters.queue?.trim(),
      tag: filters.tag?.trim(),
      concurrency_key: filters.key?.trim(),
      executed_by_id: filters.by,
      parent: filters.parent?.trim(),
      cost_min: dollarsOf(filters.cost),
      q: filters.q?.trim(),
      ...times,
    }).flatMap(([name, value]) => (value ? [[name, value]] : [])),
  )
  // What is done to many is bounded by a filter, which a state alone or a search is not.
  const { state, q, ...choice } = query
  const chosen = Object.keys(choice).length > 0 && q === undefined && query.parent === undefined
  const ended = state !== undefined && !['pending', 'running'].includes(state)
  const ask = (act: 'cancel' | 'replay') =>
    setAsking({
      act,
      choice: {
        ...choice,
        ...(choice.cost_min ? { cost_min: Number(choice.cost_min) } : {}),
        ...(act === 'replay' || !ended ? (state ? { state } : {}) : {}),
        created_before: untilNow(choice.created_before),
      },
    })
  const many = (
    <>
      {can('tasks.replayMany') && chosen && ended && (
        <Button variant="default" onClick={() => ask('replay')} leftSection={<Icon name="refresh" size={14} />}>
          {t('dead.replayAll')}
        </Button>
      )}
      {can('tasks.cancelMany') && chosen && !ended && (
        <Button variant="default" onClick={() => ask('cancel')} leftSection={<Icon name="stop" size={14} />}>
          {t('many.cancel')}
        </Button>
      )}
    </>
  )
  const dispatch = can('tasks.submit') && (
    <Button component={Go} to="tasks/new" leftSection={<Icon name="plus" size={14} />}>
      {t('dispatch.new')}
    </Button>
  )
  return (
    <Page
      name={t('nav.tasks')}
      title={t('nav.tasks')}
      actions={
        <>
          {many}
          <Button component={Go} to="batches" variant="default">
            {t('batch.title')}
          </Button>
          {dispatch}
        </>
      }
    >
      {said !== null && (
        <p className="summary" role="status">
          {said}
        </p>
      )}
      <Views to="tasks" views={VIEWS.map(([name, view]) => [t(`taskView.${name}`), { ...view }])} />
      <div className="filters filters-tasks">
        <Select
          aria-label={t('run.state')}
          placeholder={t('run.anyState')}
          data={TASK_STATES.map((value) => ({ value, label: t(`runState.${value}`) }))}
          value={filters.state ?? null}
          onChange={(state) => set({ state })}
          clearable
          w={140}
        />
        <WhatFilters filters={all} />
        {(filters.by !== undefined || [...people.keys()].some((id) => id !== me.id)) && (
          <Select
            aria-label={t('task.by')}
            placeholder={t('ticket.everybody')}
            data={[...new Map([[filters.by ?? me.id, '…'], ...people, [me.id, t('task.mine')]])].map(
              ([value, label]) => ({ value, label }),
            )}
            value={filters.by ?? null}
            onChange={(by) => set({ by })}
            clearable
            w={150}
          />
        )}
        <Search label={t('task.tag')} value={filters.tag ?? ''} set={(tag) => set({ tag })} />
        {(keyed || filters.key !== undefined) && (
          <Search label={t('task.concurrencyKey')} value={filters.key ?? ''} set={(key) => set({ key })} />
        )}
        {filters.parent !== undefined && (
          <Search label={t('task.parent')} value={filters.parent} set={(parent) => set({ parent })} />
        )}
        {(costs || filters.cost !== undefined) && (
          <Search
            label={t('task.costMin')}
            short={t('task.costMinShort')}
            value={filters.cost ?? ''}
            set={(cost) => set({ cost })}
          />
        )}
        <Search label={t('task.search')} value={filters.q ?? ''} set={(q) => set({ q })} />
        <TimeFilters filters={all} from={t('task.from')} to={t('task.to')} />
      </div>
      <TaskTotals query={query} />
      {query.q && <p className="dimmed small searched">{t('task.searched')}</p>}
      <List<Task>
        name="tasks"
        label={t('nav.tasks')}
        filters={query}
        columns={columns}
        // The server checks what stands in the address.
        load={(cursor, signal) =>
          client.tasks.list({ query: { ...query, limit: 100, cursor } as { cursor: string }, signal })
        }
        reload={useCallback((id: string) => client.tasks.get({ params: { id } }), [client])}
        to={(row) => `tasks/${row.number}`}
        onRows={onRows}
        changes="run."
        // A task enters the log when it ends: that one was dispatched or begun is not told, but asked.
        pulse={3_000}
        empty={
          Object.keys(query).length > 0 ? (
            <Empty icon="search" title={t('list.noMatch')} text={<Go to="tasks">{t('list.clear')}</Go>} />
          ) : (
            <Empty icon="task" title={t('task.noneTitle')} text={t('task.noneText')}>
              {dispatch}
            </Empty>
          )
        }
      />
      {asking && <AskTasks {...asking} close={() => setAsking(null)} said={setSaid} />}
    </Page>
  )
}
