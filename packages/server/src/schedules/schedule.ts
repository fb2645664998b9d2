import type {
  ChangeSchedule,
  NewSchedule,
  NewTask,
  PauseCause,
  PreviewSchedule,
  Schedule,
  ScheduleFire,
  ScheduleOptions,
} from '@writ/api'
import { type Payloads, sealedPayloads } from '../kinds/task/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import { redactor } from '../platform/redact/index.ts'
import type { FireRow, ScheduleRow } from './store.ts'
import { faultOf, nextAfter, type Timing } from './timing.ts'

type TimingColumns = Pick<
  ScheduleRow,
  'cron' | 'every_ms' | 'at' | 'zone' | 'dst_gap' | 'dst_overlap' | 'starts_at' | 'ends_at'
>

const timeOf = (text: string | undefined): number | null => (text === undefined ? null : Date.parse(text))

const ZONED = /^\s*(?:CRON_)?TZ=(\S*)\s*(.*)$/s

/**
 * The times with the zone that a cron begins with, as crontabs of others have it (`CRON_TZ=Asia/Shanghai 0 9 * * *`), in the place of the
 * zone. Throws SCHEDULE_TIMES_INVALID where another is said beside it.
 */
export function withZoneApart<T extends Pick<PreviewSchedule, 'cron' | 'zone'>>(asked: T): T {
  const [, zone, cron] = ZONED.exec(asked.cron ?? '') ?? []
  if (zone === undefined || cron === undefined) return asked
  if (asked.zone !== undefined && asked.zone !== zone)
    throw invalid(`the time zone is said twice: ${zone} in cron, ${asked.zone} beside it`, 'zone')
  return { ...asked, cron, zone }
}

/** The columns of the times that were asked for. Throws SCHEDULE_TIMES_INVALID. */
export function timingColumns(given: PreviewSchedule): TimingColumns {
  const asked = withZoneApart(given)
  const ways = [asked.cron, asked.every_seconds, asked.at].filter((way) => way !== undefined)
  if (ways.length !== 1) throw invalid('say exactly one of cron, every_seconds and at')
  const columns: TimingColumns = {
    cron: asked.cron?.trim() ?? null,
    every_ms: asked.every_seconds === undefined ? null : asked.every_seconds * 1_000,
    at: timeOf(asked.at),
    zone: asked.zone ?? 'UTC',
    dst_gap: asked.dst_gap ?? 'after',
    dst_overlap: asked.dst_overlap ?? 'first',
    starts_at: timeOf(asked.starts_at),
    ends_at: timeOf(asked.ends_at),
  }
  const fault = faultOf(timingOf(columns))
  if (fault) throw invalid(fault.reason, fault.field)
  return columns
}

/** The first time after `now`; a schedule that has none is refused. */
export function firstTime(columns: TimingColumns, now: number): number {
  const next = nextAfter(timingOf(columns), now)
  if (next === null) throw invalid('no such time is ahead')
  return next
}

const invalid = (reason: string, field?: string) =>
  new AppError(
    'SCHEDULE_TIMES_INVALID',
    { reason },
    field ? { fields: [{ path: `body.${field}`, message: reason }] } : {},
  )

export const timingOf = (row: TimingColumns): Timing => ({
  cron: row.cron,
  everyMs: row.every_ms,
  at: row.at,
  zone: row.zone,
  dstGap: row.dst_gap,
  dstOverlap: row.dst_overlap,
  startsAt: row.starts_at,
  endsAt: row.ends_at,
})

/** Whether a row is due at these times, and at no others. */
export const hasTimes = (row: TimingColumns, times: TimingColumns): boolean =>
  JSON.stringify(timingOf(row)) === JSON.stringify(timingOf(times))

/** The times of a row as they are asked for, so that some of them can be replaced. */
export const askedTimes = (row: ScheduleRow): PreviewSchedule => ({
  ...(row.cron === null ? {} : { cron: row.cron }),
  ...(row.every_ms === null ? {} : { every_seconds: row.every_ms / 1_000 }),
  ...(row.at === null ? {} : { at: rfc3339(row.at) }),
  zone: row.zone,
  dst_gap: row.dst_gap,
  dst_overlap: row.dst_overlap,
  ...(row.starts_at === null ? {} : { starts_at: rfc3339(row.starts_at) }),
  ...(row.ends_at === null ? {} : { ends_at: rfc3339(row.ends_at) }),
})

/** Where sealed inputs of schedules are. */
export const sealedOfSchedules = [
  sealedPayloads({ table: 'schedules', column: 'input_sealed', key: 'id', beside: 'input_sha256' }),
]

