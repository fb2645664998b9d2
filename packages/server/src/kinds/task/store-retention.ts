import type { RunState } from '@writ/api'
import { forUpdate, inList, type Tx } from '../../platform/db/index.ts'

// SQL of what goes of tasks whose time is over, and of the payloads that stood beside their rows.

/** What of a run says whether its time is over. */
export interface Passed {
  readonly id: string
  readonly kind: string
  readonly state: RunState
  readonly created_at: number
  readonly completed_at: number | null
}

/** A stretch of the runs of the project in context in the order of their ids, which is that of their making. */
export const listStretch = (tx: Tx, after: string, limit: number): Promise<Passed[]> =>
  tx.sql(
    'select id, kind, state, created_at, completed_at from runs where project_id = ?1 and id > ?2 order by id limit ?3',
    [tx.project, after, limit],
  )

/** A task that nothing needs any more. The digests are those of payloads that are no part of the row. */
export interface Droppable {
  readonly id: string
  readonly number: number
  readonly state: RunState
  readonly completed_at: number
  readonly input_blob: string | null
  readonly result_blob: string | null
}

/**
 * Of these tasks those that have ended and that no open one needs: what dispatched them has ended and may not ask for their results
 * again, what they dispatched has ended, and nothing waits for them. In the order of their ids, and nobody changes them before this
 * transaction ends.
 */
export const lockDroppable = (tx: Tx, ids: readonly string[]): Promise<Droppable[]> =>
  tx.sql(
    `select r.id, r.number, r.state, r.completed_at,
       case when r.input is null then r.input_sha256 end as input_blob,
       case when r.result is null then r.output_sha256 end as result_blob
     from runs r
     where r.project_id = ?1 and r.id >= ?2 and r.id <= ?3 and ${inList(tx, 'r.id', '?4')}
       and r.kind = 'task' and r.completed_at is not null
       and not exists (select 1 from runs p where p.project_id = ?1 and p.id = r.parent_run_id and p.completed_at is null)
       and not exists (select 1 from runs c where c.project_id = ?1 and c.parent_run_id = r.id and c.completed_at is null)
       and not exists (select 1 from dependencies d where d.project_id = ?1 and d.on_run_id = r.id)
     order by r.id ${forUpdate(tx)}`,
    [tx.project, ids[0]!, ids.at(-1)!, ids],
  )

/** What is kept of a task beside its row, by its id. */
const BESIDE = ['attempts', 'steps', 'log_chunks', 'costs'] as const

/**
 * Deletes the records of tasks. `droppedBy` is the `tasks.dropped` of the same transaction, which says how many they are. On PostgreSQL
 * the server may not delete runs; the owner's function does this and nothing else.
 */
export async function dropTasks(tx: Tx, tasks: readonly Droppable[], droppedBy: string, now: number): Promise<void> {
  const ids = tasks.map(({ id }) => id)
  const blobs = tasks.flatMap((task) => [task.input_blob, task.result_blob]).filter((one) => one !== null)
  if (blobs.length > 0)
    await tx.sql(
      `update task_payloads set gone_at = ?4 where project_id = ?1 and ${inList(tx, 'sha256', '?2')} and ${inList(tx, 'run_id', '?3')}`,
      [tx.project, blobs, ids, now],
    )
  if (tx.dialect === 'postgres') await tx.sql('select writ_drop_tasks(?1, ?2)', [ids, droppedBy])
  else {
    // Without it the freed part of a page would keep the texts until something else is written there.
    await tx.sql('pragma secure_delete = on')
    for (const table of BESIDE)
      await tx.sql(`delete from ${table} where project_id = ?1 and ${inList(tx, 'run_id', '?2')}`, [tx.project, ids])
    await tx.sql(`delete from runs where project_id = ?1 and ${inList(tx, 'id', '?2')}`, [tx.project, ids])
  }
  // In the order in which whoever accepts tasks takes them.
  for (const name of ['runs', 'tasks'])
    await tx.sql('update counters set total = total - ?3 where project_id = ?1 and name = ?2', [
      tx.project,
      name,
      ids.length,
    ])
}

/** Of so many batches behind one, deletes those of which no task is left. Answers the last of them; undefined if there is none. */
export async function dropEmptyBatches(tx: Tx, after: string, limit: number): Promise<string | undefined> {
  const batches = await tx.sql<{ id: string; gone: number }>(
    `select b.id, case when b.last_number >=
       (select r.number from runs r where r.project_id = ?1 and r.number >= b.first_number order by r.number limit 1) then 0 else 1 end as gone
     from batches b where b.project_id = ?1 and b.id > ?2 order by b.id limit ?3`,
    [tx.project, after, limit],
  )
  const gone = batches.filter((batch) => batch.gone === 1).map(({ id }) => id)
  if (gone.length > 0)
    await tx.sql(`delete from batches where project_id = ?1 and ${inList(tx, 'id', '?2')}`, [tx.project, gone])
  return batches.at(-1)?.id
}

// ---- idempotency keys

/** The operations whose keys stand for tasks. */
const DISPATCHES: ReadonlySet<string> = new Set(['tasks.submit', 'tasks.submitMany', 'dispatch.dispatch'])

/** Where a key stands in the order of their index. */
export interface KeyPlace {
  readonly principal: string
  readonly route: string
  readonly key: string
}

