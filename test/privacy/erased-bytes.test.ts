import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { Artifact, Run, Ticket } from '@writ/api'
import { BlobStoreUnavailable, endComing, expectBytes } from '../../packages/server/src/platform/blobs/index.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { removeErasedBytes } from '../../packages/server/src/runs/index.ts'
import { backends } from '../backends.ts'
import type { TestSystem } from '../test-system.ts'

const ground = 'request of the person, case 17'
const bytes = 'hostname sw1\n'
const sha256 = createHash('sha256').update(bytes).digest('hex')
const holder = 'somebody'

for (const backend of backends()) {
  test(`${backend.name}: erased bytes go though other files are being uploaded`, { skip: backend.skip }, async () => {
    await using sys = await backend.start()
    const place = await placeOf(sys)
    const first = await place.upload('a.cfg')
    // Half of a file, whose other half comes after the erasure.
    const run = await place.openRun()
    const { promise: erased, resolve: goOn } = Promise.withResolvers<void>()
    const slow = fetch(`${sys.base}/api/v1/artifacts?run_id=${run.number}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await sys.employee.token()}`,
        'content-type': 'multipart/form-data; boundary=b',
      },
      body: (async function* () {
        yield Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="b.cfg"\r\n\r\nhostname ')
        await erased
        yield Buffer.from('sw2\n\r\n--b--\r\n')
      })(),
      duplex: 'half',
    } as RequestInit)
    await place.until('select 1 as one from uploads where project_id = ?1')
    const answer = await sys.admin.post(`/artifacts/${first.id}/erase`, { ground })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    assert.ok(!place.isThere(), 'they are gone when the erasure is answered')
    goOn()
    assert.equal((await slow).status, 200)
    assert.equal((await sys.waitFor(run.id)).verdict, 'passed')
    await sys.check()
  })

  test(`${backend.name}: whoever uploads bytes that are being removed waits, and stores them anew`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start()
    const place = await placeOf(sys)
    const first = await place.upload('a.cfg')
    // Erased while the store is away, so that its bytes are still there.
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const { promise: goOn, resolve: remove } = Promise.withResolvers<void>()
    await place.markErased(first)
    const removal = place.remove(async () => {
      begin()
      await goOn
      return place.unlink()
    })
    await begun
    const uploading = place.upload('b.cfg')
    await place.until(`select 1 as one from blob_marks where project_id = ?1 and what = 'coming'`)
    // Another process that looks for erased bytes meanwhile leaves this one alone.
    await place.remove(async () => assert.fail('somebody is at it'))
    remove()
    await removal
    const anew = await uploading
    assert.ok(place.isThere())
    assert.equal((await sys.admin.download(`/artifacts/${anew.id}/download`)).body.toString(), bytes)
    assert.deepEqual(await place.marks(), [])
    await sys.check()
  })

  test(`${backend.name}: bytes that somebody is about to name stay; who was given up names them no more`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start({ fakeClock: true })
    const place = await placeOf(sys)
    const first = await place.upload('a.cfg')
    await expectBytes(place.on, place.project, { sha256, holder })
    await sys.admin.post(`/artifacts/${first.id}/erase`, { ground })
    assert.ok(place.isThere())
    assert.deepEqual(await place.marks(), ['coming'])
    sys.advance(61_000)
    await place.remove(async () => place.unlink())
    assert.ok(!place.isThere())
    const end = () => inProject(place.project, () => sys.app.db.write((tx) => endComing(tx, { sha256, holder })))
    assert.equal(await end(), false)
    await expectBytes(place.on, place.project, { sha256, holder })
    assert.equal(await end(), true)
  })

  test(`${backend.name}: a removal that the store refused is asked for again, and none is waited for for ever`, {
    skip: backend.skip,
  }, async () => {
    await using sys = await backend.start({ fakeClock: true })
    const place = await placeOf(sys)
    await place.markErased(await place.upload('a.cfg'))
    const away = () => place.remove(async () => Promise.reject(new BlobStoreUnavailable('away')))
    await assert.rejects(away(), BlobStoreUnavailable)
    await assert.rejects(away(), BlobStoreUnavailable)
    await place.remove(async () => place.unlink())
    assert.ok(!place.isThere())
    // Stopped while it removed bytes that came again: its mark is nobody's, and the next erasure takes it over.
    const mark = `insert into blob_marks (project_id, sha256, what, holder, touched_at) values (?1, ?2, 'going', '', ?3)`
    const leave = (ago: number) => place.write(mark, sha256, sys.now() - ago)
    await leave(11 * 60_000)
    const again = await place.upload('b.cfg')
    assert.deepEqual(await place.marks(), ['going'])
    await sys.admin.post(`/artifacts/${again.id}/erase`, { ground })
    assert.ok(!place.isThere())
    assert.deepEqual(await place.marks(), [])
  })
}

async function placeOf(sys: TestSystem) {
  const { db } = sys.app
  const ticket = (await sys.employee.post<Ticket>('/tickets', { title: 'evidence' })).body
  const { id: project } = (await sys.admin.get<{ id: string; slug: string }[]>('/projects')).body.find(
    (one) => one.slug === 'default',
  )!
  const on = { db, clock: { now: sys.now, steady: sys.now } }
  const file = path.join(
    sys.folder,
    `data/blobs/${project}/sha256/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`,
  )
  const read = <T>(sql: string) => inProject(project, () => db.read((tx) => tx.sql<T>(sql, [project])))
  const write = (sql: string, ...values: (string | number)[]) =>
    inProject(project, () => db.write((tx) => tx.sql(sql, [project, ...values])))
  const openRun = async () =>
    (await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.id, script_id: 'proof.file_hash' }))
      .body
  return {
    on,
    project,
    openRun,
    write,
    isThere: () => existsSync(file),
    unlink: async () => unlink(file).then(() => true),
    async upload(name: string): Promise<Artifact> {
      const run = await openRun()
      const taken = await sys.employee.upload(run.id, name, bytes)
      assert.equal(taken.status, 200, JSON.stringify(taken.body))
      return taken.body.artifact
    },
    markErased: (artifact: Artifact) =>
      write(
        'update artifacts set is_deleted = 1, erased_at = ?2 where project_id = ?1 and id = ?3',
        sys.now(),
        artifact.id,
      ),
    remove: (remove: () => Promise<boolean>) => removeErasedBytes({ ...on, blobs: { remove } }, project),
    marks: async () =>
      (await read<{ what: string }>('select what from blob_marks where project_id = ?1 order by what')).map(
        ({ what }) => what,
      ),
    async until(sql: string): Promise<void> {
      while ((await read(sql)).length === 0);
    },
  }
}
