import { Button, Drawer, Menu, Select, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type AuditEvent, auditEvents, type LogInfo, type VerifyReport } from '@writ/api'
import { type Client, WritError } from '@writ/sdk'
import { toBase64 } from '@writ/tlog'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useMembers } from '../app/members.tsx'
import { useSession } from '../app/session.tsx'
import { useAction } from '../parts/ask.tsx'
import { Facts, Mono, Page, Person, Section, State, Time } from '../parts/bits.tsx'
import { VerifyFile } from '../parts/bundle.tsx'
import { Code } from '../parts/code.tsx'
import { dateOf, later } from '../parts/due-days.ts'
import { useEntryNumber } from '../parts/entry-number.ts'
import { Go, useFilters } from '../parts/go.tsx'
import { useHappened } from '../parts/happened.ts'
import { Icon } from '../parts/icons.tsx'
import { type Column, List } from '../parts/list.tsx'
import { saveAs } from '../parts/preview.tsx'
import { Views } from '../parts/saved-views.tsx'
import { Answer, Empty, Failed, Refusal } from '../parts/states.tsx'
import { sayFound } from '../words/index.ts'

const FILTERS = ['event_type', 'actor_id', 'resource_type', 'resource_id', 'start_date', 'end_date', 'success'] as const
const RESOURCES = [
  'ticket',
  'run',
  'artifact',
  'asset',
  'token',
  'signing_key',
  'policy_change',
  'rule_set',
  'webhook',
  'schedule',
  'hold',
  'user',
  'project',
  'log',
  'audit_event',
  'feishu_app',
] as const

/** A day of the filters is one of whoever looks, as the times in the list are; the server would take it for one in UTC. */
function inTime(name: (typeof FILTERS)[number], value: string): string {
  const after = { start_date: 0, end_date: 1 }[name as string]
  if (after === undefined || !/^\d{4}-\d{2}-\d{2}$/.test(value)) return value
  return later(dateOf(value, new Date(0)), after).toISOString()
}

/** The log: what happened, that it is all there, and who stands for it. */
export function Audit() {
  const { client, project, can } = useSession()
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const members = useMembers()
  const told = useHappened()
  const log = useQuery({ queryKey: [project, 'log'], queryFn: () => client.audit.log(), enabled: can('audit.log') })
  const several = (log.data?.shard ?? 0) > 0
  const entryNumber = useEntryNumber(several)
  const query = Object.fromEntries(
    FILTERS.flatMap((name) => (filters[name] ? [[name, inTime(name, filters[name])]] : [])),
  )
  if (!can('audit.events'))
    return (
      <Page name={t('nav.audit')} title={t('nav.audit')}>
        <Empty icon="hand" title={t('error.denied')} text={t('audit.denied')} />
      </Page>
    )
  const columns: Column<AuditEvent>[] = [
    { name: 'title', title: t('audit.event'), width: '160px', show: (row) => row.event_type },
    { name: 'action', title: t('audit.action'), width: 'minmax(200px, 1fr)', show: (row) => told(row) },
    {
      name: 'actor',
      title: t('audit.actor'),
      width: '100px',
      show: (row) =>
        row.actor_id ? (
          <Person id={row.actor_id} number={row.actor_number} name={row.actor_username} />
        ) : (
          (row.actor_username ?? t('audit.system'))
        ),
    },
    {
      name: 'ok',
      title: t('audit.result'),
      width: '84px',
      show: (row) =>
        row.success ? (
          <Icon name="check" size={14} className="good" />
        ) : (
          <State of="failed" word={t('audit.refused')} />
        ),
    },
    {
      name: 'index',
      title: t('audit.index'),
      width: several ? '110px' : '70px',
      right: true,
      spare: 1,
      show: (row) => (row.log_index === null ? '…' : several ? entryNumber(row.shard, row.log_index) : row.log_index),
    },
    {
      name: 'when',
      title: t('run.when'),
      width: '110px',
      right: true,
      show: (row) => <Time at={row.timestamp} />,
    },
  ]
  const { event: _event, ...others } = filters
  return (
    <Page name={t('nav.audit')} title={t('nav.audit')} actions={<Export query={query} />}>
      <div className="columns columns-even">
        <LogState />
        <VerifyNow />
      </div>
      <Section title={t('audit.events')}>
        <Views
          to="audit"
          views={[
            [t('taskView.all'), {}],
            [t('audit.refused'), { success: 'false' }],
          ]}
          filters={others}
        />
        <div className="filters">
          <Select
            data-filter
            aria-label={t('audit.event')}
            placeholder={t('audit.anyEvent')}
            data={Object.keys(auditEvents).filter(
              (type) => auditEvents[type as keyof typeof auditEvents] !== 'instance',
            )}
            value={filters.event_type ?? null}
            onChange={(event_type) => set({ event_type })}
            clearable
            searchable
            w={190}
          />
          <Select
            aria-label={t('audit.actor')}
            placeholder={t('audit.anybody')}
            data={[...members.values()].map((one) => ({ value: one.user_id, label: one.username }))}
            value={filters.actor_id ?? null}
            onChange={(actor_id) => set({ actor_id })}
            clearable
            searchable
            w={150}
          />
          <Select
            aria-label={t('audit.resource')}
            placeholder={t('audit.anything')}
            data={RESOURCES.map((value) => ({ value, label: t(`resource.${value}`) }))}
            value={filters.resource_type ?? null}
            onChange={(resource_type) => set({ resource_type })}
            clearable
            w={140}
          />
          <TextInput
            aria-label={t('audit.resourceId')}
            placeholder={t('audit.resourceId')}
            value={filters.resource_id ?? ''}
            onChange={(event) => set({ resource_id: event.currentTarget.value.trim() })}
            w={130}
          />
          <div className="filter-times">
            {(['start_date', 'end_date'] as const).map((name) => (
              <TextInput
                key={name}
                className="filter-time filter-day"
                label={t(name === 'start_date' ? 'audit.from' : 'audit.to')}
                type="date"
                value={filters[name] ?? ''}
                onChange={(event) => set({ [name]: event.currentTarget.value })}
              />
            ))}
          </div>
          <Select
            aria-label={t('audit.result')}
            placeholder={t('audit.anyResult')}
            data={[
              { value: 'true', label: t('audit.done') },
              { value: 'false', label: t('audit.refused') },
            ]}
            value={filters.success ?? null}
            onChange={(success) => set({ success })}
            clearable
            w={130}
          />
        </div>
        <List<AuditEvent>
          name="audit-events"
          label={t('audit.events')}
          filters={query}
          columns={columns}
          load={(cursor, signal) =>
            client.audit.events({ query: { ...query, limit: 100, cursor } as { cursor: string }, signal })
          }
          to={(row) => `audit?${new URLSearchParams({ ...others, event: row.id })}`}
          empty={<Empty icon="search" title={t('list.noMatch')} text={<Go to="audit">{t('list.clear')}</Go>} />}
        />
      </Section>
      <EventDrawer id={filters.event} entryNumber={entryNumber} close={() => set({ event: null })} />
    </Page>
  )
}

