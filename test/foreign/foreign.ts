// Logs, witnesses' cosignatures, proofs and attestations of a real server, before programs that others wrote. Run by main.ts.
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { Keys, LogInfo } from '@writ/api'
import { formatSubmission, formatVkey, parseCheckpoint, parseNote, SIGNATURE_COSIGNATURE } from '@writ/tlog'
import { sha256 } from '../../packages/server/src/audit/index.ts'
import { writ as writCli } from '../evidence/command-line.ts'
import { exportBundle, folderFiles, makeTicket, unpack, verifySh } from '../evidence/scene.ts'
import { openTicketsThroughKills } from '../independent/open-tickets.ts'
import { freePort } from '../servers/free-port.ts'
import { removeFolder, startGuarded } from '../servers/guard.ts'
import { prepareWrit } from '../servers/writ.ts'
import { forgeEntry } from '../tamper/forge.ts'
import { TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { startLitewitness } from './litewitness.ts'
import { ask, fsck } from './tools.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-foreign-'))
after(() => removeFolder(folder))
/** A well-formed key of a witness that signs nothing here. */
const STRANGER = formatVkey(
  { name: 'foreign.example/stranger', type: SIGNATURE_COSIGNATURE, publicKey: new Uint8Array(32) },
  sha256,
)
/** The address of a log's own door at a running server. */
const doorOf = (base: string, vkey: string) => `${base}/log/${vkey.slice(vkey.indexOf('/') + 1, vkey.indexOf('+'))}/`
const sizeOf = (note: string) => parseCheckpoint(parseNote(note).text).size
const said = (text: string, expected: RegExp) => assert.match(text, expected)
async function file(name: string, text: string): Promise<string> {
  const whole = path.join(folder, name)
  await writeFile(whole, text)
  return whole
}

/** What torchwood says to a folder that Python serves as static files. */
async function tailed(log: string, key: string): Promise<string> {
  const port = await freePort()
  const args = ['-u', '-m', 'http.server', '--bind', '127.0.0.1', '--directory', log, String(port)]
  const files = await startGuarded({ command: 'python3', args, folder: await mkdtemp(path.join(folder, 'static-')) })
  try {
    await files.saying('Serving HTTP')
    return (await ask('tail', `http://127.0.0.1:${port}`, key)).text
  } finally {
    await files.stop()
  }
}

