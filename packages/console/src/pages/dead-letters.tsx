import { Button } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { DeadFilter, NotReplayed, Task } from '@writ/api'
import type { Client } from '@writ/sdk'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { now } from '../app/clock.ts'
import { count, exactTime } from '../app/format.ts'
import { instantOf } from '../app/local-time.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Page } from '../parts/bits.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { type Column, List } from '../parts/list.tsx'
import { Views } from '../parts/saved-views.tsx'
import { Search } from '../parts/search.tsx'
import { Answer, Empty } from '../parts/states.tsx'
import { ReplayOne } from '../parts/task-acts.tsx'
import { TimeFilters, useTaskColumns, WhatFilters } from '../parts/task-bits.tsx'
import { sumOf, useNotReplayed } from '../parts/task-many.tsx'

/** As many as one call replays at most. */
const REPLAY_AT_ONCE = 1_000

/** Tasks that failed for good and wait for a decision. */
export function DeadLetters() {
  const { client, can } = useSession()
  const { t, i18n } = useTranslation()
  const all = useFilters()
  const [filters, set] = all
  const [one, setOne] = useState<Task | null>(null)
  const [asking, setAsking] = useState<{ act: 'replay' | 'purge'; filter: DeadFilter } | null>(null)
  const [said, setSaid] = useState<string | null>(null)
  const sayPassed = useNotReplayed()
  const base = useTaskColumns({ title: t('dead.died'), at: (row) => row.dead_at })
  const query: Record<string, string> = Object.fromEntries(
    Object.entries({
      handler: filters.handler,
      queue: filters.queue?.trim(),
      error_code: filters.error_code?.trim(),
      died_after: instantOf(filters.from),
      died_before: instantOf(filters.to),
    }).flatMap(([name, value]) => (value ? [[name, value]] : [])),
  )
  if (!can('deadLetters.list'))
    return (
      <Page name={t('nav.dead')} title={t('nav.dead')}>
        <Empty icon="hand" title={t('error.denied')} text={t('dead.denied')} />
      </Page>
    )
  const columns: Column<Task>[] = [
    ...base.filter(({ name }) => name !== 'took'),
    ...(can('deadLetters.replay')
      ? [
          {
            name: 'act',
            title: '',
            width: '86px',
            right: true,
            show: (row: Task) => (
              <Button
                size="compact-xs"
                variant="default"
                className="above"
                aria-label={t('task.replayTitle', { number: row.number })}
                onClick={() => setOne(row)}
              >
                {t('task.replay')}
              </Button>
            ),
          },
        ]
      : []),
  ]
  // Fixed when it is asked: what dies later is not among those that were counted.
  const filterNow = (): DeadFilter => ({ ...query, died_before: query.died_before ?? new Date(now()).toISOString() })
  return (
    <Page
      name={t('nav.dead')}
      title={t('nav.dead')}
      actions={
        <>
          {can('deadLetters.purge') && (
            <Button variant="default" onClick={() => setAsking({ act: 'purge', filter: filterNow() })}>
              {t('dead.purge')}
            </Button>
          )}
          {can('deadLetters.replayMany') && (
            <Button
              onClick={() => setAsking({ act: 'replay', filter: filterNow() })}
              leftSection={<Icon name="refresh" size={14} />}
            >
              {t('dead.replayAll')}
            </Button>
          )}
        </>
      }
    >
      {said !== null && (
        <p className="summary" role="status">
          {said}
        </p>
      )}
      <Views to="dead-letters" views={[[t('taskView.all'), {}]]} />
      <div className="filters filters-tasks">
        <WhatFilters filters={all} />
        <Search label={t('dead.code')} value={filters.error_code ?? ''} set={(error_code) => set({ error_code })} />
        <TimeFilters filters={all} from={t('dead.diedFrom')} to={t('dead.diedTo')} />
      </div>
      <List<Task>
        name="dead-letters"
        label={t('nav.dead')}
        filters={query}
        columns={columns}
        load={(cursor, signal) =>
          client.deadLetters.list({ query: { ...query, limit: 100, cursor } as { cursor: string }, signal })
        }
        to={(row) => `tasks/${row.number}`}
        pulse={5_000}
        empty={
          Object.keys(query).length > 0 ? (
            <Empty icon="search" title={t('list.noMatch')} text={<Go to="dead-letters">{t('list.clear')}</Go>} />
          ) : (
            <Empty icon="dead" title={t('dead.noneTitle')} text={t('dead.noneText')} />
          )
        }
      />
      <ReplayOne task={one} close={() => setOne(null)} />
      {asking && (
        <AskMany
          act={asking.act}
          filter={asking.filter}
          close={() => setAsking(null)}
          said={(done, left, passed) =>
            setSaid(
              asking.act === 'purge'
                ? t('dead.purged', { count: done })
                : [
                    t('dead.replayed', { done: count(done, i18n.language), left: count(left, i18n.language) }),
                    ...passed.map(sayPassed),
                  ].join(' '),
            )
          }
        />
      )}
    </Page>
  )
}

