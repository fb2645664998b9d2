import { SYSTEM } from '../audit/index.ts'
import { bootstrap, findProject, openIdentity } from '../identity/index.ts'
import { openBlobs } from '../platform/blobs/index.ts'
import { systemClock } from '../platform/clock.ts'
import { openDatabase } from '../platform/db/index.ts'
import { createLog } from '../platform/log.ts'
import { importRows } from './import-rows.ts'
import { holdPlace, OperationRefused, openPlace, type Place } from './place.ts'
import { openSource, type Source, type SourceTable, sourceTables } from './store.ts'

export interface ImportFrom extends Place {
  /** Which system; `tep` is the original traceable-execution-platform. */
  readonly source: string
  /** Its PostgreSQL URL; the SQLAlchemy forms are understood. It is only read, in one snapshot. */
  readonly from: string
  /** Its ARTIFACT_STORAGE_PATH, with `runs/<run id>/<file name>` below. Left out: no files. */
  readonly artifacts?: string | undefined
  /** Only count what is there. */
  readonly dryRun?: boolean | undefined
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}

export interface Imported {
  /** How many of each were taken over by this call, or would be. */
  readonly imported: Record<SourceTable, number>
  readonly skipped: readonly { readonly what: string; readonly why: string }[]
  /** One-time passwords: the old hashes are of another kind and cannot be verified. Shown here and nowhere else. */
  readonly passwords: readonly { readonly username: string; readonly password: string }[]
}

/**
 * Takes over users, assets, tickets, runs and artifacts into the project `default`. Ids there become numbers here where
 * they are free. Every row has its audit event, which says that it was imported: what the other system logged proves
 * nothing here, and is not taken over.
 *
 * May be called again after it was stopped or after more was added there: the id of an imported row follows from the
 * source's, so what was taken over is found and left alone. Refused while a server runs on the data directory (SQLite).
 */
export async function importFrom(on: ImportFrom): Promise<Imported> {
  if (on.source !== 'tep') throw new OperationRefused(`There is no import from "${on.source}". Known: tep.`)
  const source = await openSource(on.from.replace(/^postgres(ql)?\+\w+:/, 'postgres:')).catch((cause: Error) => {
    throw new OperationRefused(`The source cannot be read: ${cause.message}`, { cause })
  })
  try {
    return on.dryRun ? await countRows(source) : await take(on, source)
  } finally {
    await source.close()
  }
}

async function countRows(source: Source): Promise<Imported> {
  const imported = { users: 0, assets: 0, tickets: 0, runs: 0, artifacts: 0 }
  for (const table of sourceTables) imported[table] = await source.count(table)
  return { imported, skipped: [], passwords: [] }
}

async function take(on: ImportFrom, source: Source): Promise<Imported> {
  const place = openPlace(on)
  const lock = holdPlace(place)
  try {
    const db = await openDatabase(place.database, systemClock)
    try {
      const log = createLog({ level: 'silent', format: 'json' })
      const identity = await openIdentity({ db, clock: systemClock, log, settings: place.config })
      const blobs = await openBlobs(place.config.blobs)
      try {
        const first = (await bootstrap(identity))?.created
        const project = await findProject(db, 'default')
        if (!project) throw new OperationRefused('There is no project "default" to import into.')
        const result = await importRows({ ...on, source, identity, blobs, project, by: SYSTEM })
        const administrator =
          first?.password === undefined ? [] : [{ username: first.username, password: first.password }]
        return { ...result, passwords: [...administrator, ...result.passwords] }
      } finally {
        await blobs.close()
        await identity.close()
      }
    } finally {
      await db.close()
    }
  } finally {
    lock.release()
  }
}
