/** A server on which one program after the other is played. */
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { play } from './play.ts'
import type { Order } from './program.ts'

const stores = backends()
/** Ids of one process only grow: the next system begins no earlier than the last one ended. */
let latest = 0

export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table<Order>> {
  const clockAt = Math.max(Date.now(), latest)
  const system = await stores.find(({ name }) => name === store)!.start({ fakeClock: true, clockAt })
  return {
    play: (orders, tell) => play(system, orders, tell),
    async [Symbol.asyncDispose]() {
      latest = Math.max(latest, system.now())
      await system[Symbol.asyncDispose]()
    },
  }
}