/** How long the log is, and up to where somebody outside stands for it. */
function LogState() {
  const { client, project, can } = useSession()
  const { t, i18n } = useTranslation()
  const log = useQuery({ queryKey: [project, 'log'], queryFn: () => client.audit.log() })
  const logs = useQuery({
    queryKey: [project, 'logs'],
    queryFn: () => client.all('privacy.logs'),
    enabled: can('privacy.logs'),
  })
  const number = (value: number) => count(value, i18n.language)
  return (
    <Section title={t('audit.log')}>
      <Answer of={log} lines={5}>
        {(info) => (
          <>
            <Range info={info} />
            <Facts
              rows={[
                [t('audit.origin'), <Mono key="o" value={info.origin} keep={16} />],
                [t('audit.key'), <Mono key="k" value={info.vkey} keep={14} />],
                [t('audit.root'), <Mono key="r" value={info.root} keep={12} />],
                [t('audit.pendingEvents'), number(info.pending)],
                [t('audit.access'), t(`logAccess.${info.access}`)],
                info.anchored
                  ? [
                      t('audit.witnesses'),
                      <ul key="w" className="plain-list">
                        {info.anchored.witnesses.map(({ name, time }) => (
                          <li key={name}>
                            {name} · <Time at={time} />
                          </li>
                        ))}
                      </ul>,
                    ]
                  : null,
              ]}
            />
            {(logs.data?.length ?? 0) > 1 && (
              <details>
                <summary>{t('audit.olderLogs', { count: (logs.data?.length ?? 1) - 1 })}</summary>
                <ul className="plain-list small">
                  {logs.data?.map((one) => (
                    <li key={one.shard}>
                      #{one.shard} · {number(one.size)} ·{' '}
                      {t(one.dropped_at ? 'audit.dropped' : one.closed_at ? 'audit.closed' : 'audit.open')} ·{' '}
                      <Mono value={one.origin} keep={10} />
                    </li>
                  ))}
                </ul>
              </details>
            )}
          </>
        )}
      </Answer>
    </Section>
  )
}

