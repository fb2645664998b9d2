import { Select, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { HandlerInfo, Task } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { now } from '../app/clock.ts'
import { duration, roughUsd, usd } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { sayFound } from '../words/index.ts'
import { numbered, RunStateBadge, Time } from './bits.tsx'
import type { useFilters } from './go.tsx'
import type { Column } from './list.tsx'
import { ClockChange } from './local-time.tsx'
import type { Station, StationName } from './seal.ts'
import { Search } from './search.tsx'

/** The states that a task can be in; the others are those of runs on tickets. */
export const TASK_STATES = ['pending', 'running', 'completed', 'failed', 'timeout', 'cancelled'] as const

/** What tasks may name, with its contract. */
export function useHandlers() {
  const { client, project } = useSession()
  return useQuery({
    queryKey: [project, 'handlers'],
    queryFn: () => client.all('tasks.handlers'),
    staleTime: 60_000,
  })
}

export const handlerNames = (handlers: readonly HandlerInfo[] | undefined, chosen: string | undefined): string[] => [
  // One that was removed still has tasks, and may stand in an address.
  ...new Set([...(handlers ?? []).map(({ name }) => name), ...(chosen ? [chosen] : [])]),
]

/** The earlier of this time and now: what comes later than the question is not among what was counted. */
export function untilNow(time: string | undefined): string {
  const at = new Date(now()).toISOString()
  return time !== undefined && time < at ? time : at
}

type Filters = ReturnType<typeof useFilters>

/** Handler and queue, which tasks and dead letters are filtered by alike. */
export function WhatFilters({ filters: [filters, set] }: { filters: Filters }) {
  const { t } = useTranslation()
  const handlers = useHandlers()
  return (
    <>
      <Select
        aria-label={t('task.handler')}
        placeholder={t('task.anyHandler')}
        data={handlerNames(handlers.data, filters.handler)}
        value={filters.handler ?? null}
        onChange={(handler) => set({ handler })}
        clearable
        searchable
        nothingFoundMessage={t('list.none')}
        w={170}
      />
      <Search label={t('task.queue')} value={filters.queue ?? ''} set={(queue) => set({ queue })} />
    </>
  )
}

/** From when to when, in the zone of whoever looks. */
export function TimeFilters(props: { filters: Filters; from: string; to: string }) {
  const {
    filters: [filters, set],
    from,
    to,
  } = props
  return (
    <div className="filter-times">
      {([['from', from] as const, ['to', to] as const] satisfies [string, string][]).map(([name, label]) => (
        <TextInput
          key={name}
          type="datetime-local"
          label={label}
          className="filter-time"
          value={filters[name] ?? ''}
          onChange={(event) => set({ [name]: event.currentTarget.value })}
        />
      ))}
      <ClockChange of={filters.from ?? ''} />
      <ClockChange of={filters.to ?? ''} />
    </div>
  )
}

/** The columns that every list of tasks has: what, how far, how often, where, why, when; and what they cost, where some cost something. */
export function useTaskColumns(
  when: { title: string; at: (row: Task) => string | null },
  costs = false,
): Column<Task>[] {
  const { t, i18n } = useTranslation()
  // A handful of sentences for any number of rows.
  const known = new Map<string, string>()
  const attemptOf = (attempt: number, most: number): string => {
    const key = `${attempt} ${most}`
    const said = known.get(key) ?? t('task.attemptOf', { attempt, most })
    known.set(key, said)
    return said
  }
  return [
    {
      name: 'title',
      title: t('task.handler'),
      width: 'minmax(180px, 1fr)',
      show: (row) => (
        <>
          {numbered(row.number, row.handler)}
          {row.tags.slice(0, 3).map((tag) => (
            <span key={tag} className="tag tag-beside">
              {tag}
            </span>
          ))}
        </>
      ),
    },
    { name: 'state', title: t('run.state'), width: '118px', show: (row) => <RunStateBadge state={row.state} /> },
    {
      name: 'attempts',
      title: t('task.attempts'),
      width: '76px',
      right: true,
      spare: 3,
      show: (row) => attemptOf(row.attempt, row.max_attempts),
    },
    { name: 'queue', title: t('task.queue'), width: '96px', wide: true, spare: 2, show: (row) => row.queue },
    {
      name: 'error',
      title: t('task.error'),
      width: 'minmax(120px, 0.8fr)',
      show: (row) =>
        row.error_code === null ? (
          ''
        ) : (
          <span className="mono-text" title={sayFound(row.error ?? '')}>
            {row.error_code}
          </span>
        ),
    },
    {
      name: 'took',
      title: t('run.took'),
      width: '112px',
      right: true,
      wide: true,
      spare: 1,
      show: (row) =>
        row.started_at && row.completed_at
          ? duration(Date.parse(row.completed_at) - Date.parse(row.started_at), i18n.language)
          : '–',
    },
    ...(costs
      ? [
          {
            name: 'cost',
            title: t('task.cost'),
            width: '84px',
            right: true,
            wide: true,
            spare: 0,
            show: ({ cost_usd }: Task) =>
              cost_usd === null ? (
                '–'
              ) : (
                <span title={usd(cost_usd, i18n.language)}>{roughUsd(cost_usd, i18n.language)}</span>
              ),
          },
        ]
      : []),
    { name: 'when', title: when.title, width: '118px', right: true, show: (row) => <Time at={when.at(row)} /> },
  ]
}

/** Where a task stands. Nobody has to agree to one and no evidence is judged, so it passes two stations. */
export function stationsOfTask(
  task: Task,
  seal: { last_index: number | null; sealed: boolean; anchored: boolean } | undefined,
): Station[] {
  const ended = task.completed_at !== null
  const index = seal?.last_index ?? null
  return [
    { name: 'asked', state: 'done', when: task.created_at },
    { name: 'agreed', state: 'needless' },
    { name: 'ran', state: !ended ? 'now' : task.state === 'completed' ? 'done' : 'failed', when: task.started_at },
    { name: 'proved', state: ended ? 'needless' : 'open' },
    {
      name: 'sealed',
      state: !ended || !seal ? 'open' : seal.anchored ? 'witnessed' : seal.sealed ? 'done' : 'now',
      ...(index === null ? {} : { index }),
    },
  ]
}

/** What the log says of a task is how it ran. */
export const stationOfTaskEvent = (type: string): StationName => (type.startsWith('run.') ? 'ran' : 'sealed')
