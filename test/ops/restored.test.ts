/** A database that was put back, beside what has gone on without it: a Redis, a store of bytes. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import path from 'node:path'
import { test } from 'node:test'
import type { Artifact, ClaimedTask, Project, Run, Submitted, TaskDetail, Ticket } from '@writ/api'
import { backup, restore } from '@writ/server/ops'
import { openBlobs } from '../../packages/server/src/platform/blobs/index.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { type Backend, backends } from '../backends.ts'
import { addDatabase } from '../servers/logins.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { isBorrowed } from '../servers/postgres.ts'
import { missingRedis, startRedis } from '../servers/redis.ts'
import { dispatcherOf } from '../tasks/dispatch.ts'
import { loadHandlers } from '../tasks/load-handlers.ts'
import { type TestSystem, until } from '../test-system.ts'

const noRedis = missingBackend('Redis', missingRedis())

/** Its backup now, and later a restore of it into places that are new; `start` starts the server there. */
async function backUp(
  system: TestSystem,
): Promise<{ dataDir: string; restore(): Promise<{ start(): Promise<void> }> }> {
  const { folder } = system
  const { url, migrationUrl } = system.app.databaseSettings
  const place = (dataDir: string, more: Record<string, string>) => ({
    dataDir: path.join(folder, dataDir),
    cwd: folder,
    env: { PATH: process.env.PATH ?? '', ...more },
  })
  const to = path.join(folder, 'backup')
  const there: Record<string, string> =
    migrationUrl === undefined ? {} : { DATABASE_URL: url, WRIT_MIGRATION_URL: migrationUrl }
  await backup({ ...place('data', there), to })
  return {
    dataDir: path.join(folder, 'restored'),
    async restore() {
      await system.stop()
      const name = `writ_restored_${randomBytes(6).toString('hex')}`
      const fresh: Record<string, string> =
        migrationUrl === undefined ? {} : { ...(await addDatabase(system.databaseUrl!, name)) }
      await restore({ ...place('restored', fresh), from: to, reason: 'the disk failed' })
      return { start: () => system.restart({ env: { ...fresh, WRIT_DATA_DIR: path.join(folder, 'restored') } }) }
    },
  }
}

const spaceOf = async ({ app }: TestSystem) =>
  (await app.db.lookup<{ space: string }>('select space from queue_copy', []))[0]!.space

const skipOf = (backend: Backend) => backend.skip || (backend.name === 'postgres' && isBorrowed())

for (const backend of backends()) {
  test(`what waited when a backup was made is done after its restore, though the same Redis has seen it done (${backend.name})`, {
    skip: noRedis || skipOf(backend),
  }, async () => {
    const redis = await startRedis()
    try {
      await using system = await backend.start({
        testHandlers: loadHandlers,
        env: { QUEUE_BACKEND: 'redis', REDIS_URL: redis.url },
      })
      const { admin } = system
      const pause = async (how: 'pause' | 'resume') =>
        assert.equal((await admin.post(`/queues/api/${how}`, {})).status, 200)
      const open = () => dispatcherOf(system.app, { ...admin, role: 'ops' })
      const by = await open()

      // There are queues from their first task on.
      await by.settled((await by.dispatch('test.noop')).id)
      await pause('pause')
      const tasks = await by.submit(...Array.from({ length: 5 }, (_, n) => ({ handler: 'test.noop', input: { n } })))
      const seen = 'select count(*) as n from queue where ready = 2'
      await until('Redis has them', async () => {
        const [{ n } = { n: 0 }] = await system.app.db.lookup<{ n: number }>(seen, [])
        return Number(n) === tasks.length
      })
      const kept = await backUp(system)
      await pause('resume')
      for (const { id } of tasks) assert.equal((await by.settled(id)).state, 'completed')
      const before = await spaceOf(system)

      await (await kept.restore()).start()
      await pause('resume')
      const again = await open()
      for (const { id } of tasks) assert.equal((await again.settled(id)).state, 'completed')
      // Where the old server still runs, each has entries of its own.
      assert.notEqual(await spaceOf(system), before)
    } finally {
      await redis.stop()
    }
  })

  test(`a lease that was given after a backup settles nothing after its restore (${backend.name})`, {
    skip: skipOf(backend),
  }, async () => {
    await using system = await backend.start({ env: { SECRET_KEY: 'the key of this installation, before and after' } })
    const { admin } = system
    const ask = (worker: string) =>
      admin.post<{ tasks: ClaimedTask[] }>('/workers/claim', {
        worker,
        queues: ['api'],
        handlers: [{ name: 'far.away' }],
      })
    const claim = async (worker: string) => {
      let claimed: ClaimedTask | undefined
      await until(`${worker} has it`, async () => {
        claimed = (await ask(worker)).body.tasks[0]
        return claimed !== undefined
      })
      return claimed!.lease
    }
    const settle = async (lease: string, by: string) => {
      const result = { lease, outcome: 'completed', result: { by } }
      const answer = await admin.post<{ results: { settled: boolean }[] }>('/workers/settle', { results: [result] })
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      return answer.body.results[0]!.settled
    }
    // What remote workers do is known from their first claim on.
    assert.equal((await ask('w0')).status, 200)
    const task = (await admin.post<Submitted>('/tasks', { handler: 'far.away' })).body
    const kept = await backUp(system)
    const stale = await claim('w1')

    await (await kept.restore()).start()
    const lease = await claim('w2')
    assert.equal(await settle(stale, 'w1'), false)
    assert.equal(await settle(lease, 'w2'), true)
    const { result } = (await admin.get<TaskDetail>(`/tasks/${task.id}`)).body
    assert.deepEqual(result, { by: 'w2' })
  })

  test(`what was erased before a backup goes again from a store that has it after the restore (${backend.name})`, {
    skip: skipOf(backend),
  }, async () => {
    await using system = await backend.start()
    const { admin } = system
    const bytes = Buffer.from('{"hostname":"sw1"}')
    const project = (await admin.get<Project[]>('/projects')).body[0]!.id
    const ticket = (await admin.post<Ticket>('/tickets', { title: 'Replace switch' })).body
    const run = (await admin.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.number, finalize: 'manual' }))
      .body
    const uploaded: { artifact: Artifact } = (await admin.upload(run.number, 'sw1.json', bytes.toString())).body
    const erased = await admin.post(`/artifacts/${uploaded.artifact.id}/erase`, { ground: 'GDPR Art. 17' })
    assert.equal(erased.status, 200, JSON.stringify(erased.body))
    const gone = () =>
      inProject(project, () =>
        system.app.db.read((tx) => tx.sql('select 1 as one from artifacts where bytes_gone_at is not null', [])),
      )
    await until('the server knows that they are gone', async () => (await gone()).length === 1)
    const kept = await backUp(system)

    const { start } = await kept.restore()
    const blobs = await openBlobs({ type: 'local', dir: path.join(kept.dataDir, 'blobs') })
    // As a copy of the store that was made before the erasure puts it there.
    const { sha256 } = await blobs.put(
      project,
      (async function* () {
        yield bytes
      })(),
      { maxBytes: bytes.length },
    )
    assert.equal(sha256, createHash('sha256').update(bytes).digest('hex'))
    await start()
    await until('they go again', async () => (await blobs.stat(project, sha256)) === undefined)
    await blobs.close()
  })
}
