/** Two servers on one PostgreSQL that are asked for the same at the same time: the one that comes second sees what the first did. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NewTask } from '@writ/api'
import { Client } from 'pg'
import type { Tx } from '../../packages/server/src/platform/db/index.ts'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'
import { dispatcherOf, handlerOf } from './dispatch.ts'
import { openSecond } from './second.ts'

const [, postgres] = backends()

test('of two servers the one that comes second sees what the first did', { skip: postgres!.skip }, async (t) => {
  const list = [
    handlerOf('test.echo', async (input) => input),
    handlerOf('test.fails', async () => {
      throw new Error('it cannot be done')
    }),
  ]
  await using system = await postgres!.start({ testHandlers: list })
  await using both = await openSecond(system, list, {})
  const person = { ...system.admin, role: 'ops' as const }
  const [one, other] = [await dispatcherOf(system.app, person), await dispatcherOf(both.app, person)]

  // The servers' own role does not see what others wait for.
  const watch = new Client({ connectionString: system.databaseUrl! })
  await watch.connect()
  await using _end = { [Symbol.asyncDispose]: () => watch.end() }

  /** The other server begins while the first has done its work and not committed it. */
  async function atOnce<T>(first: (tx: Tx) => Promise<unknown>, second: () => Promise<T>): Promise<T> {
    let later: Promise<T> | undefined
    await one.write(async (tx) => {
      await first(tx)
      later = second()
      later.catch(() => {})
      await until('the other waits', async () => {
        const { rows } = await watch.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'")
        return rows.length > 0
      })
    })
    return later!
  }

  await t.test('a dead letter is replayed once', async () => {
    const dead = await one.settled((await one.dispatch('test.fails')).id)
    const more = await one.settled((await one.dispatch('test.fails')).id)
    const replay = (ref: string) => other.write((tx) => both.app.tasks.replay(tx, other.caller, ref))
    await assert.rejects(
      atOnce(
        (tx) => system.app.tasks.replay(tx, one.caller, dead.id),
        () => replay(dead.id),
      ),
      { code: 'TASK_NOT_DEAD' },
    )
    const many = await atOnce(
      (tx) => system.app.tasks.replay(tx, one.caller, more.id),
      () => other.write((tx) => both.app.tasks.replayMany(tx, other.caller, { ids: [dead.id, more.id] }, 9)),
    )
    assert.deepEqual(many, { replayed: [], not_replayed: [], left: 0 })
  })

  for (const [what, more, came] of [
    ['replaced', { unique_policy: 'replace' }, [2, 'REPLACED']],
    ['debounced', { debounce: { wait_ms: 60_000 } }, [1, null]],
  ] as const)
    await t.test(`what is ${what} is met, whichever server has it`, async () => {
      const asked = (input: string): NewTask => ({
        handler: 'test.echo',
        input,
        unique_key: what,
        ...(what === 'replaced' ? { run_at: '2999-01-01T00:00:00Z' } : {}),
        ...more,
      })
      const task = await system.app.tasks.prepare(one.caller, asked('first'))
      const second = await atOnce(
        (tx) => system.app.tasks.submit.run(tx, [{ caller: one.caller, tasks: [task], remember: null }]),
        async () => (await other.submit(asked('second')))[0]!,
      )
      const all = await one.read((tx) =>
        system.app.tasks.list(tx, one.caller, { unique_key: what }, { limit: 9, skip: 0 }),
      )
      assert.deepEqual([all.length, all.at(-1)!.error_code], came)
      const found = await one.find(second.id)
      assert.deepEqual([found.input, found.state], ['second', 'pending'])
    })
  await system.settle()
  await system.check()
})
