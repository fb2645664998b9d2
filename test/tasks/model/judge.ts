/** What must be true of every task, whatever was asked for: the promises of docs/tasks.md, as a model that knows nothing of the engine. */
import assert from 'node:assert/strict'
import type { TaskDetail } from '@writ/api'
import type { TaskRow } from '../../../packages/server/src/kinds/task/store.ts'
import type { Client } from '../../client.ts'
import type { Played } from './play.ts'
import { NARROW, OUTSIDE, RATE, RATED, SHORTEST_WAIT_MS, SINGLE } from './program.ts'
import { type Event, type Input, LATE_MS } from './world.ts'

const isFinal = ({ state }: TaskRow) => state !== 'pending'
const inputOf = (row: TaskRow) => JSON.parse(row.input ?? '{}') as Input

/** Until when keys are paused. A longer pause stays. */
function pausesIn(history: readonly Event[]): Map<string, number> {
  const until = new Map<string, number>()
  for (const event of history)
    if (event.type === 'key paused') until.set(event.key, Math.max(event.until, until.get(event.key) ?? 0))
    else if (event.type === 'key resuming') until.delete(event.key)
  return until
}

/** Why a task does not move now; undefined: it should. */
export function whyItWaits(row: TaskRow, { world, standing, rows, claims, now }: Played): string | undefined {
  if (isFinal(row)) return 'ended'
  const narrow = [...world.hanging.keys()].filter((id) => rows.find((one) => one.id === id)?.handler === NARROW)
  const full = row.handler === NARROW && narrow.length >= 2
  if (row.lease_until !== null) {
    if (world.hanging.has(row.id)) return 'hangs'
    if (row.handler === OUTSIDE) return claims.some(({ run }) => run === row.id) ? 'a worker has it' : undefined
    return full && row.cancel_requested_at === null ? 'no room' : undefined
  }
  if (row.waits_for !== null && row.waits_for > 0) {
    const named = (JSON.parse(row.depends_on ?? '{"ids":[]}') as { ids: string[] }).ids
    const before = rows.filter(
      (one) =>
        !isFinal(one) &&
        (named.includes(one.id) ||
          one.parent_run_id === row.id ||
          (row.unique_key !== null && one.unique_key === row.unique_key && one.id !== row.id)),
    )
    return before.length > 0 ? 'others have to end' : undefined
  }
  if (row.run_at > now) return 'time'
  if (row.admitted === 0) return whyNoPlace(row, { standing, rows, world, now } as Played)
  if (standing.paused.has(row.queue)) return 'paused'
  if (standing.off.has(row.handler)) return 'disabled'
  if (row.handler === OUTSIDE) return 'nobody asks for it'
  const leased = rows.filter((one) => one.queue === row.queue && one.lease_until !== null).length
  if (leased >= (standing.limits.get(row.queue) ?? Number.POSITIVE_INFINITY)) return 'limited'
  return full ? 'no room' : undefined
}

function whyNoPlace(row: TaskRow, { standing, rows, world, now }: Played): string | undefined {
  const key = row.concurrency_key!
  if ((pausesIn(world.history).get(key) ?? 0) > now) return 'key paused'
  const operators = standing.keyLimits.get(key)
  const limit = operators !== undefined ? operators : row.handler === SINGLE ? 1 : null
  const active = rows.filter((one) => one.concurrency_key === key && one.admitted === 1).length
  if (limit !== null && active >= limit) return 'no place'
  return row.handler === RATED ? 'rate' : undefined
}

/**
 * Of a program in which all has ended. `apart`: in this store a claim and a pause do not wait for each other, so what was just being
 * claimed may begin after the pause was answered; docs/tasks.md says so.
 */
export function judge(played: Played, { apart }: { apart: boolean }): void {
  const { rows, world } = played
  const byId = new Map(rows.map((row) => [row.id, row]))
  // A handler's pause is asked for while others begin, on every store.
  judgeStarts(settledDown(world.history, apart ? CLOSING : ['key paused']), byId, played)
  for (const row of rows) judgeEnd(row, byId, played)
}

const CLOSING: readonly Event['type'][] = ['queue paused', 'key paused', 'disabled']

/** The history in which what closes something, of these types, does so when everything is quiet for the first time after it. */
function settledDown(history: readonly Event[], types: readonly Event['type'][]): Event[] {
  const told: Event[] = []
  let closing: Event[] = []
  const opens = (event: Event, earlier: Event) =>
    (event.type === 'queue resuming' && earlier.type === 'queue paused' && earlier.queue === event.queue) ||
    (event.type === 'key resuming' && earlier.type === 'key paused' && earlier.key === event.key) ||
    (event.type === 'enabling' && earlier.type === 'disabled' && earlier.handler === event.handler)
  for (const event of history) {
    if (types.includes(event.type)) closing.push(event)
    else {
      if (event.type === 'quiet') told.push(...closing.splice(0))
      closing = closing.filter((earlier) => !opens(event, earlier))
      told.push(event)
    }
  }
  return told
}

