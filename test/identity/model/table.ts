/** A server on which one program after the other is played. */
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { play } from './play.ts'
import type { Order } from './program.ts'

const stores = backends()

export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table<Order>> {
  const system = await stores
    .find(({ name }) => name === store)!
    // Addresses are what the proxy of the test says they are.
    .start({ fakeClock: true, env: { WRIT_TRUSTED_PROXIES: '127.0.0.1' } })
  let played = 0
  return {
    play: (orders, tell) => play(system, ++played, orders, tell),
    [Symbol.asyncDispose]: () => system[Symbol.asyncDispose](),
  }
}
