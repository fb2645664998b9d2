import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { missingBackend } from './servers/missing-backend.ts'
import { isBorrowed, missingPostgres, type Postgres, startPostgres } from './servers/postgres.ts'
import { startProxy } from './servers/proxy.ts'
import { TestSystem, until } from './test-system.ts'
import { ok } from './verifies.ts'

const skip =
  missingBackend('PostgreSQL', missingPostgres()) || (isBorrowed() && 'another server of PostgreSQL is not ours to cut')

/** Values of a scrape by name and labels, as Prometheus gets them. Fails as a scrape does: another status, or no answer for ten seconds. */
async function scrape(sys: TestSystem): Promise<Map<string, number>> {
  const answer = await fetch(`${sys.base}/metrics`, { signal: AbortSignal.timeout(10_000) })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

describe('metrics while the database is away', { skip }, () => {
  let postgres: Postgres
  let way: Awaited<ReturnType<typeof startProxy>>
  let sys: TestSystem
  before(async () => {
    postgres = await startPostgres()
    const url = new URL(postgres.url)
    way = await startProxy(Number(url.port))
    url.port = String(way.port)
    sys = await TestSystem.start({ env: { DATABASE_URL: url.href } })
  })
  after(async () => {
    await sys?.[Symbol.asyncDispose]()
    await way?.stop()
    await postgres?.stop()
  })

  /** What there is to be seen with and without a database. */
  const seen = (values: Map<string, number>) => ({
    database: values.get('writ_ready{part="database"}'),
    artifacts: values.get('writ_ready{part="artifacts"}'),
    deadLetters: values.get('writ_dead_letters'),
    webhooks: values.get('writ_webhook_queue_depth'),
    queues: [...values.keys()].filter((name) => /^(writ|procurator_task)_queue_(waiting|size)\{/.test(name)),
  })
  const queues = ['writ_queue_waiting{queue="api"}', 'procurator_task_queue_size{queue="api"}']
  const there = { database: 1, artifacts: 1, deadLetters: 0, webhooks: 0, queues }
  const away = { database: 0, artifacts: 1, deadLetters: undefined, webhooks: undefined, queues: [] }

  for (const [how, leave] of [
    ['refuses', () => way.refuse()],
    ['is silent', () => way.cut()],
  ] as const)
    test(`it ${how}: the rest is told, what is not known is left out, and it comes back`, async () => {
      ok(await sys.admin.post('/tasks', { handler: 'system.ping' }), 201)
      await until('the task is done', async () => isDeepStrictEqual(seen(await scrape(sys)), there))
      await leave()
      // What was read in the last second is told once more.
      const gone = until('it is away', async () => {
        const values = await scrape(sys)
        assert.equal(values.get('writ_task_attempts_total{outcome="failed"}'), 0)
        return isDeepStrictEqual(seen(values), away)
      })
      const stopped = ['no leases swept', 'no events read for webhooks', 'nothing delivered']
      const said = until('each loop has said that it stands still', async () =>
        stopped.every((what) => sys.log().includes(`${what}, the database is away`)),
      )
      await Promise.all([gone, said]).finally(() => way.mend())
      await until('it is back', async () => isDeepStrictEqual(seen(await scrape(sys)), there))
      for (const again of ['leases are swept again', 'events are read for webhooks again', 'deliveries go on'])
        await until(again, async () => sys.log().includes(again))
    })
})
