import { setImmediate as turn } from 'node:timers/promises'
import type { RunState } from '@writ/api'
import { NANOS } from '@writ/api/costs'
import { type RawBuilder, type Selectable, sql } from 'kysely'
import {
  countOf,
  DatabaseConflict,
  forUpdate,
  inList,
  inOrderOf,
  type ListPart,
  selectPairs,
  type Tx,
  totalOf,
} from '../../platform/db/index.ts'
import type { AttemptsTable, BatchesTable, QueuesTable, RunsTable, StepsTable } from '../../platform/db/tables.ts'
import { firstIdAt } from '../../platform/ids.ts'
import { type Entry, IS_HELD, remotePlace } from '../../queue/index.ts'
import type { Ref } from '../../tickets/index.ts'

// All SQL of tasks, their attempts, unique keys and queues. What waits and who holds it is the queue's.

type Runs = Selectable<RunsTable>

/** A task with what its lease says of it. */
export type TaskRow = Runs & {
  readonly queue: string
  readonly priority: number
  readonly run_at: number
  readonly max_attempts: number
  readonly timeout_ms: number
  readonly executed_by_username: string | null
  /** Of the queue's entry; null without one. */
  readonly lease_until: number | null
  readonly claimed_at: number | null
  readonly deliveries: number | null
  /** Of what holds it back; null if nothing does. */
  readonly waits_for: number | null
  readonly admitted: number | null
  /** Since when its queue is paused; null if it is not, or if the task has ended. */
  readonly queue_paused_at: number | null
  /** 1: it has not ended, and its handler is disabled. */
  readonly handler_off: number
}
export type AttemptRow = Selectable<AttemptsTable>
export type QueueRow = Selectable<QueuesTable>

/** What a worker needs of a task, to do it and to settle it. */
export type WorkRow = Pick<
  Runs,
  | 'id'
  | 'number'
  | 'handler'
  | 'state'
  | 'input'
  | 'input_sha256'
  | 'input_sealed'
  | 'callback'
  | 'trace_id'
  | 'parent_span_id'
  | 'traceparent'
  | 'tracestate'
  | 'executed_by_id'
  | 'deadline_at'
  | 'cancel_requested_at'
  | 'unique_key'
  | 'created_at'
  | 'started_at'
  | 'event_count'
  | 'attempt'
  | 'concurrency_key'
  | 'cost_usd'
> & { readonly queue: string; readonly timeout_ms: number; readonly max_attempts: number }

// ---- reading

const tasks = (tx: Tx) =>
  tx.db
    .selectFrom('runs')
    .leftJoin('users', 'users.id', 'runs.executed_by_id')
    .leftJoin('queue', 'queue.run_id', 'runs.id')
    .leftJoin('held', (join) =>
      join.onRef('held.project_id', '=', 'runs.project_id').onRef('held.run_id', '=', 'runs.id'),
    )
    // Of what waits only: what has ended waits for neither.
    .leftJoin('queues', (join) =>
      join
        .onRef('queues.project_id', '=', 'runs.project_id')
        .onRef('queues.name', '=', 'runs.queue')
        .on('runs.state', '=', 'pending'),
    )
    .leftJoin('disabled_handlers', (join) =>
      join
        .onRef('disabled_handlers.project_id', '=', 'runs.project_id')
        .onRef('disabled_handlers.name', '=', 'runs.handler')
        .on('runs.state', '=', 'pending'),
    )
    .leftJoin('worker_handlers', (join) =>
      join
        .onRef('worker_handlers.project_id', '=', 'runs.project_id')
        .onRef('worker_handlers.name', '=', 'runs.handler')
        .on('worker_handlers.enabled', '=', 0)
        .on('runs.state', '=', 'pending'),
    )
    .selectAll('runs')
    .select([
      'users.username as executed_by_username',
      'queue.lease_until as lease_until',
      'queue.claimed_at as claimed_at',
      'queue.attempt as deliveries',
      'held.waits_for as waits_for',
      'held.admitted as admitted',
      'queues.paused_at as queue_paused_at',
      sql<number>`case when disabled_handlers.name is null and worker_handlers.name is null then 0 else 1 end`.as(
        'handler_off',
      ),
    ])
    .where('runs.kind', '=', 'task')
    // Every task has them: the table has nulls for other kinds.
    .$narrowType<{ queue: string; priority: number; run_at: number; max_attempts: number; timeout_ms: number }>()

const asNumber = (ref: Ref): number | undefined =>
  typeof ref === 'number' ? ref : /^[0-9]+$/.test(ref) ? Number(ref) : undefined

export async function findTask(tx: Tx, ref: Ref): Promise<TaskRow | undefined> {
  const number = asNumber(ref)
  return tasks(tx)
    .where((eb) => (number === undefined ? eb('runs.id', '=', String(ref)) : eb('runs.number', '=', number)))
    .executeTakeFirst()
}

/** The numbers that people call these runs by; without those whose records are no more. */
export async function findNumbers(tx: Tx, ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (ids.length === 0) return new Map()
  const rows = await tx.db.selectFrom('runs').select(['id', 'number']).where('id', 'in', ids).execute()
  return new Map(rows.map(({ id, number }) => [id, number]))
}

export const listAttempts = (tx: Tx, runIds: readonly string[]): Promise<AttemptRow[]> =>
  runIds.length === 0
    ? Promise.resolve([])
    : tx.db
        .selectFrom('attempts')
        .selectAll()
        .where('run_id', 'in', runIds)
        .orderBy('run_id')
        .orderBy('attempt')
        .execute()

export interface Wanted {
  /** Only tasks that this person dispatched. */
  readonly of?: string | undefined
  /** That somebody asked for; beside `of`, which says what may be seen. */
  readonly executed_by_id?: string | undefined
  readonly ids?: readonly Ref[] | undefined
  /** Those among which all of the wanted are; see `findOpen`. */
  readonly open?: readonly string[] | undefined
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  /** Than these. */
  readonly otherHandlers?: readonly string[] | undefined
  readonly state?: RunState | undefined
  readonly error_code?: string | undefined
  readonly tag?: string | undefined
  readonly cost_min?: number | undefined
  readonly concurrency_key?: string | undefined
  readonly unique_key?: string | undefined
  readonly parent?: string | undefined
  /** The numbers of a batch; its tasks have them all and nothing else has any. */
  readonly numbers?: readonly [first: number, last: number] | undefined
  readonly created_after?: number | undefined
  readonly created_before?: number | undefined
  /** A text that some of its own texts hold, in whatever case; with `above`, the number that bounds the search. */
  readonly q?: string | undefined
  readonly above?: number | undefined
  /** Dead letters that were neither replayed nor purged. */
  readonly dead?: boolean | undefined
  readonly died_after?: number | undefined
  readonly died_before?: number | undefined
  /** Those of which there is no replay. */
  readonly unreplayed?: boolean | undefined
}

