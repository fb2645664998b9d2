import type { ScheduleDetail, schedulesApi } from '@writ/api'
import { append } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import type { Dispatching, Payloads, Tasks } from '../kinds/task/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { uuidv7 } from '../platform/ids.ts'
import {
  askedTimes,
  changedOptions,
  firstTime,
  hasTimes,
  inputColumns,
  inputOf,
  keptOptions,
  type ScheduleColumns,
  showFire,
  showSchedule,
  taskOf,
  timingColumns,
  timingOf,
  withZoneApart,
} from './schedule.ts'
import * as store from './store.ts'
import { nextAfter, nextTimes } from './timing.ts'

const WAYS = ['cron', 'every_seconds', 'at'] as const
const SHOWN_TIMES = 10
const SHOWN_FIRES = 20

export interface SchedulesOn extends Pick<Dispatching, 'callback'> {
  readonly tasks: Pick<Tasks, 'prepare' | 'submit'>
  readonly payloads: Payloads
}

export const scheduleHandlers = ({
  tasks,
  payloads,
  callback,
}: SchedulesOn): Handlers<typeof schedulesApi, Caller> => ({
  list: (ask) =>
    ask.page({
      rows: store.listSchedules,
      total: store.countSchedules,
      key: ({ name }) => name,
      show: showSchedule,
    }),
  get: (ask) =>
    ask.read(async (tx) => {
      const row = known(await store.findSchedule(tx, ask.params.id))
      ask.tag(String(row.version))
      return detail(tx, row, ask.caller.at)
    }),

  async preview({ body, caller }) {
    const columns = timingColumns(body)
    const after = body.after === undefined ? caller.at : Date.parse(body.after)
    const next = nextTimes(timingOf(columns), after, body.count ?? SHOWN_TIMES)
    return { zone: columns.zone, next: next.map(rfc3339) }
  },

  async create(ask) {
    const { caller, body } = ask
    const times = timingColumns(body)
    const input = body.input ?? {}
    const asked: ScheduleColumns = {
      id: uuidv7(caller.at),
      name: body.name,
      handler: body.handler,
      ...inputColumns(payloads, caller.project!, input),
      options: keptOptions(body.options ?? {}),
      callback: null,
      ...times,
      catch_up: body.catch_up ?? 'last',
      catch_up_limit: body.catch_up_limit ?? 10,
      when_running: body.when_running ?? 'allow',
      state: 'active',
      paused_at: null,
      paused_by_id: null,
      paused_reason: null,
      paused_cause: null,
      owner_id: personOf(caller),
      version: 1,
      next_at: firstTime(times, caller.at),
      last_due_at: null,
      last_run_id: null,
      refusals: 0,
      created_by_id: personOf(caller),
      created_at: caller.at,
      updated_at: caller.at,
    }
    // Refused here what would be refused each time.
    await tasks.prepare(caller, taskOf(asked, input, null, caller.at))
    const row = { ...asked, callback: await told(body.callback, (url) => callback(caller, url, 'event')) }
    return ask.change(async (tx) => {
      await mustBeFree(tx, row.name, null)
      await store.insertSchedule(tx, row)
      const shown = await detail(tx, row, caller.at)
      await append(tx, caller.at, caller, {
        type: 'schedule.created',
        resource: { type: 'schedule', id: row.id },
        action: `Added schedule: ${row.name}`,
        details: { version: 1, ...saidOf(row) },
      })
      return shown
    })
  },

  async update(ask) {
    const { caller, body, params } = ask
    const before = known(await ask.read((tx) => store.findSchedule(tx, params.id)))
    const asked = askedTimes(before)
    // A new way takes the place of the old one.
    if (WAYS.some((way) => body[way] !== undefined)) for (const way of WAYS) delete asked[way]
    const {
      name,
      handler,
      input,
      options,
      catch_up,
      catch_up_limit,
      when_running,
      callback: toTell,
      starts_at,
      ends_at,
      ...newTimes
    } = body
    if (starts_at !== undefined) delete asked.starts_at
    if (ends_at !== undefined) delete asked.ends_at
    const bounds = { ...(starts_at ? { starts_at } : {}), ...(ends_at ? { ends_at } : {}) }
    const times = timingColumns({ ...asked, ...withZoneApart(newTimes), ...bounds })
    const change = {
      ...(name === undefined ? {} : { name }),
      ...(handler === undefined ? {} : { handler }),
      ...(input === undefined ? {} : inputColumns(payloads, caller.project!, input)),
      ...(options === undefined ? {} : { options: changedOptions(before, options) }),
      ...(catch_up === undefined ? {} : { catch_up }),
      ...(catch_up_limit === undefined ? {} : { catch_up_limit }),
      ...(when_running === undefined ? {} : { when_running }),
      ...times,
    }
    const after = { ...before, ...change }
    const work = taskOf(after, input ?? inputOf(payloads, caller.project!, before), null, caller.at)
    const isSameWork = handler === undefined && input === undefined && options === undefined
    await tasks.prepare(caller, work).catch((error: unknown) => {
      // When it is done can be changed while it cannot be done.
      if (!isSameWork || !isHandlerAway(error)) throw error
    })
    const tells = toTell === undefined ? {} : { callback: await told(toTell, (url) => callback(caller, url, 'event')) }
    const changed = await ask.change(async (tx) => {
      const row = known(await store.lockSchedule(tx, params.id))
      ask.mustMatch(String(row.version))
      // What was examined is what is changed.
      if (row.version !== before.version) throw new AppError('SCHEDULE_CHANGED')
      if (name !== undefined) await mustBeFree(tx, name, row.id)
      const next = row.state === 'paused' ? null : nextTime(row, times, caller.at)
      const state = row.state === 'paused' ? 'paused' : next === null ? 'ended' : 'active'
      const moved = {
        ...change,
        ...tells,
        state,
        next_at: next,
        owner_id: personOf(caller),
        version: row.version + 1,
        refusals: 0,
        updated_at: caller.at,
      } as const
      await store.updateSchedule(tx, row.id, moved)
      const now = { ...row, ...moved }
      const [old, fresh] = [saidOf(row), saidOf(now)]
      const shown = await detail(tx, now, caller.at)
      await append(tx, caller.at, caller, {
        type: 'schedule.updated',
        resource: { type: 'schedule', id: row.id },
        action: `Changed schedule: ${now.name}`,
        details: {
          version: now.version,
          changes: Object.fromEntries(
            Object.keys(fresh)
              .filter((key) => JSON.stringify(old[key]) !== JSON.stringify(fresh[key]))
              .map((key) => [key, { old: old[key], new: fresh[key] }]),
          ),
        },
      })
      return shown
    })
    ask.tag(String(changed.version))
    return changed
  },

  async delete(ask) {
    const { caller } = ask
    await ask.change(async (tx) => {
      const row = known(await store.lockSchedule(tx, ask.params.id))
      ask.mustMatch(String(row.version))
      await store.updateSchedule(tx, row.id, {
        state: 'deleted',
        next_at: null,
        version: row.version + 1,
        updated_at: caller.at,
      })
      await append(tx, caller.at, caller, {
        type: 'schedule.deleted',
        resource: { type: 'schedule', id: row.id },
        action: `Deleted schedule: ${row.name}`,
      })
    })
    return undefined
  },

  pause: (ask) =>
    ask.change(async (tx) => {
      const { caller } = ask
      const row = alive(await store.lockSchedule(tx, ask.params.id))
      if (row.state === 'paused') return detail(tx, row, caller.at)
      const reason = ask.body?.reason ?? null
      const moved = {
        state: 'paused',
        paused_at: caller.at,
        paused_by_id: personOf(caller),
        paused_reason: reason,
        next_at: null,
        version: row.version + 1,
        updated_at: caller.at,
      } as const
      await store.updateSchedule(tx, row.id, moved)
      const shown = await detail(tx, { ...row, ...moved }, caller.at)
      await append(tx, caller.at, caller, {
        type: 'schedule.paused',
        resource: { type: 'schedule', id: row.id },
        action: `Paused schedule: ${row.name}`,
        details: { reason, version: moved.version },
      })
      return shown
    }),

  async resume(ask) {
    const { caller } = ask
    const before = alive(await ask.read((tx) => store.findSchedule(tx, ask.params.id)))
    await tasks.prepare(caller, taskOf(before, inputOf(payloads, caller.project!, before), null, caller.at))
    return ask.change(async (tx) => {
      const row = alive(await store.lockSchedule(tx, ask.params.id))
      if (row.state === 'active') return detail(tx, row, caller.at)
      const next = nextTimes(timingOf(row), caller.at, 1)[0]
      if (next === undefined) throw new AppError('SCHEDULE_ENDED')
      const moved = {
        state: 'active',
        paused_at: null,
        paused_by_id: null,
        paused_reason: null,
        paused_cause: null,
        next_at: next,
        owner_id: personOf(caller),
        refusals: 0,
        version: row.version + 1,
        updated_at: caller.at,
      } as const
      await store.updateSchedule(tx, row.id, moved)
      const shown = await detail(tx, { ...row, ...moved }, caller.at)
      await append(tx, caller.at, caller, {
        type: 'schedule.resumed',
        resource: { type: 'schedule', id: row.id },
        action: `Resumed schedule: ${row.name}`,
        details: { owner_id: moved.owner_id, version: moved.version },
      })
      return shown
    })
  },

  async trigger(ask) {
    const { caller } = ask
    const row = known(await ask.read((tx) => store.findSchedule(tx, ask.params.id)))
    const input = inputOf(payloads, caller.project!, row)
    const prepared = await tasks.prepare(caller, taskOf(row, input, null, caller.at))
    const [submitted] = await ask.submit(tasks.submit, {
      caller,
      tasks: [{ ...prepared, callback: row.callback }],
      schedule: row.id,
      answer: { status: 201, body: ([one]) => one },
    })
    return submitted!
  },
})

