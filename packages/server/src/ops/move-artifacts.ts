import { blobSettings, type Config, storageProblems } from '../config.ts'
import { listProjects } from '../identity/index.ts'
import {
  BlobCorrupt,
  BlobMissing,
  type BlobRef,
  type BlobSettings,
  type Blobs,
  openBlobs,
} from '../platform/blobs/index.ts'
import { attachDatabase, type Database, INSTANCE } from '../platform/db/index.ts'
import { missingBytes } from './missing-bytes.ts'
import { holdPlace, OperationRefused, openPlace, type Place, requireExisting } from './place.ts'
import { namingOf } from './store-bytes.ts'

export type StoreType = BlobSettings['type']

export interface MoveArtifacts extends Place {
  readonly to: StoreType
  /** The store to copy from; the configured one if left out. */
  readonly from?: StoreType | undefined
  /** Erases what was copied, after all of it was read back from the target and found right. */
  readonly deleteSource?: boolean | undefined
  /** `done` and `size` are bytes of the step that `what` names. */
  readonly onProgress?: ((step: { done: number; size: number; what: string }) => void) | undefined
}

export interface MoveReport {
  /** False if anything is missing or damaged; then nothing was deleted. */
  readonly ok: boolean
  readonly from: StoreType
  readonly to: StoreType
  readonly blobs: number
  readonly bytes: number
  readonly copied: number
  /** In the target already, with the same length. */
  readonly skipped: number
  readonly deleted: number
  /** Taken out of the target: what had been copied by an earlier move and was erased, or dropped with its task, since. */
  readonly removed: number
  readonly problems: readonly string[]
  /** What a person does now. */
  readonly advice: string
}

/** Blobs on their way at once: enough to hide the latency of a remote store. */
const LANES = 4

interface Moving {
  readonly source: Blobs
  /** Whether servers write to the source, and read from it: else what nobody names there is nobody's any more. */
  readonly sourceServes: boolean
  readonly target: Blobs
  readonly db: Database
  readonly projects: readonly string[]
  readonly signal: AbortSignal | undefined
  readonly problems: string[]
  /** Counts bytes of a step towards the total. */
  begin(what: string): (bytes: number) => void
}

/**
 * Copies every blob of every project into another store of the same configuration. Each one is hashed when it is read and
 * again when it is written; what is there already, with its full length, is skipped, so a move that was stopped anywhere
 * goes on with the same command. The source stays as it is unless `deleteSource` is given.
 *
 * A server may go on working meanwhile: what it takes in after a listing is copied by the next move, and never deleted
 * by this one. What it erases, or drops with a task, it takes from one of the two stores only: so that is not copied from the other,
 * and goes from a target that an earlier move has brought it to. Deleting from the store that the configuration names needs the server stopped; on SQLite that is checked.
 * Throws OperationRefused, BlobStoreUnavailable, DatabaseUnavailable, or the reason of the signal.
 */
export async function moveArtifacts(on: MoveArtifacts): Promise<MoveReport> {
  const place = openPlace(on)
  const { config } = place
  const from = on.from ?? config.artifactStorage
  refuseUnfit(config, from, on.to)
  requireExisting(place)
  const lock = on.deleteSource && from === config.artifactStorage ? holdPlace(place) : null
  const closing: { close(): Promise<void> }[] = []
  const opened = <T extends { close(): Promise<void> }>(thing: T): T => {
    closing.unshift(thing)
    return thing
  }
  try {
    const db = opened(await attachDatabase(place.database))
    const source = opened(await openBlobs(blobSettings(config, from)))
    const target = opened(await openBlobs(blobSettings(config, on.to)))
    await target.check()
    const projects = [INSTANCE, ...(await listProjects(db)).map((project) => project.id)]
    const { blobs, bytes } = await measure(source, projects, on.signal)
    const problems: string[] = []
    const begin = (what: string) => {
      let done = 0
      on.onProgress?.({ done, size: bytes, what })
      return (more: number) => {
        done += more
        on.onProgress?.({ done, size: Math.max(bytes, done), what })
      }
    }
    const sourceServes = from === config.artifactStorage
    const moving = { source, sourceServes, target, db, projects, signal: on.signal, problems, begin }
    const { copied, skipped } = await copyAll(moving)
    await findMissing(moving)
    const removed = sourceServes ? await removeGone(moving) : 0
    let deleted = 0
    if (on.deleteSource && problems.length === 0) await verifyAll(moving)
    if (on.deleteSource && problems.length === 0) deleted = await deleteAll(moving)
    const ok = problems.length === 0
    const advice = adviceFor(ok, config, from, on)
    return { ok, from, to: on.to, blobs, bytes, copied, skipped, deleted, removed, problems, advice }
  } finally {
    for (const thing of closing) await thing.close()
    lock?.release()
  }
}

