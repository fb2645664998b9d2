import type { Tx } from '../../platform/db/index.ts'
import { type Entry, HELD_AT, type Queue } from '../../queue/index.ts'
import { isOver, type KeyLimit, type KeyLimits, limitsFor, parseLimits, type Rate, textOfLimits } from './key-limit.ts'
import { type KeyPause, parsePause } from './key-pause.ts'
import * as held from './store-held.ts'

/**
 * What holds a task back beside its time: no place under its concurrency key, or tasks that have to end first. Such a task is in
 * the queue at a time that never comes, so no claim ever looks at it, and beside it in `held`; whoever lifts what holds it puts it
 * into the queue again, now. Queues know nothing of it, so all of them keep the same limits, and several servers agree, because
 * one transaction at a time admits under a key.
 *
 * Lifted in the transaction that changes the reason: stopped before its commit, both are as they were.
 */

const PAGE = 100
const DUE_KEYS = 20
/** About so many are admitted in one transaction: meanwhile nobody else changes anything. The next follow by the time of their key, which is now. */
const MOST_ADMITTED = 1_000

const entryOf = (row: held.HeldRow): Entry => ({
  runId: row.run_id,
  queue: row.place,
  handler: row.handler,
  priority: row.priority,
  runAt: row.run_at,
})

/** Admits what there is room for under these keys; answers what is to be put into the queue. Takes keys in their order. */
async function admit(tx: Tx, keys: Iterable<string>, now: number): Promise<Entry[]> {
  const rows = await held.lockKeys(tx, [...new Set(keys)])
  // Side by side: each asks several times, and what all of them ask for within a turn is one trip to the database.
  const left = { admissions: MOST_ADMITTED }
  const admitted = await Promise.all(rows.map((row) => admitUnder(tx, row, now, left)))
  return admitted.flat()
}

/** `left`: how many more are to be admitted under all keys. A page at least is, of each. */
async function admitUnder(tx: Tx, row: held.KeyRow, now: number, left: { admissions: number }): Promise<Entry[]> {
  const { key } = row
  const paused = row.paused_until !== null && row.paused_until > now
  const { limits, over } = limitsOf(row, now)
  const admitted: held.HeldRow[] = []
  let next_us = over.some(({ rate }) => rate) ? filled(row.next_us, now) : row.next_us
  let wake: number | null = paused ? row.paused_until : null
  // What is refused for its handler's limits is passed over, as far as one page goes.
  for (let more = !paused; more; ) {
    const page = (await held.listWaitingFor(tx, key, now, PAGE)).map((one) => ({
      one,
      ...limitsFor(one.handler, contractOf(one), limits),
    }))
    let active = page.some(({ concurrency }) => concurrency !== null) ? await held.countAdmitted(tx, key) : 0
    const taken: held.HeldRow[] = []
    const rated: string[] = []
    for (const { one, concurrency, rate } of page) {
      if (concurrency !== null && active >= concurrency) continue
      const token = takeToken(rate, next_us, now)
      if ('waitUntil' in token) wake = Math.min(wake ?? token.waitUntil, token.waitUntil)
      else {
        next_us = token.next_us
        active++
        taken.push(one)
        if (rate !== null) rated.push(one.run_id)
      }
    }
    if (taken.length > 0)
      await held.admitHeld(
        tx,
        taken.map(({ run_id }) => run_id),
      )
    if (rated.length > 0) await held.noteTaken(tx, rated, now)
    admitted.push(...taken)
    left.admissions -= taken.length
    more = page.length === PAGE && taken.length === PAGE
    if (more && left.admissions <= 0) {
      wake = now
      break
    }
  }
  const later = paused ? null : await held.findNextTime(tx, key, now)
  if (later !== null) wake = Math.min(wake ?? later, later)
  // The rate is remembered until it says nothing any more.
  if (wake === null && next_us > now * 1_000) wake = Math.ceil(next_us / 1_000)
  // At the end of a limit others may have room.
  if (!paused) for (const { until } of limits) if (until !== null) wake = Math.min(wake ?? until, until)
  if (wake === null && limits.length === 0) await held.removeKey(tx, key)
  else {
    const { paused_until, pause } = paused ? row : { paused_until: null, pause: null }
    await held.saveKey(tx, key, { next_us, paused_until, pause, wake_at: wake, limits: textOfLimits(limits) })
  }
  return admitted.map(entryOf)
}

