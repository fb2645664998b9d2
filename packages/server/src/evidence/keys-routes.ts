import type { keysApi } from '@writ/api'
import {
  type AuditFolders,
  allowedSigners,
  append,
  type Keys,
  LogError,
  listAllLogs,
  listEvents,
  loadLogKeys,
  type PublicKeyRecord,
  rotateLogKey,
  SYSTEM,
  vkeysOf,
} from '../audit/index.ts'
import { type Caller, findProject, slugOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Database, INSTANCE, inProject, type RequestMark, type Tx } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'

export interface KeysOn {
  readonly db: Database
  readonly folders: AuditFolders
  readonly keys: Keys
}

const OVERLAP_HOURS = 168
/** How long a rotation waits for another one. */
const WAIT_MS = 10_000

/** Public keys, and their rotation. */
export function keysHandlers(on: KeysOn): Handlers<typeof keysApi, Caller> {
  // Two rotations of one log at once would each replace the list that the other is about to replace.
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = turn.then(() => alone(on.db, work))
    turn = next.catch(() => {})
    return next
  }
  return handlers(on, inTurn)
}

/** Runs `work` while no other process of the installation does. */
async function alone<T>(db: Database, work: () => Promise<T>): Promise<T> {
  const held = await db.lead('keys', AbortSignal.timeout(WAIT_MS)).catch((cause) => {
    throw new AppError('KEY_ROTATION_UNDERWAY', {}, { cause })
  })
  return work().finally(() => held.release())
}

const handlers = (on: KeysOn, inTurn: <T>(work: () => Promise<T>) => Promise<T>): Handlers<typeof keysApi, Caller> => ({
  async list(ask) {
    const logs = await on.db.sequence(listAllLogs)
    return {
      logs: await Promise.all(
        logs.map(async (log) => {
          const held = log.vkey === null ? [] : await loadLogKeys(on.folders, log.origin).catch(() => [])
          const before = held.at(-2)
          const overlap = before && (!before.handed_over || Date.parse(before.until ?? '') > ask.caller.at)
          return {
            project: (await slugOf(on.db, log.project_id)) ?? null,
            origin: log.origin,
            shard: log.shard,
            closed: log.closed_at !== null,
            vkeys: [...vkeysOf(log)],
            overlap_until: overlap ? before.until : null,
          }
        }),
      ),
      // Who asked for them is nobody else's.
      signing: on.keys.list().map(({ asked_by, ...key }) => key),
      allowed_signers: allowedSigners(on.keys.list()),
    }
  },
  async rotate(ask) {
    const { caller, body } = ask
    const { purpose } = body
    const { mark } = ask
    if (purpose !== 'log') {
      const { record, old } = await inTurn(async () => {
        const before = await on.keys.rotated(purpose, (left) => ask.isRepeatOf(left))
        if (before) return before
        const record = await on.keys.rotate(purpose, caller.at, mark)
        return { record, old: on.keys.list().findLast((key) => key.purpose === purpose && key !== record)!.keyid }
      })
      // Stopped here, the next start tells the log (`recordKeys`), and the same request finds the key that it asked for.
      return ask.instance.change(async (tx) => {
        const answer = { purpose, old_key: old, new_key: record.keyid, overlap_until: null }
        if (!(await isRecorded(tx, record))) await append(tx, caller.at, caller, keyAdded(record, old))
        return answer
      })
    }
    const project = body.project === undefined ? INSTANCE : (await findProject(on.db, body.project))?.id
    if (project === undefined) throw new AppError('PROJECT_NOT_FOUND')
    const overlapMs = (body.overlap_hours ?? OVERLAP_HOURS) * 3_600_000
    const { db, folders } = on
    const isRepeatOf = (left: RequestMark | undefined) => ask.isRepeatOf(left)
    const rotation = { db, folders, project, overlapMs, now: caller.at, by: caller, mark, isRepeatOf }
    const done = await inTurn(() => rotateLogKey(rotation)).catch((error) => {
      if (error instanceof LogError && error.code === 'KEY_ROTATION_UNDERWAY')
        throw new AppError('KEY_ROTATION_UNDERWAY', {}, { cause: error })
      throw error
    })
    // The rotation told the logs itself; what is kept here is the answer to the same request.
    return ask.instance.change(async () => ({
      purpose,
      old_key: done.old_vkey,
      new_key: done.new_vkey,
      overlap_until: done.overlap_until,
    }))
  },
})

const keyAdded = (key: PublicKeyRecord, replaces: string | null) =>
  ({
    type: 'key.added',
    // The key's id is the resource, so that it stands in the leaf.
    resource: { type: 'key', id: key.keyid },
    action: `Added a key for ${key.purpose === 'manifest' ? 'manifests' : 'attestations'}`,
    details: { purpose: key.purpose, keyid: key.keyid, public_pem: key.public_pem, replaces },
  }) as const

const isRecorded = async (tx: Tx, { keyid }: PublicKeyRecord): Promise<boolean> =>
  (await listEvents(tx, { event_type: 'key.added', resource: keyid }, { limit: 1 })).length > 0

/** Tells the instance log of keys in use that it does not know: those of the first start, and of a rotation that was stopped. */
export async function recordKeys(on: Pick<KeysOn, 'db' | 'keys'>, now: number): Promise<void> {
  const all = on.keys.list()
  const inUse = all.filter((key) => key.valid_until === null)
  await inProject(INSTANCE, async () => {
    const known = await on.db.read((tx) => Promise.all(inUse.map((key) => isRecorded(tx, key))))
    const missing = inUse.filter((_, i) => !known[i])
    if (missing.length === 0) return
    await on.db.write(async (tx) => {
      for (const key of missing) {
        const before = all.findLast((one) => one.purpose === key.purpose && one.keyid !== key.keyid)
        await append(tx, now, SYSTEM, keyAdded(key, before?.keyid ?? null))
      }
    })
  })
}
