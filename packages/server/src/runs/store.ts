import type { RunState } from '@writ/api'
import { type Selectable, sql } from 'kysely'
import { listEvents } from '../audit/index.ts'
import { countOf, inList, type ListPart, type Tx, totalOf } from '../platform/db/index.ts'
import type { ArtifactsTable, RunsTable } from '../platform/db/tables.ts'
import { firstIdAt } from '../platform/ids.ts'
import type { StoredTrace } from '../platform/tracing.ts'
import type { Ref } from '../tickets/index.ts'

// All SQL of runs, artifacts and timers.

/** A run on a ticket. Tasks have none and are read by their kind. */
export type RunRow = Selectable<RunsTable> & {
  readonly ticket_id: string
  readonly ticket_number: number
  readonly executed_by_id: string
  readonly executed_by_number: number
  readonly verifies_run_number: number | null
  readonly run_type: 'proof' | 'action'
  readonly finalize: 'auto' | 'manual'
}
export type ArtifactRow = Selectable<ArtifactsTable> & { readonly uploaded_by_number: number | null }

// ---- runs

const runs = (tx: Tx) =>
  tx.db
    .selectFrom('runs')
    .innerJoin('tickets', 'tickets.id', 'runs.ticket_id')
    .innerJoin('users', 'users.id', 'runs.executed_by_id')
    .selectAll('runs')
    .select(['tickets.number as ticket_number', 'users.number as executed_by_number'])
    // Looked up for the few that have one. As a join PostgreSQL may read all runs for it.
    .select((eb) =>
      eb
        .selectFrom('runs as verified')
        .select('verified.number')
        .whereRef('verified.id', '=', 'runs.verifies_run_id')
        .as('verifies_run_number'),
    )
    .where('runs.ticket_id', 'is not', null)
    .$narrowType<{
      ticket_id: string
      executed_by_id: string
      run_type: 'proof' | 'action'
      finalize: 'auto' | 'manual'
    }>()

const isNumber = (ref: Ref): boolean => typeof ref === 'number' || /^[0-9]+$/.test(ref)
const isAt = (ref: Ref) => (isNumber(ref) ? sql<boolean>`number = ${Number(ref)}` : sql<boolean>`id = ${String(ref)}`)

async function idOf(tx: Tx, thing: 'run' | 'artifact', ref: Ref): Promise<string | undefined> {
  if (!isNumber(ref)) return String(ref)
  const row = await tx.db
    .selectFrom('numbers')
    .select('id')
    .where('thing', '=', thing)
    .where('number', '=', Number(ref))
    .executeTakeFirst()
  return row?.id
}

export async function findRun(tx: Tx, ref: Ref): Promise<RunRow | undefined> {
  const id = await idOf(tx, 'run', ref)
  return id === undefined ? undefined : runs(tx).where('runs.id', '=', id).executeTakeFirst()
}

/** A run that belongs to no ticket, as far as it is known here; its kind knows the rest. */
export async function findTask(
  tx: Tx,
  ref: Ref,
): Promise<Pick<Selectable<RunsTable>, 'id' | 'number' | 'executed_by_id'> | undefined> {
  const tasks = tx.db.selectFrom('runs').select(['id', 'number', 'executed_by_id']).where('kind', '=', 'task')
  // Tasks have no row in `numbers`: they are many, and found by the number in their own.
  return tasks.where(isAt(ref)).executeTakeFirst()
}

/** Whether there was a run that is no more: its number was given, or the log tells of its id. */
export async function wasRun(tx: Tx, ref: Ref): Promise<boolean> {
  const here = await tx.db.selectFrom('runs').select('number').where(isAt(ref)).executeTakeFirst()
  if (here) return false
  if (!isNumber(ref)) return (await listEvents(tx, { resource_type: 'run', resource: ref }, { limit: 1 })).length > 0
  const counter = await tx.db.selectFrom('counters').select('value').where('name', '=', 'runs').executeTakeFirst()
  return Number(ref) > 0 && Number(ref) <= (counter?.value ?? 0)
}