const contractOf = ({ max_active, rate_limit, rate_ms }: held.HeldRow): KeyLimits => ({
  concurrency: max_active,
  rate: rate_limit === null || rate_ms === null ? null : { limit: rate_limit, periodMs: rate_ms },
})

function limitsOf(row: held.KeyRow, now: number) {
  const all = parseLimits(row.limits)
  return { limits: all.filter((one) => !isOver(one, now)), over: all.filter((one) => isOver(one, now)) }
}

/** The bucket of a key with all its tokens: for a limit that is gone what was taken under it says nothing. */
const filled = (nextUs: number, now: number): number => Math.min(nextUs, now * 1_000)

/**
 * One start under the rate limit of a task. The generic cell rate algorithm: `next_us` is when the bucket would be full again.
 * In microseconds, for a limit of many a second has less than one millisecond each. Source: ITU-T I.371, annex A.
 */
function takeToken(
  rate: Rate | null,
  nextUs: number,
  now: number,
): { readonly next_us: number } | { readonly waitUntil: number } {
  if (rate === null) return { next_us: nextUs }
  const each = Math.ceil((rate.periodMs * 1_000) / rate.limit)
  const full = Math.max(nextUs, now * 1_000)
  const allowedUs = full - (rate.limit - 1) * each
  return allowedUs > now * 1_000 ? { waitUntil: Math.ceil(allowedUs / 1_000) } : { next_us: full + each }
}

/** A start of a rate that was taken so much earlier than it is used is none: at least a second, for what is claimed takes its moment. */
const KEEPS_MS = 1_000

/**
 * Of tasks under keys that were just claimed, those that are not to begin now and are to be held again: their key is paused, or they
 * took their start under its rate a while ago, because their queue was paused, their handler disabled or nobody had room. All that
 * waited so would begin at once.
 */
export async function findHeldBack(tx: Tx, runIds: readonly string[], now: number): Promise<ReadonlySet<string>> {
  if (runIds.length === 0) return new Set()
  const rows = await held.listAdmitted(tx, runIds)
  return new Set(rows.flatMap((row) => (isPausedKey(row, now) || isStale(row, now) ? [row.run_id] : [])))
}

const isPausedKey = ({ paused_until }: Pick<held.KeyRow, 'paused_until'>, now: number): boolean =>
  paused_until !== null && paused_until > now

function isStale(row: held.HeldRow & Pick<held.KeyRow, 'limits'>, now: number): boolean {
  const limits = parseLimits(row.limits).filter((one) => !isOver(one, now))
  const { rate } = limitsFor(row.handler, contractOf(row), limits)
  return rate !== null && now - row.run_at > Math.max(KEEPS_MS, rate.periodMs / rate.limit)
}

/** A new task that something may hold back. */
export interface Holding {
  readonly entry: Entry
  readonly key: string | null
  readonly limits: KeyLimits | null
  /** Tasks that have to end first. */
  readonly waitsFor: number
}