function refuseUnfit(config: Config, from: StoreType, to: StoreType): void {
  if (from === to)
    throw new OperationRefused(
      `The artifacts are in the ${to} store already; name another one as the source or the target.`,
    )
  const problems = [
    ...storageProblems(config, from, `artifacts are moved from ${from}`),
    ...storageProblems(config, to, `artifacts are moved to ${to}`),
  ]
  if (problems.length > 0) throw new OperationRefused(problems.join('\n'))
  const [a, b] = [blobSettings(config, from), blobSettings(config, to)]
  // The two S3 kinds may describe one and the same bucket: deleting the source would delete everything.
  if (a.type !== 'local' && b.type !== 'local' && a.endpoint === b.endpoint && a.bucket === b.bucket)
    throw new OperationRefused(`The stores ${from} and ${to} are the same bucket ${a.bucket}.`)
}

function adviceFor(
  ok: boolean,
  config: Config,
  from: StoreType,
  { to, deleteSource }: { to: StoreType; deleteSource?: boolean | undefined },
): string {
  if (!ok) return 'Nothing was deleted. Look after what is named, then give the same command again.'
  if (config.artifactStorage === to) return `The server uses the ${to} store already; nothing needs to be set.`
  // With the originals gone there is no second round, and a server that still looks there finds nothing.
  if (deleteSource) return `Set ARTIFACT_STORAGE_TYPE=${to} in place of ${from} before you start the server again.`
  return `Stop the server, give the same command once more, set ARTIFACT_STORAGE_TYPE=${to} in place of ${from}, and start it again.`
}

async function measure(source: Blobs, projects: readonly string[], signal: AbortSignal | undefined) {
  let blobs = 0
  let bytes = 0
  for (const project of projects) {
    for await (const ref of source.list(project)) {
      signal?.throwIfAborted()
      blobs++
      bytes += ref.size
    }
  }
  return { blobs, bytes }
}

async function copyAll(moving: Moving): Promise<{ copied: number; skipped: number }> {
  const { target } = moving
  const passed = moving.begin('Copying')
  let copied = 0
  let skipped = 0
  await each(moving, async (project, ref) => {
    if (await isGone(moving, project, ref)) return
    if ((await target.stat(project, ref.sha256))?.size === ref.size) skipped++
    else {
      await copy(moving, project, ref)
      copied++
      // A server that erased it while it was on its way may have looked for it here before.
      if ((await namingOf(moving.db, project, ref.sha256)) === 'erased') await target.remove(project, ref.sha256)
    }
    passed(ref.size)
  })
  return { copied, skipped }
}

/** Whether a blob of the source is not to be in the target: its bytes were erased, or their task was dropped. */
async function isGone({ db, sourceServes }: Moving, project: string, { sha256 }: BlobRef): Promise<boolean> {
  const naming = await namingOf(db, project, sha256)
  return naming === 'erased' || (naming === 'unnamed' && !sourceServes)
}

async function copy({ source, target, signal }: Moving, project: string, ref: BlobRef): Promise<void> {
  const bytes = await source.open(project, ref.sha256)
  // Stopped here, the target has no part of it: a blob is visible only when it is whole.
  const put = await target.put(project, bytes, { maxBytes: ref.size, ...(signal ? { signal } : {}) })
  if (put.sha256 !== ref.sha256) throw new BlobCorrupt(ref.sha256, put.sha256)
}

