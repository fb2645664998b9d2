/** What is forgotten after a while is forgotten a part at a time: whoever was away for a month has much of it, and others want to write. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forgetOldDeliveries } from '../packages/server/src/channels/index.ts'
import { forgetOldSessions } from '../packages/server/src/identity/identity.ts'
import { type Database, inProject } from '../packages/server/src/platform/db/index.ts'
import { firstIdAt } from '../packages/server/src/platform/ids.ts'
import { backends } from './backends.ts'

const MADE = 2_500
const LONG_AGO = Date.UTC(2020, 0, 1)
const idOf = (n: number) => `${firstIdAt(LONG_AGO).slice(0, 24)}${n.toString(16).padStart(12, '0')}`

for (const backend of backends())
  test(`${backend.name}: old sessions and deliveries are forgotten a thousand at a time`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin, app } = system
    const [project] = await app.db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
    const webhook = await admin.post<{ id: string }>('/webhooks', {
      name: 'w',
      url: 'http://127.0.0.1:9/',
      events: ['hold.set'],
    })
    const made = Array.from({ length: MADE }, (_, n) => idOf(n))
    const inDefault = <T>(work: () => Promise<T>) => inProject(project!.id, work)
    await inDefault(() =>
      app.db.write(async (tx) => {
        await tx.insert(
          'sessions',
          made.map((id) => ({
            id,
            secret_hash: id,
            user_id: admin.id,
            kind: 'bearer',
            created_at: LONG_AGO,
            last_seen_at: LONG_AGO,
            expires_at: LONG_AGO,
          })),
        )
        await tx.insert(
          'deliveries',
          made.map((id) => ({
            project_id: project!.id,
            id,
            webhook_id: webhook.body.id,
            event_id: id,
            event_type: 'hold.set',
            state: 'delivered',
            created_at: LONG_AGO,
            settled_at: LONG_AGO,
          })),
        )
      }),
    )
    const left = () =>
      inDefault(() =>
        app.db.read(async (tx) => {
          const [row] = await tx.sql<{ sessions: number; deliveries: number }>(
            `select (select count(*) from sessions where expires_at = ?2) as sessions,
               (select count(*) from deliveries where project_id = ?1 and created_at = ?2) as deliveries`,
            [project!.id, LONG_AGO],
          )
          return [Number(row!.sessions), Number(row!.deliveries)]
        }),
      )
    const seen = [await left()]
    const db: Database = {
      ...app.db,
      async write(work) {
        const answer = await app.db.write(work)
        seen.push(await left())
        return answer
      },
    }
    await forgetOldSessions(db, system.now())
    await forgetOldDeliveries(db, system.now())
    assert.deepEqual(seen, [
      [2_500, 2_500],
      [1_500, 2_500],
      [500, 2_500],
      [0, 2_500],
      [0, 1_500],
      [0, 500],
      [0, 0],
    ])
  })
