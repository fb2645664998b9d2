/** A server on which one program after the other is played. */
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { SETTLE_MS } from './book.ts'
import { gather, play } from './play.ts'
import type { Order } from './program.ts'

const stores = backends()

export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table<Order>> {
  const system = await stores
    .find(({ name }) => name === store)!
    .start({ fakeClock: true, env: { WRIT_PROOF_SETTLE_SECONDS: String(SETTLE_MS / 1_000) } })
  const people = await gather(system)
  return {
    play: (orders, tell) => play(system, people, orders, tell),
    [Symbol.asyncDispose]: () => system[Symbol.asyncDispose](),
  }
}
