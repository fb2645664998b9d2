/** Two whole servers on one PostgreSQL, one folder and one log, each with people and tasks of its own; now one is killed, now the other. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { attachDatabase } from '../../packages/server/src/platform/db/open.ts'
import { startReceiver } from '../channels/receiver.ts'
import { removeFolder } from '../servers/guard.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { stateOnPostgres } from '../servers/statement.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { until } from '../test-system.ts'
import { settleAccounts } from './account.ts'
import { type Load, startLoad } from './load.ts'
import { startTaskLoad } from './task-load.ts'

const PEOPLE = 2
const DISPATCHERS = 2
const KILLS = 2
const SERVER = path.join(import.meta.dirname, '../tasks/server-process.ts')
/** What a killed server held, for which a test does not wait; stated while no server runs. */
const EXPIRE = [
  'update queue set lease_until = 0 where lease_until is not null',
  'update delivery_queue set lease_until = 0 where lease_until is not null',
  'update uploads set touched_at = 0',
]

test(`two servers on one PostgreSQL are killed ${KILLS} times in turns: the other does its work, the log has all of it once`, {
  skip: missingBackend('PostgreSQL', missingPostgres()),
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-two-'))
  const undo: (() => unknown)[] = [() => removeFolder(folder)]
  try {
    await killInTurns(folder, undo)
  } finally {
    for (const step of undo.reverse()) await step()
  }
})

async function killInTurns(folder: string, undo: (() => unknown)[]): Promise<void> {
  const postgres = await startPostgres({ settings: { synchronous_commit: 'on' } })
  undo.push(() => postgres.stop())
  const receiver = await startReceiver()
  undo.push(() => receiver[Symbol.asyncDispose]())
  const prepare = async () => {
    const writ = await prepareWrit({
      folder,
      databaseUrl: postgres.url,
      wrap: ([node]) => [node!, '--disable-warning=ExperimentalWarning', SERVER],
      env: {
        RATE_LIMIT_MAX: '0',
        LOG_TO_FILE: 'false',
        LEASE_MS: '3000',
        WRIT_CHECKPOINT_INTERVAL_MS: '100',
        WRIT_SELF_CHECK_MINUTES: '0',
        NODE_COMPILE_CACHE: path.join(folder, 'compiled'),
      },
    })
    undo.push(() => writ.stop())
    await writ.start()
    await writ.login()
    return writ
  }
  const servers = [await prepare(), await prepare()] as const
  const made = async (writ: Writ, route: string, body: object) => {
    const answer = await writ.call('POST', route, body)
    assert.ok(answer.status < 300, JSON.stringify(answer.body))
    return answer.body
  }
  await made(servers[0], '/webhooks', { name: 'tickets', url: receiver.url, events: ['ticket.created'] })
  const schedule = await made(servers[1], '/schedules', {
    name: 'every-second',
    handler: 'test.noop',
    every_seconds: 1,
  })

  const people = servers.map((writ) => startLoad(writ, PEOPLE))
  const tasks = servers.map((writ) => startTaskLoad(writ, DISPATCHERS, taskOf))
  undo.push(() => {
    for (const load of [...people, ...tasks]) load.abandon()
  })
  const readers = servers.map(startReader)
  undo.push(() => Promise.all(readers.map((one) => one.end())))
  const opened: Load['acknowledged']['tickets'] = []
  const slow: string[] = []

  for (let kill = 0; kill < KILLS; kill++) {
    const [victim, other] = kill % 2 === 0 ? servers : [servers[1], servers[0]]
    await Promise.all([...people.map((load) => load.answered(6)), ...tasks.map((load) => load.more(8 + 4 * kill))])
    // Its handler is done when the file is there: the first worker of it is killed, or the task is on the other one.
    const file = path.join(folder, `go-${kill}`)
    const held = String((await made(victim, '/tasks', { handler: 'test.slow', input: file })).id)
    slow.push(held)
    await until('its work began', async () => (await other.call('GET', `/tasks/${held}`)).body.state === 'running')
    await victim.kill9()
    const killedAt = Date.now()
    writeFileSync(file, '')
    const title = `While one was away, ${kill}`
    const ticket = await made(other, '/tickets', { title })
    opened.push({ id: String(ticket.id), number: Number(ticket.number), title })
    // Sequenced, read by the webhooks behind it, and sent.
    await until('the webhook was told', async () => receiver.received.some((one) => one.event.subject === ticket.id))
    assert.equal((await other.call('GET', `/tasks/${held}/wait?timeout=20`)).body.state, 'completed')
    await until('a later due time was fired', async () => {
      const { body } = await other.call('GET', `/schedules/${schedule.id}`)
      return Date.parse(String(body.last_due_at)) > killedAt
    })
    await victim.start()
  }
  await Promise.all(people.map((load) => load.answered(5)))
  await Promise.all([...people, ...tasks].map((load) => load.end()))
  for (const reader of readers) assert.deepEqual((await reader.end()).wrong, [])
  assert.deepEqual(
    tasks.flatMap((load) => load.refused),
    [],
  )
  const paused = await servers[0].call('POST', `/schedules/${schedule.id}/pause`)
  assert.equal(paused.status, 200, JSON.stringify(paused.body))

  const [one, another] = servers
  await another.stop()
  await one.stop()
  await stateOnPostgres(postgres.url, EXPIRE)
  await one.start()
  await until('every task is settled', async () => {
    const { body } = await one.call('GET', '/queues')
    const queues = JSON.parse(String(body.text)) as { waiting: number; delayed: number; in_flight: number }[]
    return queues.every((queue) => queue.waiting + queue.delayed + queue.in_flight === 0)
  })
  await until('the log has every event', async () => Number((await one.call('GET', '/audit/log')).body.pending) === 0)
  const runs = await checkTasksAndFires(postgres.url, [...tasks.flatMap((load) => [...load.accepted]), ...slow])

  const told = () => new Set(receiver.received.map(({ event }) => String(event.subject)))
  const tickets = [...people.flatMap((load) => load.acknowledged.tickets), ...opened]
  await until('the webhook was told of every ticket', async () => told().size >= tickets.length)
  assert.deepEqual([...told()].sort(), tickets.map(({ id }) => id).sort())
  const ids = new Set(receiver.received.map(({ event }) => event.id))
  assert.equal(ids.size, tickets.length, 'one event each, however often it was sent')

  await settleAccounts(
    one,
    {
      ...people[0]!,
      refused: people.flatMap((load) => load.refused),
      acknowledged: {
        tickets,
        runs: people.flatMap((load) => load.acknowledged.runs),
        uploads: people.flatMap((load) => load.acknowledged.uploads),
      },
    },
    runs,
  )
}