/** Nothing began that was not to begin then. */
function judgeStarts(history: readonly Event[], byId: ReadonlyMap<string, TaskRow>, { asked }: Played): void {
  const running = new Map<string, TaskRow>()
  const paused = new Set<string>()
  const off = new Set<string>()
  const keysPaused = new Map<string, number>()
  const cancelled = new Set<string>()
  const limits = new Map<string, number>()
  /** The most that may run of each key: of handlers that allow one, and of all. */
  const loosest = new Map<string, number>()
  const keyBounds = new Map<string, number>()
  const ended = new Set<string>()
  /** What is left of the starts of each key, and since when: the bucket of docs/tasks.md, and one that may have been taken before. */
  const buckets = new Map<string, { left: number; at: number }>()
  const counted = new Set<string>()

  for (const [seq, event] of history.entries()) {
    if (event.type === 'queue paused') paused.add(event.queue)
    else if (event.type === 'queue resuming') paused.delete(event.queue)
    else if (event.type === 'disabled') off.add(event.handler)
    else if (event.type === 'enabling') off.delete(event.handler)
    else if (event.type === 'key paused')
      keysPaused.set(event.key, Math.max(event.until, keysPaused.get(event.key) ?? 0))
    else if (event.type === 'key resuming') keysPaused.delete(event.key)
    else if (event.type === 'cancelled') cancelled.add(event.run)
    else if (event.type === 'queue limited') {
      if (event.to === null) limits.delete(event.queue)
      else
        limits.set(
          event.queue,
          Math.max(
            event.to,
            countOf(running, (one) => one.queue === event.queue),
          ),
        )
    } else if (event.type === 'key limited') {
      const { key, to, idle } = event
      loosest.set(key, Math.max(loosest.get(key) ?? 1, to === undefined ? 1 : (to ?? Number.POSITIVE_INFINITY)))
      const before = keyBounds.get(key)
      if (to === null || to === undefined) keyBounds.delete(key)
      else if (idle) keyBounds.set(key, to)
      else if (before !== undefined) keyBounds.set(key, Math.max(before, to))
    } else if (event.type === 'end') {
      running.delete(event.run)
      ended.add(event.run)
    } else if (event.type === 'start') start(event, seq)
  }

  function start({ run, at, attempt }: Extract<Event, { type: 'start' }>, seq: number): void {
    const row = byId.get(run)
    assert.ok(row, `a task of nobody began: ${run}`)
    const what = `attempt ${attempt} of task ${row.number} (${row.handler} in ${row.queue}; event ${seq})`
    assert.ok(!running.has(run), `${what} began beside another`)
    assert.ok(!paused.has(row.queue), `${what} began while its queue was paused`)
    assert.ok(!off.has(row.handler), `${what} began while its handler was disabled`)
    assert.ok(!cancelled.has(run), `${what} began after it was cancelled`)
    if (row.deadline_at !== null) assert.ok(at < row.deadline_at, `${what} began after its deadline`)
    const { run_at, debounce } = (asked.get(run)?.task ?? {}) as { run_at?: string; debounce?: { wait_ms: number } }
    // A debounced dispatch with the same key says when.
    if (run_at !== undefined && row.unique_key === null)
      assert.ok(at >= Date.parse(run_at), `${what} began before its time`)
    if (debounce) assert.ok(at >= row.created_at + SHORTEST_WAIT_MS, `${what} did not wait`)
    for (const id of dependsOn(row).ids) {
      const before = byId.get(id)!
      const named = `${before.number} (${before.state}, ${before.error_code})`
      assert.ok(isFinal(before), `${what} began, and ${named} has not ended`)
      assert.ok(before.completed_at! <= at, `${what} began ${before.completed_at! - at} ms before ${named} ended`)
      assert.ok(!running.has(id), `${what} began while an attempt of ${named} was not over`)
      if (dependsOn(row).policy === 'cancel')
        assert.equal(before.state, 'completed', `${what} ran without ${before.number}`)
    }
    running.set(run, row)
    if (row.unique_key !== null) {
      const alike = [...running.values()].filter((one) => one.unique_key === row.unique_key)
      assert.equal(alike.length, 1, `${what} ran beside one with its unique key:\n${lifeOf(alike, history)}`)
    }
    const queueLimit = limits.get(row.queue)
    if (queueLimit !== undefined && !some(running, (one) => one.queue === row.queue && one.handler === NARROW))
      assert.ok(
        countOf(running, (one) => one.queue === row.queue) <= queueLimit,
        `${what} was more than its queue allows`,
      )
    if (row.handler === NARROW) assert.ok(countOf(running, (one) => one.handler === NARROW) <= 2, `${what} was a third`)
    const key = row.concurrency_key
    if (key === null) return
    assert.ok((keysPaused.get(key) ?? 0) <= at, `${what} began while its key was paused`)
    if (row.handler === RATED && !counted.has(`${run} ${attempt}`)) {
      counted.add(`${run} ${attempt}`)
      const before = buckets.get(key) ?? { left: RATE.limit + 1, at }
      const left = Math.min(RATE.limit + 1, before.left + ((at - before.at) * RATE.limit) / RATE.periodMs) - 1
      assert.ok(left > -0.1, `${what} began before the rate of its key allows it`)
      buckets.set(key, { left, at })
    }
    if (row.handler === SINGLE)
      assert.ok(
        countOf(running, (one) => one.concurrency_key === key && one.handler === SINGLE) <= (loosest.get(key) ?? 1),
        `${what} was more than its handler allows under its key`,
      )
    const bound = keyBounds.get(key)
    if (bound !== undefined)
      assert.ok(countOf(running, (one) => one.concurrency_key === key) <= bound, `${what} was more than its key allows`)
  }
}