/**
 * With other times it is next at the first of them, and there has to be one. Else what is due, and waits for a scheduler, is not lost
 * with the change; and one that has ended, which can still be triggered, is over still: null.
 */
function nextTime(row: store.ScheduleRow, times: ReturnType<typeof timingColumns>, now: number): number | null {
  if (!hasTimes(row, times)) return firstTime(times, now)
  if (row.next_at !== null && row.next_at <= now) return row.next_at
  return row.state === 'ended' ? nextAfter(timingOf(times), now) : firstTime(times, now)
}

const isHandlerAway = (error: unknown): boolean =>
  error instanceof AppError && (error.code === 'HANDLER_DISABLED' || error.code === 'TASK_UNKNOWN_HANDLER')

/** Whom its tasks tell, as the row has it. The address may be secret: of it the schedule keeps what may be seen, and which webhook it is. */
const told = async (
  callback: { readonly url: string } | null | undefined,
  ensure: (url: string) => Promise<{ webhook_id: string; url: string }>,
): Promise<string | null> => (callback ? JSON.stringify(await ensure(callback.url)) : null)

function known(row: store.ScheduleRow | undefined): store.ScheduleRow {
  if (!row) throw new AppError('SCHEDULE_NOT_FOUND')
  return row
}

function alive(row: store.ScheduleRow | undefined): store.ScheduleRow {
  const found = known(row)
  if (found.state === 'ended') throw new AppError('SCHEDULE_ENDED')
  return found
}

