/** A server on which one program after the other is played. */
import assert from 'node:assert/strict'
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { handlerOf } from '../../tasks/dispatch.ts'
import { HANDLERS, play, QUEUE } from './play.ts'
import type { Step } from './program.ts'

const stores = backends()
/** Later than every program ends. */
const AFTERWARDS = Date.parse('2031-12-20T00:00:00Z')

/** On PostgreSQL it has no scheduler of its own: there time passes, and things change, while nobody looks. */
export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table<Step>> {
  const system = await stores
    .find(({ name }) => name === store)!
    .start({
      fakeClock: true,
      clockAt: AFTERWARDS,
      testHandlers: HANDLERS.map((name) => handlerOf(name, async () => null)),
      ...(store === 'postgres' ? { env: { WRIT_ROLES: 'api,worker,sequencer' } } : {}),
    })
  const olga = await system.hire('olga', 'ops')
  const paused = await system.admin.post(`/queues/${QUEUE}/pause`, { create: true })
  assert.equal(paused.status, 200, JSON.stringify(paused.body))
  return {
    play: (steps, tell) => play(system, olga, steps, tell),
    [Symbol.asyncDispose]: () => system[Symbol.asyncDispose](),
  }
}
