/** Very many webhooks that hear of the same: their deliveries are made in transactions that are short, and each once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFanOut } from '../../packages/server/src/channels/fan-out.ts'
import { createFakeClock } from '../../packages/server/src/platform/clock.ts'
import { type Database, inProject } from '../../packages/server/src/platform/db/index.ts'
import { createLog } from '../../packages/server/src/platform/log.ts'
import { backends } from '../backends.ts'

const WEBHOOKS = 300
const EVENTS = 20

for (const backend of backends().filter(({ name }) => name === 'postgres'))
  test(`${backend.name}: what 300 webhooks hear of 20 events is written a part at a time`, {
    skip: backend.skip,
  }, async () => {
    // Nobody in this server reads the log for webhooks but the test.
    await using system = await backend.start({ env: { WRIT_ROLES: 'api,sequencer' } })
    const { admin, app } = system
    const [project] = await app.db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
    await Promise.all(
      Array.from({ length: WEBHOOKS }, (_, n) =>
        admin.post('/webhooks', { name: `w${n}`, url: `http://127.0.0.1:9/${n}`, events: ['ticket.created'] }),
      ),
    )
    for (let n = 0; n < EVENTS; n++) await admin.post('/tickets', { title: `T${n}` })
    await system.settle()

    const countOf = async (db: Database) => {
      const [row] = await inProject(project!.id, () =>
        db.read((tx) =>
          tx.sql<{ n: number; events: number }>(
            'select count(*) as n, count(distinct event_id) as events from deliveries where project_id = ?1',
            [project!.id],
          ),
        ),
      )
      return { deliveries: Number(row!.n), events: Number(row!.events) }
    }
    const together: number[] = []
    const stop = new AbortController()
    const db: Database = {
      ...app.db,
      async write(work) {
        const before = await countOf(app.db)
        const answer = await app.db.write(work)
        const after = await countOf(app.db)
        together.push(after.deliveries - before.deliveries)
        return answer
      },
    }
    const fanOut = createFanOut({
      db,
      clock: createFakeClock(Date.now()),
      log: createLog({ level: 'error', format: 'text' }),
      pollMs: 60_000,
      told: () => stop.abort(),
    })
    await fanOut.run(stop.signal)
    assert.deepEqual(await countOf(app.db), { deliveries: WEBHOOKS * EVENTS, events: EVENTS })
    assert.ok(Math.max(...together) <= 2_000 + WEBHOOKS, `${together}`)
  })