async function mustBeFree(tx: Tx, name: string, except: string | null): Promise<void> {
  if (await store.isNameTaken(tx, name, except)) throw new AppError('SCHEDULE_NAME_TAKEN', { name })
}

async function detail(tx: Tx, row: ScheduleColumns, now: number): Promise<ScheduleDetail> {
  return {
    ...showSchedule(row),
    input: JSON.parse(row.input) as unknown,
    next: row.state === 'active' ? nextTimes(timingOf(row), now, SHOWN_TIMES).map(rfc3339) : [],
    fires: (await store.listFires(tx, row.id, SHOWN_FIRES)).map(showFire),
  }
}

/** What an event tells of it; of the input, which may be large and secret, its digest. */
function saidOf(row: ScheduleColumns): Record<string, unknown> {
  const shown = showSchedule(row)
  const { name, handler, cron, every_seconds, at, zone, dst_gap, dst_overlap, starts_at, ends_at, options, owner_id } =
    shown
  const { catch_up, catch_up_limit, when_running } = row
  return {
    ...{ name, handler, cron, every_seconds, at, zone, dst_gap, dst_overlap, starts_at, ends_at, options, owner_id },
    ...{ catch_up, catch_up_limit, when_running, input_sha256: row.input_sha256 },
    callback: shown.callback?.url ?? null,
  }
}