/** Before every one. */
export const FIRST_KEY: KeyPlace = { principal: '', route: '', key: '' }

export interface KeyRow extends KeyPlace {
  readonly created_at: number
  readonly resource_id: string | null
}

/** So many idempotency keys behind one, in the order of their index. */
export const listKeys = (tx: Tx, after: KeyPlace, limit: number): Promise<KeyRow[]> =>
  tx.sql<KeyRow>(
    `select principal, route, key, created_at, resource_id from idempotency
     where project_id = ?1 and (principal, route, key) > (?2, ?3, ?4) order by principal, route, key limit ?5`,
    [tx.project, after.principal, after.route, after.key, limit],
  )

export const isOfDispatch = ({ route }: KeyPlace): boolean => DISPATCHES.has(route)

/** Of keys of dispatches those of which neither the task nor the batch is left. */
export async function withoutTask(tx: Tx, keys: readonly KeyRow[]): Promise<KeyRow[]> {
  const ids = keys.map((one) => one.resource_id).filter((one) => one !== null)
  const left = new Set<string>()
  for (const table of ids.length > 0 ? ['runs', 'batches'] : [])
    for (const { id } of await tx.sql<{ id: string }>(
      `select id from ${table} where project_id = ?1 and ${inList(tx, 'id', '?2')}`,
      [tx.project, ids],
    ))
      left.add(id)
  return keys.filter((one) => one.resource_id !== null && !left.has(one.resource_id))
}

/** Forgets keys as they were read: whoever has used one of them again since made another. */
export async function forgetKeys(tx: Tx, keys: readonly KeyRow[]): Promise<void> {
  await Promise.all(
    keys.map(({ principal, route, key, created_at }) =>
      tx.sql(
        'delete from idempotency where project_id = ?1 and principal = ?2 and route = ?3 and key = ?4 and created_at = ?5',
        [tx.project, principal, route, key, created_at],
      ),
    ),
  )
}

// ---- payloads beside the row

/** A payload that is too long for a row, and the task whose row names it. */
export interface PayloadRef {
  readonly run: string
  readonly sha256: string
}

/** That tasks name payloads, in the transaction that writes their rows. Everything is asked for at once. */
export async function namePayloads(tx: Tx, refs: readonly PayloadRef[]): Promise<void> {
  await Promise.all(
    refs.map(({ sha256, run }) =>
      tx.sql(
        `insert into task_payloads (project_id, sha256, run_id) values (?1, ?2, ?3)
         on conflict (project_id, sha256, run_id) do update set gone_at = null`,
        [tx.project, sha256, run],
      ),
    ),
  )
}

/** That a task names a payload no more, which it named. */
export const unnamePayload = (tx: Tx, { sha256, run }: PayloadRef, now: number): Promise<unknown> =>
  tx.sql('update task_payloads set gone_at = ?4 where project_id = ?1 and sha256 = ?2 and run_id = ?3', [
    tx.project,
    sha256,
    run,
    now,
  ])

/** That a payload is about to be stored: it is kept for a while though no task names it. */
export async function announcePayload(tx: Tx, sha256: string, now: number): Promise<void> {
  await tx.sql('update task_payloads set gone_at = ?3 where project_id = ?1 and sha256 = ?2 and gone_at is not null', [
    tx.project,
    sha256,
    now,
  ])
  await tx.sql(
    `insert into task_payloads (project_id, sha256, run_id, gone_at) values (?1, ?2, '', ?3) on conflict do nothing`,
    [tx.project, sha256, now],
  )
}

/** That a row says so: nobody has named its payload since then, and no artifact has the same bytes. */
const REMOVABLE = `p.gone_at < ?2
  and not exists (select 1 from task_payloads q where q.project_id = ?1 and q.sha256 = p.sha256 and (q.gone_at is null or q.gone_at >= ?2))
  and not exists (select 1 from artifacts a where a.project_id = ?1 and a.sha256 = p.sha256 and a.bytes_gone_at is null)`

/** Payloads that no task has named since then, in the order of their digests, behind one. */
export async function listRemovable(tx: Tx, unnamed: number, after: string, limit: number): Promise<string[]> {
  const rows = await tx.sql<{ sha256: string }>(
    `select distinct p.sha256 from task_payloads p where p.project_id = ?1 and p.gone_at is not null and ${REMOVABLE} and p.sha256 > ?3
     order by 1 limit ?4`,
    [tx.project, unnamed, after, limit],
  )
  return rows.map((row) => row.sha256)
}

/** Whether a payload is still one of them. */
export async function isRemovable(tx: Tx, sha256: string, unnamed: number): Promise<boolean> {
  const rows = await tx.sql(
    `select 1 as one from task_payloads p where p.project_id = ?1 and p.sha256 = ?3 and p.gone_at is not null and ${REMOVABLE} limit 1`,
    [tx.project, unnamed, sha256],
  )
  return rows.length > 0
}

/** After its bytes are gone. Who has announced it meanwhile waits to store it. */
export async function forgetPayload(tx: Tx, sha256: string, unnamed: number): Promise<void> {
  await tx.sql('delete from task_payloads where project_id = ?1 and sha256 = ?2 and gone_at < ?3', [
    tx.project,
    sha256,
    unnamed,
  ])
}
