import type { ConcurrencyKey, KeyLimits as SaidLimits } from '@writ/api'
import { append } from '../../audit/index.ts'
import { type Caller, personOf } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../../platform/clock.ts'
import type { ListPart, Tx } from '../../platform/db/index.ts'
import type { Queue as RunQueue } from '../../queue/index.ts'
import type { Handler, Handlers } from './handler.ts'
import { changeLimit, pauseKey, resumeKey } from './hold.ts'
import type { HttpHandlers } from './http/http-handlers.ts'
import { isOver, type KeyLimit, MOST_LIMITS, parseLimits } from './key-limit.ts'
import { parsePause } from './key-pause.ts'
import type { RemoteHandlers } from './remote/registry.ts'
import * as held from './store-held.ts'

/** What an operator allows under a key. */
export interface AskedLimit extends SaidLimits {
  readonly key: string
  /** Left out: every handler. */
  readonly handler?: string | undefined
  /** Left out: for good. */
  readonly until?: number | undefined
  readonly reason: string
}

export interface AskedPause {
  readonly key: string
  readonly until: number
  readonly reason?: string | undefined
}

/** Concurrency keys, for operators. */
export interface Keys {
  /** Concurrency keys that are in use, paused or limited, by name. */
  listKeys(tx: Tx, now: number, part: ListPart): Promise<ConcurrencyKey[]>
  countKeys(tx: Tx, now: number): Promise<number>
  /** Nothing is started under the key before `until`; what runs goes on. A longer pause stays as it is. Throws KEY_PAUSE_INVALID. */
  pauseKey(tx: Tx, caller: Caller, asked: AskedPause): Promise<ConcurrencyKey>
  resumeKey(tx: Tx, caller: Caller, key: string): Promise<ConcurrencyKey>
  /**
   * Allows something else under the key than handlers say; in place of what was said so before for the same handler. Throws
   * KEY_LIMIT_EMPTY, KEY_LIMIT_OVER, KEY_LIMITS_EXHAUSTED, HANDLER_UNKNOWN.
   */
  limitKey(tx: Tx, caller: Caller, asked: AskedLimit): Promise<ConcurrencyKey>
  /** What handlers say holds again. Twice is once. */
  liftKeyLimit(tx: Tx, caller: Caller, key: string, handler: string | null): Promise<ConcurrencyKey>
}

export function createKeys(on: {
  readonly queue: RunQueue
  readonly handlers: Handlers
  readonly remote: RemoteHandlers
  readonly http: HttpHandlers
}): Keys {
  const { queue } = on

  const find = async (tx: Tx, key: string, now: number) => showKey(await held.findKeyState(tx, key, now), now)

  return {
    listKeys: async (tx, now, part) => (await held.listKeys(tx, now, part)).map((row) => showKey(row, now)),
    countKeys: held.countKeys,
    async pauseKey(tx, caller, { key, until, reason = null }) {
      if (until <= caller.at) throw new AppError('KEY_PAUSE_INVALID')
      const { counts } = await pauseKey(tx, key, until, { at: caller.at, by: personOf(caller), run: null, reason })
      const shown = await find(tx, key, caller.at)
      if (counts)
        await append(tx, caller.at, caller, {
          type: 'concurrency_key.paused',
          action: `Paused concurrency key: ${key}`,
          details: { key, until: shown.paused_until, ...(reason === null ? {} : { reason }) },
        })
      return shown
    },
    async resumeKey(tx, caller, key) {
      const resumed = await resumeKey(tx, queue, key, caller.at)
      const shown = await find(tx, key, caller.at)
      if (resumed)
        await append(tx, caller.at, caller, {
          type: 'concurrency_key.resumed',
          action: `Resumed concurrency key: ${key}`,
          details: { key },
        })
      return shown
    },
    async limitKey(tx, caller, asked) {
      const { key, handler = null, concurrency, rate, until = null, reason } = asked
      if (concurrency === undefined && rate === undefined) throw new AppError('KEY_LIMIT_EMPTY')
      if (until !== null && until <= caller.at) throw new AppError('KEY_LIMIT_OVER')
      if (handler !== null) await requireHandler(on, tx, handler)
      const limit: KeyLimit = {
        handler,
        ...(concurrency === undefined ? {} : { concurrency }),
        ...(rate === undefined ? {} : { rate: rate && { limit: rate.limit, periodMs: rate.period_ms } }),
        until,
        reason,
        by: personOf(caller),
        at: caller.at,
      }
      const before = await changeLimit(tx, queue, key, handler, limit, caller.at)
      const shown = await find(tx, key, caller.at)
      if (shown.limits.length > MOST_LIMITS) throw new AppError('KEY_LIMITS_EXHAUSTED', { most: MOST_LIMITS })
      await append(tx, caller.at, caller, {
        type: 'concurrency_key.limited',
        action: `Limited concurrency key: ${key}`,
        details: { key, ...showLimit(limit), before: before && showLimit(before) },
      })
      return shown
    },
    async liftKeyLimit(tx, caller, key, handler) {
      const before = await changeLimit(tx, queue, key, handler, null, caller.at)
      const shown = await find(tx, key, caller.at)
      if (before)
        await append(tx, caller.at, caller, {
          type: 'concurrency_key.limit_lifted',
          action: `Lifted the limit of concurrency key: ${key}`,
          details: { key, handler, before: showLimit(before) },
        })
      return shown
    },
  }
}

/** A handler of the server, of the project's addresses or of its workers, in that order. Throws HANDLER_UNKNOWN. */
export async function requireHandler(
  on: { readonly handlers: Handlers; readonly http: HttpHandlers; readonly remote: RemoteHandlers },
  tx: Tx,
  name: string,
): Promise<Handler> {
  const found =
    on.handlers.find(name) ?? (await on.http.find(tx, [name])).get(name) ?? (await on.remote.find(tx, [name])).get(name)
  if (!found) throw new AppError('HANDLER_UNKNOWN', { handler: name })
  return found
}

function showKey({ key, active, waiting, paused_until, pause, limits }: held.KeyState, now: number): ConcurrencyKey {
  const { at = null, by = null, run = null, reason = null } = parsePause(pause)
  return {
    key,
    active,
    waiting,
    paused_until: rfc3339OrNull(paused_until),
    paused_at: rfc3339OrNull(at),
    paused_by_id: by,
    paused_by_run_id: run,
    paused_reason: reason,
    limits: parseLimits(limits)
      .filter((one) => !isOver(one, now))
      .map(showLimit),
  }
}

const showLimit = ({ concurrency, rate, ...limit }: KeyLimit): ConcurrencyKey['limits'][number] => ({
  handler: limit.handler,
  ...(concurrency === undefined ? {} : { concurrency }),
  ...(rate === undefined ? {} : { rate: rate && { limit: rate.limit, period_ms: rate.periodMs } }),
  until: rfc3339OrNull(limit.until),
  reason: limit.reason,
  set_by_id: limit.by,
  set_at: rfc3339(limit.at),
})
