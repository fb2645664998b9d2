/** What a webhook listens to counts by places in the log, however late the log is read for it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CreatedWebhook, Ticket } from '@writ/api'
import type { Static } from 'typebox'
import { createFanOut } from '../../packages/server/src/channels/index.ts'
import { createFakeClock } from '../../packages/server/src/platform/clock.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { backends } from '../backends.ts'
import type { TestSystem } from '../test-system.ts'

/** Reads the log for webhooks once, and answers what each is given, in the order of the log. */
async function readLog({ app, admin }: TestSystem): Promise<Record<string, string[]>> {
  const stop = new AbortController()
  const fanOut = createFanOut({
    db: app.db,
    clock: createFakeClock(Date.now()),
    log: createLog({ level: 'error', format: 'text' }),
    pollMs: 60_000,
    told: () => stop.abort(),
  })
  await fanOut.run(stop.signal)
  const [project] = (await admin.get<{ id: string }[]>('/projects')).body
  const rows = await inProject(project!.id, () =>
    app.db.read((tx) =>
      tx.sql<{ name: string; event: string }>(
        `select w.name, e.event from deliveries d join webhooks w on w.id = d.webhook_id and w.project_id = d.project_id
           join audit_events e on e.id = d.event_id and e.project_id = d.project_id
         where d.project_id = ?1 order by d.event_id, d.id`,
        [project!.id],
      ),
    ),
  )
  const given = Map.groupBy(rows, ({ name }) => name)
  return Object.fromEntries(
    [...given].map(([name, all]) => [name, all.map(({ event }) => (JSON.parse(event) as { action: string }).action)]),
  )
}

for (const backend of backends().filter(({ name }) => name === 'postgres'))
  test(`a webhook hears of what happened while it listened, and of nothing else (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    // Nobody in this server reads the log for webhooks but the test.
    await using system = await backend.start({ env: { WRIT_ROLES: 'api,sequencer' } })
    const { admin } = system
    const add = async (name: string, events: string[]) =>
      (
        await admin.post<Static<typeof CreatedWebhook>>('/webhooks', {
          name,
          url: 'http://127.0.0.1:9/',
          events,
        })
      ).body.id
    const change = async (id: string, what: Record<string, unknown>) =>
      assert.equal((await admin.patch(`/webhooks/${id}`, what)).status, 200)
    const open = async (title: string) => assert.equal((await admin.post<Ticket>('/tickets', { title })).status, 200)

    const changes = await add('changes', ['ticket.created'])
    const rests = await add('rests', ['ticket.created'])
    const stays = await add('stays', ['ticket.*'])
    await open('one')
    await add('late', ['ticket.created', 'webhook.created'])
    await change(changes, { events: ['asset.created'] })
    await change(rests, { state: 'disabled' })
    await change(stays, { name: 'stays', ordered: true })
    await open('two')
    assert.equal((await admin.post('/assets', { name: 'Switch 7', asset_type: 'switch' })).status, 200)
    await change(changes, { events: ['ticket.created'] })
    await change(rests, { state: 'active' })
    await open('three')
    await change(changes, { events: ['run.*'] })
    await change(rests, { state: 'disabled' })
    await system.settle()

    const given = await readLog(system)
    const told = (name: string) => given[name]!.map((action) => action.replace(/^.*: /, ''))
    assert.deepEqual(told('changes'), ['one', 'Switch 7', 'three'])
    assert.deepEqual(told('rests'), ['one', 'three'])
    assert.deepEqual(told('stays'), ['one', 'two', 'three'])
    assert.deepEqual(told('late'), ['late', 'two', 'three'])
    // What was read needs no past any more.
    const [kept] = await system.app.db.lookup<{ n: number }>(
      'select count(*) as n from webhooks where earlier is not null',
      [],
    )
    assert.equal(Number(kept!.n), 0)
  })
