import { isLogStoreUnavailable, type WitnessHealth } from './audit/index.ts'
import { AppError } from './platform/app-error.ts'
import { BlobCorrupt, BlobMissing, BlobStoreUnavailable } from './platform/blobs/index.ts'
import { inTime } from './platform/in-time.ts'

/** Errors of the stores of bytes and of the log's files that have a place in the error table. */
export function recogniseStores(error: unknown): AppError | undefined {
  if (error instanceof BlobStoreUnavailable || error instanceof BlobMissing || error instanceof BlobCorrupt)
    return new AppError('STORAGE_UNAVAILABLE', {}, { cause: error, headers: { 'retry-after': '1' } })
  if (isLogStoreUnavailable(error))
    return new AppError('LOG_UNAVAILABLE', {}, { cause: error as Error, headers: { 'retry-after': '1' } })
  return undefined
}

/** What /readyz says of a witness that does not sign, or by another time. The server goes on without it, so it stays ready. */
export const witnessLine = ({ name, state, reason, ahead, took }: WitnessHealth): [string, string][] => {
  if (state !== 'ok') return [[`witness ${name}`, `${state}: ${reason}`]]
  if (ahead === null && took !== null)
    return [[`witness ${name}`, `slow: it took ${Math.round(took / 1_000)} s to answer`]]
  if (ahead === null) return []
  const by = `${Math.round(Math.abs(ahead) / 1_000)} s ${ahead > 0 ? 'ahead of' : 'behind'}`
  return [[`witness ${name}`, `its clock is ${by} the clock of this server; one of the two is wrong`]]
}

/**
 * A part that is silent so long is not ready: whoever asks, Prometheus and load balancers, waits for no statement's time. A connection
 * that is not to be had says so after five seconds, by itself.
 */
const PATIENCE_MS = 6_000

/** Whether requests can be served: each part with its reason if not. The byte store is asked every few seconds only. */
export function readiness(on: {
  db: { ping(): Promise<void> }
  blobs: { check(): Promise<void> }
  sequencer: { health: { failing: string | null } }
}) {
  let checked = { at: Number.NEGATIVE_INFINITY, result: Promise.resolve<string | null>(null) }
  const reasonOf = (work: Promise<void>): Promise<string | null> => {
    const reason = work.then(
      () => null,
      (error: Error) => error.message,
    )
    return inTime(reason, PATIENCE_MS, 'no answer for six seconds')
  }
  return async (): Promise<Record<string, string | null>> => {
    if (performance.now() - checked.at > 5_000) checked = { at: performance.now(), result: reasonOf(on.blobs.check()) }
    const [database, artifacts] = await Promise.all([reasonOf(on.db.ping()), checked.result])
    return { database, artifacts, log: on.sequencer.health.failing }
  }
}
