/** Very much that waits for a webhook when somebody disables or deletes it: ended piece by piece, all of it, whenever it would have been due. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CreatedWebhook } from '@writ/api'
import type { Static } from 'typebox'
import { insertDeliveries } from '../../packages/server/src/channels/store.ts'
import { INSTANCE, inProject } from '../../packages/server/src/platform/db/index.ts'
import { uuidv7 } from '../../packages/server/src/platform/ids.ts'
import { backends } from '../backends.ts'
import { until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { startReceiver } from './receiver.ts'

const WAITING = 2_500
const HOUR = 3_600_000

for (const backend of backends())
  for (const what of ['disabled', 'deleted'] as const)
    test(`all that waits for a webhook that is ${what} has failed, however much it is (${backend.name})`, {
      skip: backend.skip,
    }, async () => {
      await using receiver = await startReceiver()
      await using system = await backend.start()
      const { admin } = system
      const fields = { name: 'hook', url: receiver.url, events: ['ticket.*'] }
      const hook = ok(await admin.post<Static<typeof CreatedWebhook>>('/webhooks', fields), 201)
      const [project] = ok(await admin.get<{ id: string }[]>('/projects'))
      const [event] = ok(await admin.get<{ id: string }[]>('/audit/events?event_type=webhook.created'))
      const { db } = system.app
      await inProject(project!.id, () =>
        db.write((tx) => {
          const one = { webhook_id: hook.id, event_id: event!.id, event_type: 'webhook.created', replay_of: null }
          const some = Array.from({ length: WAITING }, () => ({ id: uuidv7(system.now()), ...one }))
          return insertDeliveries(tx, some, system.now() + HOUR)
        }),
      )
      if (what === 'disabled') ok(await admin.patch(`/webhooks/${hook.id}`, { state: 'disabled' }))
      else ok(await admin.delete(`/webhooks/${hook.id}`), 204)
      const states = () =>
        inProject(project!.id, () =>
          db.read((tx) =>
            tx.sql<{ state: string; n: number }>(
              'select state, count(*) as n from deliveries where project_id = ?1 group by state order by state',
              [project!.id],
            ),
          ),
        )
      await until('nothing waits', async () => (await states()).every(({ state }) => state !== 'waiting'))
      assert.deepEqual(
        (await states()).map(({ state, n }) => [state, Number(n)]),
        [['failed', WAITING]],
      )
      const queued = await inProject(INSTANCE, () => db.read((tx) => tx.sql('select 1 from delivery_queue')))
      assert.deepEqual([queued, receiver.received], [[], []])
    })
