import { Button, SegmentedControl, Select } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Ticket } from '@writ/api'
import { useCallback, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { firstOf } from '../app/client.ts'
import { useSession } from '../app/session.tsx'
import { numbered, Page, Person, TicketBadge, Time } from '../parts/bits.tsx'
import { Go, useFilters, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { type Column, List } from '../parts/list.tsx'
import { plainText } from '../parts/plain-text.ts'
import { Views } from '../parts/saved-views.tsx'
import { stationsOfTicket } from '../parts/seal.ts'
import { SealLine } from '../parts/seal-line.tsx'
import { useSeals } from '../parts/seals.ts'
import { Search } from '../parts/search.tsx'
import { Answer, Empty } from '../parts/states.tsx'

export const STATUSES = ['draft', 'submitted', 'approved', 'running', 'done', 'failed', 'closed'] as const

export function Tickets() {
  const { client, can, me } = useSession()
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const view = filters.view === 'board' ? 'board' : 'list'
  const query = queryOf(filters, me.id)
  return (
    <Page
      name={t('nav.tickets')}
      title={t('nav.tickets')}
      actions={
        can('tickets.create') && (
          <Button component={Go} to="tickets/new" leftSection={<Icon name="plus" size={14} />}>
            {t('ticket.new')}
          </Button>
        )
      }
    >
      <Views to="tickets" views={views.map(([name, view]) => [t(`ticketView.${name}` as 'ticketView.all'), view])} />
      <div className="filters">
        <Search value={filters.q ?? ''} set={(q) => set({ q })} label={t('ticket.search')} />
        <Select
          aria-label={t('ticket.status')}
          placeholder={t('ticket.anyStatus')}
          data={STATUSES.map((value) => ({ value, label: t(`ticketStatus.${value}`) }))}
          value={filters.status ?? null}
          onChange={(status) => set({ status })}
          clearable
          w={170}
          disabled={view === 'board'}
        />
        <Select
          aria-label={t('ticket.whose')}
          placeholder={t('ticket.everybody')}
          data={[
            { value: 'created', label: t('ticket.createdByMe') },
            { value: 'assigned', label: t('ticket.assignedToMe') },
          ]}
          value={filters.whose ?? null}
          onChange={(whose) => set({ whose })}
          clearable
          w={190}
        />
        <SegmentedControl
          className="push"
          size="xs"
          aria-label={t('ticket.view')}
          value={view}
          onChange={(value) => set({ view: value === 'list' ? null : value })}
          data={[
            { value: 'list', label: t('ticket.list') },
            { value: 'board', label: t('ticket.board') },
          ]}
        />
      </div>
      {view === 'board' ? <Board query={query} /> : <TicketList query={query} client={client} />}
    </Page>
  )
}

type Query = Readonly<Record<string, string>>

function queryOf(filters: Query, me: string): Query {
  const query: Record<string, string> = {}
  for (const name of ['q', 'status', 'asset_id', 'due_before'] as const) if (filters[name]) query[name] = filters[name]
  if (filters.whose === 'created') query.created_by_id = me
  if (filters.whose === 'assigned') query.assignee_id = me
  return query
}

const views: readonly (readonly [string, Record<string, string>])[] = [
  ['all', {}],
  ['toApprove', { status: 'submitted' }],
  ['mine', { whose: 'created' }],
  ['failed', { status: 'failed' }],
]

function TicketList({ query, client }: { query: Query; client: ReturnType<typeof useSession>['client'] }) {
  const { t } = useTranslation()
  const { can } = useSession()
  const [numbers, setNumbers] = useState<readonly number[]>([])
  const seals = useSeals('ticket', numbers)
  const reload = useCallback((id: string) => client.tickets.get({ params: { id } }), [client])
  const onRows = useCallback((rows: readonly Ticket[]) => setNumbers(rows.map(({ number }) => number)), [])
  const columns: Column<Ticket>[] = [
    {
      name: 'title',
      title: t('ticket.title'),
      width: 'minmax(260px, 1fr)',
      show: (row) => numbered(row.number, row.title),
    },
    { name: 'state', title: t('ticket.status'), width: '118px', show: (row) => <TicketBadge status={row.status} /> },
    {
      name: 'seal',
      title: t('seal.short'),
      width: '118px',
      show: (row) => <SealLine stations={stationsOfTicket(row, {}, seals.get(row.number))} />,
    },
    {
      name: 'by',
      title: t('ticket.createdBy'),
      width: '110px',
      wide: true,
      spare: 2,
      show: (row) => <Person id={row.created_by_id} number={row.created_by_number} />,
    },
    {
      name: 'for',
      title: t('ticket.assignee'),
      width: '110px',
      wide: true,
      spare: 1,
      show: (row) => <Person id={row.assignee_id} number={row.assignee_number} />,
    },
    {
      name: 'changed',
      title: t('ticket.changed'),
      width: '118px',
      right: true,
      show: (row) => <Time at={row.updated_at} />,
    },
  ]
  return (
    <List<Ticket>
      name="tickets"
      label={t('nav.tickets')}
      filters={query}
      columns={columns}
      // The list takes filters as they stand in the address; the server checks them.
      load={async (cursor, signal) => {
        // A search looks at so many for each page: one may be empty, and what is looked for stands further back.
        for (let from = cursor; ; ) {
          const asked = { ...query, limit: 50, cursor: from } as { cursor: string }
          const page = await client.tickets.list({ query: asked, signal })
          if (page.items.length > 0 || page.next_cursor === null) return page
          from = page.next_cursor
        }
      }}
      reload={reload}
      to={(row) => `tickets/${row.number}`}
      adds="ticket.created"
      changes="ticket."
      onRows={onRows}
      empty={
        Object.keys(query).length > 0 ? (
          <Empty icon="search" title={t('list.noMatch')} text={<Go to="tickets">{t('list.clear')}</Go>} />
        ) : (
          <Empty icon="ticket" title={t('ticket.noneTitle')} text={t('ticket.noneText')}>
            {can('tickets.create') && (
              <Button component={Go} to="start" mt="sm">
                {t('nav.start')}
              </Button>
            )}
          </Empty>
        )
      }
    />
  )
}

/** The newest tickets of each state side by side. */
function Board({ query }: { query: Query }) {
  const { t } = useTranslation()
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it is wider than the page, and scrolled by keyboard too
    <section className="board" aria-label={t('ticket.board')} tabIndex={0}>
      {STATUSES.map((status) => (
        <BoardColumn key={status} status={status} query={query} />
      ))}
    </section>
  )
}

function BoardColumn({ status, query }: { status: (typeof STATUSES)[number]; query: Query }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const column = useQuery({
    queryKey: [project, 'waiting', 'board', status, query],
    queryFn: ({ signal }) => firstOf(client, 'tickets.list', { ...query, status, limit: 25 }, signal),
  })
  const seals = useSeals('ticket', column.data?.rows.map(({ number }) => number) ?? [])
  return (
    <div className="board-column">
      <h2>
        <TicketBadge status={status} /> <span className="dimmed">{column.data?.total ?? ''}</span>
      </h2>
      <Answer of={column} lines={2}>
        {({ rows, total }) => (
          <>
            {rows.length === 0 && <p className="dimmed small board-none">{t('list.none')}</p>}
            {rows.map((row) => (
              <Go key={row.id} to={`tickets/${row.number}`} className="board-card">
                <span className="number">#{row.number}</span> <bdi>{plainText(row.title)}</bdi>
                <SealLine stations={stationsOfTicket(row, {}, seals.get(row.number))} />
              </Go>
            ))}
            {total > rows.length && (
              <Button variant="subtle" size="compact-xs" onClick={() => go('tickets', { ...query, status })}>
                {t('list.all', { count: total })}
              </Button>
            )}
          </>
        )}
      </Answer>
    </div>
  )
}
