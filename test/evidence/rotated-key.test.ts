// Bundles around the rotation of a log's key: whichever moment they are of, they verify.
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { Project } from '@writ/api'
import { formatPem, parseNote, parseVkey, spkiOf } from '@writ/tlog'
import { sha256 } from '../../packages/cli/src/verify-crypto.ts'
import { bundleFiles } from '../../packages/server/src/evidence/bundle.ts'
import { collect } from '../../packages/server/src/evidence/collect.ts'
import { openBlobs } from '../../packages/server/src/platform/blobs/index.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { TestSystem } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { exportBundle, unpack, verifySh, verifyZipFile } from './scene.ts'

test('a bundle of before, of the very moment of, and of after two rotations of a key verifies', async () => {
  // Nothing is published but by `settle`, so that the moments are as long as wanted.
  await using system = await TestSystem.start({ env: { WRIT_CHECKPOINT_INTERVAL_MS: '60000' } })
  ok(await system.employee.post('/tickets', { title: 'one' }))
  await system.settle()
  const rotate = async (hours: number) =>
    ok(await system.admin.post('/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: hours }))
  const bundles: string[] = []
  const take = async (name: string) => {
    bundles.push(path.join(system.folder, `${name}.zip`))
    await exportBundle(system, bundles.at(-1)!, { subject: 'ticket', id: 1 })
  }
  await take('before')
  await rotate(0)
  await take('at the moment')
  await system.settle()
  await take('once published')
  await system.settle()
  await rotate(1)
  await take('at the second')
  await system.settle()
  await take('after')
  for (const zip of bundles) {
    const report = await verifyZipFile(zip)
    assert.equal(report.fault, undefined, `${zip}: ${JSON.stringify(report.fault)}`)
    const folder = zip.replace('.zip', '')
    await unpack(zip, folder)
    const { code, err } = await verifySh(folder)
    assert.equal(code, 0, `${zip}: ${err}`)
  }
  await system.check()
})

test('one whose checkpoint only the key before has signed names that key', async () => {
  await using system = await TestSystem.start({ env: { WRIT_CHECKPOINT_INTERVAL_MS: '60000' } })
  ok(await system.employee.post('/tickets', { title: 'one' }))
  await system.settle()
  ok(await system.admin.post('/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 1 }))
  // Not by the route, which has what waits published first: where another server does that, this one may read what was before.
  const { app } = system
  const [project] = ok(await system.admin.get<Project[]>('/projects'))
  const data = (name: string) => path.join(system.folder, 'data', name)
  const folders = { log: data('log'), keys: data('keys'), signer: data('signer'), days: data('audit') }
  const blobs = await openBlobs({ type: 'local', dir: data('blobs') })
  const seen = new Map<string, string>()
  await inProject(project!.id, async () => {
    const asked = { subject: 'ticket', ref: 1, flagged: false, whole: false } as const
    const collected = await app.db.read((tx) => collect(tx, asked))
    for await (const { path: name, body } of bundleFiles(
      { db: app.db, keys: app.keys, folders, blobs },
      project!,
      collected,
      system.now(),
    ))
      if (body instanceof Uint8Array) seen.set(name, Buffer.from(body).toString())
  })
  await blobs.close()
  const { vkeys } = JSON.parse(seen.get('bundle.json')!).logs[0] as { vkeys: string[] }
  assert.equal(vkeys.length, 2)
  const at = (n: number) => formatPem(spkiOf(parseVkey(vkeys[n]!, sha256).publicKey))
  assert.equal(parseNote(seen.get('logs/project-0/checkpoint')!).signatures.length, 1)
  assert.equal(seen.get('logs/project-0/log.pem'), at(0))
})
