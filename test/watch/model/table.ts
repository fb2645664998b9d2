/** A server on which one program after the other is played. */
import assert from 'node:assert/strict'
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { play, SLUGS } from './play.ts'
import type { Order } from './program.ts'

const stores = backends()
/** Ids of one process only grow: the next system begins no earlier than the last one ended. */
let latest = 0

export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table<Order>> {
  const clockAt = Math.max(Date.now(), latest)
  const system = await stores
    .find(({ name }) => name === store)!
    .start({ fakeClock: true, clockAt, env: { WRIT_STREAM_HEARTBEAT_SECONDS: '1' } })
  const ann = await system.hire('ann', 'admin')
  const [, slug] = SLUGS
  assert.equal((await system.admin.post('/projects', { slug, name: 'Elsewhere' })).status, 201)
  const inside = { headers: { 'x-project': slug } }
  assert.equal((await system.admin.put(`/members/${ann.number}`, { role: 'admin' }, inside)).status, 200)
  return {
    play: (orders, tell) => play(system, ann, orders, tell),
    async [Symbol.asyncDispose]() {
      latest = Math.max(latest, system.now())
      await system[Symbol.asyncDispose]()
    },
  }
}