test('a log of 10,000 entries, made through restarts and kills under a witness that is not ours', {
  timeout: 600_000,
}, async (t) => {
  const below = path.join(folder, 'large')
  await mkdir(below)
  await using witness = await startLitewitness(below, 'foreign.example/w1')
  const writ = await prepareWrit({ folder: below })
  try {
    // The first start makes the keys that the witness has to know.
    await writ.start()
    await writ.login()
    const { logs } = (await writ.call('GET', '/keys')).body as unknown as Keys
    for (const { vkeys } of logs) await witness.addLog(vkeys[0]!)
    await writ.stop()
    Object.assign(writ.env, {
      WRIT_WITNESS_POLICY: await file('w1.policy', `witness w1 ${witness.vkey} ${witness.url}\nquorum w1\n`),
      WRIT_WITNESS_INTERVAL_MS: '20',
      WRIT_WITNESS_PROJECTS: 'true',
      WRIT_INSTANCE_LOG_ACCESS: 'public',
    })
    await writ.start()
    await openTicketsThroughKills(writ)
    const { id } = (await writ.call('GET', '/projects/default')).body
    const info = async () => (await writ.call('GET', '/audit/log')).body as unknown as LogInfo
    await until('all of it is cosigned', async () => {
      const { anchored, size, pending } = await info()
      return anchored?.via === 'log' && anchored.size === size && pending === 0
    })
    const { vkeys, size } = await info()
    assert.ok(size > 10_000, `${size} entries`)
    const vkey = vkeys[0]!
    const key = await file('project.vkey', vkey)
    const instance = logs.find(({ project }) => project === null)!.vkeys[0]!
    const instanceKey = await file('instance.vkey', instance)
    const made = await writ.call('POST', '/tokens', { name: 'monitor', role: 'auditor', scopes: ['audit.file'] })
    assert.equal(made.status, 201, JSON.stringify(made.body))
    const token = String(made.body.token)

    await t.test('row 2: tessera and torchwood read it from the running server, with a token', async () => {
      const door = doorOf(writ.url, vkey)
      const checked = await fsck(door, key, `--bearer_token=${token}`)
      assert.ok(checked.ok, checked.text)
      said((await ask('tail', '-token', token, door, key)).text, /^ok: \d{5} entries/)
      said((await ask('tail', door, key)).text, /FAILED: checkpoint: unexpected status code 401/)
    })

    await t.test('row 2: so they do with a public log, of the instance, without one', async () => {
      const door = doorOf(writ.url, instance)
      const checked = await fsck(door, instanceKey)
      assert.ok(checked.ok, checked.text)
      said((await ask('tail', door, instanceKey)).text, /^ok: \d+ entries/)
    })

    await writ.stop()
    const log = path.join(writ.dataDir, 'log', String(id), '0')
    const instanceLog = path.join(writ.dataDir, 'log/_instance/0')

    await t.test('row 2: its folder passes fsck, and is tailed over a server of static files', async () => {
      const checked = await fsck(`file://${log}`, key)
      assert.ok(checked.ok, checked.text)
      said(
        checked.text,
        new RegExp(
          `Successfully fsck'd log with size ${sizeOf(await readFile(path.join(log, 'checkpoint'), 'utf8'))} `,
        ),
      )
      said(await tailed(log, key), /^ok: \d{5} entries/)
    })

    await t.test(
      'row 6: the same log with one entry forged, signed with its key, gets 422; the log itself is cosigned',
      async () => {
        for (const one of [log, instanceLog]) {
          const note = await readFile(path.join(one, 'checkpoint.cosigned'), 'utf8')
          const scratch = path.join(below, `forged-${path.basename(path.dirname(one))}`)
          const { old, proof, checkpoint } = await forgeEntry(writ.dataDir, one, 2, scratch)
          const answers = {
            forged: await witness.submit(formatSubmission({ old, proof, checkpoint })),
            again: await witness.submit(formatSubmission({ old, proof: [], checkpoint: note })),
            older: await witness.submit(formatSubmission({ old: old - 1, proof: [], checkpoint: note })),
          }
          assert.deepEqual(
            Object.values(answers).map(({ status }) => status),
            [422, 200, 409],
            JSON.stringify(answers),
          )
          assert.equal(answers.older.body, `${old}\n`)
          await witness.kill9()
          assert.equal((await witness.submit(formatSubmission({ old, proof, checkpoint }))).status, 422)
        }
      },
    )

    await t.test('row 2: with one byte of an entry changed, both refuse it', async () => {
      const copy = path.join(below, 'edited')
      await cp(log, copy, { recursive: true })
      const bundle = path.join(copy, 'tile/entries/000')
      const bytes = await readFile(bundle)
      bytes[bytes.length - 1]! ^= 1
      await writeFile(bundle, bytes)
      const refused = await fsck(`file://${copy}`, key)
      assert.equal(refused.ok, false)
      said(refused.text, /log has:/)
      said(await tailed(copy, key), /^FAILED: hash mismatch for entry 255\n$/)
    })
  } finally {
    await writ.stop()
  }
})

/** A Sigstore bundle around an envelope: the only form that cosign takes. As docs/attestations.md makes it with jq. */
const sigstoreBundle = (envelope: string) =>
  JSON.stringify({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint: '' } },
    dsseEnvelope: JSON.parse(envelope),
  })

