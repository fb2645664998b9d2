import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { Keys, LogAnchor, LogInfo, Trail } from '@writ/api'
import {
  decodeEntry,
  formatSubmission,
  openUnderPolicy,
  parseCheckpoint,
  parseNote,
  parsePolicy,
  verifyAnchor,
  verifyBundle,
  verifyLogProof,
} from '@writ/tlog'
import { openDiskStore } from '../../packages/server/src/audit/disk-store.ts'
import { sha256, sha512, verifyEd25519, verifySignature } from '../../packages/server/src/audit/index.ts'
import { openLogFiles } from '../../packages/server/src/audit/log-files.ts'
import { createSigner } from '../../packages/server/src/audit/signer.ts'
import { backends } from '../backends.ts'
import { entriesOf, forgeEntry } from '../tamper/forge.ts'
import { TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { writ } from './command-line.ts'
import { exportBundle, folderFiles, unpack, verifySh } from './scene.ts'
import { makeWitness, type WitnessProcess, writePolicy } from './witness-process.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-witness-'))
after(() => rm(folder, { recursive: true, force: true }))
const hash = sha256
const verify = verifyEd25519

const describe = async (sys: TestSystem) => ok(await sys.admin.get<LogInfo>('/audit/log'))
/** `writ audit verify` under a policy, as a person with that home. */
const auditVerify = (sys: TestSystem, home: string, policy: string) =>
  writ(sys, home, 'audit', 'verify', '--policy', policy, '-o', 'json')
const instanceKeys = async (sys: TestSystem) =>
  ok(await sys.admin.get<Keys>('/keys')).logs.find((log) => log.project === null)!
const readyz = async (sys: TestSystem) =>
  (await (await fetch(`${sys.base}/readyz`)).json()) as { status: string; degraded?: Record<string, string> }
const openTicket = async (sys: TestSystem, title: string) =>
  ok(await sys.admin.post<{ number: number }>('/tickets', { title })).number
const instanceEvents = async (sys: TestSystem): Promise<string[]> => {
  const below = path.join(sys.folder, 'data/audit/_instance')
  const files = (await readdir(below)).filter((name) => name.endsWith('.jsonl'))
  const text = (await Promise.all(files.map((name) => readFile(path.join(below, name), 'utf8')))).join('')
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { event_type: string }).event_type)
}

let systems = 0
/** A server with one witness in its policy, which knows the server's instance log and is running. */
async function withWitness(
  start: (options: { env: Record<string, string> }) => Promise<TestSystem>,
  env: Record<string, string> = {},
): Promise<{ sys: TestSystem; witness: WitnessProcess; policyFile: string }> {
  const name = `w${++systems}`
  const witness = await makeWitness(folder, name)
  const policyFile = await writePolicy(path.join(folder, `${name}.policy`), [witness])
  const sys = await start({ env: { WRIT_WITNESS_INTERVAL_MS: '20', ...env } })
  try {
    await witness.addLog((await instanceKeys(sys)).vkeys[0]!)
    await witness.start()
    await sys.restart({ env: { WRIT_WITNESS_POLICY: policyFile } })
    return { sys, witness, policyFile }
  } catch (error) {
    await sys[Symbol.asyncDispose]()
    await witness.stop()
    throw error
  }
}

