import { Button, Select, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Run } from '@writ/api'
import { useCallback, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration } from '../app/format.ts'
import { instantOf } from '../app/local-time.ts'
import { useSession } from '../app/session.tsx'
import { numbered, Page, Person, RunStateBadge, Time } from '../parts/bits.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { type Column, List } from '../parts/list.tsx'
import { AskRuns, type RunChoice } from '../parts/run-many.tsx'
import { Views } from '../parts/saved-views.tsx'
import { stationsOfRun } from '../parts/seal.ts'
import { SealLine } from '../parts/seal-line.tsx'
import { useSeals } from '../parts/seals.ts'
import { Search } from '../parts/search.tsx'
import { Empty } from '../parts/states.tsx'
import { TimeFilters, untilNow } from '../parts/task-bits.tsx'

export const RUN_STATES = [
  'pending',
  'running',
  'waiting_approval',
  'waiting_tool',
  'completed',
  'failed',
  'cancelled',
  'timeout',
] as const

export function Runs() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const all = useFilters()
  const [filters, set] = all
  const [asking, setAsking] = useState<{ act: 'cancel' | 'verify'; choice: RunChoice } | null>(null)
  const [said, setSaid] = useState<string | null>(null)
  const [numbers, setNumbers] = useState<readonly number[]>([])
  const seals = useSeals('run', numbers)
  const query: Record<string, string> = Object.fromEntries(
    Object.entries({
      state: filters.state,
      verdict: filters.verdict,
      script_id: filters.script_id,
      ticket_id: filters.ticket_id,
      asset_id: filters.asset_id,
      q: filters.q?.trim(),
      created_after: instantOf(filters.from),
      created_before: instantOf(filters.to),
    }).flatMap(([name, value]) => (value ? [[name, value]] : [])),
  )
  const scripts = useQuery({ queryKey: [project, 'scripts'], queryFn: () => client.rules.scripts(), staleTime: 60_000 })
  // What is done to many is bounded by more than how they stand.
  const { state, verdict, ...choice } = query
  const chosen = Object.keys(choice).length > 0
  const waits = state === undefined ? verdict === undefined : state === 'pending'
  const ended = state === undefined || ['completed', 'failed', 'timeout'].includes(state)
  const ask = (act: 'cancel' | 'verify') =>
    setAsking({
      act,
      choice: { ...(act === 'cancel' ? choice : query), created_before: untilNow(choice.created_before) },
    })
  const views: [string, Record<string, string>][] = [
    ['all', {}],
    ['waiting', { state: 'pending' }],
    ['bad', { verdict: 'failed' }],
    ['broken', { state: 'failed' }],
  ]
  const columns: Column<Run>[] = [
    {
      name: 'title',
      title: t('run.title'),
      width: 'minmax(190px, 1fr)',
      show: (row) => numbered(row.number, row.script_id ?? t('run.defaultScript')),
    },
    {
      name: 'state',
      title: t('run.state'),
      width: '150px',
      show: (row) => <RunStateBadge state={row.state} verdict={row.verdict} />,
    },
    {
      name: 'seal',
      title: t('seal.short'),
      width: '118px',
      show: (row) => <SealLine stations={stationsOfRun(row, undefined, {}, seals.get(row.number))} />,
    },
    {
      name: 'ticket',
      title: t('run.ticket'),
      width: '80px',
      show: (row) => (
        <Go to={`tickets/${row.ticket_number}`} className="above">
          {`#${row.ticket_number}`}
        </Go>
      ),
    },
    {
      name: 'by',
      title: t('run.by'),
      width: '110px',
      wide: true,
      spare: 1,
      show: (row) => <Person id={row.executed_by_id} number={row.executed_by_number} />,
    },
    {
      name: 'took',
      title: t('run.took'),
      width: '112px',
      right: true,
      wide: true,
      spare: 2,
      show: (row) =>
        row.started_at && row.completed_at
          ? duration(Date.parse(row.completed_at) - Date.parse(row.started_at), i18n.language)
          : '–',
    },
    {
      name: 'when',
      title: t('run.when'),
      width: '118px',
      right: true,
      show: (row) => <Time at={row.created_at} />,
    },
  ]
  return (
    <Page
      name={t('nav.runs')}
      title={t('nav.runs')}
      actions={
        chosen && (
          <>
            {can('runs.verifyMany') && ended && (
              <Button variant="default" onClick={() => ask('verify')} leftSection={<Icon name="refresh" size={14} />}>
                {t('many.verify')}
              </Button>
            )}
            {can('runs.cancelMany') && waits && (
              <Button variant="default" onClick={() => ask('cancel')} leftSection={<Icon name="stop" size={14} />}>
                {t('many.cancel')}
              </Button>
            )}
          </>
        )
      }
    >
      {said !== null && (
        <p className="summary" role="status">
          {said}
        </p>
      )}
      <Views to="runs" views={views.map(([name, view]) => [t(`runView.${name}` as 'runView.all'), view])} />
      <div className="filters filters-runs">
        <Select
          aria-label={t('run.state')}
          placeholder={t('run.anyState')}
          data={RUN_STATES.map((value) => ({ value, label: t(`runState.${value}`) }))}
          value={filters.state ?? null}
          onChange={(state) => set({ state })}
          clearable
          w={140}
        />
        <Select
          aria-label={t('run.verdict')}
          placeholder={t('run.anyVerdict')}
          data={(['passed', 'failed'] as const).map((value) => ({ value, label: t(`verdict.${value}`) }))}
          value={filters.verdict ?? null}
          onChange={(verdict) => set({ verdict })}
          clearable
          w={140}
        />
        <Select
          aria-label={t('run.script')}
          placeholder={t('run.anyScript')}
          // One that is gone still has runs, and may stand in an address.
          data={[
            ...new Set([...(scripts.data ?? []).map(({ script_id }) => script_id), filters.script_id ?? '']),
          ].filter(Boolean)}
          value={filters.script_id ?? null}
          onChange={(script_id) => set({ script_id })}
          clearable
          searchable
          nothingFoundMessage={t('list.none')}
          w={170}
        />
        {(
          [
            ['ticket_id', t('run.ticketNumber')],
            ['asset_id', t('run.assetNumber')],
          ] as const
        ).map(([name, label]) => (
          <TextInput
            key={name}
            aria-label={label}
            placeholder={label}
            inputMode="numeric"
            value={filters[name] ?? ''}
            onChange={(event) => set({ [name]: event.currentTarget.value.replace(/\D/g, '') })}
            w={132}
          />
        ))}
        <Search label={t('run.search')} value={filters.q ?? ''} set={(q) => set({ q })} />
        <TimeFilters filters={all} from={t('task.from')} to={t('task.to')} />
      </div>
      {query.q && <p className="dimmed small searched">{t('run.searched')}</p>}
      <List<Run>
        name="runs"
        label={t('nav.runs')}
        filters={query}
        columns={columns}
        // As with tickets: the server checks what stands in the address.
        load={(cursor, signal) =>
          client.runs.list({ query: { ...query, limit: 100, cursor } as { cursor: string }, signal })
        }
        reload={useCallback((id: string) => client.runs.get({ params: { id } }), [client])}
        to={(row) => `runs/${row.number}`}
        adds="run.created"
        changes="run."
        onRows={useCallback((rows: readonly Run[]) => setNumbers(rows.map(({ number }) => number)), [])}
        empty={
          Object.keys(query).length > 0 ? (
            <Empty icon="search" title={t('list.noMatch')} text={<Go to="runs">{t('list.clear')}</Go>} />
          ) : (
            <Empty icon="run" title={t('run.noneTitle')} text={t('run.noneText')} />
          )
        }
      />
      {asking && <AskRuns {...asking} close={() => setAsking(null)} said={setSaid} />}
    </Page>
  )
}