function Range({ info }: { info: LogInfo }) {
  const { t, i18n } = useTranslation()
  const anchored = info.anchored?.size ?? 0
  const share = info.size === 0 ? 0 : (anchored / info.size) * 100
  const number = (value: number) => count(value, i18n.language)
  return (
    <figure className="range">
      <div className="range-bar" aria-hidden="true">
        <div className="range-anchored" style={{ width: `${share}%` }} />
      </div>
      <figcaption>
        <span>
          <span className="range-key range-key-anchored" aria-hidden="true" />{' '}
          {anchored === 0 ? t('audit.nothingAnchored') : t('audit.anchored', { from: 0, to: number(anchored - 1) })}
        </span>
        <span>
          <span className="range-key" aria-hidden="true" />{' '}
          {anchored >= info.size
            ? t('audit.allAnchored')
            : t('audit.unanchored', { from: number(anchored), to: number(Math.max(0, info.size - 1)) })}
        </span>
      </figcaption>
    </figure>
  )
}

/** Asks the server to compare everything now, and a bundle from anywhere, here. */
function VerifyNow() {
  const { client, can } = useSession()
  const { t, i18n } = useTranslation()
  const [report, setReport] = useState<VerifyReport | null>(null)
  const [done, setDone] = useState<{ entries: number; rows: number } | null>(null)
  const action = useAction()
  const verify = async () => {
    setReport(null)
    setReport(await client.verifyLog({ onProgress: setDone }).finally(() => setDone(null)))
  }
  const number = (value: number) => count(value, i18n.language)
  return (
    <Section title={t('audit.verify')}>
      <p className="small dimmed">{t('audit.verifyText')}</p>
      {can('audit.verify') && (
        <Button
          loading={action.busy}
          onClick={() => void action.run(verify)}
          leftSection={<Icon name="audit" size={14} />}
        >
          {t('audit.verifyNow')}
        </Button>
      )}
      {done && (
        <p className="small dimmed" role="status">
          {t('audit.verifying', { entries: number(done.entries), rows: number(done.rows) })}
        </p>
      )}
      <Refusal error={action.error} />
      {report && (
        <div role="status">
          <p
            className={report.ok ? 'verdict verdict-good' : 'verdict verdict-bad'}
            // As the server said it: what one looks for, and hands to others.
            title={[report.code, report.reason].filter(Boolean).join(': ')}
          >
            <Icon name={report.ok ? 'check' : 'cross'} size={18} />
            {report.ok
              ? t('audit.verified', {
                  entries: number(report.checked.entries),
                  rows: number(report.checked.rows),
                  files: number(report.checked.day_files),
                })
              : t('audit.notVerified', {
                  reason: report.reason === null ? (report.code ?? '') : sayFound(report.reason),
                })}
          </p>
          {report.index !== null && !report.ok && (
            <p className="small">
              {t('audit.firstBad', { index: report.index })} {report.path} <Mono value={report.origin} keep={16} />
            </p>
          )}
        </div>
      )}
      <h3>{t('bundle.anyTitle')}</h3>
      <VerifyFile />
    </Section>
  )
}

function Export({ query }: { query: Record<string, string> }) {
  const { client, can, project } = useSession()
  const { t } = useTranslation()
  const action = useAction()
  if (!can('audit.export')) return null
  const save = (format: 'csv' | 'jsonl') =>
    action.run(async () => {
      // As with lists: the filters of the address are checked by the server.
      const answer = await client.audit.export({ query: { ...query, format } as { format: 'csv' } })
      const data = new Uint8Array(
        await new Response(answer.stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
      )
      saveAs(data, answer.name ?? `audit-${project}.${format}`)
    })
  return (
    <>
      <Refusal error={action.error} />
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" loading={action.busy} leftSection={<Icon name="download" size={14} />}>
            {t('audit.export')}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => void save('csv')}>CSV</Menu.Item>
          <Menu.Item onClick={() => void save('jsonl')}>JSONL</Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  )
}

