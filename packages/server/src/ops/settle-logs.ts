import {
  createSequencer,
  findLogsAhead,
  LogAheadOfDatabase,
  loadUnfinishedRestore,
  RestoreUnfinished,
} from '../audit/index.ts'
import { slugOf } from '../identity/index.ts'
import { systemClock } from '../platform/clock.ts'
import { type Database, openDatabase } from '../platform/db/index.ts'
import { createLog } from '../platform/log.ts'
import { type OpenPlace, OperationRefused } from './place.ts'

/**
 * Opens a database to add to it, where a server would start. Of one that was put back more was published than it knows, and what is
 * added to it would be a second history. Throws OperationRefused, with what to do about it.
 */
export async function openToAdd({ config, folders, database }: OpenPlace): Promise<Database> {
  const unfinished = await loadUnfinishedRestore(config.dataDir)
  if (unfinished) throw new OperationRefused(new RestoreUnfinished(config.dataDir, unfinished).message)
  const db = await openDatabase(database, systemClock)
  const [ahead] = await findLogsAhead(db, folders)
  if (ahead === undefined) return db
  await db.close()
  throw new OperationRefused(new LogAheadOfDatabase(ahead.project, ahead.published, ahead.stored).message)
}

/** Makes keys and publishes what is committed: it verifies before any server starts. Only for who leads the sequencer. */
export async function settleLogs({ config, folders }: OpenPlace, db: Database): Promise<void> {
  const sequencer = createSequencer({
    db,
    clock: systemClock,
    log: createLog({ level: 'silent', format: 'json' }),
    folders,
    intervalMs: config.checkpointIntervalMs,
    slugOf: (project) => slugOf(db, project),
  })
  await sequencer.settle()
}

/** As `settleLogs`, but for where a server may run beside the operation: one that does puts it into the logs itself. */
export async function settleLogsUnlessServed(place: OpenPlace, db: Database, signal?: AbortSignal): Promise<void> {
  const ends = [AbortSignal.timeout(3_000), ...(signal ? [signal] : [])]
  const leading = await db.lead('sequencer', AbortSignal.any(ends)).catch(() => null)
  if (leading === null) return
  try {
    await settleLogs(place, db)
  } finally {
    await leading.release()
  }
}
