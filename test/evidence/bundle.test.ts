// Evidence bundles: with tools that we did not write, with our own verifier, and with every file changed.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { AuditEvent, Project } from '@writ/api'
import { type BundleFiles, parseCheckpoint, parseNote, verifyBundle } from '@writ/tlog'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { openKeys } from '../../packages/server/src/audit/index.ts'
import { bundleFiles } from '../../packages/server/src/evidence/bundle.ts'
import { collect } from '../../packages/server/src/evidence/collect.ts'
import { openBlobs } from '../../packages/server/src/platform/blobs/index.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { type BundleEvent, entryId, makeBundle, signed } from '../../packages/tlog/test/bundle.ts'
import { makeKey } from '../../packages/tlog/test/memory-log.ts'
import { backends } from '../backends.ts'
import { TestSystem } from '../test-system.ts'
import {
  enrolSigner,
  exportBundle,
  folderFiles,
  type Keys,
  makeTicket,
  manifestOf,
  signFolder,
  unpack,
  verifySh,
  verifyZipFile,
} from './scene.ts'

const run = promisify(execFile)
const on = { sha256, sha512, verify: verifySignature }

for (const backend of backends()) {
  test(`a bundle verifies without us and without a server (${backend.name})`, {
    skip: backend.skip,
    timeout: 300_000,
  }, async () => {
    await using system = await backend.start({ fakeClock: true })
    await makeTicket(system)
    // A minute later the instance log has recorded the project's.
    system.advance(61_000)
    await system.settle()
    const zip = path.join(system.folder, 'bundle.zip')
    await exportBundle(system, zip, { subject: 'ticket', id: 1 })
    await unpack(zip, path.join(system.folder, 'bundle'))
    const report = await verifyBundle(await folderFiles(path.join(system.folder, 'bundle')), on)
    assert.deepEqual(report.fault, undefined)
    assert.match(JSON.stringify(report.checks), /the instance log recorded the first \d+ entries/)
    const [exported] = (await system.admin.get<AuditEvent[]>('/audit/events?event_type=evidence.exported')).body
    assert.equal(exported?.resource_type, 'ticket')

    const fingerprint = report.rests.find(({ what }) => what === 'manifest key')!.value
    const vkeys = report.rests.filter(({ what }) => what.endsWith('log key')).map(({ value }) => value)
    const said = await verifySh(path.join(system.folder, 'bundle'), fingerprint)
    assert.equal(said.code, 0, said.err)
    assert.match(
      said.out,
      /approvals signed by people: 1\nfiles of evidence: 4\nrecords: 5\nwitnesses: policy asks for none .*\nOK/,
    )
    const expected = await verifyZipFile(zip, { fingerprint, vkeys })
    assert.ok(expected.ok && expected.rests.every((one) => one.expected || one.what === 'attestation key'))
    const other = `SHA256:${'A'.repeat(43)}`
    assert.equal((await verifyZipFile(zip, { fingerprint: other })).fault?.code, 'MANIFEST_KEY')
    assert.equal((await verifySh(path.join(system.folder, 'bundle'), other)).code, 1)
    const lost = await verifySh(path.join(system.folder, 'bundle'), '--help')
    assert.deepEqual([lost.code, /^Usage: sh verify\.sh/.test(lost.err)], [2, true])

    await exportBundle(system, path.join(system.folder, 'run.zip'), { subject: 'run', id: 2 })
    const ofRun = await verifyZipFile(path.join(system.folder, 'run.zip'))
    assert.deepEqual(ofRun.fault, undefined)
    await system.check()
  })
}

