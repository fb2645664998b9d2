import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { LogInfo } from '@writ/api'
import { verifyOffline } from '@writ/server/ops'
import { backends } from '../backends.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { fill, missingSmallDisk, mountSmall } from '../servers/small-disk.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { until } from '../test-system.ts'
import { ok } from '../verifies.ts'

const skip = missingBackend('a small file system', missingSmallDisk())

async function fillAndFree(writ: Writ, expected: { ticket: string | null; upload: string }): Promise<void> {
  const ballast = path.join(writ.dataDir, 'ballast')
  const acknowledged: string[] = []
  const ask = async (title: string) => {
    const answer = await writ.call('POST', '/tickets', { title })
    if (answer.status === 200) acknowledged.push(title)
    return answer
  }
  await writ.start()
  await writ.login()
  for (let i = 0; i < 20; i++) assert.equal((await ask(`before ${i}`)).status, 200)
  const run = await writ.call('POST', '/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' })
  assert.equal(run.status, 200)

  fill(ballast)
  const codes = new Set<string>()
  for (let i = 0; i < 60; i++) {
    const answer = await ask(`full ${i}`)
    if (answer.status === 200) continue
    assert.equal(answer.status, 503, JSON.stringify(answer.body))
    assert.equal(answer.type.split(';')[0], 'application/problem+json')
    assert.equal(answer.body.retryable, true)
    codes.add(String(answer.body.code))
  }
  assert.deepEqual([...codes], expected.ticket === null ? [] : [expected.ticket])
  const upload = await writ.upload(Number(run.body.number), 'big.txt', 'x'.repeat(500_000))
  assert.deepEqual([upload.status, upload.body.code], [503, expected.upload])
  assert.equal((await writ.call('GET', '/tickets/1')).status, 200, 'reading goes on')

  rmSync(ballast)
  assert.equal((await ask('after')).status, 200)
  assert.equal((await writ.upload(Number(run.body.number), 'big.txt', 'x'.repeat(500_000))).status, 200)
  const listed = await writ.call('GET', '/tickets?limit=200')
  const titles = (JSON.parse(String(listed.body.text)) as { title: string }[]).map((one) => one.title)
  assert.deepEqual(titles.sort(), acknowledged.sort())
  const { body: report } = await writ.call('POST', '/audit/verify', {})
  assert.deepEqual([report.ok, report.reason], [true, null])
  await writ.stop()
  const offline = await verifyOffline({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
  assert.deepEqual([offline.ok, offline.reason], [true, null])
}

async function onSmallDisk(databaseUrl: string | undefined, expected: { ticket: string | null; upload: string }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-full-'))
  const writ = await prepareWrit({ folder, ...(databaseUrl === undefined ? {} : { databaseUrl }) })
  const unmount = mountSmall(writ.dataDir)
  try {
    await fillAndFree(writ, expected)
  } finally {
    await writ.stop()
    unmount?.()
    await rm(folder, { recursive: true, force: true })
  }
}

test('SQLite on a full disk: 503, nothing acknowledged is lost, and all goes on with some room', { skip }, () =>
  onSmallDisk(undefined, { ticket: 'DATABASE_UNAVAILABLE', upload: 'DATABASE_UNAVAILABLE' }),
)

const skipPostgres = skip || missingBackend('PostgreSQL', missingPostgres())
test('PostgreSQL elsewhere, log and artifacts on a full disk: uploads 503, the log catches up', {
  skip: skipPostgres,
}, async () => {
  const postgres = await startPostgres()
  try {
    await onSmallDisk(postgres.url, { ticket: null, upload: 'STORAGE_UNAVAILABLE' })
  } finally {
    await postgres.stop()
  }
})

test('PostgreSQL elsewhere, the log on a disk that stays full: what weighs much waits, and all else goes on', {
  skip: skipPostgres,
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-full-'))
  const dataDir = path.join(folder, 'data')
  const ballast = path.join(dataDir, 'ballast')
  const unmount = mountSmall(dataDir)
  try {
    const backend = backends().find(({ name }) => name === 'postgres')
    assert.ok(backend)
    await using system = await backend.start({ fakeClock: true, env: { WRIT_DATA_DIR: dataDir } })
    const { admin, employee } = system
    const open = async (title: string) => ok(await employee.post<{ number: number }>('/tickets', { title })).number
    const approve = (ticket: number) => admin.post<{ code?: string }>(`/tickets/${ticket}/approve`)
    const logCheck = async () =>
      ((await (await fetch(`${system.base}/readyz`)).json()) as { checks: { log: string } }).checks.log
    await open('before')
    await system.settle()

    fill(ballast)
    const waits = await open('while it is full')
    await until('the server says that the log cannot be written', async () => (await logCheck()) !== 'ok')
    system.advance(61_000)
    const refused = await approve(waits)
    assert.deepEqual([refused.status, refused.body.code], [503, 'LOG_BEHIND'])
    await open('all else goes on')

    rmSync(ballast)
    await until('the log is caught up', async () => (await logCheck()) === 'ok')
    await until('nothing waits', async () => ok(await admin.get<LogInfo>('/audit/log')).pending === 0)
    assert.equal((await approve(waits)).status, 200)
    await system.settle()
    await system.check()
  } finally {
    unmount?.()
    await rm(folder, { recursive: true, force: true })
  }
})