const escaped = (text: string) => text.replace(/[\\%_]/g, '\\$&')

/** What a search looks at. Not results and logs, which may be long: each row that is looked at is read. */
const TEXTS = sql.raw(
  ['handler', 'error_code', 'error', 'tags', 'unique_key', 'worker', 'metadata', 'substr(runs.input, 1, 2000)']
    .map((column) => `coalesce(${column.includes('(') ? column : `runs.${column}`}, '')`)
    .join(" || ' ' || "),
)

const NOT_REPLAYED = sql<boolean>`not exists (select 1 from runs as again
  where again.project_id = runs.project_id and again.replays_run_id = runs.id and again.replays_run_id is not null)`

const TROUBLED: ReadonlySet<RunState> = new Set(['failed', 'timeout', 'cancelled'])

/** `byNumber`: numbers bound what is looked at, and nothing else may seem to. */
function predicate(tx: Tx, want: Wanted, byNumber = false): RawBuilder<boolean> {
  const all: RawBuilder<boolean>[] = [sql<boolean>`runs.kind = 'task'`]
  if (want.of !== undefined) all.push(sql`runs.executed_by_id = ${want.of}`)
  if (want.executed_by_id !== undefined) all.push(sql`runs.executed_by_id = ${want.executed_by_id}`)
  if (want.ids !== undefined) {
    const numbers = want.ids.map(asNumber).filter((one) => one !== undefined)
    const ids = want.ids.filter((one) => asNumber(one) === undefined)
    const either = [
      ...(numbers.length > 0 ? [sql`runs.number in (${sql.join(numbers)})`] : []),
      ...(ids.length > 0 ? [sql`runs.id in (${sql.join(ids)})`] : []),
    ]
    all.push(either.length === 0 ? sql`1 = 0` : sql`(${sql.join(either, sql` or `)})`)
  }
  if (want.open !== undefined) all.push(want.open.length === 0 ? sql`1 = 0` : sql`runs.id in (${sql.join(want.open)})`)
  // Tried indexes by handler and by queue: on PostgreSQL the insert of a task doubles, and its settle takes longer still. The rare
  // handler of a million tasks is looked for among all of them instead.
  if (want.queue !== undefined) all.push(sql`runs.queue = ${want.queue}`)
  if (want.handler !== undefined) all.push(sql`runs.handler = ${want.handler}`)
  if (want.otherHandlers !== undefined && want.otherHandlers.length > 0)
    all.push(sql`runs.handler not in (${sql.join(want.otherHandlers)})`)
  // A task that is being worked on stays pending in its row.
  if (want.state === 'running') all.push(sql`runs.state = 'pending' and queue.lease_until is not null`)
  else if (want.state === 'pending') all.push(sql`runs.state = 'pending' and queue.lease_until is null`)
  else if (want.state !== undefined) all.push(sql`runs.state = ${want.state}`)
  // What ended badly has an error code: the narrow index knows them all.
  if (want.state !== undefined && TROUBLED.has(want.state)) all.push(sql`runs.error_code is not null`)
  if (want.error_code !== undefined) all.push(sql`runs.error_code = ${want.error_code}`)
  if (want.tag !== undefined) all.push(sql`runs.tags like ${`%${escaped(JSON.stringify(want.tag))}%`} escape '\\'`)
  // What cost something is in an index of its own, which what cost nothing does not fill.
  if (want.cost_min !== undefined) all.push(sql`runs.cost_usd is not null and runs.cost_usd >= ${want.cost_min}`)
  // The same for those that have one key or the other; by it and in the order of lists, so that it costs by what is shown.
  if (want.concurrency_key !== undefined)
    all.push(sql`runs.concurrency_key is not null and runs.concurrency_key = ${want.concurrency_key}`)
  if (want.unique_key !== undefined) all.push(sql`runs.unique_key is not null and runs.unique_key = ${want.unique_key}`)
  if (want.parent !== undefined) all.push(sql`runs.parent_run_id = ${want.parent} and runs.parent_run_id is not null`)
  if (want.numbers !== undefined) all.push(sql`runs.number between ${want.numbers[0]} and ${want.numbers[1]}`)
  // Ids begin with the time at which they were made, which is that of the row or, in a burst, a little later: by them partitions
  // and most of an index are left out.
  const id = byNumber ? undefined : idForTimes(tx, want)
  if (want.created_after !== undefined) {
    all.push(sql`runs.created_at >= ${want.created_after}`)
    if (id) all.push(sql`${id} >= ${firstIdAt(want.created_after)}`)
  }
  if (want.created_before !== undefined) {
    all.push(sql`runs.created_at < ${want.created_before}`)
    if (id) all.push(sql`${id} < ${firstIdAt(want.created_before + 60_000)}`)
  }
  if (want.q !== undefined) all.push(sql`lower(${TEXTS}) like lower(${`%${escaped(want.q)}%`}) escape '\\'`)
  if (want.above !== undefined) all.push(sql`runs.number > ${want.above}`)
  // They have an index of their own, in the order of lists. Not that each has an error code: SQLite would take the index of all that have.
  if (want.dead) all.push(sql`runs.dead_at is not null and runs.purged_at is null`)
  if (want.unreplayed) all.push(NOT_REPLAYED)
  if (want.died_after !== undefined) all.push(sql`runs.dead_at >= ${want.died_after}`)
  if (want.died_before !== undefined) all.push(sql`runs.dead_at < ${want.died_before}`)
  return sql.join(all, sql` and `)
}

/**
 * SQLite thinks a range of ids narrower than any index of one project, and reads all tasks of a month for the few of them that failed. What
 * has a narrow index is found by it: the plus hides the column from the planner.
 */
