import { setTimeout as sleep } from 'node:timers/promises'
import { nanosOf } from '@writ/api/costs'
import { listEndsBehind, oldestBehind } from '../audit/index.ts'
import { listProjects } from '../identity/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import { eachAlone } from '../platform/each-alone.ts'
import type { Logger } from '../platform/log.ts'
import { createTrouble } from '../platform/trouble.ts'
import { addTo, classOf } from './histogram.ts'
import type { Ended, StatsKey, Step } from './store.ts'
import * as store from './store.ts'

/** A pause between two batches, so that a long log that is counted for the first time leaves room for what runs. */
const BREATH_MS = 20

/** What one handler costs in one step is counted up to here, nine million dollars: below it whole numbers are exact, on every way. */
const MOST_COUNTED = Number.MAX_SAFE_INTEGER

/** How long each step is kept; a day is kept for ever. */
export const KEPT_MS: Readonly<Partial<Record<Step, number>>> = { minute: 2 * 86_400_000, hour: 100 * 86_400_000 }

/** A task ends before its event is made; by less than this, or its lease would be over. */
const MADE_WITHIN_MS = 3_600_000

/** A time before which every end of a run of the project in context was counted; Infinity when nothing is left to count. */
export const countedUntil = async (tx: Tx): Promise<number> =>
  (await oldestBehind(tx, await store.findCursor(tx))) - MADE_WITHIN_MS

export interface Counter {
  run(stop: AbortSignal): Promise<void>
  /** Counts what is new in every project; the answer is how many entries were counted. */
  round(stop?: AbortSignal): Promise<number>
}

/**
 * Counts how runs ended, from the log: it tells of each run's end once and in an order that stays, so a cursor misses none and
 * counts none twice (docs/decisions/0067). What settles a run knows nothing of it.
 *
 * Counts and cursor move in one transaction, and only from where the cursor was read: of two servers that count the same, one is
 * undone. Stopped before the commit: the next round reads the same entries. Stopped after it: they are counted.
 */
export function createCounter(on: { db: Database; clock: Clock; log: Logger; pollMs: number }): Counter {
  const { db, clock, log } = on

  /** One batch of the project of the context: how many entries it counted, and whether there may be others. */
  async function batch(): Promise<{ counted: number; more: boolean }> {
    const { from, to, runs, entries, more } = await db.read(async (tx) => {
      const from = await store.findCursor(tx)
      const behind = await listEndsBehind(tx, from)
      return { ...behind, from, runs: await store.loadEnded(tx, behind.runs) }
    })
    if (to === undefined) return { counted: 0, more: false }
    const added = summed(runs)
    const mine = await db.write(async (tx) => {
      if (!(await store.moveCursor(tx, from, to))) return false
      let begun = false
      for (const one of added) {
        const before = await store.findStats(tx, one.key)
        if (before) {
          one.ended += before.ended
          one.failed += before.failed
          one.cancelled += before.cancelled
          one.cost_nanos = Math.min(one.cost_nanos + before.cost_nanos, MOST_COUNTED)
          for (const name of ['ran', 'waited', 'codes'] as const)
            addTo(one[name], JSON.parse(before[name]) as Record<string, number>)
        }
        begun ||= before === undefined && one.key.step === 'hour'
        await store.putStats(tx, {
          ...one.key,
          ended: one.ended,
          failed: one.failed,
          cancelled: one.cancelled,
          ran: JSON.stringify(one.ran),
          waited: JSON.stringify(one.waited),
          codes: JSON.stringify(one.codes),
          cost_nanos: one.cost_nanos,
        })
      }
      // When an hour begins, and not with every batch.
      if (begun)
        for (const [step, kept] of Object.entries(KEPT_MS))
          await store.forgetStats(tx, step as Step, clock.now() - kept)
      return true
    })
    // Somebody else counted from there: what they did not read is looked for from where they came to.
    return mine ? { counted: entries, more } : { counted: 0, more: true }
  }

  async function round(stop?: AbortSignal): Promise<number> {
    const projects = await listProjects(db)
    let all = 0
    await eachAlone(projects, async ({ id }) => {
      for (let more = true; more && !stop?.aborted; ) {
        const done = await inProject(id, batch)
        all += done.counted
        more = done.more
        if (more) await sleep(BREATH_MS)
      }
    })
    return all
  }

  const trouble = createTrouble(log, { stopped: 'no runs counted', again: 'runs are counted again' })
  return {
    round,
    async run(stop) {
      while (!stop.aborted) {
        await round(stop).then(trouble.over, trouble.met)
        await sleep(on.pollMs, undefined, { signal: stop }).catch(() => {})
      }
    },
  }
}

interface Sum {
  readonly key: StatsKey
  ended: number
  failed: number
  cancelled: number
  cost_nanos: number
  readonly ran: Record<string, number>
  readonly waited: Record<string, number>
  readonly codes: Record<string, number>
}

/** Runs of one batch by step, time, handler and queue. In the order of the table's key: rows are locked in one order. */
function summed(all: readonly Ended[]): Sum[] {
  const minutes = new Map<string, Sum>()
  for (const one of all) {
    const { runs } = one
    // What waits for nobody's queue has a name that no queue of tasks can have.
    const sum = sumOf(minutes, 'minute', one.minute, one.handler, one.queue ?? `.${one.kind}`)
    sum.ended += runs
    if (one.state === 'failed' || one.state === 'timeout') sum.failed += runs
    if (one.state === 'cancelled') sum.cancelled += runs
    if (one.error_code !== null) count(sum.codes, one.error_code, runs)
    // Its last word: costs are kept before a run ends or with its end.
    sum.cost_nanos = Math.min(sum.cost_nanos + nanosOf(one.cost_usd ?? 0) * runs, MOST_COUNTED)
    if (one.ran === null || one.waited === null) continue
    count(sum.ran, classOf(one.ran), runs)
    count(sum.waited, classOf(one.waited), runs)
  }
  const sums = new Map(minutes)
  // Each run once, and its minute in its hour and its day.
  for (const { key, ...minute } of minutes.values())
    for (const step of ['day', 'hour'] as const) {
      const sum = sumOf(sums, step, key.at, key.handler, key.queue)
      for (const name of ['ended', 'failed', 'cancelled'] as const) sum[name] += minute[name]
      for (const name of ['ran', 'waited', 'codes'] as const) addTo(sum[name], minute[name])
      sum.cost_nanos = Math.min(sum.cost_nanos + minute.cost_nanos, MOST_COUNTED)
    }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum)
}

function sumOf(sums: Map<string, Sum>, step: Step, time: number, handler: string, queue: string): Sum {
  const size = store.STEPS[step]
  const at = Math.floor(time / size) * size
  const name = `${step}\n${String(at).padStart(15, '0')}\n${handler}\n${queue}`
  let sum = sums.get(name)
  if (!sum) {
    sum = {
      key: { step, at, handler, queue },
      ended: 0,
      failed: 0,
      cancelled: 0,
      cost_nanos: 0,
      ran: {},
      waited: {},
      codes: {},
    }
    sums.set(name, sum)
  }
  return sum
}

const count = (into: Record<string, number>, name: string | number, more: number): void => {
  into[name] = (into[name] ?? 0) + more
}