/** Notes new tasks; answers what is to be put into the queue: these at their time or held back, and whatever else may start. */
export async function hold(tx: Tx, all: readonly Holding[], now: number): Promise<Entry[]> {
  await held.insertHeld(
    tx,
    all.map(({ entry, key, limits, waitsFor }) => ({
      run_id: entry.runId,
      place: entry.queue,
      handler: entry.handler,
      priority: entry.priority,
      run_at: entry.runAt,
      waits_for: waitsFor,
      admitted: 0,
      key,
      max_active: limits?.concurrency ?? null,
      rate_limit: limits?.rate?.limit ?? null,
      rate_ms: limits?.rate?.periodMs ?? null,
    })),
  )
  const admitted = await admit(
    tx,
    all.flatMap(({ key, waitsFor }) => (key === null || waitsFor > 0 ? [] : [key])),
    now,
  )
  const free = new Set(admitted.map(({ runId }) => runId))
  return [...admitted, ...all.flatMap(({ entry }) => (free.has(entry.runId) ? [] : [{ ...entry, runAt: HELD_AT }]))]
}

/** Of tasks that have ended under a key, or waited: their places are others'. */
export async function release(tx: Tx, queue: Queue, runIds: readonly string[], now: number): Promise<void> {
  const keys = await held.removeHeld(tx, runIds)
  await enter(tx, queue, await admit(tx, keys, now), now)
}

/** Work that goes back and is held again: for its next attempt, or because its key is paused. It is in the queue at `HELD_AT`. */
export async function holdAgain(
  tx: Tx,
  queue: Queue,
  all: readonly { readonly runId: string; readonly runAt: number | null }[],
  now: number,
): Promise<void> {
  const keys = await Promise.all(all.map(({ runId, runAt }) => held.putBack(tx, runId, runAt)))
  const freed = keys.filter((key) => key !== null)
  await enter(tx, queue, await admit(tx, freed, now), now)
}

/** A task that is in the queue at `HELD_AT` waits until these have ended, however they do. At once, if they have. */
export async function holdUntil(
  tx: Tx,
  queue: Queue,
  runId: string,
  onRunIds: readonly string[],
  now: number,
): Promise<void> {
  const open = await held.markAwaited(tx, onRunIds)
  await held.insertDependencies(
    tx,
    [...open].map((on_run_id) => ({ run_id: runId, on_run_id, policy: 'run' })),
  )
  const row = await held.holdFor(tx, runId, open.size, now)
  if (open.size === 0) await lift(tx, queue, [row], now)
  // Others may have the place that it had.
  else if (row.key !== null) await enter(tx, queue, await admit(tx, [row.key], now), now)
}

/** For these no task has to end any more: they wait for a place under their key, or for nothing. */
async function lift(tx: Tx, queue: Queue, rows: readonly held.HeldRow[], now: number): Promise<void> {
  const free = rows.filter(({ key }) => key === null)
  await held.removeHeld(
    tx,
    free.map(({ run_id }) => run_id),
  )
  const admitted = await admit(
    tx,
    rows.flatMap(({ key }) => (key === null ? [] : [key])),
    now,
  )
  await enter(tx, queue, [...free.map(entryOf), ...admitted], now)
}

const enter = async (tx: Tx, queue: Queue, entries: readonly Entry[], now: number): Promise<void> => {
  if (entries.length > 0) await queue.enqueue(tx, entries, now)
}

/** A dependent of a task that ended badly, which is to end with it. */
export interface Doomed {
  readonly runId: string
  readonly onRunId: string
}

/**
 * Of tasks that have ended: who waited for them goes on, unless it was not to do without. Answers those that are to be
 * cancelled; the caller settles them. It takes up to `most` waits off: if it took so many, there may be more.
 */
export async function endedFor(
  tx: Tx,
  queue: Queue,
  ended: readonly { readonly id: string; readonly state: string }[],
  most: number,
  now: number,
): Promise<{ readonly doomed: Doomed[]; readonly taken: number }> {
  const states = new Map(ended.map(({ id, state }) => [id, state]))
  const all = await held.takeDependencies(tx, [...states.keys()], most)
  const doomed = new Map<string, string>()
  for (const { run_id, on_run_id, policy } of all)
    if (policy === 'cancel' && states.get(on_run_id) !== 'completed') doomed.set(run_id, on_run_id)
  const freed = Map.groupBy(
    all.filter(({ run_id }) => !doomed.has(run_id)),
    ({ run_id }) => run_id,
  )
  const rows: held.HeldRow[] = []
  for (const [count, group] of Map.groupBy(freed, ([, of]) => of.length))
    rows.push(
      ...(await held.countDown(
        tx,
        group.map(([runId]) => runId),
        count,
      )),
    )
  await lift(tx, queue, rows, now)
  return { doomed: [...doomed].map(([runId, onRunId]) => ({ runId, onRunId })), taken: all.length }
}

