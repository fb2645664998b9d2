import { hash } from 'node:crypto'
import type { WorkerHandler } from '@writ/api'
import { append } from '../../../audit/index.ts'
import { type Caller, personOf } from '../../../identity/index.ts'
import { AppError } from '../../../platform/app-error.ts'
import type { Tx } from '../../../platform/db/index.ts'
import { contractOf, requireSchemas } from '../contract.ts'
import { type Disabled, disabledOf, noteSwitch } from '../disabled.ts'
import { compileSchemas, type Handler, type Handlers, type NamesBehind } from '../handler.ts'
import { findHandlers as findAddresses } from '../http/store.ts'
import * as store from './store.ts'

/** A handler that workers of a project have. Its tasks wait for them; this server does none. */
export interface RemoteHandler extends Handler {
  readonly source: 'worker'
  readonly enabled: boolean
  readonly disabled: Disabled | null
  readonly lastSeenAt: number
}

/** The handlers that workers registered, project by project. Reads and changes are those of the caller's transaction. */
export interface RemoteHandlers {
  find(tx: Tx, names: readonly string[]): Promise<Map<string, RemoteHandler>>
  /** By name, all or a part. */
  list(tx: Tx, part?: NamesBehind): Promise<RemoteHandler[]>
  count(tx: Tx): Promise<number>
  /** Throws HANDLER_NAME_TAKEN, HANDLER_CONTRACT_INVALID. Before the transaction. */
  examine(given: readonly WorkerHandler[]): readonly Contracted[]
  /** Whether `register` has anything to write: a worker comes again every few seconds. */
  isNews(caller: Caller, worker: string, all: readonly Contracted[]): boolean
  register(tx: Tx, caller: Caller, worker: string, all: readonly Contracted[]): Promise<void>
  /** Throws HANDLER_UNKNOWN. Twice is once. Disabled may be with a reason. */
  setEnabled(tx: Tx, caller: Caller, name: string, enabled: boolean, reason?: string): Promise<RemoteHandler>
}

/** A contract as it is stored. */
export interface Contracted {
  readonly name: string
  readonly contract: string
}

const SEEN_MS = 30_000
/** Contracts that are kept at hand. */
const KNOWN = 10_000

export function createRemoteHandlers(local: Handlers): RemoteHandlers {
  // Schemas are compiled once for each contract, whoever has it.
  const contracts = new Map<string, Omit<RemoteHandler, 'enabled' | 'disabled' | 'lastSeenAt'>>()
  /** When a worker's handler was last noted, by project, worker, name and contract. */
  const noted = new Map<string, number>()

  const remember = <V>(map: Map<string, V>, key: string, value: V) => {
    if (map.size >= KNOWN) map.clear()
    map.set(key, value)
  }

  function contractIn(text: string): Omit<RemoteHandler, 'enabled' | 'disabled' | 'lastSeenAt'> {
    const known = contracts.get(text)
    if (known) return known
    const handler = {
      ...contractOf(JSON.parse(text) as object),
      source: 'worker' as const,
      run: async (): Promise<never> => {
        throw new Error('a handler of workers is not run by the server')
      },
    }
    compileSchemas(handler)
    remember(contracts, text, handler)
    return handler
  }

  const perKeyOf = ({ concurrency, rate }: NonNullable<WorkerHandler['per_key']>) => ({
    concurrency,
    rate: rate && { limit: rate.limit, periodMs: rate.period_ms },
  })

  const handlerOf = (row: store.WorkerHandlerRow): RemoteHandler => ({
    ...contractIn(row.contract),
    enabled: row.enabled === 1,
    disabled: disabledOf(row),
    lastSeenAt: row.last_seen_at,
  })
  const keyOf = (caller: Caller, worker: string, one: Contracted) =>
    hash('sha256', JSON.stringify([caller.project, worker, one.name, one.contract]), 'hex')

  return {
    find: async (tx, names) =>
      new Map((await store.findHandlers(tx, names)).map((row) => [row.name, handlerOf(row)] as const)),
    list: async (tx, part) => (await store.listHandlers(tx, part)).map(handlerOf),
    count: store.countHandlers,
    examine: (given) =>
      given.map(({ name, timeout_ms, max_attempts, ttl_ms, side_effect, per_key, ...rest }) => {
        if (local.find(name)) throw new AppError('HANDLER_NAME_TAKEN', { handler: name })
        const contract = JSON.stringify({
          ...rest,
          name,
          timeoutMs: timeout_ms,
          maxAttempts: max_attempts,
          ttlMs: ttl_ms,
          sideEffect: side_effect,
          ...(per_key ? { perKey: perKeyOf(per_key) } : {}),
        })
        try {
          requireSchemas(contractIn(contract))
        } catch (cause) {
          throw new AppError(
            'HANDLER_CONTRACT_INVALID',
            { reason: cause instanceof Error ? cause.message : String(cause) },
            { cause },
          )
        }
        return { name, contract }
      }),
    isNews: (caller, worker, all) =>
      all.some((one) => caller.at - (noted.get(keyOf(caller, worker, one)) ?? Number.NEGATIVE_INFINITY) >= SEEN_MS),
    async register(tx, caller, worker, all) {
      const { at } = caller
      const [taken] = await findAddresses(
        tx,
        all.map(({ name }) => name),
      )
      if (taken) throw new AppError('HANDLER_NAME_TAKEN', { handler: taken.name })
      const known = await store.findHandlers(
        tx,
        all.map(({ name }) => name),
      )
      await store.updateHandlers(
        tx,
        known.map(({ name }) => name),
        { last_seen_at: at },
      )
      for (const one of all) {
        const before = known.find(({ name }) => name === one.name)
        // A contract counts when a worker comes with it for the first time, so that two versions at work do not take turns.
        const isNew = !noted.has(keyOf(caller, worker, one))
        if (before && (before.contract === one.contract || !isNew)) continue
        if (before) await store.updateHandlers(tx, [one.name], { contract: one.contract })
        else if (!(await store.insertHandler(tx, { ...one, enabled: 1, registered_at: at, last_seen_at: at }))) continue
        await append(tx, at, caller, {
          type: 'handler.registered',
          action: `Registered handler: ${one.name}`,
          details: { handler: one.name, worker, contract_sha256: hash('sha256', one.contract, 'hex') },
        })
      }
      tx.afterCommit(() => {
        for (const one of all) remember(noted, keyOf(caller, worker, one), at)
      })
    },
    async setEnabled(tx, caller, name, enabled, reason) {
      const [row] = await store.findHandlers(tx, [name])
      if (!row) throw new AppError('HANDLER_UNKNOWN', { handler: name })
      if ((row.enabled === 1) === enabled) return handlerOf(row)
      const change = enabled
        ? { enabled: 1, disabled_at: null, disabled_by_id: null, disabled_reason: null }
        : {
            enabled: 0,
            disabled_at: caller.at,
            disabled_by_id: personOf(caller),
            disabled_reason: reason ?? null,
          }
      await store.updateHandlers(tx, [name], change)
      await noteSwitch(tx, caller, name, enabled, reason)
      return handlerOf({ ...row, ...change })
    },
  }
}
