import { type Selectable, sql } from 'kysely'
import { countOf, type Database, forUpdate, type ListPart, type Tx } from '../platform/db/index.ts'
import type { ScheduleFiresTable, SchedulesTable } from '../platform/db/tables.ts'

export type ScheduleRow = Selectable<SchedulesTable>
export type FireRow = Selectable<ScheduleFiresTable>

const living = (tx: Tx) => tx.db.selectFrom('schedules').where(sql<boolean>`schedules.state <> 'deleted'`)

/** By name, behind the name `after`. */
export const listSchedules = (tx: Tx, page: ListPart): Promise<ScheduleRow[]> =>
  living(tx)
    .selectAll()
    .$if(page.after !== undefined, (q) => q.where('name', '>', page.after!))
    .orderBy('name')
    .limit(page.limit)
    .offset(page.skip)
    .execute()

export const countSchedules = (tx: Tx): Promise<number> => countOf(living(tx))

/**
 * By id, or by the name, of which no two have the same; an id goes before a name that looks like one. Each by its index: with
 * `id = ?2 or name = ?2` every schedule of the project is looked at.
 */
const SCHEDULE = `select * from schedules where project_id = ?1 and state <> 'deleted' and id = coalesce(
  (select id from schedules where project_id = ?1 and id = ?2 and state <> 'deleted'),
  (select id from schedules where project_id = ?1 and name = ?2 and state <> 'deleted'))`

export async function findSchedule(tx: Tx, ref: string): Promise<ScheduleRow | undefined> {
  return (await tx.sql<ScheduleRow>(SCHEDULE, [tx.project, ref]))[0]
}

export async function lockSchedule(tx: Tx, ref: string): Promise<ScheduleRow | undefined> {
  return (await tx.sql<ScheduleRow>(`${SCHEDULE} ${forUpdate(tx)}`, [tx.project, ref]))[0]
}

export async function isNameTaken(tx: Tx, name: string, except: string | null): Promise<boolean> {
  const row = await living(tx).select('id').where('name', '=', name).executeTakeFirst()
  return row !== undefined && row.id !== except
}

export async function insertSchedule(tx: Tx, row: Omit<ScheduleRow, 'project_id'>): Promise<void> {
  await tx.insert('schedules', [{ project_id: tx.project, ...row }])
  await setDue(tx, row.id, row.next_at)
}

/** Sets columns; with `next_at` among them schedulers are told too. */
export async function updateSchedule(tx: Tx, id: string, change: Partial<ScheduleRow>): Promise<void> {
  await tx.db.updateTable('schedules').set(change).where('id', '=', id).execute()
  if (change.next_at !== undefined) await setDue(tx, id, change.next_at)
}

async function setDue(tx: Tx, id: string, at: number | null): Promise<void> {
  if (at === null) await tx.sql('delete from schedule_due where schedule_id = ?1', [id])
  else
    await tx.sql(
      `insert into schedule_due (schedule_id, project_id, next_at) values (?1, ?2, ?3)
       on conflict (schedule_id) do update set next_at = excluded.next_at`,
      [id, tx.project, at],
    )
}

export interface Due {
  readonly id: string
  readonly project: string
}

/** Schedules of all projects that are due at `now`, the longest due first. */
export const listDue = (db: Database, now: number, limit: number): Promise<Due[]> =>
  db.lookup<Due>(
    `select schedule_id as id, project_id as project from schedule_due where next_at <= ?1
     order by next_at, schedule_id limit ${limit}`,
    [now],
  )

/** Schedules of all projects whose next time is later than `now`, by id, after `after`. */
export const listAhead = (db: Database, now: number, after: string, limit: number): Promise<Due[]> =>
  db.lookup<Due>(
    `select schedule_id as id, project_id as project from schedule_due where next_at > ?1 and schedule_id > ?2
     order by schedule_id limit ${limit}`,
    [now, after],
  )

/** Takes a due time for this transaction; false if it was decided before. */
export async function takeFire(tx: Tx, schedule: string, dueAt: number, now: number): Promise<boolean> {
  const rows = await tx.sql(
    `insert into schedule_fires (project_id, schedule_id, due_at, fired_at, outcome) values (?1, ?2, ?3, ?4, 'refused')
     on conflict do nothing returning due_at`,
    [tx.project, schedule, dueAt, now],
  )
  return rows.length === 1
}

export const updateFire = (
  tx: Tx,
  schedule: string,
  dueAt: number,
  change: Pick<FireRow, 'outcome' | 'run_id' | 'error_code'>,
): Promise<unknown> =>
  tx.db
    .updateTable('schedule_fires')
    .set(change)
    .where('schedule_id', '=', schedule)
    .where('due_at', '=', dueAt)
    .execute()

/** Newest first. */
export const listFires = (tx: Tx, schedule: string, limit: number): Promise<FireRow[]> =>
  tx.db
    .selectFrom('schedule_fires')
    .selectAll()
    .where('schedule_id', '=', schedule)
    .orderBy('due_at', 'desc')
    .limit(limit)
    .execute()

export const forgetFires = (tx: Tx, schedule: string, before: number): Promise<unknown> =>
  tx.db.deleteFrom('schedule_fires').where('schedule_id', '=', schedule).where('due_at', '<', before).execute()