test('a bundle of evidence under a witness that is not ours', { timeout: 300_000 }, async (t) => {
  const below = path.join(folder, 'small')
  await mkdir(below)
  await using witness = await startLitewitness(below, 'foreign.example/w2')
  const policy = await file(
    'w2.policy',
    `witness w2 ${witness.vkey} ${witness.url}\ngroup all-of-them all w2\nquorum all-of-them\n`,
  )
  const env = { WRIT_WITNESS_INTERVAL_MS: '20', WRIT_WITNESS_PROJECTS: 'true' }
  await using sys = await TestSystem.start({ fakeClock: true, env })
  for (const { vkeys } of ok(await sys.admin.get<Keys>('/keys')).logs) await witness.addLog(vkeys[0]!)
  await sys.restart({ env: { WRIT_WITNESS_POLICY: policy } })
  await makeTicket(sys)
  // A minute later the instance log has recorded the project's.
  sys.advance(61_000)
  await sys.settle()
  const ready = async () => (await (await fetch(`${sys.base}/readyz`)).json()) as { degraded?: unknown }
  await until('both logs are cosigned', async () => {
    sys.advance(1_000)
    await sys.settle()
    const { anchored, size } = ok(await sys.admin.get<LogInfo>('/audit/log'))
    return anchored?.via === 'log' && anchored.size === size && (await ready()).degraded === undefined
  })
  const unpacked = path.join(below, 'bundle')
  await exportBundle(sys, `${unpacked}.zip`, { subject: 'ticket', id: 1 })
  await unpack(`${unpacked}.zip`, unpacked)
  const { names } = await folderFiles(unpacked)
  const at = (name: string) => path.join(unpacked, name)
  const pem = at(names.find((name) => name.startsWith('keys/attestation-'))!)

  await t.test('row 6: the cosignatures are kept, and accepted by writ and by the bundle’s own script', async () => {
    const verified = await writCli(sys, below, 'audit', 'verify', '--policy', policy)
    assert.equal(verified.code, 0, verified.err)
    const bundle = await writCli(sys, below, 'verify', `${unpacked}.zip`)
    assert.equal(bundle.code, 0, bundle.err)
    said(bundle.out, /w2/)
    assert.equal((await verifySh(unpacked)).code, 0)
  })

  await t.test('row 3: every proof verifies, and its cosignatures meet the policy of the bundle', async () => {
    for (const log of ['project-0', 'instance-0']) {
      const [origin] = (await readFile(at(`logs/${log}/checkpoint`), 'utf8')).split('\n')
      const vkey = (await readFile(at('policy'), 'utf8')).split('\n').find((line) => line.startsWith(`log ${origin}+`))!
      const key = await file(`${log}.vkey`, vkey.slice('log '.length))
      const proofs = names.filter((name) => name.startsWith(`logs/${log}/`) && name.endsWith('.tlog-proof'))
      const pairs = proofs.flatMap((name) => [at(name.replace(/tlog-proof$/, 'json')), at(name)])
      assert.equal((await ask('proof', key, at('policy'), ...pairs)).text, `ok: ${proofs.length} proofs\n`)

      const stranger = await file(
        `${log}.stranger`,
        (await readFile(at('policy'), 'utf8')).replaceAll(witness.vkey, STRANGER),
      )
      said((await ask('proof', key, stranger, ...pairs)).text, /^FAILED: .*: tessera: the quorum is not met\n$/)
      said((await ask('proof', key, at('policy'), pairs[1]!, pairs[1]!)).text, /^FAILED: .*: merkle: /)
    }
  })

  await t.test(
    'row 11: every envelope is accepted by securesystemslib and cosign, and none with a byte changed',
    async () => {
      const envelopes = names.filter((name) => name.startsWith('attestations/'))
      assert.equal(envelopes.length, 4)
      assert.equal((await ask('dsse', pem, ...envelopes.map(at))).text, 'ok: 4 envelopes\n')
      for (const name of envelopes) {
        const whole = await readFile(at(name), 'utf8')
        const { payload } = JSON.parse(whole) as { payload: string }
        const { predicateType, subject } = JSON.parse(Buffer.from(payload, 'base64').toString()) as {
          predicateType: string
          subject: [{ digest: { sha256: string } }]
        }
        const cosign = async (envelope: string, digest = subject[0].digest.sha256) => {
          const bundle = await file('sigstore.json', sigstoreBundle(envelope))
          const about = ['--type', predicateType, '--digestAlg', 'sha256', '--digest', digest]
          return ask(
            'cosign',
            'verify-blob-attestation',
            '--bundle',
            bundle,
            '--key',
            pem,
            '--insecure-ignore-tlog',
            ...about,
          )
        }
        const accepted = await cosign(whole)
        assert.ok(accepted.ok, accepted.text)
        const bytes = Buffer.from(payload, 'base64')
        bytes[40]! ^= 1
        const forged = whole.replace(payload, bytes.toString('base64'))
        assert.equal((await cosign(forged)).ok, false)
        assert.equal((await cosign(whole, '0'.repeat(64))).ok, false)
        said((await ask('dsse', pem, await file('forged.json', forged))).text, /^FAILED: .*Found: 0, Expected 1\n$/)
      }
    },
  )
})
