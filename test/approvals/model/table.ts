/** A server on which one program after the other is played, each in a project of its own. */
import { backends } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { gather, play } from './play.ts'
import type { Order } from './program.ts'

const stores = backends()

export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table<Order>> {
  const system = await stores.find(({ name }) => name === store)!.start({ fakeClock: true })
  const people = await gather(system)
  let played = 0
  return {
    play: (orders, tell) => play(system, people, ++played, orders, tell),
    [Symbol.asyncDispose]: () => system[Symbol.asyncDispose](),
  }
}