const taskOf = (n: number): object => {
  if (n % 7 === 3) return { handler: 'test.pay', input: { n } }
  if (n % 5 === 2) return { handler: 'test.second', input: { n }, max_attempts: 3 }
  if (n % 4 === 1) return { handler: 'test.nap', input: (n * 37) % 200, queue: 'script' }
  return { handler: 'test.noop', input: { n }, ...(n % 3 === 0 ? { concurrency_key: 'shared' } : {}) }
}

/** Every accepted task has completed; beside them there are those of the schedule, one for each due time. Answers the ids of all. */
async function checkTasksAndFires(url: string, accepted: readonly string[]): Promise<Set<string>> {
  const db = await attachDatabase({ url })
  try {
    const [project] = await db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
    const { runs, fires, ends } = await inProject(project!.id, () =>
      db.read(async (tx) => ({
        runs: await tx.db.selectFrom('runs').select(['id', 'state']).where('kind', '=', 'task').execute(),
        ends: await tx.db
          .selectFrom('audit_events')
          .select('resource_id')
          .where('event_type', '=', 'run.completed')
          .execute(),
        fires: await tx.db.selectFrom('schedule_fires').select(['outcome', 'run_id', 'due_at']).execute(),
      })),
    )
    assert.deepEqual(
      runs.filter(({ state }) => state !== 'completed'),
      [],
    )
    assert.ok(fires.every(({ outcome }) => outcome === 'started'))
    assert.deepEqual(
      runs.map(({ id }) => id).sort(),
      [...accepted, ...fires.map(({ run_id }) => run_id!)].sort(),
      'what was promised, and nothing beside it',
    )
    const ids = new Set(runs.map(({ id }) => id))
    assert.deepEqual(
      ends.flatMap(({ resource_id }) => (ids.has(resource_id!) ? [resource_id] : [])).sort(),
      [...ids].sort(),
      'each has ended once',
    )
    const times = fires.map(({ due_at }) => Number(due_at)).sort((a, b) => a - b)
    assert.deepEqual(
      times,
      times.map((_, i) => times[0]! + i * 1_000),
      'no due time is missing',
    )
    return ids
  } finally {
    await db.close()
  }
}

/** Reads the audit log of a server over and over; its size never falls, and its entries are dense. */
function startReader(writ: Writ) {
  const wrong: string[] = []
  let size = 0
  let ending = false
  const look = async () => {
    const log = await writ.call('GET', '/audit/log')
    if (log.status === 503) return
    if (log.status !== 200) wrong.push(`the log answered ${log.status} ${JSON.stringify(log.body)}`)
    else if (Number(log.body.size) < size) wrong.push(`the log had ${size} entries, then ${log.body.size}`)
    else size = Number(log.body.size)
    const events = await writ.call('GET', '/audit/events?limit=50&cursor=')
    if (events.status === 503) return
    if (events.status !== 200) wrong.push(`events answered ${events.status} ${JSON.stringify(events.body)}`)
  }
  const reading = (async () => {
    while (!ending) {
      // A connection that broke is a server that was killed.
      await look().catch(() => {})
      await pause(400)
    }
  })()
  return {
    async end() {
      ending = true
      await reading
      return { wrong }
    },
  }
}