for (const backend of backends()) {
  test(`a witness anchors the instance log, and through it every project (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    const { sys: started, witness, policyFile } = await withWitness((options) => backend.start(options))
    await using sys = started
    try {
      await until('the log of the project is anchored', async () => (await describe(sys)).anchored !== null)
      const info = await describe(sys)
      assert.equal(info.anchored!.via, 'instance')
      assert.deepEqual(
        info.anchored!.witnesses.map(({ name }) => name),
        ['W1'],
      )

      // A stranger with the policy and the log's key follows the anchor to the state of the project's log.
      const { vkeys } = await instanceKeys(sys)
      const policy = parsePolicy(await readFile(policyFile, 'utf8'), hash)
      const { instance } = ok(await sys.admin.get<LogAnchor>('/audit/log/anchor'))
      const anchored = await verifyAnchor(
        {
          entry: Buffer.from(instance!.entry, 'base64'),
          payload: Buffer.from(instance!.payload),
          salt: Buffer.from(instance!.salt, 'hex'),
          proof: instance!.proof,
        },
        { policy, vkeys, hash, verify },
      )
      assert.ok(anchored.ok, JSON.stringify(anchored))
      assert.deepEqual([anchored.recorded.origin, anchored.recorded.size], [info.origin, info.anchored!.size])

      // So does the command line, which compares the anchored state with every entry below it.
      const verified = await auditVerify(sys, path.join(folder, backend.name), policyFile)
      assert.equal(verified.code, 0, verified.err)
      const said = JSON.parse(verified.out) as { size: number; anchored: { size: number; unanchored: number } }
      assert.equal(said.anchored.size + said.anchored.unanchored, said.size)
      assert.ok(said.anchored.size > 0)
      const stranger = await writePolicy(path.join(folder, `${backend.name}-other`), [
        await makeWitness(folder, `stranger-${backend.name}`),
      ])
      const refused = await writ(sys, path.join(folder, backend.name), 'audit', 'verify', '--policy', stranger)
      assert.equal(refused.code, 5)
      assert.match(refused.err, /QUORUM_NOT_MET/)

      // Whoever reads the files finds the cosigned checkpoint beside the other.
      const note = await readFile(path.join(sys.folder, 'data/log/_instance/0/checkpoint.cosigned'), 'utf8')
      assert.equal((await openUnderPolicy(note, { policy, vkeys, hash, verify })).ok, true)

      // A run that begins now says that it did not begin before it.
      await until('the newest root is known', async () => (await readyz(sys)).degraded === undefined)
      const ticket = await openTicket(sys, 'After the witness')
      const run = ok(
        await sys.admin.post<{ number: number }>('/runs', {
          run_type: 'proof',
          ticket_id: ticket,
          script_id: 'proof.file_hash',
        }),
      )
      ok(await sys.admin.upload(run.number, 'a.txt', 'bytes'))
      await sys.waitFor(run.number)
      await sys.settle()
      const entries = await decodedEntries(path.join(sys.folder, 'data/log'), info)
      assert.match(entries.find((entry) => entry.act === 'run.started')?.ckpt ?? 'none', /^[A-Za-z0-9+/]{43}=$/)
      await sys.check()
    } finally {
      await witness.stop()
    }
  })
}

const [sqlite] = backends()

test('while a witness is away the server goes on, alarms once, and catches up when it is back', async () => {
  const { sys: started, witness } = await withWitness((options) => sqlite!.start({ ...options, fakeClock: true }))
  await using sys = started
  try {
    await until('anchored', async () => (await describe(sys)).anchored !== null)
    await witness.kill9()
    // Three attempts, between which the clock has to pass.
    for (const title of ['one', 'two', 'three']) await openTicket(sys, title)
    await until('the witness counts as away', async () => {
      sys.advance(61_000)
      await sys.settle()
      return (await readyz(sys)).degraded?.['witness W1'] !== undefined
    })
    const { status, degraded } = await readyz(sys)
    assert.equal(status, 'ready')
    assert.match(degraded!['witness W1']!, /^away: ECONNREFUSED/)
    assert.match(await (await fetch(`${sys.base}/metrics`)).text(), /writ_witness_up\{witness="W1"\} 0/)
    await openTicket(sys, 'four')
    await witness.start()
    await until('the witness is back', async () => {
      sys.advance(301_000)
      await sys.settle()
      // The clock that had to pass is not that of the witness.
      return /^its clock is/.test((await readyz(sys)).degraded?.['witness W1'] ?? '')
    })
    await sys.settle()
    const events = (await instanceEvents(sys)).filter((type) => type.startsWith('witness.'))
    assert.deepEqual(events, ['witness.away', 'witness.back'])
    await sys.check()
  } finally {
    await witness.stop()
  }
})

test('a witness that was away is asked again although the clock was set back meanwhile', async () => {
  const { sys: started, witness } = await withWitness((options) => sqlite!.start({ ...options, fakeClock: true }))
  await using sys = started
  try {
    await until('anchored', async () => (await describe(sys)).anchored !== null)
    await witness.kill9()
    await openTicket(sys, 'while it is away')
    await until('it failed', async () => {
      sys.advance(61_000)
      await sys.settle()
      return sys.log().includes('a witness did not answer')
    })
    sys.setClock(-30 * 86_400_000)
    await witness.start()
    await until('it has cosigned the newest', async () => {
      sys.advance(61_000)
      await sys.settle()
      const { anchored, size } = await describe(sys)
      return anchored !== null && anchored.size >= size
    })
  } finally {
    await witness.stop()
  }
})

for (const backend of backends())
  test(`a log that was closed stays anchored although the clock was set back behind its end (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    const { sys: started, witness } = await withWitness((options) => backend.start({ ...options, fakeClock: true }))
    await using sys = started
    try {
      sys.setClock(7_200_000)
      const number = await openTicket(sys, 'in the log that is closed')
      const anchoredOf = async () =>
        ok(await sys.admin.get<Trail>(`/evidence/trail?subject=ticket&id=${number}`)).logs[0]!.anchored
      await sys.settle()
      const { closed } = ok(
        await sys.admin.post<{ closed: { size: number } }>('/audit/logs/rotate', { reason: 'end of the year' }),
      )
      const pass = async () => {
        sys.advance(61_000)
        await openTicket(sys, 'later')
        await sys.settle()
      }
      await until('what it ended with is anchored', async () => {
        await pass()
        return (await anchoredOf())?.size === closed.size
      })
      sys.setClock(-7_200_000)
      const { size } = await describe(sys)
      await until('the next is anchored further', async () => {
        await pass()
        return ((await describe(sys)).anchored?.size ?? 0) > size
      })
      assert.equal((await anchoredOf())?.size, closed.size)
    } finally {
      await witness.stop()
    }
  })

test('clocks that differ are told of, and the cosignature counts', async () => {
  const { sys: started, witness } = await withWitness((options) => TestSystem.start({ ...options, fakeClock: true }))
  await using sys = started
  try {
    await until('the log is anchored', async () => (await describe(sys)).anchored !== null)
    assert.equal((await readyz(sys)).degraded?.['witness W1'], undefined)
    sys.advance(3_600_000)
    await openTicket(sys, 'an hour later')
    await sys.settle()
    await until('it is told of', async () => (await readyz(sys)).degraded?.['witness W1'] !== undefined)
    const { status, degraded } = await readyz(sys)
    assert.equal(status, 'ready')
    const said = /^its clock is (\d+) s behind the clock of this server; one of the two is wrong$/
    const [, seconds] = said.exec(degraded!['witness W1']!) ?? []
    assert.ok(Math.abs(Number(seconds) - 3_600) < 120, degraded!['witness W1'])
    const { anchored } = await describe(sys)
    assert.ok(anchored !== null && anchored.witnesses.length === 1)
    const lines = () => sys.log().split('the clocks of a witness and of this server differ').length - 1
    assert.equal(lines(), 1)
    // Not at every cosignature.
    await openTicket(sys, 'right after')
    await sys.settle()
    await until('that one is anchored, too', async () => {
      sys.advance(2_000)
      const now = await describe(sys)
      return now.anchored!.size > anchored.size
    })
    assert.equal(lines(), 1)
  } finally {
    await witness.stop()
  }
})

test('a witness that does not know the log refuses, and the server says which witness and why', async () => {
  const witness = await makeWitness(folder, 'unacquainted')
  const policyFile = await writePolicy(path.join(folder, 'unacquainted.policy'), [witness])
  await witness.start()
  try {
    await using sys = await sqlite!.start({ env: { WRIT_WITNESS_POLICY: policyFile, WRIT_WITNESS_INTERVAL_MS: '20' } })
    await until('the refusal is shown', async () => (await readyz(sys)).degraded !== undefined)
    assert.match((await readyz(sys)).degraded!['witness W1']!, /^refused: 404 for writ\.log\//)
    await sys.settle()
    assert.equal((await describe(sys)).anchored, null)
    assert.equal((await sys.admin.get('/audit/log/anchor')).status, 404)
    assert.ok((await instanceEvents(sys)).includes('witness.refused'))
  } finally {
    await witness.stop()
  }
})

test('logs of projects that are shown too are anchored by themselves, and one that a witness does not know is in nobody’s way', async () => {
  const {
    sys: started,
    witness,
    policyFile,
  } = await withWitness((options) =>
    sqlite!.start({ ...options, fakeClock: true, env: { ...options.env, WRIT_WITNESS_PROJECTS: 'true' } }),
  )
  await using sys = started
  try {
    await witness.addLog((await describe(sys)).vkeys[0]!)
    await openTicket(sys, 'in a project that the witness knows')
    assert.equal((await sys.admin.post('/projects', { slug: 'unknown', name: 'Unknown' })).status, 201)
    await until('the log of the project is anchored by itself', async () => {
      sys.advance(301_000)
      await sys.settle()
      return (await describe(sys)).anchored?.via === 'log'
    })
    const { vkeys } = await describe(sys)
    const policy = parsePolicy(await readFile(policyFile, 'utf8'), hash)
    const { checkpoint, instance } = ok(await sys.admin.get<LogAnchor>('/audit/log/anchor'))
    assert.equal(instance, null)
    assert.equal((await openUnderPolicy(checkpoint, { policy, vkeys, hash, verify })).ok, true)
    const verified = await auditVerify(sys, path.join(folder, 'projects'), policyFile)
    assert.equal(verified.code, 0, verified.err)

    // What is refused for one log is said once, while the others go on.
    const inside = { headers: { 'x-project': 'unknown' } }
    assert.equal((await sys.admin.post('/tickets', { title: 'elsewhere' }, inside)).status, 200)
    await until('it says that it does not know it', async () => {
      sys.advance(301_000)
      return /^refused: 404 for writ\.log\//.test((await readyz(sys)).degraded?.['witness W1'] ?? '')
    })
    const said = async () => {
      await sys.settle()
      return (await instanceEvents(sys)).filter((type) => type.startsWith('witness.'))
    }
    await until('it is on record', async () => (await said()).at(-1) === 'witness.refused')
    const before = await said()
    for (const title of ['one', 'two', 'three']) {
      await openTicket(sys, title)
      await sys.settle()
      const { size } = await describe(sys)
      await until('the newest state is anchored', async () => {
        sys.advance(301_000)
        const { anchored } = await describe(sys)
        return anchored?.via === 'log' && anchored.size >= size
      })
    }
    assert.deepEqual(await said(), before)
    assert.match((await readyz(sys)).degraded?.['witness W1'] ?? '', /^refused: 404/)

    // Made known, it is cosigned like the others, and nothing is wrong any more but the clock that had to pass.
    await witness.addLog(ok(await sys.admin.get<LogInfo>('/audit/log', inside)).vkeys[0]!)
    await until('all logs are cosigned', async () => {
      sys.advance(301_000)
      await sys.settle()
      return /^its clock is/.test((await readyz(sys)).degraded?.['witness W1'] ?? '')
    })
  } finally {
    await witness.stop()
  }
})

for (const [name, policy, reason] of [
  ['cannot be read', 'witnesses W', /line 1 of the policy/],
  ['needs a witness without an address', null, /gives no address for/],
] as const) {
  test(`a policy that ${name} is refused at the start`, async () => {
    const file = path.join(folder, 'bad.policy')
    const { vkey } = await makeWitness(folder, `bad-${name.length}`)
    await writeFile(file, policy ?? `witness W ${vkey}\nquorum W\n`)
    await assert.rejects(sqlite!.start({ env: { WRIT_WITNESS_POLICY: file } }), reason)
  })
}

test('where witnesses have signed all that a bundle holds, each of its proofs says so by itself', async () => {
  const { sys: started, witness } = await withWitness((options) => sqlite!.start({ ...options, fakeClock: true }), {
    WRIT_WITNESS_PROJECTS: 'true',
  })
  await using sys = started
  try {
    await witness.addLog((await describe(sys)).vkeys[0]!)
    const ticket = await openTicket(sys, 'witnessed')
    const unpacked = path.join(sys.folder, 'bundle')
    /** How many proofs of each log have a cosignature, and how many have none. */
    const proofs = async () => {
      await exportBundle(sys, `${unpacked}.zip`, { subject: 'ticket', id: ticket })
      await unpack(`${unpacked}.zip`, unpacked)
      const files = await folderFiles(unpacked)
      assert.deepEqual((await verifyBundle(files, { sha256, sha512, verify: verifySignature })).fault, undefined)
      assert.equal((await verifySh(unpacked)).code, 0)
      const { logs } = parsePolicy(Buffer.from(await files.read('policy')).toString(), hash)
      const told: Record<string, number> = {}
      for (const name of files.names.filter((one) => one.endsWith('.tlog-proof'))) {
        const entry = await files.read(name.replace(/tlog-proof$/, 'json'))
        const asked = (quorum: number) =>
          files.read(name).then((proof) =>
            verifyLogProof({
              proof,
              leaf: sha256(Buffer.concat([Buffer.of(0), entry])),
              vkeys: logs.map(({ vkey }) => vkey),
              witnesses: [witness.vkey],
              quorum,
              hash,
              verify,
            }),
          )
        assert.equal((await asked(0)).ok, true, name)
        const key = `${name.split('/')[1]} ${(await asked(1)).ok ? 'cosigned' : 'signed by the log alone'}`
        told[key] = (told[key] ?? 0) + 1
      }
      return told
    }
    const sizeOf = async (file: string) => {
      const note = await readFile(path.join(sys.folder, 'data/log/_instance/0', file), 'utf8').catch(() => null)
      return note === null ? 0 : parseCheckpoint(parseNote(note).text).size
    }
    sys.advance(61_000)
    await until('both logs are cosigned', async () => {
      sys.advance(301_000)
      // In the first the instance log is told of the project's, in the second that gets its place: before, sizes would agree too soon.
      await sys.settle()
      await sys.settle()
      const { anchored, size } = await describe(sys)
      const instance = (await sizeOf('checkpoint.cosigned')) === (await sizeOf('checkpoint'))
      return anchored?.via === 'log' && anchored.size >= size && instance
    })
    await witness.stop()
    assert.deepEqual(await proofs(), { 'project-0 cosigned': 1, 'instance-0 cosigned': 1 })

    // A state that was cosigned under the old key alone does not verify with the log.pem of the bundle.
    ok(await sys.admin.post('/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 0 }))
    await sys.settle()
    assert.deepEqual(await proofs(), { 'project-0 signed by the log alone': 3, 'instance-0 cosigned': 1 })

    // What came after the witness went is proven against the newest checkpoint, the first exports too.
    assert.equal((await sys.admin.patch(`/tickets/${ticket}`, { title: 'not yet witnessed' })).status, 200)
    await sys.settle()
    assert.deepEqual(await proofs(), { 'project-0 signed by the log alone': 5, 'instance-0 cosigned': 1 })
  } finally {
    await witness.stop()
  }
})

test('a log whose new key the witness does not know yet stays anchored by what it cosigned before', async () => {
  const {
    sys: started,
    witness,
    policyFile,
  } = await withWitness((options) =>
    // The minute after which the instance log would say the same does not pass.
    TestSystem.start({ env: { ...options.env, WRIT_WITNESS_PROJECTS: 'true' }, fakeClock: true }),
  )
  await using sys = started
  try {
    await witness.addLog((await describe(sys)).vkey)
    await openTicket(sys, 'before')
    await until('its own log is cosigned', async () => {
      sys.advance(1_000)
      const { anchored, size } = await describe(sys)
      return anchored?.via === 'log' && anchored.size === size
    })
    const { size } = await describe(sys)
    // What hands over to the second key is signed with both; with the third nothing is that the witness takes.
    for (let i = 0; i < 2; i++) {
      ok(await sys.admin.post('/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 0 }))
      await sys.settle()
      sys.advance(1_000)
    }
    await openTicket(sys, 'after')
    await sys.settle()
    assert.equal((await describe(sys)).anchored!.via, 'log')
    const home = path.join(folder, 'rotated')
    // Twice: the second time the new key is the one that is trusted.
    for (let i = 0; i < 2; i++) {
      const { code, out, err } = await auditVerify(sys, home, policyFile)
      assert.equal(code, 0, err)
      assert.ok(JSON.parse(out).anchored.size >= size, out)
    }
  } finally {
    await witness.stop()
  }
})

test('a policy that names the key of the instance log from before two rotations still shows what is anchored', async () => {
  const { sys: started, witness, policyFile } = await withWitness((options) => sqlite!.start(options))
  await using sys = started
  try {
    const policy = path.join(folder, 'of-that-day.policy')
    const [first] = (await instanceKeys(sys)).vkeys
    await writeFile(policy, `log ${first}\n${await readFile(policyFile, 'utf8')}`)
    // Nobody gives the witness a key while it could still be shown a checkpoint that two keys sign.
    for (let i = 0; i < 2; i++) {
      ok(await sys.admin.post('/keys/rotate', { purpose: 'log', overlap_hours: 0 }))
      await sys.settle()
    }
    await until('the witness refuses', async () => /refused/.test(JSON.stringify((await readyz(sys)).degraded)))
    await openTicket(sys, 'after')
    await sys.settle()
    const { size } = await describe(sys)
    await witness.addLog((await instanceKeys(sys)).vkeys.at(-1)!)
    await sys.restart()
    await until('it signs again', async () => (await describe(sys)).anchored!.size >= size)
    const { code, out, err } = await auditVerify(sys, path.join(folder, 'of-that-day'), policy)
    assert.equal(code, 0, err)
    assert.ok(JSON.parse(out).anchored.size >= size, out)
  } finally {
    await witness.stop()
  }
})

test('a log that was rebuilt with its real key gets 422, and a stale size 409', async () => {
  const { sys: started, witness } = await withWitness((options) => sqlite!.start(options))
  await using sys = started
  try {
    await until('anchored', async () => (await describe(sys)).anchored !== null)
    await sys.stop()
    const logs = path.join(sys.folder, 'data/log/_instance/0')
    const cosigned = await readFile(path.join(logs, 'checkpoint.cosigned'), 'utf8')
    const { size } = parseCheckpoint(parseNote(cosigned).text)

    // The holder of the key forges one entry and signs everything anew, with a signer that remembers nothing.
    const data = path.join(sys.folder, 'data')
    const { proof, checkpoint } = await forgeEntry(data, logs, 2, path.join(folder, 'rebuilt'))
    assert.equal((await witness.submit(formatSubmission({ old: size, proof, checkpoint }))).status, 422)

    const stale = await witness.submit(formatSubmission({ old: 0, proof: [], checkpoint }))
    assert.deepEqual(stale, { status: 409, type: 'text/x.tlog.size', body: `${size}\n` })
    const older = await witness.submit(formatSubmission({ old: size - 1, proof: [], checkpoint: cosigned }))
    assert.equal(older.status, 409)
  } finally {
    await witness.stop()
  }
})

test('a witness answers as the protocol says, serves what it cosigned, and remembers it through kill -9', async () => {
  const { sys: started, witness } = await withWitness((options) => sqlite!.start(options))
  await using sys = started
  try {
    await until('anchored', async () => (await describe(sys)).anchored !== null)
    await sys.stop()
    const note = await readFile(path.join(sys.folder, 'data/log/_instance/0/checkpoint'), 'utf8')
    const { origin, size } = parseCheckpoint(parseNote(note).text)
    const again = formatSubmission({ old: size, proof: [], checkpoint: note })
    const monitored = async () => {
      const address = `${witness.url}/${createHash('sha256').update(origin).digest('hex')}/checkpoint`
      const reply = await fetch(address)
      return { status: reply.status, size: parseCheckpoint(parseNote(await reply.text()).text).size }
    }
    const seen = await monitored()
    assert.equal(seen.status, 200)

    for (let round = 0; round < 3; round++) {
      await witness.kill9()
      await witness.start()
      assert.deepEqual(await monitored(), seen)
    }
    const project = await readFile(
      path.join(
        sys.folder,
        'data/log',
        (await readdir(path.join(sys.folder, 'data/log'))).find((name) => name !== '_instance')!,
        '0/checkpoint',
      ),
      'utf8',
    )
    const statuses = {
      unknown: (await witness.submit(formatSubmission({ old: 0, proof: [], checkpoint: project }))).status,
      unsigned: (await witness.submit(again.replace(/(— \S+ .{12})./g, '$1A').replace(/(— \S+ .{13})./g, '$1B')))
        .status,
      nonsense: (await witness.submit('old times\n\nare gone')).status,
      same: seen.size === size ? (await witness.submit(again)).status : 200,
    }
    assert.deepEqual(statuses, { unknown: 404, unsigned: 403, nonsense: 400, same: 200 })
  } finally {
    await witness.stop()
  }
})

test('kill -9 while submissions come in: what was answered is remembered, always', async () => {
  const witness = await makeWitness(folder, 'killed')
  const keysDir = path.join(folder, 'killed-log/keys')
  const signer = await createSigner({
    keysDir,
    origin: 'example.org/killed',
    stateFile: path.join(folder, 'killed-log/s'),
  })
  await witness.addLog(signer.vkey)
  const files = await openLogFiles({
    store: await openDiskStore(path.join(folder, 'killed-log/log')),
    origin: signer.origin,
    hash,
  })
  let answered = 0
  try {
    for (let round = 0; round < 6; round++) {
      await witness.start()
      for (let step = 0; step < 4; step++) {
        const from = files.integrated.size
        const state = await files.integrate(from, [Buffer.from(`entry ${from}`)])
        const last = await signer.last()
        const checkpoint = await signer.sign({
          ...state,
          consistencyProof: last.size === 0 ? [] : await files.proveFrom(last.size),
        })
        await files.publish(checkpoint)
        const send = async (old: number) =>
          witness.submit(
            formatSubmission({
              old,
              proof: old === 0 || old === state.size ? [] : await files.proveFrom(old),
              checkpoint,
            }),
          )
        // The last submission of a round races the kill: it may be answered, or not.
        const answer = send(answered).catch(() => null)
        if (step === 3) await witness.kill9()
        let reply = await answer
        if (reply?.status === 409) {
          // It was kept and not answered: never the other way round.
          assert.ok(Number(reply.body) > answered, `remembers ${reply.body.trim()}, had answered ${answered}`)
          reply = await send(Number(reply.body))
        }
        if (reply === null) continue
        assert.equal(reply.status, 200, reply.body)
        answered = state.size
      }
    }
  } finally {
    await witness.stop()
  }
  assert.ok(answered >= 18, `${answered} answered`)
})

/** Entries of a project's log, decoded. */
async function decodedEntries(logs: string, info: LogInfo) {
  for (const name of await readdir(logs)) {
    const note = await readFile(path.join(logs, name, '0/checkpoint'), 'utf8')
    const { origin, size } = parseCheckpoint(parseNote(note).text)
    if (origin === info.origin) return (await entriesOf(path.join(logs, name, '0'), size)).map(decodeEntry)
  }
  throw new Error(`no log ${info.origin}`)
}
