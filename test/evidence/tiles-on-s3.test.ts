import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { LogInfo } from '@writ/api'
import { backup, doctor, restore, verifyOffline } from '@writ/server/ops'
import { sizeOfNote } from '../../packages/server/src/audit/index.ts'
import { loadConfig } from '../../packages/server/src/config.ts'
import { backends } from '../backends.ts'
import { missingS3, type S3Server, startS3 } from '../servers/ceph-rgw.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { startProxy } from '../servers/proxy.ts'
import { type TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'

const skip = missingBackend('S3', missingS3())
const folder = await mkdtemp(path.join(tmpdir(), 'writ-tiles-'))
after(() => rm(folder, { recursive: true, force: true }))

/** Tiles and artifacts in one bucket, which `minio` makes. */
const envOf = (s3: Pick<S3Server, 'endpoint' | 'accessKey' | 'secretKey' | 'region'>) => ({
  WRIT_LOG_STORAGE: 'minio',
  ARTIFACT_STORAGE_TYPE: 'minio',
  MINIO_ENDPOINT: s3.endpoint,
  MINIO_ACCESS_KEY: s3.accessKey,
  MINIO_SECRET_KEY: s3.secretKey,
  MINIO_REGION: s3.region,
  MINIO_BUCKET: 'tiles',
  WRIT_CHECKPOINT_INTERVAL_MS: '100',
})

/** A server that reaches its store by a way that can be cut. */
async function behindProxy(
  scenario: (on: {
    sys: TestSystem
    way: Awaited<ReturnType<typeof startProxy>>
    s3: S3Server
    env: ReturnType<typeof envOf>
  }) => Promise<void>,
): Promise<void> {
  const s3 = await startS3()
  const way = await startProxy(Number(new URL(s3.endpoint).port))
  try {
    const env = envOf({ ...s3, endpoint: `http://127.0.0.1:${way.port}` })
    await using sys = await backends()[0]!.start({ env })
    await scenario({ sys, way, s3, env })
  } finally {
    await way.stop()
    await s3.stop()
  }
}

test('a server whose tiles are on S3 publishes, verifies, restarts and backs up as one on disk does', {
  skip,
}, async () => {
  const s3 = await startS3()
  try {
    const env = envOf(s3)
    await using sys = await backends()[0]!.start({ env })
    for (let i = 0; i < 5; i++) ok(await sys.admin.post('/tickets', { title: `Ticket ${i}` }))
    await sys.settle()
    await sys.check()
    const info = ok(await sys.admin.get<LogInfo>('/audit/log'))
    assert.match(info.folder, /^s3:\/\/tiles\/log\/[0-9a-f-]{36}\/0\/$/)
    assert.equal(existsSync(path.join(sys.folder, 'data/log')), false)
    await sys.restart()
    ok(await sys.admin.post('/tickets', { title: 'After the restart' }))
    await sys.settle()
    await sys.check()

    const dataDir = path.join(sys.folder, 'data')
    const { config, problems } = loadConfig({ argv: [], env: { ...env, WRIT_DATA_DIR: dataDir }, cwd: sys.folder })
    assert.ok(config, problems?.join())
    const report = await verifyOffline({ config })
    assert.deepEqual([report.ok, report.reason], [true, null])
    const saved = await backup({ config, to: path.join(folder, 'backup') })
    assert.ok(existsSync(path.join(saved.path, 'log/_instance/0/checkpoint')))
    const logs = (await doctor({ config })).checks.filter(({ name }) => name === 'logs')
    assert.deepEqual(
      logs.map((check) => check.ok),
      [true],
    )
  } finally {
    await s3.stop()
  }
})

test('a backup of tiles on S3 is restored into another bucket: its logs are there, and go on where they ended', {
  skip,
}, async () => {
  const s3 = await startS3()
  try {
    const env = envOf(s3)
    await using sys = await backends()[0]!.start({ env })
    const second = await sys.hire('second', 'admin')
    for (let i = 0; i < 5; i++) ok(await sys.admin.post('/tickets', { title: `Ticket ${i}` }))
    // Of one that was dropped the checkpoint is left.
    ok(await sys.admin.post('/audit/logs/rotate', { reason: 'end of the year' }))
    for (const who of [sys.admin, second]) ok(await who.post('/audit/logs/0/drop', { reason: 'kept long enough' }))
    await sys.settle()
    await sys.settle()
    ok(await sys.admin.post('/tickets', { title: 'In the second log' }))
    await sys.settle()
    const before = ok(await sys.admin.get<LogInfo>('/audit/log'))
    const { config } = loadConfig({
      argv: [],
      env: { ...env, WRIT_DATA_DIR: path.join(sys.folder, 'data') },
      cwd: sys.folder,
    })
    const saved = await backup({ config: config!, to: path.join(folder, 'dropped') })

    const elsewhere = (name: string, bucket: string) => ({
      dataDir: path.join(folder, name),
      env: { ...env, MINIO_BUCKET: bucket },
      cwd: folder,
    })
    const place = elsewhere('elsewhere', 'made-by-the-restore')
    const { size, old_origin, continued, notes } = await restore({ ...place, from: saved.path })
    assert.deepEqual({ size, old_origin, notes }, { size: before.size, old_origin: before.origin, notes: [] })
    for (const one of continued) assert.equal(sizeOfNote(one.last_checkpoint), one.restored_size)
    const report = await verifyOffline(place)
    assert.deepEqual([report.ok, report.reason], [true, null])
    assert.equal(existsSync(path.join(place.dataDir, 'log')), false)

    // Where a server has begun logs of its own, there is no room for these.
    await using other = await backends()[0]!.start({ env: { ...env, MINIO_BUCKET: 'of-another' } })
    await other.settle()
    const refused = elsewhere('refused', 'of-another')
    await assert.rejects(restore({ ...refused, from: saved.path }), {
      name: 'OperationRefused',
      message: /in the place of .* is .*Another server was started on this bucket/,
    })
    assert.equal(existsSync(path.join(refused.dataDir, 'restore.unfinished')), false)
  } finally {
    await s3.stop()
  }
})

test(
  'while the store of the tiles is away, what reads the log is refused with a code, and what happens waits for it',
  {
    skip,
  },
  () =>
    behindProxy(async ({ sys, way }) => {
      const ticket = ok(await sys.admin.post<{ number: number }>('/tickets', { title: 'Before' })).number
      await sys.settle()
      await way.refuse()
      // Accepted as ever: the event is in the database.
      ok(await sys.admin.post('/tickets', { title: 'Meanwhile' }))
      const refused = async (asked: Promise<{ status: number; body: unknown }>) => {
        const { status, body } = await asked
        const { code, retryable } = body as { code: string; retryable: boolean }
        assert.deepEqual({ status, code, retryable }, { status: 503, code: 'LOG_UNAVAILABLE', retryable: true })
      }
      await refused(sys.admin.post('/audit/verify', {}))
      await refused(sys.admin.get('/audit/log/files/checkpoint'))
      await refused(sys.admin.get(`/evidence/trail?subject=ticket&id=${ticket}`))
      await refused(sys.admin.post('/evidence/export', { subject: 'ticket', id: ticket }))
      await way.mend()
      await sys.settle()
      await sys.check()
      ok(await sys.admin.get('/audit/log/files/checkpoint'))
    }),
)

test(
  'a store that loses its answers is asked again, and neither a tile nor a checkpoint is written twice',
  {
    skip,
  },
  () =>
    behindProxy(async ({ sys, way }) => {
      await sys.settle()
      const { folder } = ok(await sys.admin.get<LogInfo>('/audit/log'))
      const prefix = folder.replace('s3://', '/')
      for (const file of ['tile/0/', 'tile/entries/', 'checkpoint']) {
        // The put has gone on and is done; who asked for it hears that the connection was closed.
        const done = way.cutAfter(`PUT ${prefix}${file}`)
        ok(await sys.admin.post('/tickets', { title: `Lost: ${file}` }))
        await done
        await way.refuse()
        ok(await sys.admin.post('/tickets', { title: 'Meanwhile' }))
        await way.mend()
        await sys.settle()
      }
      await sys.check()
    }),
)

test(
  'while the store is slow to say that a checkpoint is there, the day files are behind, and nobody changed them',
  {
    skip,
  },
  () =>
    behindProxy(async ({ sys, way, s3, env }) => {
      await sys.settle()
      const { folder: prefix, size } = ok(await sys.admin.get<LogInfo>('/audit/log'))
      const done = way.cutAfter(`PUT ${prefix.replace('s3://', '/')}checkpoint`)
      ok(await sys.admin.post('/tickets', { title: 'On its way' }))
      await done
      // Who verifies has another way to the store.
      const { config } = loadConfig({
        argv: [],
        env: { ...env, MINIO_ENDPOINT: s3.endpoint, WRIT_DATA_DIR: path.join(sys.folder, 'data') },
        cwd: sys.folder,
      })
      const verify = () => verifyOffline({ config: config!, project: 'default', patienceMs: 50 })
      await until('the checkpoint is in the store', async () => (await verify()).size > size)
      const report = await verify()
      assert.deepEqual([report.ok, report.code, report.index], [false, 'DAY_FILES_BEHIND', size])
      assert.match(report.reason!, /the writer of .*audit is 1 entry behind; what it has written is right/)
      await way.mend()
      await sys.settle()
      assert.equal((await verify()).code, null)
      await sys.check()
    }),
)