/** Nothing of what these waited for matters any more. */
export async function forget(tx: Tx, queue: Queue, runIds: readonly string[], now: number): Promise<void> {
  await held.removeDependencies(tx, runIds)
  await release(tx, queue, runIds, now)
}

/** Whoever admits has leases to look at too: of very many that may start the rest is for the next look. */
const DUE_ROUNDS = 50

/** Admits what may start by time alone, in all projects; see `listDueKeys`. */
export async function admitDue(
  on: {
    readonly db: {
      lookup<Row>(text: string, params: readonly (string | number)[]): Promise<Row[]>
    }
    readonly queue: Queue
    /** In a transaction of the project. */
    change(project: string, work: (tx: Tx) => Promise<void>): Promise<void>
  },
  now: number,
): Promise<void> {
  for (let round = 1; round <= DUE_ROUNDS; round++) {
    const due = await held.listDueKeys(on.db, now, DUE_KEYS)
    if (due.length === 0) return
    for (const [project, keys] of Map.groupBy(due, ({ project_id }) => project_id))
      await on.change(project, async (tx) =>
        enter(
          tx,
          on.queue,
          await admit(
            tx,
            keys.map(({ key }) => key),
            now,
          ),
          now,
        ),
      )
  }
}

/**
 * Nothing is started under a key before `until`; a longer pause stays, and whose it is. Answers the pause before, if the key was not
 * open, and whether this one is longer.
 */
export async function pauseKey(
  tx: Tx,
  key: string,
  until: number,
  pause: KeyPause,
): Promise<{ before: Partial<KeyPause> | null; counts: boolean }> {
  const row = await held.lockKey(tx, key)
  const before = isPausedKey(row, pause.at) ? parsePause(row.pause) : null
  const counts = before === null || until > row.paused_until!
  if (counts) await held.saveKey(tx, key, { ...row, paused_until: until, pause: JSON.stringify(pause), wake_at: until })
  return { before, counts }
}

/** Ends a pause; answers whether there was one. */
export async function resumeKey(tx: Tx, queue: Queue, key: string, now: number): Promise<boolean> {
  const row = await held.lockKey(tx, key)
  await held.saveKey(tx, key, { ...row, paused_until: null, pause: null, wake_at: now })
  await enter(tx, queue, await admit(tx, [key], now), now)
  return row.paused_until !== null && row.paused_until > now
}

/**
 * Puts a limit of this handler in place of the one before, or takes it away; answers the one before. A bucket is at most empty
 * under a new rate, and full when its limit is gone. Whoever may start now does.
 */
export async function changeLimit(
  tx: Tx,
  queue: Queue,
  key: string,
  handler: string | null,
  limit: KeyLimit | null,
  now: number,
): Promise<KeyLimit | null> {
  const row = await held.lockKey(tx, key)
  const { limits } = limitsOf(row, now)
  const before = limits.find((one) => one.handler === handler) ?? null
  const others = limits.filter((one) => one !== before)
  const next_us = limit?.rate
    ? Math.min(row.next_us, (now + limit.rate.periodMs) * 1_000)
    : before?.rate
      ? filled(row.next_us, now)
      : row.next_us
  await held.saveKey(tx, key, {
    ...row,
    next_us,
    limits: textOfLimits(limit ? [...others, limit] : others),
    wake_at: now,
  })
  await enter(tx, queue, await admit(tx, [key], now), now)
  return before
}