test('with the whole log nothing about the subject can be left out, the newest included', async (t) => {
  await using system = await TestSystem.start()
  await makeTicket(system)
  // Beside it others, so that the log has more than one file of entries.
  for (let i = 0; i < 300; i++) await system.employee.post('/tickets', { title: `another ${i}` })
  assert.equal((await system.employee.post('/tickets/1/comments', { body: 'it was my fault' })).status, 201)
  assert.equal((await system.admin.post('/audit/logs/rotate', { reason: 'a year is over' })).status, 200)
  const zip = path.join(system.folder, 'bundle.zip')
  const folder = path.join(system.folder, 'bundle')
  await exportBundle(system, zip, { subject: 'ticket', id: 1, whole_log: true })
  await unpack(zip, folder)
  const report = await verifyZipFile(zip)
  assert.equal(report.fault, undefined)
  assert.match(
    JSON.stringify(report.checks),
    /"project log [^"]*, whole: of its first 3\d\d entries none about what is/,
  )
  const script = await verifySh(folder)
  assert.equal(script.code, 0, script.err)
  assert.match(script.out, /, whole: of its first 3\d\d entries none about what is here was left out\n/)
  const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
  const described = JSON.parse(await readFile(path.join(folder, 'bundle.json'), 'utf8'))
  const names = (await folderFiles(folder)).names
  const indexOf = (name: string) => Number(/(\d+)\.json$/.exec(name)![1])
  const entries = await Promise.all(
    names
      .filter((name) => /^logs\/project-\d\/entries\/\d+\.json$/.test(name))
      .sort((a, b) => indexOf(a) - indexOf(b))
      .map(async (name) => ({ name, ...JSON.parse(await readFile(path.join(folder, name), 'utf8')) })),
  )
  const filesOf = (some: readonly { name: string }[]) =>
    names.filter((name) =>
      some.some(
        (one) =>
          name.startsWith(one.name.replace('.json', '.').replace('entries', 'payloads')) ||
          name.startsWith(one.name.replace('.json', '.')),
      ),
    )
  const other = path.join(system.folder, 'less')
  /** As whoever has the real key would make it. */
  const without = async (gone: readonly string[], about: object = described) => {
    await rm(other, { recursive: true, force: true })
    await cp(folder, other, { recursive: true })
    for (const name of gone) await rm(path.join(other, name))
    await writeFile(path.join(other, 'bundle.json'), JSON.stringify(about))
    await signFolder(other, keys)
    return (await verifyBundle(await folderFiles(other), on)).fault
  }
  const tiles = names.filter((name) => name.includes('/tile/'))
  const lessDescribed = {
    ...described,
    logs: described.logs.map(({ whole_to, ...log }: { whole_to?: number }) => log),
  }

  await t.test('a remark', async () => {
    const remark = filesOf(entries.filter(({ act }) => act === 'ticket.commented'))
    assert.equal(remark.length, 4)
    const fault = await without(remark)
    assert.match(
      `${fault?.code} ${fault?.reason}`,
      /ENTRY_LEFT_OUT entry \d+ \(ticket\.commented\) is about .* not here/,
    )
    const { code, err } = await verifySh(other)
    assert.deepEqual(
      [code, /tile: entry \d+ \(ticket\.commented\) is about \S+, and is not here/.test(err)],
      [1, true],
      err,
    )
    // Nothing else tells of it.
    assert.equal(await without([...remark, ...tiles], lessDescribed), undefined)
    assert.equal((await verifySh(other)).code, 0)
  })

  await t.test('the newest run', async () => {
    const newest = entries.filter(({ act }) => act === 'run.created').at(-1)!.run
    const its = entries.filter(({ run: id }) => id === newest)
    const uploads = its.filter(({ act }) => act === 'artifact.uploaded').map(({ res }) => res)
    const isIts = ({ id }: { id: string }) => uploads.includes(id)
    const gone = [
      ...filesOf(its),
      ...names.filter((name) => name.startsWith(`runs/${newest}/`)),
      ...its.flatMap(({ att = [] }) => att.map((one: string) => `attestations/${one.slice(7)}.dsse.json`)),
      ...described.artifacts.filter(isIts).map(({ path: name }: { path: string }) => name),
    ]
    const about = { ...described, artifacts: described.artifacts.filter((one: { id: string }) => !isIts(one)) }
    const fault = await without(gone, about)
    assert.match(`${fault?.code} ${fault?.reason}`, /ENTRY_LEFT_OUT runs of the ticket by then: 2, here: 1/)
    const { code, err } = await verifySh(other)
    assert.deepEqual([code, /a run that the ticket had then was left out/.test(err)], [1, true])
  })

  await t.test('or a part of the log', async () => {
    const codes = async (gone: readonly string[], about: object = described) => {
      const fault = await without(gone, about)
      const { code, err } = await verifySh(other)
      assert.deepEqual([code, /tile: not the whole log that bundle.json speaks of/.test(err)], [1, true], err)
      return fault?.code
    }
    assert.equal(await codes(tiles.slice(1)), 'BUNDLE_MALFORMED')
    assert.equal(await codes([], lessDescribed), 'BUNDLE_MALFORMED')
    assert.equal(await codes(tiles, described), 'BUNDLE_MALFORMED')
    const [first] = tiles
    const bytes = await readFile(path.join(folder, first!))
    const files = await folderFiles(folder)
    const forged = Buffer.from(bytes)
    forged.write('ticket.updated', forged.indexOf('ticket.created'))
    assert.equal((await verifyBundle(await signedAgain(files, first!, forged, keys), on)).fault?.code, 'PROOF_INVALID')
    await without([])
    await writeFile(path.join(other, first!), forged)
    await signFolder(other, keys)
    assert.match((await verifySh(other)).err, /tile: these entries do not give the root of the checkpoint/)
    const cut = bytes.subarray(0, -1)
    assert.equal((await verifyBundle(await signedAgain(files, first!, cut, keys), on)).fault?.code, 'ENTRY_MALFORMED')
    // A log that came later and tells nothing of it comes along, or is named.
    assert.ok(tiles.some((name) => name.startsWith('logs/project-1/')))
    const later = names.filter((name) => name.startsWith('logs/project-1/'))
    const alone = { ...described, logs: described.logs.filter(({ name }: { name: string }) => name !== 'project-1') }
    const fault = await without(later, alone)
    assert.equal(fault?.code ?? 'none', 'none', JSON.stringify(fault))
    const { checks } = await verifyBundle(await folderFiles(other), on)
    assert.match(JSON.stringify(checks), /it says that it is continued under writ\.log\/[^"]*, which is not here/)
  })
})

test('a file that was deleted is left out, and said to be', async () => {
  await using system = await TestSystem.start()
  await makeTicket(system)
  await system.admin.delete('/artifacts/1')
  const zip = path.join(system.folder, 'bundle.zip')
  await exportBundle(system, zip, { subject: 'ticket', id: 1 })
  const report = await verifyZipFile(zip)
  assert.equal(report.ok, true, JSON.stringify(report.fault))
  assert.match(JSON.stringify(report.checks), /"left out","what":"artifact 1: deleted"/)
})

test('what only a dropped log recorded is left out, and said to be; what came later still verifies', async () => {
  await using system = await TestSystem.start()
  const second = await system.hire('second', 'admin')
  const signer = await enrolSigner(system)
  await makeTicket(system, signer)
  const reason = { reason: 'kept long enough' }
  assert.equal((await system.admin.post('/audit/logs/rotate', reason)).status, 200)
  await makeTicket(system, signer)
  await system.admin.post('/audit/logs/0/drop', reason)
  assert.equal((await second.post<{ state: string }>('/audit/logs/0/drop', reason)).body.state, 'dropped')
  const folder = path.join(system.folder, 'bundle')
  const zip = path.join(system.folder, 'bundle.zip')
  const checked = async (id: number) => {
    await exportBundle(system, zip, { subject: 'ticket', id })
    await unpack(zip, folder)
    const report = await verifyBundle(await folderFiles(folder), on)
    assert.equal(report.ok, true, JSON.stringify(report.fault))
    const said = await verifySh(folder)
    assert.equal(said.code, 0, said.err)
    return { checks: JSON.stringify(report.checks), said: said.out, rests: report.rests }
  }
  const first = await checked(1)
  assert.match(first.checks, /"artifact 1: recorded in a log that was dropped, see project-1\/\d+"/)
  assert.match(first.said, /artifact 1: dropped\n[\s\S]*files of evidence: 0\n/)
  // The approval is in the log that is left; who enrolled the key is not.
  const later = await checked(2)
  assert.match(
    later.checks,
    /\{"state":"note","what":"approved [^"]*: signed with the SSH key below; nothing here shows that it is theirs","code":"approved_by_unknown_ssh","values":\{[^}]*\},"parts":\[\{"state":"note","what":"key [^"]* in a log that was dropped/,
  )
  // So it is one of those that the reader has to know from elsewhere.
  const { value } = later.rests.find(({ what }) => what === `key that signed as ${system.admin.id}`)!
  const printed = await run('ssh-keygen', ['-l', '-f', path.join(folder, 'people', signer.id, 'key.pub')])
  assert.equal(value, printed.stdout.split(' ')[1])
  assert.ok(later.said.includes(`nothing here shows whose key it is: compare ${value}\n`), later.said)
  assert.match(later.said, /files of evidence: 4\n/)

  // The log that is left tells that it was revoked; somebody who may change rows has it sign all the same.
  assert.equal((await system.admin.post(`/signing-keys/${signer.id}/revoke`, {})).status, 200)
  const database = new DatabaseSync(path.join(system.folder, 'data/writ.db'), { timeout: 5_000 })
  database.exec("update signing_keys set state = 'enrolled'")
  database.close()
  await makeTicket(system, signer)
  await exportBundle(system, zip, { subject: 'ticket', id: 3 })
  const { fault } = await verifyZipFile(zip)
  assert.deepEqual([fault?.code, fault?.reason], ['SIGNING_KEY_INVALID', 'it was revoked before it signed'])
  await unpack(zip, folder)
  const told = await verifySh(folder)
  assert.deepEqual([told.code, /people\/[^:]*: it was revoked before it signed/.test(told.err)], [1, true])
})

test('a log that grows while a bundle of it is made takes nothing from the bundle', async () => {
  await using system = await TestSystem.start({ fakeClock: true })
  const { admin, app } = system
  assert.equal((await admin.post('/tickets', { title: 'before' })).status, 200)
  system.advance(61_000)
  await system.settle()
  const data = (name: string) => path.join(system.folder, 'data', name)
  const folders = { log: data('log'), keys: data('keys'), signer: data('signer'), days: data('audit') }
  const blobs = await openBlobs({ type: 'local', dir: data('blobs') })
  const [project] = (await admin.get<Project[]>('/projects')).body
  const cosign = async () => {
    const log = path.join(folders.log, project!.id, '0')
    await cp(path.join(log, 'checkpoint'), path.join(log, 'checkpoint.cosigned'))
  }
  await cosign()
  const seen = parseCheckpoint(parseNote(await readFile(path.join(folders.log, project!.id, '0/checkpoint'))).text).size
  /** Another ticket, recorded by the instance log and cosigned. */
  const grow = async () => {
    assert.equal((await admin.post('/tickets', { title: 'meanwhile' })).status, 200)
    system.advance(61_000)
    await system.settle()
    await system.settle()
    await cosign()
  }
  let reads = 0
  // The database itself, with something happening before the records of the instance log are looked up, and after.
  const db: typeof app.db = Object.create(app.db, {
    read: {
      value: async (work: Parameters<typeof app.db.read>[0]) => {
        if (reads++ > 0) await grow()
        return app.db.read(work)
      },
    },
  })
  const names: string[] = []
  await inProject(project!.id, async () => {
    const collected = await app.db.read((tx) =>
      collect(tx, { subject: 'ticket', ref: 1, flagged: false, whole: false }),
    )
    const files = bundleFiles({ db, blobs, folders, keys: app.keys }, project!, collected, system.now())
    for await (const file of files) names.push(file.path)
  })
  assert.ok(reads > 2)
  assert.ok(names.includes('logs/project-0/checkpoint.cosigned'))
  assert.ok(names.includes(`logs/project-0/consistency/${seen}-${seen}.txt`), names.join('\n'))
  await blobs.close()
})

test('verify.sh shows an erased payload, and wants the entry that tells of it', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-erased-'))
  const script = await readFile('packages/server/src/evidence/verify.sh')
  async function write(events: readonly BundleEvent[]): Promise<void> {
    const files = signed(new Map([...(await makeBundle(events)), ['verify.sh', new Uint8Array(script)]]))
    await rm(folder, { recursive: true })
    for (const name of files.names) {
      await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
      await writeFile(path.join(folder, name), await files.read(name))
    }
  }
  try {
    const opened = { act: 'ticket.created', res: 't' }
    await write([{ ...opened, erasedBy: 2 }, opened, { act: 'payload.erased', res: entryId(0) }])
    const good = await verifySh(folder)
    assert.equal(good.code, 0, good.err)
    assert.match(good.out, /entry 0 of example\.org\/project: payload erased, see 2\n/)
    await write([{ ...opened, erasedBy: 2 }, opened, { act: 'payload.erased', res: entryId(1) }])
    assert.match((await verifySh(folder)).err, /payloads\/0\.erased: no entry tells of the erasure/)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('verify.sh gives no program more names than the system takes, and finds one bad proof among many', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-bundle-'))
  try {
    const script = await readFile('packages/server/src/evidence/verify.sh')
    const edits = Array.from({ length: 300 }, (_, n) => ({
      act: 'ticket.updated',
      res: 't',
      details: { version: n + 2, number: 1 },
    }))
    const files = new Map([
      ...(await makeBundle([{ act: 'ticket.created', res: 't' }, ...edits])),
      ['verify.sh', new Uint8Array(script)],
    ])
    const bin = path.join(folder, 'bin')
    await mkdir(bin)
    const pathOf = async (name: string) => (await run('sh', ['-c', `command -v ${name}`])).stdout.trim()
    const shadow = async (name: string, before: string, more = '') =>
      writeFile(path.join(bin, name), `#!/bin/sh\n${before}\nexec ${await pathOf(name)} ${more} "$@"\n`, {
        mode: 0o755,
      })
    // As on a system that takes a hundred names; and it is noted how often proofs are looked at alone.
    await shadow('xargs', ':', '-n 100')
    for (const name of ['cat', 'jq', 'grep', 'ls'])
      await shadow(name, `[ $# -lt 130 ] || { echo "$0: Argument list too long" >&2; exit 126; }`)
    await shadow('openssl', `echo >>${path.join(folder, 'openssl')}`)
    const verify = async (to: string, all: BundleFiles) => {
      for (const name of all.names) {
        await mkdir(path.dirname(path.join(folder, to, name)), { recursive: true })
        await writeFile(path.join(folder, to, name), await all.read(name))
      }
      await writeFile(path.join(folder, 'openssl'), '')
      return run('sh', [path.join(folder, to, 'verify.sh')], {
        env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
      })
    }
    assert.match((await verify('good', signed(files))).stdout, /\nOK\./)

    const name = 'logs/project-0/entries/200.tlog-proof'
    const lines = Buffer.from(files.get(name)!).toString().split('\n')
    lines[3] = `${lines[3]!.startsWith('A') ? 'B' : 'A'}${lines[3]!.slice(1)}`
    files.set(name, Buffer.from(lines.join('\n')))
    await assert.rejects(verify('bad', signed(files)), (error: Error & { stderr?: string }) => {
      assert.match(error.stderr ?? '', /^FAILED: logs\/project-0\/entries\/200\.json: not in the log$/m)
      return true
    })
    const started = (await readFile(path.join(folder, 'openssl'), 'utf8')).length
    assert.ok(started < 200, `openssl was started ${started} times for 301 entries`)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('verify.sh asks of sha256sum only what that of BusyBox knows, too', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-bundle-'))
  try {
    const script = await readFile('packages/server/src/evidence/verify.sh')
    const files = signed(
      new Map([...(await makeBundle([{ act: 'ticket.created', res: 't' }])), ['verify.sh', new Uint8Array(script)]]),
    )
    const unpacked = path.join(folder, 'unpacked')
    for (const name of files.names) {
      await mkdir(path.dirname(path.join(unpacked, name)), { recursive: true })
      await writeFile(path.join(unpacked, name), await files.read(name))
    }
    const { stdout: real } = await run('sh', ['-c', 'command -v sha256sum'])
    const strict = `#!/bin/sh\nfor a; do case $a in --*) echo "unrecognized option '$a'" >&2; exit 1 ;; esac; done\nexec ${real.trim()} "$@"\n`
    await mkdir(path.join(folder, 'bin'))
    await writeFile(path.join(folder, 'bin/sha256sum'), strict, { mode: 0o755 })
    const verify = () =>
      run('sh', [path.join(unpacked, 'verify.sh')], {
        env: { ...process.env, PATH: `${path.join(folder, 'bin')}:${process.env.PATH}` },
      })
    assert.match((await verify()).stdout, /\nOK\./)
    await writeFile(path.join(unpacked, 'bundle.json'), 'another')
    await assert.rejects(verify, (error: Error & { stderr?: string }) => {
      assert.match(error.stderr ?? '', /^FAILED: bundle\.json: FAILED$/m)
      return true
    })
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a file that unpacks to more than could be meant is not read', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-large-'))
  try {
    await writeFile(path.join(folder, 'SHA256SUMS'), '')
    await truncate(path.join(folder, 'SHA256SUMS'), 65 * 1024 * 1024)
    await run('zip', ['-q', 'large.zip', 'SHA256SUMS'], { cwd: folder })
    const zip = path.join(folder, 'large.zip')
    await assert.rejects(
      run(process.execPath, ['--disable-warning=ExperimentalWarning', 'packages/cli/src/main.ts', 'verify', zip]),
      (error: Error & { code?: number; stderr?: string }) => {
        assert.equal(error.code, 5)
        assert.match(error.stderr ?? '', /SHA256SUMS of the archive is larger than 64 MiB.*\[BUNDLE_MALFORMED\]/)
        return true
      },
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a byte flipped in any file of a bundle is found by both verifiers', { timeout: 600_000 }, async (t) => {
  await using system = await TestSystem.start()
  await makeTicket(system)
  const zip = path.join(system.folder, 'bundle.zip')
  const folder = path.join(system.folder, 'bundle')
  await exportBundle(system, zip, { subject: 'ticket', id: 1 })
  await unpack(zip, folder)
  const files = await folderFiles(folder)
  assert.ok(files.names.length > 90, `${files.names.length} files`)

  await t.test('each file', { timeout: 600_000 }, async () => {
    // The script reads the digests of all files at once, whichever they are: one of each kind.
    const kinds = new Set<string>()
    for (const name of files.names) {
      const bytes = await readFile(path.join(folder, name))
      for (const at of [Math.floor(bytes.length / 2), bytes.length - 1]) {
        const flipped = Buffer.from(bytes)
        flipped[at]! ^= 1
        const report = await verifyBundle(overlay(files, name, flipped), on)
        assert.equal(report.ok, false, `${name}, byte ${at}`)
      }
      const kind = name.replace(/[0-9a-f-]{3,}|[0-9]+/g, '*')
      if (kinds.has(kind)) continue
      kinds.add(kind)
      const flipped = Buffer.from(bytes)
      flipped[Math.floor(bytes.length / 2)]! ^= 1
      await writeFile(path.join(folder, name), flipped)
      const { code } = await verifySh(folder)
      assert.notEqual(code, 0, name)
      await writeFile(path.join(folder, name), bytes)
    }
    assert.equal((await verifySh(folder)).code, 0)
  })

  await t.test('a file more, a file less', async () => {
    const more = { ...overlay(files, 'more.txt', Buffer.from('x')), names: [...files.names, 'more.txt'] }
    assert.equal((await verifyBundle(more, on)).fault?.code, 'FILE_UNLISTED')
    await writeFile(path.join(folder, 'more.txt'), 'x')
    assert.match((await verifySh(folder)).err, /files that the manifest does not name/)
    await rm(path.join(folder, 'more.txt'))
    const less = { ...files, names: files.names.filter((name) => name !== 'README.txt') }
    assert.deepEqual((await verifyBundle(less, on)).fault?.path, 'README.txt')
  })

  await t.test('also when whoever holds the manifest key signs the changed files', async () => {
    const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
    const named = (pattern: RegExp) => files.names.find((name) => pattern.test(name))!
    const cases: [string, string, (bytes: Buffer) => Buffer][] = [
      [
        'PAYLOAD_CHANGED',
        named(/payloads\/\d+\.json$/),
        (bytes) => replaced(bytes, '"success":true', '"success":null'),
      ],
      ['PAYLOAD_CHANGED', named(/payloads\/\d+\.salt$/), (bytes) => Buffer.from(`${'0'.repeat(bytes.length - 1)}\n`)],
      ['PROOF_INVALID', named(/entries\/\d+\.json$/), (bytes) => replaced(bytes, '"seq":', '"seq":9')],
      ['PROOF_INVALID', named(/tlog-proof$/), (bytes) => replaced(bytes, 'index ', 'index 1')],
      ['CHECKPOINT_INVALID', named(/checkpoint$/), (bytes) => replaced(bytes, '— ', '—x ')],
      ['LOG_KEY', named(/log\.pem$/), () => Buffer.from(keys.manifest.publicPem)],
      ['LOG_KEY', 'policy', (bytes) => replaced(bytes, 'log ', 'log x')],
      ['ATTESTATION_INVALID', named(/^attestations/), (bytes) => replaced(bytes, '"sig":"M', '"sig":"N')],
      ['APPROVAL_INVALID', named(/^approvals.*statement\.json$/), (bytes) => replaced(bytes, 'approved', 'rejected')],
      ['APPROVAL_INVALID', named(/^approvals.*\.sig$/), (bytes) => replaced(bytes, 'AAAA', 'AAAB')],
      ['SIGNING_KEY_INVALID', named(/^people.*\.sig$/), (bytes) => replaced(bytes, 'AAAA', 'AAAB')],
      ['ARTIFACT_CHANGED', named(/^artifacts/), (bytes) => Buffer.concat([bytes, Buffer.from('x')])],
      ['RECORD_CHANGED', named(/^tickets/), (bytes) => replaced(bytes, '"version":1', '"version":2')],
      ['RECORD_CHANGED', named(/^runs.*outputs/), (bytes) => replaced(bytes, 'passed', 'failed')],
    ]
    for (const [code, name, change] of cases) {
      const bytes = await readFile(path.join(folder, name))
      const changed = change(bytes)
      assert.ok(!changed.equals(bytes), `${name} was changed`)
      const report = await verifyBundle(await signedAgain(files, name, changed, keys), on)
      assert.equal(report.fault?.code, code, `${name}: ${JSON.stringify(report.fault)}`)
    }
  })

  await t.test('also when they leave out what does not suit them, and say nothing of it', async () => {
    const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
    const other = path.join(system.folder, 'less')
    const entries = await Promise.all(
      files.names.flatMap((name) => {
        const [, index] = /^logs\/project-0\/entries\/(\d+)\.json$/.exec(name) ?? []
        return index === undefined
          ? []
          : [readFile(path.join(folder, name), 'utf8').then((text) => ({ index, ...JSON.parse(text) }))]
      }),
    )
    const [started] = entries.filter(({ act }) => act === 'run.started')
    const [created] = entries.filter(({ act }) => act === 'run.created').sort((a, b) => a.index - b.index)
    const ofRun = entries.filter(({ run: id }) => id === created.run)
    const filesOf = (some: readonly { index: string }[]) =>
      files.names.filter((name) =>
        some.some(({ index }) => /^logs\/project-0\/(entries|payloads)\//.test(name) && name.includes(`/${index}.`)),
      )
    const described = JSON.parse(await readFile(path.join(folder, 'bundle.json'), 'utf8'))
    const [first] = described.artifacts
    // The whole of the first run, as if there never was one.
    const isOfRun = ({ id }: { id: string }) => ofRun.some(({ act, res }) => act === 'artifact.uploaded' && res === id)
    const [its, others] = [true, false].map((is) =>
      described.artifacts.filter((one: typeof first) => isOfRun(one) === is),
    )
    const allOf = [
      ...filesOf(ofRun),
      ...files.names.filter((name) => name.startsWith(`runs/${created.run}/`)),
      ...ofRun.flatMap(({ att = [] }) => att.map((one: string) => `attestations/${one.slice(7)}.dsse.json`)),
      ...its.map(({ path: name }: typeof first) => name),
    ]
    const cases: [string, RegExp, readonly string[], object][] = [
      ['ENTRY_LEFT_OUT', /an entry of it was left out/, filesOf([started]), described],
      ['ENTRY_LEFT_OUT', /a run of the ticket before it was left out/, allOf, { ...described, artifacts: others }],
      [
        'ARTIFACT_LEFT_OUT',
        /bundle\.json does not say what became of the file/,
        [first.path],
        { ...described, artifacts: described.artifacts.slice(1) },
      ],
      [
        'ARTIFACT_CHANGED',
        /another file was recorded/,
        [first.path],
        {
          ...described,
          artifacts: [
            { ...first, path: null, left_out: 'flagged', sha256: '0'.repeat(64) },
            ...described.artifacts.slice(1),
          ],
        },
      ],
    ]
    for (const [code, said, gone, about] of cases) {
      await rm(other, { recursive: true, force: true })
      await cp(folder, other, { recursive: true })
      for (const name of gone) await rm(path.join(other, name))
      await writeFile(path.join(other, 'bundle.json'), JSON.stringify(about))
      await signFolder(other, keys)
      assert.equal((await verifyBundle(await folderFiles(other), on)).fault?.code, code)
      const { code: exit, err } = await verifySh(other)
      assert.equal(exit, 1, code)
      assert.match(err, said)
    }
  })

  await t.test('and the command line says so', async () => {
    const other = path.join(system.folder, 'other')
    await cp(folder, other, { recursive: true })
    const [first] = await readdir(path.join(other, 'artifacts'))
    await writeFile(path.join(other, 'artifacts', first!), 'something else')
    const changed = path.join(system.folder, 'changed.zip')
    await run('zip', ['-q', '-r', changed, '.'], { cwd: other })
    const writ = (...args: string[]) =>
      run(process.execPath, ['--disable-warning=ExperimentalWarning', 'packages/cli/src/main.ts', 'verify', ...args])
    assert.match((await writ(zip)).stdout, /verified {2}.*bundle\.zip\n$/)
    await assert.rejects(writ(changed), (error: Error & { code?: number; stderr?: string }) => {
      assert.equal(error.code, 5)
      assert.match(error.stderr ?? '', /does not verify: artifacts\/1-core_switch\.json: .*\[FILE_CHANGED\]/)
      return true
    })
    // No witness has seen this log, so none of the reader's own stands for it.
    const policy = path.join(system.folder, 'mine.policy')
    await writeFile(policy, `witness w ${makeKey('witness.example').witnessVkey}\nquorum w\n`)
    await assert.rejects(writ(zip, '--policy', policy), (error: Error & { code?: number; stderr?: string }) => {
      assert.equal(error.code, 5)
      assert.match(
        error.stderr ?? '',
        /nothing in it is cosigned.*after your witnesses had cosigned.*\[QUORUM_NOT_MET\]/,
      )
      return true
    })
  })
})

const replaced = (bytes: Buffer, from: string, to: string) => Buffer.from(bytes.toString().replace(from, to))

const overlay = (files: BundleFiles, name: string, bytes: Buffer): BundleFiles => ({
  names: files.names,
  read: async (asked) => (asked === name ? new Uint8Array(bytes) : files.read(asked)),
  sha256: async (asked) => (asked === name ? Buffer.from(sha256(bytes)).toString('hex') : files.sha256(asked)),
})

/** The bundle with one file changed and a manifest that agrees with it, signed by the real key. */
async function signedAgain(files: BundleFiles, name: string, bytes: Buffer, keys: Keys): Promise<BundleFiles> {
  const changed = overlay(files, name, bytes)
  const { sums, sig } = await manifestOf(changed, keys)
  return overlay(overlay(changed, 'SHA256SUMS', sums), 'SHA256SUMS.sig', sig)
}
