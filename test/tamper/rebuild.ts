/** What only the holder of the log's key can do: sign another history, so that nothing inside the machine contradicts it. */
import { createHmac } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { decodeEntry, encodeEntry, formatCommitment, toUtf8 } from '@writ/tlog'
import { openDiskStore } from '../../packages/server/src/audit/disk-store.ts'
import { createSequencer, sha256 } from '../../packages/server/src/audit/index.ts'
import { openLogFiles } from '../../packages/server/src/audit/log-files.ts'
import { createSigner } from '../../packages/server/src/audit/signer.ts'
import { systemClock } from '../../packages/server/src/platform/clock.ts'
import { openDatabase } from '../../packages/server/src/platform/db/index.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import type { Copy } from './scene.ts'

const originOf = (copy: Copy) =>
  copy.query<{ origin: string }>('select origin from logs where project_id = ?', copy.project)[0]!.origin

/** The validly signed checkpoint of the log's first entries, made with its real key and a fresh memory. */
export async function rebuildWithRealKey(copy: Copy, { upTo }: { upTo: number }): Promise<string> {
  const origin = originOf(copy)
  const scratch = await mkdtemp(path.join(copy.dataDir, 'scratch-'))
  const rows = copy.query<{ entry: Uint8Array }>(
    `select e.entry from audit_places i join audit_events e on e.id = i.event_id and e.project_id = i.project_id
     where i.project_id = ? and i.log_index < ? order by i.log_index`,
    copy.project,
    upTo,
  )
  const files = await openLogFiles({ store: await openDiskStore(path.join(scratch, 'log')), origin, hash: sha256 })
  const state = await files.integrate(
    0,
    rows.map(({ entry }) => entry),
  )
  const stateFile = path.join(copy.dataDir, 'signer', `${origin.replaceAll('/', '_')}.json`)
  const memory = JSON.parse(await readFile(stateFile, 'utf8')) as { v: number }
  const fresh = { ...memory, size: 0, root: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' }
  const forged = path.join(scratch, 'memory.json')
  await writeFile(forged, JSON.stringify(fresh))
  const signer = await createSigner({ keysDir: path.join(copy.dataDir, 'keys'), origin, stateFile: forged })
  return signer.sign({ ...state, consistencyProof: [] })
}

/** Forges one event with a fitting commitment, forgets everything that was published, and lets the real sequencer sign it all again. */
export async function rewriteHistory(copy: Copy, index: number): Promise<void> {
  const [row] = copy.query<{ id: string; event: string; salt: Uint8Array; entry: Uint8Array }>(
    `select e.* from audit_places i join audit_events e on e.id = i.event_id and e.project_id = i.project_id
     where i.project_id = ? and i.log_index = ?`,
    copy.project,
    index,
  )
  const event = row!.event.replace('Created', 'Altered')
  const leaf = decodeEntry(row!.entry)
  const payload = toUtf8(event)
  const c = formatCommitment(createHmac('sha256', row!.salt).update(payload).digest())
  const entry = encodeEntry({ ...leaf, pl: [{ n: 'event', c, len: payload.length }] })
  copy.execute('update audit_events set event = ?, entry = ? where id = ?', event, entry, row!.id)
  await publishAnew(copy)
}

/** Deletes every event from an index on, and signs what is left as if there had never been more. */
export async function cutHistory(copy: Copy, from: number): Promise<void> {
  copy.execute(
    'delete from audit_events where id in (select event_id from audit_places where project_id = ? and log_index >= ?)',
    copy.project,
    from,
  )
  copy.execute(
    `update audit_appends set entries = (select count(*) from audit_events e where e.append = audit_appends.seq),
       last_id = coalesce((select max(id) from audit_events e where e.append = audit_appends.seq), last_id)
     where project_id = ?`,
    copy.project,
  )
  copy.execute('delete from audit_appends where project_id = ? and entries = 0', copy.project)
  // Nobody is to ask why a run ended of whose end nothing tells.
  copy.execute(
    `update runs set state = 'pending', completed_at = null
     where project_id = ? and id not in (select resource_id from audit_events where event_type like 'run.%')`,
    copy.project,
  )
  await publishAnew(copy)
}

async function publishAnew(copy: Copy): Promise<void> {
  const { dataDir } = copy
  const origin = originOf(copy)
  copy.execute('update audit_appends set shard = null, log_index = null where project_id = ?', copy.project)
  copy.execute('update logs set size = 0, checkpoint = null where project_id = ?', copy.project)
  await rm(copy.log('.'), { recursive: true })
  for (const file of [copy.day('jsonl'), copy.day('txt'), path.join(dataDir, 'audit', '.cursor.json')]) await rm(file)
  const memory = { v: 1, origin, size: 0, root: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' }
  await writeFile(path.join(dataDir, 'signer', `${origin.replaceAll('/', '_')}.json`), JSON.stringify(memory))
  const db = await openDatabase({ url: `sqlite:${path.join(dataDir, 'writ.db')}` }, systemClock)
  try {
    const sequencer = createSequencer({
      db,
      clock: systemClock,
      log: createLog({ level: 'silent', format: 'json' }),
      folders: {
        log: path.join(dataDir, 'log'),
        keys: path.join(dataDir, 'keys'),
        signer: path.join(dataDir, 'signer'),
        days: path.join(dataDir, 'audit'),
      },
      intervalMs: 20,
      slugOf: async (project) => (project === copy.project ? 'default' : undefined),
    })
    await sequencer.settle()
  } finally {
    await db.close()
  }
}