/** The traces that runs are part of, by their ids. */
export async function findTraces(tx: Tx, runIds: readonly string[]): Promise<Map<string, StoredTrace>> {
  if (runIds.length === 0) return new Map()
  const sorted = runIds.toSorted()
  // The bounds let partitions be left out.
  const rows = await tx.sql<{ id: string } & StoredTrace>(
    `select id, trace_id, traceparent, tracestate from runs where project_id = ?1 and ${inList(tx, 'id', '?2')} and id >= ?3 and id <= ?4`,
    [tx.project, runIds, sorted[0]!, sorted.at(-1)!],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

export const isTask = async (tx: Tx, ref: Ref): Promise<boolean> => (await findTask(tx, ref)) !== undefined

/** As `findRun`, with the row locked until commit. */
export async function lockRun(tx: Tx, ref: Ref): Promise<RunRow | undefined> {
  const id = await idOf(tx, 'run', ref)
  if (id === undefined) return undefined
  await tx.db
    .updateTable('runs')
    .set((eb) => ({ attempt: eb.ref('attempt') }))
    .where('id', '=', id)
    .execute()
  return runs(tx).where('runs.id', '=', id).executeTakeFirst()
}

/** Whether its check is to come, or a worker has it. */
export async function isCheckComing(tx: Tx, runId: string): Promise<boolean> {
  const rows = await tx.sql('select run_id from queue where project_id = ?1 and run_id = ?2', [tx.project, runId])
  return rows.length > 0
}

export interface RunFilter {
  /** Only runs on tickets that this user opened or is assigned to. */
  readonly of?: string | undefined
  readonly ticket_id?: string | undefined
  readonly asset_id?: string | undefined
  readonly script_id?: string | undefined
  /** Only what can be cancelled, or only what can be verified again; a run that verifies another one is not among the latter. */
  readonly act?: 'cancel' | 'verify' | undefined
  /** Only those with a greater number. */
  readonly after?: number | undefined
  readonly state?: RunState | undefined
  readonly verdict?: 'passed' | 'failed' | undefined
  readonly kind?: string | undefined
  readonly created_after?: number | undefined
  readonly created_before?: number | undefined
  /** A text that some of its own texts hold, in whatever case; with `above`, the number that bounds the search. */
  readonly q?: string | undefined
  readonly above?: number | undefined
}

/** So many of the newest runs, of both kinds, a search looks at. */
const SEARCHED = 20_000

/**
 * The number above which a search looks, so that it costs the same however many runs there are: numbers of a project are dense, and
 * ids begin with the time.
 */
export async function searchFloor(tx: Tx, before: number | undefined): Promise<number> {
  const newest = await tx.db
    .selectFrom('runs')
    .select('number')
    .$if(before !== undefined, (q) => q.where('id', '<', firstIdAt(before!)))
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return (newest?.number ?? 0) - SEARCHED
}

const TEXTS = sql.raw(
  ['runs.handler', 'runs.script_id', 'runs.error_code', 'runs.result_summary', 'tickets.title']
    .map((column) => `coalesce(${column}, '')`)
    .join(" || ' ' || "),
)

function filterRuns(f: RunFilter) {
  return sql.join(
    [
      sql<boolean>`1 = 1`,
      ...(f.of === undefined ? [] : [sql<boolean>`(tickets.created_by_id = ${f.of} or tickets.assignee_id = ${f.of})`]),
      ...(f.ticket_id === undefined ? [] : [sql<boolean>`runs.ticket_id = ${f.ticket_id}`]),
      ...(f.asset_id === undefined ? [] : [sql<boolean>`tickets.asset_id = ${f.asset_id}`]),
      ...(f.script_id === undefined ? [] : [sql<boolean>`runs.script_id = ${f.script_id}`]),
      ...(f.act === 'cancel' ? [sql<boolean>`runs.state = 'pending'`] : []),
      ...(f.act === 'verify'
        ? [sql<boolean>`runs.state in ('completed', 'failed', 'timeout') and runs.verifies_run_id is null`]
        : []),
      ...(f.after === undefined ? [] : [sql<boolean>`runs.number > ${f.after}`]),
      ...(f.state === undefined ? [] : [sql<boolean>`runs.state = ${f.state}`]),
      ...(f.verdict === undefined ? [] : [sql<boolean>`runs.verdict = ${f.verdict}`]),
      ...(f.kind === undefined ? [] : [sql<boolean>`runs.kind = ${f.kind}`]),
      // As with tasks: a burst makes ids that are a little later than their rows.
      ...(f.created_after === undefined
        ? []
        : [sql<boolean>`runs.created_at >= ${f.created_after} and runs.id >= ${firstIdAt(f.created_after)}`]),
      ...(f.created_before === undefined
        ? []
        : [sql<boolean>`runs.created_at < ${f.created_before} and runs.id < ${firstIdAt(f.created_before + 60_000)}`]),
      ...(f.above === undefined ? [] : [sql<boolean>`runs.number > ${f.above}`]),
      ...(f.q === undefined
        ? []
        : [sql<boolean>`lower(${TEXTS}) like lower(${`%${f.q.replace(/[\\%_]/g, '\\$&')}%`}) escape '\\'`]),
    ],
    sql` and `,
  )
}

export async function listRuns(
  tx: Tx,
  filter: RunFilter,
  page: { limit: number; skip: number; before?: number | undefined },
): Promise<RunRow[]> {
  return runs(tx)
    .where(sql<boolean>`${filterRuns(filter)}`)
    .$if(page.before !== undefined, (q) => q.where('runs.number', '<', page.before!))
    .orderBy('runs.number', 'desc')
    .limit(page.limit)
    .offset(page.skip)
    .execute()
}

const matching = (tx: Tx, filter: RunFilter) =>
  tx.db
    .selectFrom('runs')
    .innerJoin('tickets', 'tickets.id', 'runs.ticket_id')
    .where(sql<boolean>`${filterRuns(filter)}`)

/** Up to `limit` of those that the filter takes, oldest first. */
export const listOldest = (
  tx: Tx,
  filter: RunFilter,
  limit: number,
): Promise<{ id: string; number: number; ticket_id: string | null }[]> =>
  matching(tx, filter)
    .select(['runs.id', 'runs.number', 'runs.ticket_id'])
    .orderBy('runs.number')
    .limit(limit)
    .execute()

/** How many the filter takes; counts no further than `most`. */
export async function countUpTo(tx: Tx, filter: RunFilter, most: number): Promise<number> {
  const row = await tx.db
    .selectFrom(matching(tx, filter).select('runs.id').limit(most).as('some'))
    .select(sql<number>`count(*)`.as('n'))
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

export async function countRuns(tx: Tx, filter: RunFilter): Promise<number> {
  if (Object.values(filter).every((value) => value === undefined)) {
    // Tasks have numbers of the same sequence.
    const [all, tasks] = await Promise.all([totalOf(tx, 'runs'), totalOf(tx, 'tasks')])
    return all - tasks
  }
  const row = await matching(tx, filter).select(sql<number>`count(*)`.as('n')).executeTakeFirstOrThrow()
  return Number(row.n)
}

export async function insertRun(
  tx: Tx,
  row: Omit<Partial<Selectable<RunsTable>>, 'project_id'> & { id: string; number: number },
): Promise<void> {
  await tx.insert('numbers', [{ project_id: tx.project, thing: 'run', number: row.number, id: row.id }])
  await tx.insert('runs', [{ project_id: tx.project, ...row }])
}

export async function updateRun(tx: Tx, id: string, change: Partial<Selectable<RunsTable>>): Promise<void> {
  await tx.db.updateTable('runs').set(change).where('id', '=', id).execute()
}

/** The next place in the run's own dense sequence of audit events. Locks the run until commit. */
export async function nextEvent(tx: Tx, runId: string): Promise<number> {
  const row = await tx.db
    .updateTable('runs')
    .set((eb) => ({ event_count: eb('event_count', '+', 1) }))
    .where('id', '=', runId)
    .returning('event_count')
    .executeTakeFirstOrThrow()
  return row.event_count - 1
}

/** Runs of the ticket that there ever were. */
export async function countRunsOfTicket(tx: Tx, ticketId: string): Promise<number> {
  const row = await tx.db
    .selectFrom('runs')
    .select(sql<number>`count(*)`.as('n'))
    .where('ticket_id', '=', ticketId)
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

/** Runs of the ticket that are not settled, re-verifications aside. */
export async function countOpenRuns(tx: Tx, ticketId: string): Promise<number> {
  const row = await tx.db
    .selectFrom('runs')
    .select(sql<number>`count(*)`.as('n'))
    .where('ticket_id', '=', ticketId)
    .where('verifies_run_id', 'is', null)
    .where('state', 'in', ['pending', 'running', 'waiting_approval', 'waiting_tool'])
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

/** The newest settled run of each chain (script) on the ticket; cancelled ones and re-verifications prove nothing. */
export async function newestOfChains(
  tx: Tx,
  ticketId: string,
): Promise<{ state: RunState; verdict: 'passed' | 'failed' | null }[]> {
  const rows = await tx.db
    .selectFrom('runs')
    .select(['kind', 'handler', 'number', 'state', 'verdict'])
    .where('ticket_id', '=', ticketId)
    .where('verifies_run_id', 'is', null)
    .where('state', 'in', ['completed', 'failed', 'timeout'])
    .orderBy('number')
    .execute()
  return [...new Map(rows.map((row) => [`${row.kind}:${row.handler}`, row])).values()]
}

// ---- artifacts

const artifacts = (tx: Tx) =>
  tx.db
    .selectFrom('artifacts')
    .leftJoin('users', 'users.id', 'artifacts.uploaded_by_id')
    .selectAll('artifacts')
    .select('users.number as uploaded_by_number')

export async function findArtifact(tx: Tx, ref: Ref): Promise<ArtifactRow | undefined> {
  const id = await idOf(tx, 'artifact', ref)
  return id === undefined ? undefined : artifacts(tx).where('artifacts.id', '=', id).executeTakeFirst()
}

export async function insertArtifact(
  tx: Tx,
  row: Omit<
    Selectable<ArtifactsTable>,
    'project_id' | 'is_deleted' | 'deleted_at' | 'deleted_by_id' | 'erased_at' | 'bytes_gone_at'
  >,
): Promise<void> {
  await tx.insert('numbers', [{ project_id: tx.project, thing: 'artifact', number: row.number, id: row.id }])
  await tx.insert('artifacts', [{ project_id: tx.project, ...row }])
}

/** All of a run, or with `page` those behind the number `after`, oldest first, without deleted ones. */
export async function listArtifacts(tx: Tx, runId: string, page?: ListPart): Promise<ArtifactRow[]> {
  return artifacts(tx)
    .where('artifacts.run_id', '=', runId)
    .where('is_deleted', '=', 0)
    .$if(page?.after !== undefined, (q) => q.where('artifacts.number', '>', Number(page!.after)))
    .orderBy('artifacts.number')
    .$if(page !== undefined, (q) => q.limit(page!.limit).offset(page!.skip))
    .execute()
}

export const countArtifacts = (tx: Tx, runId: string): Promise<number> =>
  countOf(tx.db.selectFrom('artifacts').where('run_id', '=', runId).where('is_deleted', '=', 0))

/** Every file that belongs to these runs or was judged by one of them, deleted ones too: what evidence has to account for. */
export async function listFilesOfRuns(tx: Tx, runIds: readonly string[]): Promise<ArtifactRow[]> {
  if (runIds.length === 0) return []
  return artifacts(tx)
    .where((eb) =>
      eb.or([
        eb('artifacts.run_id', 'in', runIds),
        eb('artifacts.id', 'in', eb.selectFrom('run_evidence').select('artifact_id').where('run_id', 'in', runIds)),
      ]),
    )
    .orderBy('artifacts.number')
    .execute()
}

/** The run of a file, and those that check it again: all of one ticket. */
export async function listRunsOf(tx: Tx, { id, run_id }: Pick<ArtifactRow, 'id' | 'run_id'>): Promise<string[]> {
  // By the ticket: evidence is found by its run, not by its file.
  const rows = await tx.db
    .selectFrom('runs')
    .innerJoin('run_evidence', 'run_evidence.run_id', 'runs.id')
    .where('runs.ticket_id', '=', (eb) => eb.selectFrom('runs').select('ticket_id').where('id', '=', run_id))
    .where('run_evidence.artifact_id', '=', id)
    .select('runs.id')
    .execute()
  return [...new Set([run_id, ...rows.map((row) => row.id)])]
}

/** Every run of a ticket, oldest first. */
export const listRunsOfTicket = (tx: Tx, ticketId: string): Promise<RunRow[]> =>
  runs(tx).where('runs.ticket_id', '=', ticketId).orderBy('runs.number').execute()

export async function deleteArtifact(tx: Tx, id: string, by: string, now: number): Promise<void> {
  await tx.db
    .updateTable('artifacts')
    .set({ is_deleted: 1, deleted_at: now, deleted_by_id: by })
    .where('id', '=', id)
    .execute()
}

/** Artifacts with these bytes that were not erased, deleted ones included. */
export const listSameBytes = (tx: Tx, sha256: string): Promise<ArtifactRow[]> =>
  artifacts(tx).where('sha256', '=', sha256).where('erased_at', 'is', null).orderBy('artifacts.number').execute()

export async function markErased(tx: Tx, sha256: string, by: string, now: number): Promise<void> {
  await tx.db
    .updateTable('artifacts')
    .set({ is_deleted: 1, deleted_at: now, deleted_by_id: by, erased_at: now })
    .where('sha256', '=', sha256)
    .where('erased_at', 'is', null)
    .execute()
}

/** Digests whose bytes were erased and are still there. */
export async function listBytesToRemove(tx: Tx): Promise<string[]> {
  const rows = await tx.sql<{ sha256: string }>(
    `select distinct sha256 from artifacts a where project_id = ?1 and erased_at is not null and bytes_gone_at is null
       and not exists (select 1 from artifacts b where b.project_id = a.project_id and b.sha256 = a.sha256 and b.erased_at is null)`,
    [tx.project],
  )
  return rows.map((row) => row.sha256)
}

/** Whether no artifact with these bytes is left that was not erased. */
export async function areErased(tx: Tx, sha256: string): Promise<boolean> {
  const rows = await tx.sql(
    'select 1 as one from artifacts where project_id = ?1 and sha256 = ?2 and erased_at is null limit 1',
    [tx.project, sha256],
  )
  return rows.length === 0
}

export async function markBytesGone(tx: Tx, sha256: string, now: number): Promise<void> {
  await tx.db
    .updateTable('artifacts')
    .set({ bytes_gone_at: now })
    .where('sha256', '=', sha256)
    .where('erased_at', 'is not', null)
    .execute()
}

/** Beside a database that was put back stands another store, or another state of it: what was erased may be in it. */
export async function lookForErasedAgain(tx: Tx): Promise<void> {
  await tx.sql(
    '/* slow */ update artifacts set bytes_gone_at = null where project_id = ?1 and bytes_gone_at is not null',
    [tx.project],
  )
}

/** Digests of artifacts that are served, in order, from after `after` on. */
export async function listServedDigests(tx: Tx, after: string, limit: number): Promise<string[]> {
  const rows = await tx.db
    .selectFrom('artifacts')
    .select('sha256')
    .distinct()
    .where('is_deleted', '=', 0)
    .where('sha256', '>', after)
    .orderBy('sha256')
    .limit(limit)
    .execute()
  return rows.map((row) => row.sha256)
}

export async function addEvidence(tx: Tx, runId: string, artifactIds: readonly string[]): Promise<void> {
  await tx.insert(
    'run_evidence',
    artifactIds.map((artifact_id) => ({ project_id: tx.project, run_id: runId, artifact_id })),
  )
}

/** The files that a run judges, oldest first; deleted ones are no evidence. */
export async function listEvidence(tx: Tx, runId: string): Promise<ArtifactRow[]> {
  return artifacts(tx)
    .innerJoin('run_evidence', 'run_evidence.artifact_id', 'artifacts.id')
    .where('run_evidence.run_id', '=', runId)
    .where('is_deleted', '=', 0)
    .orderBy('artifacts.number')
    .execute()
}

// ---- uploads under way

/** An upload that was not touched for this long is dead: its client or its server is gone. */
const UPLOAD_DEAD_MS = 60_000

export async function openUpload(tx: Tx, upload: { id: string; run_id: string; now: number }): Promise<void> {
  await tx.insert('uploads', [{ project_id: tx.project, id: upload.id, run_id: upload.run_id, touched_at: upload.now }])
}
export async function touchUpload(tx: Tx, id: string, now: number): Promise<void> {
  await tx.db.updateTable('uploads').set({ touched_at: now }).where('id', '=', id).execute()
}
export async function closeUpload(tx: Tx, id: string): Promise<void> {
  await tx.db.deleteFrom('uploads').where('id', '=', id).execute()
}
export async function countUploads(tx: Tx, runId: string, now: number): Promise<number> {
  const row = await tx.db
    .selectFrom('uploads')
    .select(sql<number>`count(*)`.as('n'))
    .where('run_id', '=', runId)
    .where('touched_at', '>', now - UPLOAD_DEAD_MS)
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

// ---- timers: no tenant policy; a worker takes one, then enters the project

export async function setTimer(tx: Tx, runId: string, what: 'expire' | 'remind', dueAt: number): Promise<void> {
  await tx.sql(
    `insert into timers (run_id, what, project_id, due_at) values (?1, ?2, ?3, ?4)
     on conflict (run_id, what) do update set due_at = excluded.due_at`,
    [runId, what, tx.project, dueAt],
  )
}
export async function clearTimers(tx: Tx, runId: string): Promise<void> {
  await tx.sql('delete from timers where run_id = ?1', [runId])
}

export interface Timer {
  readonly run_id: string
  readonly what: 'expire' | 'remind' | 'cancel_children'
  readonly project_id: string
  readonly due_at: number
}
export async function listDueTimers(tx: Tx, now: number, limit: number): Promise<Timer[]> {
  return tx.sql(
    'select run_id, what, project_id, due_at from timers where due_at <= ?1 order by due_at, run_id limit ?2',
    [now, limit],
  )
}
/** False if another server took it. */
export async function takeTimer(tx: Tx, timer: Timer): Promise<boolean> {
  const rows = await tx.sql('delete from timers where run_id = ?1 and what = ?2 and due_at = ?3 returning run_id', [
    timer.run_id,
    timer.what,
    timer.due_at,
  ])
  return rows.length === 1
}
