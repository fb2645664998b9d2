import { stat } from 'node:fs/promises'
import { SYSTEM } from '../audit/index.ts'
import { bootstrap, findProject, openIdentity } from '../identity/index.ts'
import { openBlobs } from '../platform/blobs/index.ts'
import { systemClock } from '../platform/clock.ts'
import { createLog } from '../platform/log.ts'
import type { Flaw } from './import-flaws.ts'
import { importRows } from './import-rows.ts'
import { judgeRows } from './judge-rows.ts'
import { holdPlace, OperationRefused, openPlace, type Place } from './place.ts'
import { openToAdd, settleLogsUnlessServed } from './settle-logs.ts'
import { openSource, type Source, type SourceTable } from './store.ts'

export interface ImportFrom extends Place {
  /** Which system; `tep` is the original traceable-execution-platform. */
  readonly source: string
  /** Its PostgreSQL URL; the SQLAlchemy forms are understood. It is only read, in one snapshot. */
  readonly from: string
  /** Its ARTIFACT_STORAGE_PATH, with `runs/<run id>/<file name>` below. Left out: no files. */
  readonly artifacts?: string | undefined
  /** Only say what an import into an empty Writ would take over, leave out and change. */
  readonly dryRun?: boolean | undefined
  /** Hears each one-time password as soon as its account is kept, so that none is lost when the import is stopped after it. */
  readonly onPassword?: ((made: Password) => void) | undefined
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}

export interface Password {
  readonly username: string
  readonly password: string
}

export interface Imported {
  /** How many of each were taken over by this call, or would be. */
  readonly imported: Record<SourceTable, number>
  /** Rows that an earlier import took over, by their ids there. They stay as they are here. */
  readonly already: Record<SourceTable, readonly number[]>
  /** Rows that were left out; `what` is the table and the id there. */
  readonly skipped: readonly (Flaw & { readonly what: string })[]
  /** Rows that were taken over with something else in a column than there. */
  readonly changed: readonly (Flaw & { readonly what: string })[]
  /** One-time passwords: the old hashes are of another kind and cannot be verified. Shown here and nowhere else. */
  readonly passwords: readonly Password[]
}

/**
 * Takes over users, assets, tickets, runs and artifacts into the project `default`. Ids there become numbers here where
 * they are free. Every row has its audit event, which says that it was imported: what the other system logged proves
 * nothing here, and is not taken over.
 *
 * May be called again after it was stopped or after more was added there: the id of an imported row follows from the
 * source's, so what was taken over is found and left alone. Refused while a server runs on the data directory (SQLite), and
 * where none would start. Stopped before its end: what is here is published by the next import, or the next start of a server.
 *
 * Throws OperationRefused with a code: the source cannot be read or is not what it should be, the folder is not there, or a row
 * that was sound could not be kept; then what came before it is here.
 */
export async function importFrom(on: ImportFrom): Promise<Imported> {
  if (on.source !== 'tep')
    throw new OperationRefused(`There is no import from "${on.source}". Known: tep.`, { code: 'IMPORT_SYSTEM_UNKNOWN' })
  if (!/^postgres(ql)?(\+\w+)?:\/\//.test(on.from))
    throw new OperationRefused('The source is named by its PostgreSQL URL, such as postgresql://user@host/tep.', {
      code: 'IMPORT_SOURCE_UNREADABLE',
    })
  // A folder that is misspelt must not look like one in which every file is lost.
  if (on.artifacts !== undefined && !(await stat(on.artifacts).catch(() => null))?.isDirectory())
    throw new OperationRefused(`There is no folder "${on.artifacts}" of artifacts.`, { code: 'IMPORT_FOLDER_MISSING' })
  const source = await openSource(on.from.replace(/^postgres(ql)?\+\w+:/, 'postgres:'))
  try {
    return on.dryRun ? await judgeRows({ ...on, source }) : await take(on, source)
  } finally {
    await source.close()
  }
}

async function take(on: ImportFrom, source: Source): Promise<Imported> {
  const place = openPlace(on)
  const lock = holdPlace(place)
  try {
    const db = await openToAdd(place)
    try {
      const log = createLog({ level: 'silent', format: 'json' })
      const identity = await openIdentity({ db, clock: systemClock, log, settings: place.config })
      const blobs = await openBlobs(place.config.blobs)
      try {
        const first = (await bootstrap(identity))?.created
        const administrator =
          first?.password === undefined ? [] : [{ username: first.username, password: first.password }]
        for (const made of administrator) on.onPassword?.(made)
        const project = await findProject(db, 'default')
        if (!project) throw new OperationRefused('There is no project "default" to import into.')
        const result = await importRows({ ...on, source, identity, blobs, project, by: SYSTEM })
        await settleLogsUnlessServed(place, db, on.signal)
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
