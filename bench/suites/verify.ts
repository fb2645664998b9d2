import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeEntry, verifyLog } from '@writ/tlog'
import { openDiskStore } from '../../packages/server/src/audit/disk-store.ts'
import { openLogFiles } from '../../packages/server/src/audit/log-files.ts'
import { sha256, verifyEd25519 } from '../../packages/server/src/audit/node-crypto.ts'
import { createSigner } from '../../packages/server/src/audit/signer.ts'
import { uuidv7 } from '../../packages/server/src/platform/ids.ts'
import { buildVerifier, missingGo } from '../../test/servers/go-verifier.ts'
import { type Figure, median, round } from '../figure.ts'

const RUNS = 3
const ENTRIES = 1_000_000
const BATCH = 20_000

/** Verifying a log of a million entries from its files: every byte read, every hash made anew; beside a verifier in Go. */
export async function verify(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-bench-verify-'))
  try {
    const { files, vkey } = await makeLog(folder)
    const independent = missingGo() ? null : await buildVerifier(folder)
    const ours: number[] = []
    const go: number[] = []
    for (let run = 0; run < RUNS; run++) {
      ours.push(
        await seconds(async () => {
          const verdict = await verifyLog({
            read: (path) => files.read(path),
            vkeys: [vkey],
            hash: sha256,
            verify: verifyEd25519,
          })
          if (!verdict.ok || verdict.checkpoint.size !== ENTRIES) throw new Error('the log does not verify')
        }),
      )
      if (independent)
        go.push(
          await seconds(async () => {
            const { ok, said } = await independent.makeRoot(join(folder, 'log'), vkey)
            if (!ok) throw new Error(said)
          }),
        )
    }
    const peer = go.length > 0 ? median(go) : null
    const figure = { suite: 'verify', mode: 'files', ours: round(median(ours)), unit: 's', runs: RUNS }
    return [
      {
        ...figure,
        figure: '1,000,000 entries verified',
        peer: null,
        peer_value: null,
        ratio: null,
        goal: { at_most: 30 },
      },
      {
        ...figure,
        figure: '1,000,000 entries verified against Go',
        peer: 'golang.org/x/mod',
        peer_value: peer === null ? null : round(peer),
        ratio: peer === null ? null : round(median(ours) / peer),
        goal: { at_most: 2 },
      },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const before = performance.now()
  await work()
  return (performance.now() - before) / 1_000
}

async function makeLog(folder: string) {
  const origin = 'writ.log/bench'
  const files = await openLogFiles({ store: await openDiskStore(join(folder, 'log')), origin, hash: sha256 })
  const signer = await createSigner({ keysDir: join(folder, 'keys'), origin, stateFile: join(folder, 'signer.json') })
  for (let at = 0; at < ENTRIES; at += BATCH) {
    const state = await files.integrate(
      at,
      Array.from({ length: BATCH }, (_, i) => leaf(at + i)),
    )
    const last = await signer.last()
    await files.publish(
      await signer.sign({ ...state, consistencyProof: last.size === 0 ? [] : await files.proveFrom(last.size) }),
    )
  }
  return { files, vkey: signer.vkey }
}

const leaf = (i: number) =>
  encodeEntry({
    v: 1,
    id: uuidv7(1_800_000_000_000 + i),
    t: new Date(1_800_000_000_000 + i).toISOString(),
    seq: 0,
    actor: { kind: 'user', id: '01900000-0000-7000-8000-000000000000' },
    act: 'ticket.created',
    res: '01900000-0000-7000-8000-000000000001',
    pl: [{ n: 'event', c: `hmac-sha256:${'0'.repeat(64)}`, len: 500 }],
  })