/** What the database serves has to be in the target, wherever it should have come from. What came in meanwhile is brought there. */
async function findMissing(moving: Moving): Promise<void> {
  const { source, target, db, projects, signal, problems } = moving
  for await (const { project, sha256 } of missingBytes({ db, blobs: target, projects, signal }))
    try {
      const ref = await source.stat(project, sha256)
      if (ref) await copy(moving, project, ref)
      else if ((await target.stat(project, sha256)) === undefined && (await isNamed(moving, project, sha256)))
        problems.push(`${sha256} of project ${project} is an artifact's content and in neither store.`)
    } catch (error) {
      await note(moving, project, sha256, error)
    }
}

const isNamed = async ({ db }: Moving, project: string, sha256: string): Promise<boolean> =>
  (await namingOf(db, project, sha256)) === 'named'

/**
 * Makes the target, from which no server takes anything yet, lack what the source lacks because it went: nobody would look for it there
 * afterwards. What is named stays, also where the source has lost it.
 */
async function removeGone({ source, target, db, projects, signal }: Moving): Promise<number> {
  let removed = 0
  for (const project of projects)
    for await (const { sha256 } of target.list(project)) {
      signal?.throwIfAborted()
      const naming = await namingOf(db, project, sha256)
      if (naming === 'named' || (naming === 'unnamed' && (await source.stat(project, sha256)) !== undefined)) continue
      if (await target.remove(project, sha256)) removed++
    }
  return removed
}

/** Reads every blob of the source back from the target, whole. What has rotted there is replaced and read again. */
async function verifyAll(moving: Moving): Promise<void> {
  const passed = moving.begin('Reading back')
  await each(moving, async (project, ref) => {
    if (await isGone(moving, project, ref)) return
    await readWhole(moving.target, project, ref).catch(async (error: unknown) => {
      if (!(error instanceof BlobCorrupt)) throw error
      await copy(moving, project, ref)
      await readWhole(moving.target, project, ref)
    })
    passed(ref.size)
  })
}

/** Read as a whole, a blob is hashed, and a wrong one ends with BlobCorrupt. */
async function readWhole(blobs: Blobs, project: string, ref: BlobRef): Promise<void> {
  for await (const _ of await blobs.open(project, ref.sha256));
}

/** Only what the target has, and what is to be in neither: a blob that came into the source meanwhile stays there. */
async function deleteAll(moving: Moving): Promise<number> {
  const { source, target } = moving
  const passed = moving.begin('Deleting')
  let deleted = 0
  await each(moving, async (project, ref) => {
    const isThere = (await target.stat(project, ref.sha256))?.size === ref.size
    if (!isThere && !(await isGone(moving, project, ref))) return
    if (await source.remove(project, ref.sha256)) deleted++
    passed(ref.size)
  })
  return deleted
}

/** A damaged or missing blob is a problem, unless it went meanwhile; anything else ends the move. */
async function note(moving: Moving, project: string, sha256: string, error: unknown): Promise<void> {
  if (!(error instanceof BlobCorrupt || error instanceof BlobMissing)) throw error
  if (error instanceof BlobMissing && !(await isNamed(moving, project, sha256))) return
  moving.problems.push(`${sha256} of project ${project}: ${error.message}`)
}

/** Each blob of the source, some at once. */
async function each(moving: Moving, work: (project: string, ref: BlobRef) => Promise<void>): Promise<void> {
  const { source, signal } = moving
  for (const project of moving.projects) {
    const refs = source.list(project)[Symbol.asyncIterator]()
    const stop = new AbortController()
    const lane = async () => {
      while (!stop.signal.aborted) {
        const next = await refs.next()
        if (next.done) return
        signal?.throwIfAborted()
        await work(project, next.value).catch((error: unknown) => note(moving, project, next.value.sha256, error))
      }
    }
    const lanes = Array.from({ length: LANES }, () =>
      lane().catch((error: unknown) => {
        stop.abort() // the others end after the blob that they have
        throw error
      }),
    )
    const ends = await Promise.allSettled(lanes)
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed) throw failed.reason
  }
}