/** What is known of some tasks, for whoever looks for the reason. */
const lifeOf = (rows: readonly TaskRow[], history: readonly Event[]): string =>
  [
    ...rows,
    ...history.flatMap((event, seq) =>
      !('run' in event) || rows.some(({ id }) => id === event.run) ? [{ seq, ...event }] : [],
    ),
  ]
    .map((one) => JSON.stringify(one))
    .join('\n')

const dependsOn = (row: TaskRow) =>
  JSON.parse(row.depends_on ?? '{"ids":[],"policy":"run"}') as { ids: string[]; policy: 'cancel' | 'run' }
const countOf = (running: ReadonlyMap<string, TaskRow>, is: (row: TaskRow) => boolean) =>
  [...running.values()].filter(is).length
const some = (running: ReadonlyMap<string, TaskRow>, is: (row: TaskRow) => boolean) => [...running.values()].some(is)

/** Each ended as what it did, and what was done to it, say. */
function judgeEnd(row: TaskRow, byId: ReadonlyMap<string, TaskRow>, { world, cancels, rows }: Played): void {
  const what = `task ${row.number} (${row.handler}, ${row.state} ${row.error_code})`
  assert.ok(isFinal(row), `${what} ended`)
  if (row.handler === 'system.ping') return
  const mine = world.history.filter((event) => 'run' in event && event.run === row.id)
  const ends = mine.flatMap((event) => (event.type === 'end' ? [event.how] : []))
  const fails = ends.filter((how) => how === 'fail' || how === 'final').length
  assert.ok(fails <= row.max_attempts, `${what} failed ${fails} times`)
  if (row.state === 'completed') {
    assert.equal(ends.at(-1), 'ok', `${what} did what it is said to have done`)
    assert.equal(ends.filter((how) => how === 'ok').length, 1, `${what} was done once`)
    assert.equal(row.error_code, null, what)
    judgeResult(row, byId, what)
  } else if (row.error_code === 'DEADLINE_EXCEEDED')
    assert.ok(row.state === 'timeout' && row.deadline_at !== null && row.deadline_at <= row.completed_at!, what)
  else if (row.state === 'cancelled') {
    if (row.error_code === 'DEPENDENCY_FAILED') {
      const { ids, policy } = dependsOn(row)
      assert.ok(policy === 'cancel' && ids.some((id) => byId.get(id)!.state !== 'completed'), what)
    } else if (row.error_code === 'REPLACED')
      assert.ok(
        row.unique_key !== null && rows.some((one) => one.unique_key === row.unique_key && one.number > row.number),
        what,
      )
    else {
      assert.equal(row.error_code, 'CANCELLED', what)
      const by = (one: TaskRow | undefined): boolean =>
        one !== undefined &&
        (cancels.has(one.id) || one.error_code === 'REPLACED' || by(byId.get(one.parent_run_id ?? '')))
      assert.ok(by(row), `${what} was cancelled by nobody`)
    }
  } else {
    assert.ok(
      ends.at(-1) === 'fail' || ends.at(-1) === 'final' || row.timeout_ms === LATE_MS,
      `${what} failed: ${ends.join()}`,
    )
    if (ends.at(-1) !== 'final' && row.deadline_at === null && row.timeout_ms !== LATE_MS)
      assert.equal(fails, row.max_attempts, `${what} failed as often as it may`)
    assert.notEqual(row.dead_at, null, `${what} is a dead letter`)
  }
  if (row.state === 'completed' || row.state === 'cancelled')
    assert.equal(row.dead_at, null, `${what} is no dead letter`)
}

