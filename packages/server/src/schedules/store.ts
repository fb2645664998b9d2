import { type Selectable, sql } from 'kysely'
import { countOf, type Database, forUpdate, inList, type ListPart, selectPairs, type Tx } from '../platform/db/index.ts'
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

/** These schedules, by id; locked in the order of their ids, if they are. */
export async function findSchedules(tx: Tx, ids: readonly string[], lock?: 'lock'): Promise<Map<string, ScheduleRow>> {
  const rows = await tx.sql<ScheduleRow>(
    `select * from schedules where project_id = ?1 and ${inList(tx, 'id', '?2')} and state <> 'deleted'
     order by id ${lock ? forUpdate(tx) : ''}`,
    [tx.project, ids],
  )
  return new Map(rows.map((row) => [row.id, row]))
}

export type NewFire = Omit<FireRow, 'project_id'>

export const fireKey = (schedule: string, dueAt: number): string => `${schedule} ${dueAt}`

/** Which of these due times were decided before, by `fireKey`. */
export async function findFires(
  tx: Tx,
  asked: readonly { readonly schedule: string; readonly dueAt: number }[],
): Promise<Set<string>> {
  if (asked.length === 0) return new Set()
  const rows = await tx.sql<{ schedule_id: string; due_at: number }>(
    selectPairs(tx, 'schedule_fires', 'schedule_id', 'due_at bigint'),
    [tx.project, asked.map(({ schedule }) => schedule), asked.map(({ dueAt }) => dueAt)],
  )
  return new Set(rows.map((row) => fireKey(row.schedule_id, Number(row.due_at))))
}

/** Which of these runs are open. */
export async function findOpenRuns(tx: Tx, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await tx.sql<{ id: string }>(
    `select id from runs where project_id = ?1 and ${inList(tx, 'id', '?2')} and completed_at is null`,
    [tx.project, ids],
  )
  return new Set(rows.map(({ id }) => id))
}

/** Each due time is decided once. Throws UniqueViolation. */
export const insertFires = (tx: Tx, fires: readonly NewFire[]): Promise<void> =>
  tx.insert(
    'schedule_fires',
    fires.map((fire) => ({ project_id: tx.project, ...fire })),
  )

export type Fired = Pick<ScheduleRow, 'id' | 'next_at' | 'last_due_at' | 'last_run_id' | 'refusals' | 'state'>

/** What became of schedules that were due, and when they are next. */
export async function noteFired(tx: Tx, all: readonly Fired[]): Promise<void> {
  const ahead = all.flatMap(({ id, next_at }) => (next_at === null ? [] : [{ schedule_id: id, next_at }]))
  const over = all.filter(({ next_at }) => next_at === null).map(({ id }) => id)
  await Promise.all([
    tx.update('schedules', 'id', all, "state = 'active'", 'version'),
    tx.update('schedule_due', 'schedule_id', ahead, 'next_at is not null', 'next_at'),
    over.length > 0 && tx.sql(`delete from schedule_due where ${inList(tx, 'schedule_id', '?1')}`, [over]),
  ])
}

/** Newest first. */
export const listFires = (tx: Tx, schedule: string, limit: number): Promise<FireRow[]> =>
  tx.db
    .selectFrom('schedule_fires')
    .selectAll()
    .where('schedule_id', '=', schedule)
    .orderBy('due_at', 'desc')
    .limit(limit)
    .execute()

export const forgetFires = (tx: Tx, schedules: readonly string[], before: number): Promise<unknown> =>
  tx.sql(`delete from schedule_fires where project_id = ?1 and ${inList(tx, 'schedule_id', '?2')} and due_at < ?3`, [
    tx.project,
    schedules,
    before,
  ])

/** What became of the first `limit` due times before `before` of schedules that are not active: whatever is due forgets its own. */
export const listRestingFires = (
  tx: Tx,
  before: number,
  limit: number,
): Promise<Pick<FireRow, 'schedule_id' | 'due_at'>[]> =>
  tx.sql(
    `select s.id as schedule_id, f.due_at from schedules s
     join schedule_fires f on f.project_id = s.project_id and f.schedule_id = s.id and f.due_at < ?2
     where s.project_id = ?1 and s.state <> 'active' order by s.id, f.due_at limit ?3`,
    [tx.project, before, limit],
  )