const idForTimes = (tx: Tx, want: Wanted) =>
  tx.dialect === 'sqlite' &&
  (want.state === 'failed' ||
    want.state === 'timeout' ||
    want.state === 'cancelled' ||
    want.dead === true ||
    want.cost_min !== undefined ||
    want.concurrency_key !== undefined ||
    want.unique_key !== undefined)
    ? sql.raw('+runs.id')
    : sql.raw('runs.id')

/** Newest first, or with `oldest` the other way. */
export async function listTasks(
  tx: Tx,
  want: Wanted,
  page: { limit: number; skip: number; before?: number | undefined; oldest?: boolean },
): Promise<TaskRow[]> {
  const part = (of: Wanted, above: number | undefined, before: number | undefined, limit: number) =>
    tasks(tx)
      .where(sql<boolean>`${predicate(tx, of, above !== undefined)}`)
      .$if(before !== undefined, (q) => q.where('runs.number', '<', before!))
      .$if(above !== undefined, (q) => q.where('runs.number', '>=', above!))
      // Children are few, and there is an index of them; SQLite would rather look through all tasks than sort.
      .orderBy(want.parent === undefined ? 'runs.number' : sql`+runs.number`, page.oldest ? 'asc' : 'desc')
      .limit(limit)
      .offset(page.skip)
      .execute()
  const open = await findOpen(tx, want)
  if (open) return part({ ...want, open }, undefined, page.before, page.limit)
  if (page.oldest || page.skip > 0 || !isLookedThrough(tx, want)) return part(want, undefined, page.before, page.limit)
  const found: TaskRow[] = []
  for await (const { above, before } of stretches(tx, want, page.before)) {
    found.push(...(await part(want, above, before, page.limit - found.length)))
    if (found.length === page.limit) break
  }
  return found
}

/** Numbers that are looked through in one statement: 15 ms. */
const STRETCH = 10_000

/**
 * What no index finds is looked for in all tasks. On SQLite that is done in the thread that answers everybody: two seconds of a million
 * tasks, in which nobody else would be heard.
 */
const isLookedThrough = (tx: Tx, want: Wanted): boolean =>
  tx.dialect === 'sqlite' &&
  [want.of, want.executed_by_id, want.queue, want.handler, want.tag, want.state].some((value) => value !== undefined) &&
  !(want.state !== undefined && TROUBLED.has(want.state)) &&
  [want.ids, want.numbers, want.parent, want.error_code, want.cost_min, want.concurrency_key, want.unique_key].every(
    (value) => value === undefined,
  ) &&
  // Above a floor, and by an index of their own.
  [want.above, want.dead].every((value) => value === undefined)

/** Who began a task sooner may have got a higher number, if the commit of the other had to wait. */
const NUMBERED_LATE_MS = 600_000

/** The numbers of a period below one, the highest first, in stretches between which others are heard. */
async function* stretches(
  tx: Tx,
  { created_after, created_before }: Wanted,
  below: number | undefined,
): AsyncGenerator<{ above: number; before: number }> {
  const end = created_before === undefined ? undefined : firstIdAt(created_before + NUMBERED_LATE_MS)
  const newest = await tx.db
    .selectFrom('runs')
    .select('number')
    .$if(end === undefined, (q) => q.orderBy('number', 'desc'))
    .$if(end !== undefined, (q) => q.where('id', '<', end!).orderBy('id', 'desc'))
    .limit(1)
    .executeTakeFirst()
  const top = (newest?.number ?? 0) + 1
  let least = 0
  if (created_after !== undefined) {
    const from = firstIdAt(created_after - NUMBERED_LATE_MS)
    const oldest = await tx.db
      .selectFrom('runs')
      .select('number')
      .where('id', '>=', from)
      .orderBy('id')
      .limit(1)
      .executeTakeFirst()
    least = oldest?.number ?? top
  }
  for (let before = Math.min(below ?? top, top); before > least; before -= STRETCH) {
    yield { above: Math.max(before - STRETCH, least), before }
    await turn()
  }
}

/** Up to `limit` tasks that have not ended and that the filter takes, oldest first. By the queue: it costs by what is open. */
export async function listOpen(tx: Tx, want: Wanted, limit: number): Promise<{ id: string; held: boolean }[]> {
  const rows = await tx.db
    .selectFrom('queue')
    .innerJoin('runs', (join) =>
      join.onRef('runs.id', '=', 'queue.run_id').onRef('runs.project_id', '=', 'queue.project_id'),
    )
    .select(['runs.id as id', 'queue.lease_until as lease_until'])
    .where('queue.project_id', '=', tx.project)
    .where(sql<boolean>`${predicate(tx, want)}`)
    .orderBy('runs.id')
    .limit(limit)
    .execute()
  return rows.map(({ id, lease_until }) => ({ id, held: lease_until !== null }))
}

/** More are not named in a statement: where so many are open, a page of the newest tasks meets them soon. */
const MOST_OPEN = 2_000

/**
 * The ids of all tasks that wait or that are in work, as the queue has them; undefined if they are too many to be named, or not asked for.
 * Lists of few among very many look at these and at nothing else.
 */
async function findOpen(tx: Tx, { state }: Wanted): Promise<string[] | undefined> {
  if (state !== 'pending' && state !== 'running') return undefined
  // In the order of their index: to meet any of the few leases among all that waits, PostgreSQL might read the table.
  const rows = await tx.sql<{ run_id: string }>(
    `select run_id from queue where project_id = ?1 and lease_until is ${state === 'running' ? 'not null order by lease_until' : 'null'} limit ?2`,
    [tx.project, MOST_OPEN + 1],
  )
  return rows.length > MOST_OPEN ? undefined : rows.map(({ run_id }) => run_id)
}

/** Whether `predicate` asks about leases. SQLite would look for the entry of each task even where nothing is asked about it. */
const asksQueue = ({ state }: Wanted): boolean => state === 'pending' || state === 'running'

/** What of a task says whether it can be replayed. */
export interface Replayable {
  readonly id: string
  readonly number: number
  readonly handler: string
  readonly unique_key: string | null
}