/** Replays what the filter takes, a thousand at a time, and no more than were counted. Stopped in between, some were replayed and left the list. */
async function replayAll(client: Client, filter: DeadFilter, most: number) {
  let done = 0
  let left = most
  let passed: readonly NotReplayed[] = []
  while (done < most && left > 0) {
    const limit = Math.min(REPLAY_AT_ONCE, most - done)
    const answer = await client.deadLetters.replayMany({ body: { ...filter, limit } })
    left = answer.left
    passed = answer.not_replayed
    if (answer.replayed.length === 0) break
    done += answer.replayed.length
  }
  return { done, left, passed }
}

/** Says how many and which, before any of them is touched. */
function AskMany(props: {
  act: 'replay' | 'purge'
  filter: DeadFilter
  close: () => void
  said: (done: number, left: number, passed: readonly NotReplayed[]) => void
}) {
  const { act, filter, close, said } = props
  const { client, project } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const say = useNotReplayed()
  const preview = useQuery({
    queryKey: ['dead-preview', project, filter],
    queryFn: () => client.deadLetters.preview({ body: filter }),
    gcTime: 0,
  })
  const passed = act === 'replay' ? (preview.data?.not_replayed ?? []) : []
  const found = preview.data && preview.data.count - sumOf(passed)
  const title = t(`dead.${act}Title`, { count: found ?? 0 })
  return (
    <Ask
      opened
      close={close}
      danger={act === 'purge'}
      title={found === undefined ? t('dead.counting') : title}
      verb={title}
      ready={found !== undefined && found > 0}
      act={async () => {
        if (act === 'purge') said((await client.deadLetters.purge({ body: filter })).purged, 0, [])
        else {
          const { done, left, passed } = await replayAll(client, filter, found ?? 0)
          said(done, left, passed)
        }
        for (const name of ['dead-letters', 'tasks', 'waiting', 'queues'])
          void queries.invalidateQueries({ queryKey: [project, name] })
      }}
    >
      <Answer of={preview} lines={2}>
        {() =>
          found === 0 ? (
            <p>{[t('dead.nothing'), ...passed.map(say)].join(' ')}</p>
          ) : (
            <>
              <p>
                <Which filter={filter} />
              </p>
              {passed.length > 0 && <p>{passed.map(say).join(' ')}</p>}
              <p className="dimmed">{t(`dead.${act}Text`)}</p>
            </>
          )
        }
      </Answer>
    </Ask>
  )
}

/** The filter as a sentence: what would be taken, and nothing else. */
function Which({ filter }: { filter: DeadFilter }) {
  const { t, i18n } = useTranslation()
  const time = (at: string) => exactTime(Date.parse(at), i18n.language)
  const parts = [
    t('dead.which'),
    filter.handler && t('dead.ofHandler', { handler: filter.handler }),
    filter.queue && t('dead.onQueue', { queue: filter.queue }),
    filter.error_code && t('dead.withCode', { code: filter.error_code }),
    filter.died_after && filter.died_before
      ? t('dead.between', { from: time(filter.died_after), to: time(filter.died_before) })
      : filter.died_before && t('dead.until', { to: time(filter.died_before) }),
  ].filter(Boolean)
  return <>{parts.join(i18n.language === 'zh-CN' ? '，' : ' ')}</>
}
