import { append } from '../../audit/index.ts'
import { DatabaseConflict, type Tx } from '../../platform/db/index.ts'
import { HELD_AT, type Queue } from '../../queue/index.ts'
import { askToStop, type Cancels } from './cancel.ts'
import { holdAgain } from './hold.ts'
import { replacedBy, settleWaiting } from './settle.ts'
import * as store from './store.ts'
import * as held from './store-held.ts'
import { namePayloads, unnamePayload } from './store-retention.ts'
import type { Accepted } from './submit.ts'

/** What a dispatch does when a task with its unique key lives. */
export type UniquePolicy = 'return' | 'reject' | 'replace'

/** How long a debounced task waits after the last dispatch; at most `maxWaitMs` after the first. */
export interface Debounce {
  readonly waitMs: number
  readonly maxWaitMs: number | null
}

/** What came of a dispatch that met a live task with its key and was not to leave it as it is. */
export type Met =
  /** That task has the new input now; nothing is made. */
  | { readonly folded: { readonly id: string; readonly number: number } }
  /** It has lost its key, and ends before the new one begins. */
  | { readonly after: string }

/**
 * Looks for live tasks whose keys these dispatches replace or debounce. One that is replaced is cancelled while it waits, asked to stop
 * while it runs, and what it dispatched with it. One that is debounced gets the new input, unless it has begun: its steps are
 * of the old one. Then it is left alone and loses its key. Whoever claims it at the same time waits for this transaction, or passes it.
 * Of those in `all` that have the same key the first counts (`firsts`, see `firstOfKeys`): a later one would free a place that the first found taken, and be given it.
 * Answers by the place in `all`, for those that met one.
 */
export async function meetRivals(
  tx: Tx,
  queue: Queue,
  cancels: Pick<Cancels, 'cancelChildren' | 'settled'>,
  all: readonly Accepted[],
  ids: readonly string[],
  firsts: ReadonlyMap<string, number>,
): Promise<Map<number, Met>> {
  const met = new Map<number, Met>()
  for (const i of firsts.values()) {
    const one = all[i]!
    const { uniqueKey, uniquePolicy, debounce } = one.task
    if (uniqueKey === null || (uniquePolicy !== 'replace' && debounce === null)) continue
    let ended: string | undefined
    // One that only waited for another to end gives the key back to that one, which is met next.
    for (let rival = await store.lockRival(tx, uniqueKey); rival; rival = await store.lockRival(tx, uniqueKey)) {
      if (rival.id === ended) throw new DatabaseConflict(new Error(`the run with unique key ${uniqueKey} was claimed`))
      ended = rival.id
      if (debounce !== null && !rival.begun) {
        await fold(tx, queue, one, rival, debounce)
        met.set(i, { folded: { id: rival.id, number: rival.number } })
        break
      }
      if (debounce === null) await replace(tx, queue, cancels, one.caller, rival, ids[i]!)
      if (debounce !== null || rival.claimed) {
        await store.freeKeys(tx, [{ unique_key: uniqueKey, id: rival.id }])
        met.set(i, { after: rival.id })
        break
      }
    }
  }
  return met
}

/** What waits is cancelled, which frees its key; what runs is asked to stop. */
async function replace(
  tx: Tx,
  queue: Queue,
  cancels: Pick<Cancels, 'cancelChildren' | 'settled'>,
  caller: Accepted['caller'],
  { id, number, claimed, entry }: store.Rival,
  by: string,
): Promise<void> {
  const ending = replacedBy(by)
  if (claimed) await askToStop(tx, queue, caller, { id, number, handler: entry.handler }, ending.error, by)
  else {
    const rows = [...(await store.loadWork(tx, [id])).values()]
    cancels.settled(tx, await settleWaiting(tx, queue, rows, ending, caller, caller.at))
  }
  await cancels.cancelChildren(tx, caller, [id], `task ${number} was replaced`)
}

/** Where in `all` the first task with each unique key is. */
export function firstOfKeys(all: readonly Accepted[]): Map<string, number> {
  const firsts = new Map<string, number>()
  for (const [i, { task }] of all.entries())
    if (task.uniqueKey !== null && !firsts.has(task.uniqueKey)) firsts.set(task.uniqueKey, i)
  return firsts
}

/** The waiting task gets the new input and waits anew; each such change is in the log. */
async function fold(
  tx: Tx,
  queue: Queue,
  { caller, task }: Accepted,
  rival: store.Rival,
  { waitMs, maxWaitMs }: Debounce,
): Promise<void> {
  const now = caller.at
  const latest = maxWaitMs === null ? Number.POSITIVE_INFINITY : rival.created_at + maxWaitMs
  const runAt = Math.max(now, Math.min(now + waitMs, latest))
  await store.updateTask(tx, rival.id, {
    input: task.input,
    input_sha256: task.inputSha256,
    input_sealed: task.inputSealed,
    run_at: runAt,
    updated_at: now,
  })
  if (rival.input_sha256 !== null && rival.input_sha256 !== task.inputSha256)
    await unnamePayload(tx, { run: rival.id, sha256: rival.input_sha256 }, now)
  if (task.input === null) await namePayloads(tx, [{ run: rival.id, sha256: task.inputSha256 }])
  const isHeld = await held.isHeld(tx, rival.id)
  await queue.enqueue(tx, [{ ...rival.entry, runAt: isHeld ? HELD_AT : runAt }], now)
  await held.setSpan(tx, rival.id, runAt - now)
  if (isHeld) await holdAgain(tx, queue, [{ runId: rival.id, runAt }], now)
  await append(tx, now, caller, {
    type: 'run.input_replaced',
    resource: { type: 'run', id: rival.id, number: rival.number },
    action: `Replaced the input of task ${rival.number}`,
    details: {
      handler: task.handler,
      input_sha256: task.inputSha256,
      input_sha256_before: rival.input_sha256,
      unique_key: task.uniqueKey,
    },
    run: { id: rival.id, seq: await store.nextEvent(tx, rival.id) },
  })
}
