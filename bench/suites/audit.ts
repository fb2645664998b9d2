import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeEntry, verifyLog } from '@writ/tlog'
import { openDiskStore } from '../../packages/server/src/audit/disk-store.ts'
import { openLogFiles } from '../../packages/server/src/audit/log-files.ts'
import { sha256, verifyEd25519 } from '../../packages/server/src/audit/node-crypto.ts'
import { createSigner } from '../../packages/server/src/audit/signer.ts'
import { uuidv7 } from '../../packages/server/src/platform/ids.ts'
import { type Figure, median, round } from '../figure.ts'

const RUNS = 3
const BATCH = 1_000
const ENTRIES = 30_000

/** Appending entries to the log in batches, each durable, signed and published; and verifying 10,000 of them. */
export async function audit(): Promise<Figure[]> {
  const appended: number[] = []
  const verified: number[] = []
  for (let run = 0; run < RUNS; run++) {
    appended.push(ENTRIES / (await append(ENTRIES)).appendSeconds)
    verified.push((await append(10_000)).verifySeconds)
  }
  return [
    {
      suite: 'audit',
      figure: 'entries appended in batches of 1000',
      mode: 'fsync',
      ours: round(median(appended)),
      peer: null,
      peer_value: null,
      ratio: null,
      unit: 'entries/s',
      runs: RUNS,
      goal: { at_least: 30_000 },
    },
    {
      suite: 'audit',
      figure: '10,000 entries verified',
      mode: 'files',
      ours: round(median(verified)),
      peer: null,
      peer_value: null,
      ratio: null,
      unit: 's',
      runs: RUNS,
      goal: { at_most: 2 },
    },
  ]
}

async function append(entries: number): Promise<{ appendSeconds: number; verifySeconds: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-bench-audit-'))
  try {
    const origin = 'writ.log/bench'
    const files = await openLogFiles({ store: await openDiskStore(join(folder, 'log')), origin, hash: sha256 })
    const signer = await createSigner({ keysDir: join(folder, 'keys'), origin, stateFile: join(folder, 'signer.json') })
    const leaves = Array.from({ length: entries }, (_, i) =>
      encodeEntry({
        v: 1,
        id: uuidv7(1_800_000_000_000 + i),
        t: new Date(1_800_000_000_000 + i).toISOString(),
        seq: 0,
        actor: { kind: 'user', id: '01900000-0000-7000-8000-000000000000' },
        act: 'ticket.created',
        res: '01900000-0000-7000-8000-000000000001',
        pl: [{ n: 'event', c: `hmac-sha256:${'0'.repeat(64)}`, len: 500 }],
      }),
    )
    const before = performance.now()
    for (let at = 0; at < entries; at += BATCH) {
      const state = await files.integrate(at, leaves.slice(at, at + BATCH))
      const last = await signer.last()
      await files.publish(
        await signer.sign({ ...state, consistencyProof: last.size === 0 ? [] : await files.proveFrom(last.size) }),
      )
    }
    const appendSeconds = (performance.now() - before) / 1000
    const start = performance.now()
    const verdict = await verifyLog({
      read: (path) => files.read(path),
      vkeys: [signer.vkey],
      hash: sha256,
      verify: verifyEd25519,
    })
    if (!verdict.ok || verdict.checkpoint.size !== entries)
      throw new Error(`the log does not verify: ${JSON.stringify(verdict)}`)
    return { appendSeconds, verifySeconds: (performance.now() - start) / 1000 }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