/** One event with everything the server says of it, and on demand the proof that the log holds it, made in this page. */
function EventDrawer(props: {
  id: string | undefined
  entryNumber: ReturnType<typeof useEntryNumber>
  close: () => void
}) {
  const { id, entryNumber, close } = props
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const told = useHappened()
  const event = useQuery({
    queryKey: [project, 'audit-event', id],
    enabled: id !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }): Promise<AuditEvent | null> => {
      const [found] = await client.audit.events({ query: { event_id: id! }, signal })
      return found ?? null
    },
    // What waits for its place has one a moment later.
    refetchInterval: ({ state }) => (state.data?.log_index === null ? 2_000 : false),
  })
  return (
    <Drawer
      opened={id !== undefined}
      onClose={close}
      position="right"
      size="lg"
      title={event.data?.event_type ?? t('audit.event')}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {id !== undefined && (
        <Answer of={event}>
          {(one) =>
            one === null ? (
              <Empty title={t('error.missing')} />
            ) : (
              <>
                <p>{told(one)}</p>
                <Facts
                  rows={[
                    [t('run.when'), <Time key="t" at={one.timestamp} />],
                    [
                      t('audit.actor'),
                      one.actor_id ? (
                        <Person key="a" id={one.actor_id} number={one.actor_number} name={one.actor_username} />
                      ) : (
                        t('audit.system')
                      ),
                    ],
                    [
                      t('audit.resource'),
                      one.resource_type
                        ? `${i18n.exists(`resource.${one.resource_type}`) ? t(`resource.${one.resource_type}` as 'resource.run') : one.resource_type} ${one.resource_number === null ? '' : `#${one.resource_number}`}`
                        : '–',
                    ],
                    [t('audit.address'), one.ip_address ?? '–'],
                    [
                      t('audit.index'),
                      one.log_index === null ? t('seal.pending') : entryNumber(one.shard, one.log_index),
                    ],
                    one.error_message ? [t('audit.refused'), sayFound(one.error_message)] : null,
                  ]}
                />
                {one.details && <Code>{JSON.stringify(one.details, null, 2)}</Code>}
                {one.log_index !== null && <Prove event={one} index={one.log_index} key={one.id} />}
              </>
            )
          }
        </Answer>
      )}
    </Drawer>
  )
}

/** A log as it is proven from: its keys, and where its files are. */
async function logOf(client: Client, shard: number | null, signal: AbortSignal) {
  const open = await client.audit.log({ signal })
  if (shard === null || open.shard === shard) {
    const file = (path: string) => client.audit.file({ params: { path }, signal })
    return { origin: open.origin, vkeys: open.vkeys, file }
  }
  // One that is closed has its files at its own address, as it ended.
  const logs = await client.all('privacy.logs')
  const closed = logs.find((one) => one.shard === shard)
  if (!closed || closed.dropped_at !== null) return null
  const name = closed.origin.slice(closed.origin.lastIndexOf('/') + 1)
  const file = (path: string) => client.audit.served({ params: { path: `${name}/${path}` }, signal })
  return { origin: closed.origin, vkeys: [closed.vkey], file }
}

function Prove({ event: { id, shard }, index }: { event: AuditEvent; index: number }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const [wanted, setWanted] = useState(false)
  const proof = useQuery({
    queryKey: [project, 'entry-proof', shard, index],
    enabled: wanted,
    queryFn: async ({ signal }) => {
      const [{ proveEntry }, { primitives, verifyEd25519 }, log] = await Promise.all([
        import('../proof/prove-entry.ts'),
        import('../proof/primitives.ts'),
        logOf(client, shard, signal),
      ])
      if (log === null) return null
      const read = async (path: string) => {
        const { stream } = await log.file(path)
        return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer())
      }
      const prove = () => proveEntry(log, index, read, { ...primitives, verifyEd25519 })
      // A log that grew between two files lost the partial tile that its older checkpoint needs: once more, with the new one.
      return prove().catch((error: unknown) => {
        if (error instanceof WritError && error.code === 'LOG_FILE_NOT_FOUND') return prove()
        throw error
      })
    },
  })
  if (!wanted)
    return (
      <Button variant="default" mt="sm" onClick={() => setWanted(true)} leftSection={<Icon name="audit" size={14} />}>
        {t('audit.prove')}
      </Button>
    )
  if (proof.isError) return <Failed error={proof.error} retry={() => proof.refetch()} />
  return (
    <Answer of={proof}>
      {(proven) => {
        if (proven === null) return <p className="small">{t('audit.isDropped')}</p>
        const { entry, checkpoint, hashes } = proven
        const same = entry.id === id
        return (
          <>
            <p className={same ? 'verdict verdict-good' : 'verdict verdict-bad'} role="status">
              <Icon name={same ? 'check' : 'cross'} size={18} />{' '}
              {same
                ? t('audit.proven', { index, size: checkpoint.size, hashes: hashes.length })
                : t('audit.otherEntry', { index })}
            </p>
            <p className="small">
              {t('audit.root')} <Mono value={toBase64(checkpoint.root)} keep={12} />
            </p>
            <h3>{t('proof.entry')}</h3>
            <Code>{JSON.stringify(entry, null, 2)}</Code>
          </>
        )
      }}
    </Answer>
  )
}