function judgeResult(row: TaskRow, byId: ReadonlyMap<string, TaskRow>, what: string): void {
  const result = JSON.parse(row.result ?? 'null') as unknown
  if (!Array.isArray(result)) {
    assert.equal(result, inputOf(row).label, `${what} answers what it did`)
    return
  }
  for (const one of result as ('duplicate' | [string, string])[])
    if (one !== 'duplicate') assert.equal(byId.get(one[0])?.state, one[1], `${what} was told how its child ended`)
}

/** What the API says of each task is the same wherever it says it. */
export async function judgeViews(admin: Client, played: Played): Promise<void> {
  const { rows, world } = played
  const dead = new Set((await admin.get<{ id: string }[]>('/dead-letters?limit=1000')).body.map(({ id }) => id))
  const listed = new Map((await admin.get<TaskDetail[]>('/tasks?limit=1000')).body.map((task) => [task.id, task]))
  for (const [queue, all] of Map.groupBy(rows, (row) => row.queue))
    for (const state of ['completed', 'failed', 'timeout', 'cancelled', 'pending', 'running']) {
      const { headers } = await admin.get(`/tasks?queue=${queue}&state=${state}&limit=1`)
      const count = all.filter((row) => row.state === state).length
      assert.equal(Number(headers.get('x-total-count')), count, `${state} of ${queue} are counted`)
    }
  for (const row of rows) {
    if (row.handler === 'system.ping') continue
    const { body: task } = await admin.get<TaskDetail>(`/tasks/${row.id}`)
    const what = `task ${row.number}`
    const { depends_on_numbers, parent_run_number, replays_run_number, ...shown } = task
    const numberOf = (id: string | null) => rows.find((one) => one.id === id)?.number ?? null
    assert.deepEqual(
      [depends_on_numbers, parent_run_number, replays_run_number],
      [task.depends_on.map(numberOf), numberOf(task.parent_run_id), numberOf(task.replays_run_id)],
      `${what} names others by their numbers`,
    )
    const { input, result, log, attempts, steps, costs, ...alike } = shown
    assert.deepEqual(alike, listed.get(row.id), `${what} in the list`)
    const { headers } = await admin.get(`/runs/${row.number}`)
    assert.equal(headers.get('location'), `/api/v1/tasks/${row.number}`, `${what} as a run`)
    const { body: documented } = await admin.get<{ status: string }>(`//task/${row.id}`)
    // It has two words for all that ended otherwise.
    const words = task.state === 'completed' ? ['completed'] : ['failed', 'dead']
    assert.ok(words.includes(documented.status), `${what} at the dispatch door`)
    assert.equal(dead.has(row.id), row.dead_at !== null && row.purged_at === null, `${what} among dead letters`)
    assert.equal(task.waiting_for, null, `${what} waits for nothing`)
    assert.deepEqual(
      task.attempts.map(({ attempt }) => attempt),
      task.attempts.map((_, i) => i + 1),
      `${what} has each attempt once`,
    )
    const failed = task.attempts.filter(({ outcome }) => outcome === 'failed' || outcome === 'timeout')
    const ends = world.history.flatMap((event) => (event.type === 'end' && event.run === row.id ? [event.how] : []))
    const fails = ends.filter((how) => how === 'fail' || how === 'final').length
    if (row.timeout_ms !== LATE_MS && row.error_code !== 'DEADLINE_EXCEEDED')
      assert.equal(failed.length, fails, `${what} shows its failures: ${JSON.stringify(task.attempts)} ${ends.join()}`)
    if (row.handler !== OUTSIDE)
      assert.ok(!task.attempts.some(({ outcome }) => outcome === 'lost'), `${what} lost nothing`)
    for (const [i, { next_run_at, ended_at, error_code }] of task.attempts.entries()) {
      if (next_run_at === null) continue
      const waited = Date.parse(next_run_at) - Date.parse(ended_at!)
      const nth = task.attempts.slice(0, i + 1).filter(({ outcome }) => outcome !== 'lost').length
      const seconds = error_code === 'LATER' ? 20 : 2 ** (nth - 1)
      const [least, most] = error_code === 'LATER' ? [20, 20] : [0.75 * seconds, 1.25 * seconds]
      assert.ok(waited >= least * 1_000 && waited <= most * 1_000, `${what} waits ${waited} ms after failure ${nth}`)
    }
  }
}