/** Up to `limit` of those that the filter takes, oldest first. */
export async function listReplayable(tx: Tx, want: Wanted, limit: number): Promise<Replayable[]> {
  return tx.db
    .selectFrom('runs')
    .$if(asksQueue(want), (q) => q.leftJoin('queue', 'queue.run_id', 'runs.id'))
    .select(['runs.id', 'runs.number', sql<string>`runs.handler`.as('handler'), 'runs.unique_key'])
    .where(sql<boolean>`${predicate(tx, want)}`)
    .orderBy('runs.number')
    .limit(limit)
    .execute()
}

/** Which of these unique keys live tasks have. */
export async function findTakenKeys(tx: Tx, keys: readonly string[]): Promise<Set<string>> {
  if (keys.length === 0) return new Set()
  const rows = await tx.sql<{ key: string }>(
    `select key from unique_keys where project_id = ?1 and ${inList(tx, 'key', '?2')}`,
    [tx.project, keys],
  )
  return new Set(rows.map(({ key }) => key))
}

export async function countTasks(tx: Tx, want: Wanted): Promise<number> {
  if (Object.values(want).every((value) => value === undefined)) return totalOf(tx, 'tasks')
  const part = (of: Wanted, above?: number, before?: number) =>
    tx.db
      .selectFrom('runs')
      .$if(asksQueue(of), (q) => q.leftJoin('queue', 'queue.run_id', 'runs.id'))
      .select(sql<number>`count(*)`.as('n'))
      .where(sql<boolean>`${predicate(tx, of, above !== undefined)}`)
      .$if(above !== undefined, (q) => q.where('runs.number', '>=', above!).where('runs.number', '<', before!))
      .executeTakeFirstOrThrow()
  const open = await findOpen(tx, want)
  if (open) return Number((await part({ ...want, open })).n)
  if (!isLookedThrough(tx, want)) return Number((await part(want)).n)
  let count = 0
  for await (const { above, before } of stretches(tx, want, undefined))
    count += Number((await part(want, above, before)).n)
  return count
}

/** How many tasks are in a state, and what they cost, in billionths of a US dollar. */
export interface StateTotal {
  readonly state: RunState
  readonly tasks: number
  readonly nanos: number
}

/** As `countTasks`, by state. In stretches always: each is added up, and others are heard in between. */
export async function totalTasks(tx: Tx, want: Wanted): Promise<StateTotal[]> {
  const state = sql<RunState>`case when runs.state = 'pending' and queue.lease_until is not null then 'running' else runs.state end`
  const totals = new Map<RunState, StateTotal>()
  for await (const { above, before } of stretches(tx, want, undefined)) {
    const rows = await tx.db
      .selectFrom('runs')
      .leftJoin('queue', 'queue.run_id', 'runs.id')
      .select([
        state.as('in_state'),
        sql<number>`count(*)`.as('n'),
        sql<number>`coalesce(sum(cast(round(runs.cost_usd * ${NANOS}) as bigint)), 0)`.as('nanos'),
      ])
      .where(sql<boolean>`${predicate(tx, want, true)}`)
      .where('runs.number', '>=', above)
      .where('runs.number', '<', before)
      .groupBy(state)
      .execute()
    for (const { in_state, n, nanos } of rows) {
      const sum = totals.get(in_state)
      totals.set(in_state, {
        state: in_state,
        tasks: (sum?.tasks ?? 0) + Number(n),
        nanos: (sum?.nanos ?? 0) + Number(nanos),
      })
    }
  }
  return [...totals.values()]
}

const workColumns =
  'id, number, handler, state, input, input_sha256, input_sealed, callback, trace_id, parent_span_id, traceparent, tracestate, executed_by_id, deadline_at, cancel_requested_at, unique_key, created_at, started_at, event_count, attempt, concurrency_key, cost_usd, queue, timeout_ms, max_attempts'

