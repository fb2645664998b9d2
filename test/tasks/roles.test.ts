import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { loadConfig } from '../../packages/server/src/config.ts'
import { freePort } from '../servers/free-port.ts'
import { removeFolder, startGuarded } from '../servers/guard.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { missingRedis, startRedisCluster } from '../servers/redis.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'

const TASKS = 60

const noPostgres = missingBackend('PostgreSQL', missingPostgres())

for (const [queue, skip] of [
  ['PostgreSQL', noPostgres],
  ['PostgreSQL and a Redis Cluster of three', noPostgres || missingBackend('Redis', missingRedis())],
] as const)
  test(`two API processes, three workers and a sequencer share one ${queue}: each task is done once, the log is whole`, {
    skip,
  }, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'writ-roles-'))
    const postgres = await startPostgres()
    const cluster = queue === 'PostgreSQL' ? undefined : await startRedisCluster()
    const started: Writ[] = []
    const start = async (roles: string) => {
      const env = {
        WRIT_ROLES: roles,
        RATE_LIMIT_MAX: '0',
        LOG_TO_FILE: 'false',
        WRIT_SELF_CHECK_MINUTES: '0',
        ...(cluster ? { QUEUE_BACKEND: 'redis', REDIS_URL: cluster.url } : {}),
      }
      const writ = await prepareWrit({ folder, databaseUrl: postgres.url, env })
      await writ.start()
      started.push(writ)
      return writ
    }
    try {
      await start('sequencer')
      const apis = [await start('api'), await start('api')]
      const workers = await Promise.all([start('worker'), start('worker'), start('worker,scheduler')])
      for (const api of apis) await api.login()
      assert.equal((await fetch(`${workers[0]!.url}/readyz`)).status, 200)
      assert.equal((await fetch(`${workers[0]!.url}/api/v1/health`)).status, 404)

      const ids = new Set<string>()
      const dispatch = async (n: number) => {
        const { status, body } = await apis[n % 2]!.call('POST', '/tasks', {
          handler: 'system.ping',
          input: { n },
          queue: ['api', 'script', 'night', 'day'][n % 4],
        })
        assert.equal(status, 201, JSON.stringify(body))
        ids.add(String(body.id))
      }
      await Promise.all(Array.from({ length: TASKS / 2 }, (_, n) => dispatch(n)))
      // What it had not begun goes to the others at once.
      await workers[1]!.stop()
      await Promise.all(Array.from({ length: TASKS / 2 }, (_, n) => dispatch(n)))
      assert.equal(ids.size, TASKS)
      for (const id of ids) {
        const { body } = await apis[0]!.call('GET', `/tasks/${id}/wait?timeout=60`)
        assert.equal(body.state, 'completed', JSON.stringify(body))
      }
      const verified = await apis[1]!.call('POST', '/audit/verify')
      assert.equal(verified.body.ok, true, JSON.stringify(verified.body))
    } finally {
      for (const writ of started.reverse()) await writ.stop()
      await cluster?.stop()
      await postgres.stop()
      removeFolder(folder)
    }
  })

test('a process without API says what it is, and not the address of those that have one', {
  skip: noPostgres,
}, async () => {
  const postgres = await startPostgres()
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-role-'))
  const server = await startGuarded({
    command: process.execPath,
    args: [
      '--disable-warning=ExperimentalWarning',
      path.join(import.meta.dirname, '../../packages/server/src/main.js'),
    ],
    folder,
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: String(await freePort()),
      WRIT_DATA_DIR: path.join(folder, 'data'),
      DATABASE_URL: postgres.url,
      WRIT_PUBLIC_URL: 'https://writ.example.com',
      WRIT_ROLES: 'worker,sequencer',
    },
  })
  try {
    await Promise.race([server.saying(' as worker, sequencer (no API there)'), server.failed])
  } finally {
    await server.stop()
    await postgres.stop()
    removeFolder(folder)
  }
})

test('SQLite has one process, with every role', () => {
  const { problems = [] } = loadConfig({ argv: ['--roles', 'api,worker'], env: {}, cwd: tmpdir() })
  assert.deepEqual(problems, [
    'WRIT_ROLES: SQLite has one server process, which needs every role; use PostgreSQL for several',
  ])
  assert.match(loadConfig({ argv: ['--roles', 'api,dancer'], env: {}, cwd: tmpdir() }).problems?.[0] ?? '', /^--roles/)
})