/** The columns of an input: in the open what may be seen, and the whole of it sealed if that is less. */
export function inputColumns(payloads: Payloads, project: string, input: unknown) {
  const { shown, sha256, sealed } = payloads.hide(project, JSON.stringify(input))
  return { input: shown, input_sha256: sha256, input_sealed: sealed }
}

/** The input as the handler is to get it. Throws when it was sealed with a key that is gone. */
export const inputOf = (payloads: Pick<Payloads, 'open'>, project: string, row: ScheduleColumns): unknown =>
  JSON.parse(row.input_sealed === null ? row.input : payloads.open(project, row.input_sealed, row.input_sha256))

/** A schedule before it is anybody's. */
export type ScheduleColumns = Omit<ScheduleRow, 'project_id'>

/** Kept as text, and in every task: so without what is secret, as those of a dispatch. */
export const keptOptions = (options: NonNullable<NewSchedule['options']>): string =>
  redactor.json(JSON.stringify(options))

/** The options of a row with those that a change says; null drops one, or all of them (RFC 7396). */
export const changedOptions = (row: Pick<ScheduleRow, 'options'>, change: ChangeSchedule['options']): string =>
  keptOptions((mergePatch(JSON.parse(row.options), change ?? null) ?? {}) as ScheduleOptions)

function mergePatch(old: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const merged = new Map(isObject(old) ? Object.entries(old) : [])
  for (const [name, value] of Object.entries(patch))
    if (value === null) merged.delete(name)
    else merged.set(name, mergePatch(merged.get(name), value))
  return Object.fromEntries(merged)
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

// Rows of before may hold what is redacted now.
const optionsOf = (row: Pick<ScheduleRow, 'options'>) =>
  JSON.parse(redactor.json(row.options)) as NonNullable<NewSchedule['options']>

/** When the task of a due time has to have ended; null: whenever. */
export function deadlineOf(row: Pick<ScheduleRow, 'options'>, dueAt: number): number | null {
  const { ttl_ms } = optionsOf(row)
  return ttl_ms === undefined ? null : dueAt + ttl_ms
}

/** The task that a due time dispatches; `dueAt` null: somebody does so now. */
export function taskOf(
  row: Pick<ScheduleRow, 'id' | 'name' | 'handler' | 'options' | 'when_running'>,
  input: unknown,
  dueAt: number | null,
  now: number,
): NewTask {
  const { ttl_ms, ...options } = optionsOf(row)
  return {
    ...options,
    ...(ttl_ms === undefined ? {} : { deadline_at: rfc3339((dueAt ?? now) + ttl_ms) }),
    handler: row.handler,
    input,
    metadata: {
      ...options.metadata,
      schedule: { id: row.id, name: row.name, ...(dueAt === null ? {} : { due_at: rfc3339(dueAt) }) },
    },
    // While a task with this key is open, a further one is that one.
    ...(row.when_running === 'skip' ? { unique_key: `schedule:${row.id}` } : {}),
  }
}

export const showSchedule = (row: Omit<ScheduleRow, 'project_id'>): Schedule => ({
  id: row.id,
  name: row.name,
  handler: row.handler,
  state: row.state === 'deleted' ? 'ended' : row.state,
  paused_at: rfc3339OrNull(row.paused_at),
  paused_by_id: row.paused_by_id,
  paused_reason: row.paused_reason,
  paused_cause: row.paused_cause === null ? null : (JSON.parse(row.paused_cause) as PauseCause),
  cron: row.cron,
  every_seconds: row.every_ms === null ? null : row.every_ms / 1_000,
  at: rfc3339OrNull(row.at),
  zone: row.zone,
  dst_gap: row.dst_gap,
  dst_overlap: row.dst_overlap,
  catch_up: row.catch_up,
  catch_up_limit: row.catch_up_limit,
  when_running: row.when_running,
  starts_at: rfc3339OrNull(row.starts_at),
  ends_at: rfc3339OrNull(row.ends_at),
  options: optionsOf(row),
  callback: row.callback === null ? null : { url: (JSON.parse(row.callback) as { url: string }).url },
  next_at: rfc3339OrNull(row.next_at),
  last_due_at: rfc3339OrNull(row.last_due_at),
  last_run_id: row.last_run_id,
  version: row.version,
  owner_id: row.owner_id,
  created_by_id: row.created_by_id,
  created_at: rfc3339(row.created_at),
  updated_at: rfc3339(row.updated_at),
})

export const showFire = (row: FireRow): ScheduleFire => ({
  due_at: rfc3339(row.due_at),
  fired_at: rfc3339(row.fired_at),
  outcome: row.outcome,
  run_id: row.run_id,
  error_code: row.error_code,
})