/** What workers need of these tasks, by id. The bounds let partitions be left out. */
export async function loadWork(tx: Tx, ids: readonly string[]): Promise<Map<string, WorkRow>> {
  if (ids.length === 0) return new Map()
  const sorted = ids.toSorted()
  const rows = await tx.sql<WorkRow>(
    `select ${workColumns} from runs
     where project_id = ?1 and id >= ?2 and id <= ?3 and ${inList(tx, 'id', '?4')} and kind = 'task'`,
    [tx.project, sorted[0]!, sorted.at(-1)!, ids],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

/** Those under a concurrency key. */
export const keyedAmong = (rows: Iterable<WorkRow>): string[] =>
  [...rows].flatMap((row) => (row.concurrency_key === null ? [] : [row.id]))

/** The queue ?2 itself, and the places of workers beside it. */
const OF_QUEUE = '(queue = ?2 or substr(queue, 1, length(?3)) = ?3)'

/** Up to `limit` tasks that wait in a queue and nobody holds, whatever their time, the first to be due first. */
export async function listWaiting(tx: Tx, queue: string, limit: number): Promise<string[]> {
  const rows = await tx.sql<{ run_id: string }>(
    `select run_id from queue where project_id = ?1 and ${OF_QUEUE} and lease_until is null order by run_at, run_id limit ?4`,
    [tx.project, queue, remotePlace(queue, ''), limit],
  )
  return rows.map((row) => row.run_id)
}

export async function countWaiting(tx: Tx, queue: string): Promise<number> {
  const [row] = await tx.sql<{ n: number }>(
    `select count(*) as n from queue where project_id = ?1 and ${OF_QUEUE} and lease_until is null`,
    [tx.project, queue, remotePlace(queue, '')],
  )
  return Number(row!.n)
}

/** The ids of tasks by id or number, of one person's only with `of`. */
export async function findIds(
  tx: Tx,
  refs: readonly Ref[],
  of: string | undefined,
): Promise<(ref: Ref) => string | undefined> {
  if (refs.length === 0) return () => undefined
  const rows = await tx.db
    .selectFrom('runs')
    .select(['id', 'number'])
    .where(sql<boolean>`${predicate(tx, { ids: refs, of })}`)
    .execute()
  const ids = new Map<Ref, string>(rows.flatMap(({ id, number }) => [[id, id] as const, [number, id] as const]))
  return (ref) => ids.get(asNumber(ref) ?? ref)
}

export async function findStates(tx: Tx, ids: readonly string[]): Promise<Map<string, RunState>> {
  if (ids.length === 0) return new Map()
  const rows = await tx.db.selectFrom('runs').select(['id', 'state']).where('id', 'in', ids).execute()
  return new Map(rows.map(({ id, state }) => [id, state]))
}

// ---- batches

export type BatchRow = Omit<Selectable<BatchesTable>, 'project_id'>

export const insertBatches = (tx: Tx, rows: readonly BatchRow[]): Promise<void> =>
  tx.insert(
    'batches',
    rows.map((row) => ({ project_id: tx.project, ...row })),
  )

export const findBatch = (tx: Tx, id: string): Promise<BatchRow | undefined> =>
  tx.db.selectFrom('batches').selectAll().where('id', '=', id).executeTakeFirst()

/** Newest first, of one person's only with `of`; `before` is the id of a batch. */
export async function listBatches(
  tx: Tx,
  of: string | undefined,
  page: { limit: number; skip: number; before?: string | undefined },
): Promise<BatchRow[]> {
  return tx.db
    .selectFrom('batches')
    .selectAll()
    .$if(of !== undefined, (q) => q.where('executed_by_id', '=', of!))
    .$if(page.before !== undefined, (q) => q.where('id', '<', page.before!))
    .orderBy('id', 'desc')
    .limit(page.limit)
    .offset(page.skip)
    .execute()
}

export async function countBatches(tx: Tx, of: string | undefined): Promise<number> {
  const row = await tx.db
    .selectFrom('batches')
    .select(sql<number>`count(*)`.as('n'))
    .$if(of !== undefined, (q) => q.where('executed_by_id', '=', of!))
    .executeTakeFirstOrThrow()
  return Number(row.n)
}

/** How many tasks of each batch are in each state, by the batch's id. */
export async function countByState(
  tx: Tx,
  batches: readonly BatchRow[],
): Promise<Map<string, Partial<Record<RunState, number>>>> {
  const counts = new Map<string, Partial<Record<RunState, number>>>(batches.map(({ id }) => [id, {}]))
  if (batches.length === 0) return counts
  const note = (id: string, rows: readonly { state: RunState; n: number }[]) => {
    for (const { state, n } of rows) counts.get(id)![state] = Number(n)
  }
  // Each by its own numbers: joined with its batches the table is read as a whole, because nobody knows how few of it are in them.
  const of = (first: string, last: string) =>
    `select case when runs.state = 'pending' and queue.lease_until is not null then 'running' else runs.state end as state,
       count(*) as n
     from runs left join queue on queue.run_id = runs.id
     where runs.project_id = ?1 and runs.number between ${first} and ${last} and runs.kind = 'task' group by 1`
  if (tx.dialect === 'postgres') {
    // Not a statement for each: of several hundred tasks PostgreSQL would start processes beside it, which take longer than the count.
    const rows = await tx.sql<{ id: string; state: RunState; n: number }>(
      `select batch.id, counted.state, counted.n
       from unnest(?2::text[], ?3::bigint[], ?4::bigint[]) as batch(id, first_number, last_number)
       cross join lateral (${of('batch.first_number', 'batch.last_number')}) counted`,
      [
        tx.project,
        batches.map(({ id }) => id),
        batches.map(({ first_number }) => first_number),
        batches.map(({ last_number }) => last_number),
      ],
    )
    for (const row of rows) note(row.id, [row])
  } else
    for (const { id, first_number, last_number } of batches)
      note(id, await tx.sql(of('?2', '?3'), [tx.project, first_number, last_number]))
  return counts
}

/** Up to `limit` tasks of a batch that have not ended, the first first. */
export async function listOpenOf(tx: Tx, batch: BatchRow, limit: number): Promise<string[]> {
  const rows = await tx.sql<{ id: string }>(
    `select id from runs where project_id = ?1 and kind = 'task' and number between ?2 and ?3 and state = 'pending'
     order by number limit ?4`,
    [tx.project, batch.first_number, batch.last_number, limit],
  )
  return rows.map(({ id }) => id)
}

// ---- writing

export type NewTaskRow = Pick<
  Runs,
  | 'id'
  | 'number'
  | 'handler'
  | 'executed_by_id'
  | 'root_run_id'
  | 'trigger'
  | 'trace_id'
  | 'queue'
  | 'priority'
  | 'run_at'
  | 'max_attempts'
  | 'timeout_ms'
  | 'deadline_at'
  | 'unique_key'
  | 'input'
  | 'input_sha256'
  | 'input_sealed'
  | 'replays_run_id'
  | 'door'
  | 'callback'
  | 'tags'
  | 'metadata'
  | 'created_at'
  | 'updated_at'
> &
  // Only where one of those that are inserted together has one: each column costs.
  Partial<
    Pick<Runs, 'concurrency_key' | 'depends_on' | 'parent_run_id' | 'parent_span_id' | 'traceparent' | 'tracestate'>
  >

export const insertTasks = (tx: Tx, rows: readonly NewTaskRow[]): Promise<void> =>
  tx.insert(
    'runs',
    rows.map((row) => ({ project_id: tx.project, kind: 'task', state: 'pending', ...row })),
  )

/** As `loadWork` would find it. */
export const workOf = (row: NewTaskRow): WorkRow => ({
  id: row.id,
  number: row.number,
  handler: row.handler,
  state: 'pending',
  input: row.input,
  input_sha256: row.input_sha256,
  input_sealed: row.input_sealed,
  callback: row.callback,
  trace_id: row.trace_id,
  parent_span_id: row.parent_span_id ?? null,
  traceparent: row.traceparent ?? null,
  tracestate: row.tracestate ?? null,
  executed_by_id: row.executed_by_id,
  deadline_at: row.deadline_at,
  cancel_requested_at: null,
  unique_key: row.unique_key,
  created_at: row.created_at,
  started_at: null,
  event_count: 0,
  attempt: 0,
  concurrency_key: row.concurrency_key ?? null,
  cost_usd: null,
  queue: row.queue!,
  timeout_ms: row.timeout_ms!,
  max_attempts: row.max_attempts!,
})

export type FinalRow = Pick<
  Runs,
  | 'id'
  | 'state'
  | 'started_at'
  | 'completed_at'
  | 'updated_at'
  | 'attempt'
  | 'event_count'
  | 'step_count'
  | 'result'
  | 'result_sealed'
  | 'output_sha256'
  | 'error'
  | 'error_code'
  | 'stdout_log'
  | 'worker'
  | 'dead_at'
  | 'journal_sha256'
>

/** Settles tasks that are not settled; answers `awaited` of each that was not, and undefined for the others. */
export const finishTasks = (tx: Tx, rows: readonly FinalRow[]): Promise<(number | undefined)[]> =>
  tx.update('runs', 'id', rows, "state = 'pending'", 'awaited')

export const postponeTasks = (
  tx: Tx,
  rows: readonly Pick<Runs, 'id' | 'attempt' | 'run_at' | 'started_at' | 'event_count' | 'updated_at'>[],
): Promise<unknown> => tx.update('runs', 'id', rows, "state = 'pending'", 'awaited')

export const insertAttempts = (tx: Tx, rows: readonly Omit<AttemptRow, 'project_id'>[]): Promise<void> =>
  tx.insert(
    'attempts',
    rows.map((row) => ({ project_id: tx.project, ...row })),
  )

export async function updateTask(tx: Tx, id: string, change: Partial<Runs>): Promise<void> {
  await tx.db.updateTable('runs').set(change).where('id', '=', id).execute()
}

/** Why a task was asked to stop; with who took its place, if that is why. */
export type StopReason = Pick<Runs, 'cancel_reason' | 'replaced_by_run_id'>

/** Asks for the end of a task that a worker holds; who asked first, and why, stays. Answers whether nobody had asked before. */
export async function noteCancel(tx: Tx, id: string, at: number, why: StopReason): Promise<boolean> {
  const done = await tx.db
    .updateTable('runs')
    .set({ ...why, cancel_requested_at: at, updated_at: at })
    .where('id', '=', id)
    .where('cancel_requested_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows === 1n
}

/** Which of these were asked to stop, and why. */
export async function findCancelled(tx: Tx, ids: readonly string[]): Promise<Map<string, StopReason>> {
  const rows = await tx.db
    .selectFrom('runs')
    .select(['id', 'cancel_reason', 'replaced_by_run_id'])
    .where('id', 'in', ids)
    .where('cancel_requested_at', 'is not', null)
    .execute()
  return new Map(rows.map(({ id, ...why }) => [id, why]))
}

/** When its work was begun for the first time, of a task that goes on later. */
export async function noteStart(tx: Tx, id: string, at: number | null): Promise<void> {
  if (at !== null)
    await tx.db
      .updateTable('runs')
      .set({ started_at: at })
      .where('id', '=', id)
      .where('started_at', 'is', null)
      .execute()
}

/** The next place in the run's own dense sequence of audit events. Locks the run until commit. */
export async function nextEvent(tx: Tx, id: string): Promise<number> {
  const row = await tx.db
    .updateTable('runs')
    .set((eb) => ({ event_count: eb('event_count', '+', 1) }))
    .where('id', '=', id)
    .returning('event_count')
    .executeTakeFirstOrThrow()
  return row.event_count - 1
}

const IS_DEAD = 'dead_at is not null and purged_at is null'

/** `nextEvent` of each of these, by id. */
export const nextEvents = (tx: Tx, ids: readonly string[]): Promise<Map<string, number>> =>
  changeAll(tx, ids, 'event_count = event_count + 1', 'true')

/** Takes these off the list of dead letters; answers `nextEvent` of each that was on it, by id. */
export const leaveDead = (tx: Tx, ids: readonly string[], now: number): Promise<Map<string, number>> =>
  changeAll(tx, ids, 'event_count = event_count + 1, purged_at = ?5, updated_at = ?5', IS_DEAD, now)

/** Takes dead letters off the list, up to `limit`, oldest first; answers how many. */
export async function purgeDead(tx: Tx, want: Wanted, now: number, limit: number): Promise<number> {
  const ids = (await listReplayable(tx, { ...want, dead: true }, limit)).map(({ id }) => id)
  return (await changeAll(tx, ids, 'purged_at = ?5, updated_at = ?5', IS_DEAD, now)).size
}

/** Of each task that was changed, the place of its newest event. The bounds let partitions be left out. */
async function changeAll(tx: Tx, ids: readonly string[], set: string, where: string, ...more: number[]) {
  if (ids.length === 0) return new Map<string, number>()
  const sorted = ids.toSorted()
  const rows = await tx.sql<{ id: string; event_count: number }>(
    `update runs set ${set}
     where project_id = ?1 and id >= ?2 and id <= ?3 and ${inList(tx, 'id', '?4')} and ${where} returning id, event_count`,
    [tx.project, sorted[0]!, sorted.at(-1)!, ids, ...more],
  )
  return new Map(rows.map(({ id, event_count }) => [id, event_count - 1]))
}

// ---- steps

export type StepRow = Selectable<StepsTable>

/** In ascending order: between the first and the last of ids of runs stand the partitions that are looked into. */
const distinct = (ids: readonly string[]): string[] => [...new Set(ids)].sort()

/** Names may hold spaces, ids do not. */
export const stepKey = (runId: string, name: string): string => `${runId} ${name}`

/** Those of these steps that are kept, by `stepKey`. */
export async function findSteps(
  tx: Tx,
  asked: readonly { readonly runId: string; readonly name: string }[],
): Promise<Map<string, StepRow>> {
  const rows = await tx.sql<StepRow>(selectPairs(tx, 'steps', 'run_id', 'name text'), [
    tx.project,
    asked.map(({ runId }) => runId),
    asked.map(({ name }) => name),
  ])
  return new Map(rows.map((row) => [stepKey(row.run_id, row.name), row]))
}

export const listSteps = (tx: Tx, runId: string): Promise<StepRow[]> =>
  tx.db.selectFrom('steps').selectAll().where('run_id', '=', runId).orderBy('started_at').orderBy('name').execute()

export type NewStepRow = Omit<StepRow, 'project_id'>

/** Keeps steps of which none is kept. Throws UniqueViolation. */
export const keepSteps = (tx: Tx, steps: readonly NewStepRow[]): Promise<void> =>
  tx.insert(
    'steps',
    steps.map((step) => ({ project_id: tx.project, ...step })),
  )

/** What those that dispatch others need to know of themselves. */
export async function findParents(
  tx: Tx,
  ids: readonly string[],
): Promise<Map<string, Pick<Runs, 'id' | 'root_run_id' | 'cancel_requested_at'>>> {
  const sorted = distinct(ids)
  const rows = await tx.sql<Pick<Runs, 'id' | 'root_run_id' | 'cancel_requested_at'>>(
    `select id, root_run_id, cancel_requested_at from runs
     where project_id = ?1 and id >= ?2 and id <= ?3 and ${inList(tx, 'id', '?4')}`,
    [tx.project, sorted[0]!, sorted.at(-1)!, sorted],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

export type OutcomeRow = Pick<
  Runs,
  'id' | 'parent_run_id' | 'state' | 'result' | 'output_sha256' | 'result_sealed' | 'error_code' | 'error'
>

/** What these came to, as far as they have ended. */
export async function findOutcomes(tx: Tx, ids: readonly string[]): Promise<Map<string, OutcomeRow>> {
  const sorted = distinct(ids)
  const rows = await tx.sql<OutcomeRow>(
    `select id, parent_run_id, state, result, output_sha256, result_sealed, error_code, error from runs
     where project_id = ?1 and id >= ?2 and id <= ?3 and ${inList(tx, 'id', '?4')} and kind = 'task'`,
    [tx.project, sorted[0]!, sorted.at(-1)!, sorted],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

export interface Holder {
  readonly worker: string | null
  readonly since: number | null
}

/** Who holds each of these, and since when. */
export async function findHolders(tx: Tx, runIds: readonly string[]): Promise<Map<string, Holder>> {
  const rows = await tx.sql<{ run_id: string; lease_owner: string | null; claimed_at: number | null }>(
    `select run_id, lease_owner, claimed_at from queue where project_id = ?1 and ${inList(tx, 'run_id', '?2')}`,
    [tx.project, runIds],
  )
  return new Map(rows.map((row) => [row.run_id, { worker: row.lease_owner, since: row.claimed_at }]))
}

/** Which of these leases hold. Locked, in the order of their runs, nobody ends one before this transaction does. */
export async function heldAmong(
  tx: Tx,
  leases: readonly { readonly runId: string; readonly fence: number }[],
  lock?: 'lock',
): Promise<(lease: { readonly runId: string; readonly fence: number }) => boolean> {
  const rows = await tx.sql<{ run_id: string; fence: number }>(
    `select run_id, fence from queue where project_id = ?1 and ${inList(tx, 'run_id', '?2')} and ${IS_HELD}
     order by run_id ${lock ? forUpdate(tx) : ''}`,
    [tx.project, distinct(leases.map(({ runId }) => runId))],
  )
  const fences = new Map(rows.map((row) => [row.run_id, Number(row.fence)]))
  return ({ runId, fence }) => fences.get(runId) === fence
}

/** Which of these a task has dispatched. */
export async function findChildren(tx: Tx, parent: string, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await tx.sql<{ id: string }>(
    `select id from runs where project_id = ?1 and parent_run_id = ?2 and ${inList(tx, 'id', '?3')}`,
    [tx.project, parent, ids],
  )
  return new Set(rows.map(({ id }) => id))
}

// ---- unique keys

/**
 * Takes keys for runs, in their order; answers by key who has it: the run that took it now, or the live one that had it.
 * A key whose run settles just then is tried again with the whole group.
 */
export async function takeKeys(
  tx: Tx,
  wanted: readonly { key: string; runId: string }[],
): Promise<Map<string, { id: string; number: number | null }>> {
  // One trip, in their order.
  await Promise.all(
    wanted.map(({ key, runId }) =>
      tx.sql('insert into unique_keys (project_id, key, run_id) values (?1, ?2, ?3) on conflict do nothing', [
        tx.project,
        key,
        runId,
      ]),
    ),
  )
  const rows = await tx.sql<{ key: string; run_id: string }>(
    `select key, run_id from unique_keys where project_id = ?1 and ${inList(tx, 'key', '?2')}`,
    [tx.project, wanted.map((one) => one.key)],
  )
  const mine = new Set(wanted.map(({ runId }) => runId))
  const numbers = await findNumbers(
    tx,
    [...new Set(rows.map((row) => row.run_id))].filter((id) => !mine.has(id)),
  )
  const owners = new Map(rows.map(({ key, run_id: id }) => [key, { id, number: numbers.get(id) ?? null }]))
  const gone = wanted.find((one) => !owners.has(one.key))
  if (gone) throw new DatabaseConflict(new Error(`the run with unique key ${gone.key} settled meanwhile`))
  return owners
}

/**
 * Whom tasks wait for that had their unique keys before them, by the waiting one: what runs, or has begun, when another takes its place
 * has lost its key, and lives on.
 */
export async function listKeyless(
  tx: Tx,
  runIds: readonly string[],
): Promise<readonly { readonly id: string; readonly before: string; readonly key: string }[]> {
  if (runIds.length === 0) return []
  return tx.sql<{ id: string; before: string; key: string }>(
    `select r.id as id, b.id as before, b.unique_key as key
     from dependencies d
     join runs r on r.project_id = d.project_id and r.id = d.run_id
     join runs b on b.project_id = d.project_id and b.id = d.on_run_id
     where d.project_id = ?1 and ${inList(tx, 'd.run_id', '?2')} and b.unique_key = r.unique_key`,
    [tx.project, runIds],
  )
}

/** The key goes from one to another, if the first has it. */
export async function passKey(tx: Tx, key: string, from: string, to: string): Promise<void> {
  const had = await tx.sql(
    'delete from unique_keys where project_id = ?1 and key = ?2 and run_id = ?3 returning run_id',
    [tx.project, key, from],
  )
  if (had.length > 0) await tx.insert('unique_keys', [{ project_id: tx.project, key, run_id: to }])
}

/** The live task that has a unique key, with its place in the queue. */
export interface Rival {
  readonly id: string
  readonly number: number
  readonly created_at: number
  readonly input_sha256: string | null
  /** A worker has it. */
  readonly claimed: boolean
  /** Something of it was done: its input is no longer to be changed. */
  readonly begun: boolean
  readonly entry: Omit<Entry, 'runAt'>
}

/** Nobody claims, settles or moves it before this transaction ends. Undefined if no live task has the key. */
export async function lockRival(tx: Tx, key: string): Promise<Rival | undefined> {
  const findOwner = () =>
    tx.sql<{ run_id: string }>('select run_id from unique_keys where project_id = ?1 and key = ?2', [tx.project, key])
  const [owner] = await findOwner()
  if (!owner) return undefined
  // The queue's row first, as those do who settle.
  const [entry] = await tx.sql<{
    queue: string
    handler: string
    priority: number
    attempt: number
    lease_until: number | null
  }>(
    `select queue, handler, priority, attempt, lease_until from queue where run_id = ?1 and project_id = ?2 ${forUpdate(tx)}`,
    [owner.run_id, tx.project],
  )
  const [still] = await findOwner()
  const [row] = await tx.sql<Pick<Runs, 'number' | 'created_at' | 'input_sha256' | 'started_at'>>(
    'select number, created_at, input_sha256, started_at from runs where project_id = ?1 and id = ?2',
    [tx.project, owner.run_id],
  )
  // It settles just now, and its key with it.
  if (!entry || !row || still?.run_id !== owner.run_id)
    throw new DatabaseConflict(new Error(`the run with unique key ${key} settled meanwhile`))
  const { queue, handler, priority, attempt, lease_until } = entry
  // A server that stops hands work back uncounted: its steps are all that is left of it.
  const [step] = await tx.sql('select name from steps where project_id = ?1 and run_id = ?2 limit 1', [
    tx.project,
    owner.run_id,
  ])
  return {
    ...row,
    id: owner.run_id,
    claimed: lease_until !== null,
    begun: lease_until !== null || attempt > 0 || row.started_at !== null || step !== undefined,
    entry: { runId: owner.run_id, queue, handler, priority },
  }
}

/** Frees the keys of settled runs. */
export async function freeKeys(tx: Tx, runs: readonly { unique_key: string | null; id: string }[]): Promise<void> {
  await Promise.all(
    runs.map(
      ({ unique_key, id }) =>
        unique_key !== null &&
        tx.sql('delete from unique_keys where project_id = ?1 and key = ?2 and run_id = ?3', [
          tx.project,
          unique_key,
          id,
        ]),
    ),
  )
}

// ---- deadlines of what waits

export const setDeadlines = (tx: Tx, rows: readonly { id: string; deadline_at: number }[]): Promise<void> =>
  tx.insert(
    'timers',
    rows.map((row) => ({ run_id: row.id, what: 'expire', project_id: tx.project, due_at: row.deadline_at })),
  )

export async function clearDeadlines(tx: Tx, runIds: readonly string[]): Promise<void> {
  if (runIds.length > 0)
    await tx.sql(`delete from timers where ${inList(tx, 'run_id', '?1')} and what = 'expire'`, [runIds])
}

/** What these dispatched is to be cancelled, and this transaction is long enough. */
export async function cancelChildrenLater(tx: Tx, runIds: readonly string[], now: number): Promise<void> {
  if (runIds.length === 0) return
  const due = `cast(?3 as ${tx.dialect === 'postgres' ? 'bigint' : 'integer'})`
  await tx.sql(
    `insert into timers (run_id, what, project_id, due_at)
     select id, 'cancel_children', project_id, ${due} from runs where project_id = ?1 and ${inList(tx, 'id', '?2')}
     on conflict (run_id, what) do nothing`,
    [tx.project, runIds, now],
  )
}

// ---- queues

// Their table has no tenant policy.
const queuesOf = (tx: Tx) => tx.db.selectFrom('queues').where('project_id', '=', tx.project)

/** By name, all or those behind the name `after`. */
export const listQueues = (tx: Tx, part?: ListPart): Promise<QueueRow[]> =>
  queuesOf(tx)
    .selectAll()
    .$call(inOrderOf('name', 'asc', part))
    .execute()

export const countQueues = (tx: Tx): Promise<number> => countOf(queuesOf(tx))

export async function findQueue(tx: Tx, name: string): Promise<QueueRow | undefined> {
  const [row] = await tx.sql<QueueRow>('select * from queues where project_id = ?1 and name = ?2', [tx.project, name])
  return row
}

export async function listPaused(tx: Tx): Promise<string[]> {
  const rows = await tx.sql<{ name: string }>(
    'select name from queues where project_id = ?1 and paused_at is not null',
    [tx.project],
  )
  return rows.map(({ name }) => name)
}

export async function isPaused(tx: Tx, name: string): Promise<boolean> {
  const rows = await tx.sql('select name from queues where project_id = ?1 and name = ?2 and paused_at is not null', [
    tx.project,
    name,
  ])
  return rows.length === 1
}

export async function addQueues(tx: Tx, names: readonly string[], now: number): Promise<void> {
  for (const name of names)
    await tx.sql('insert into queues (project_id, name, created_at) values (?1, ?2, ?3) on conflict do nothing', [
      tx.project,
      name,
      now,
    ])
}

/** Sets or ends a pause; undefined if there is no such queue, and whether it changed anything. */
export async function setPaused(
  tx: Tx,
  name: string,
  pause: { at: number; by: string; reason: string | null } | null,
): Promise<{ changed: boolean } | undefined> {
  const changed = await tx.sql(
    `update queues set paused_at = ?3, paused_by_id = ?4, paused_reason = ?5 where project_id = ?1 and name = ?2 and paused_at is ${pause ? '' : 'not '}null returning name`,
    [tx.project, name, pause?.at ?? null, pause?.by ?? null, pause?.reason ?? null],
  )
  if (changed.length === 1) return { changed: true }
  const rows = await tx.sql('select name from queues where project_id = ?1 and name = ?2', [tx.project, name])
  return rows.length === 1 ? { changed: false } : undefined
}

/** How many tasks of a queue may run at once, over all servers; null is any number. Answers what it was; undefined if there is none. */
export async function setConcurrency(
  tx: Tx,
  name: string,
  concurrency: number | null,
): Promise<{ before: number | null } | undefined> {
  const [row] = await tx.sql<{ concurrency: number | null }>(
    `select concurrency from queues where project_id = ?1 and name = ?2 ${forUpdate(tx)}`,
    [tx.project, name],
  )
  if (!row) return undefined
  await tx.sql('update queues set concurrency = ?3 where project_id = ?1 and name = ?2', [
    tx.project,
    name,
    concurrency,
  ])
  return { before: row.concurrency }
}
