/**
 * Programs that nobody chose: random orders of dispatchers, operators and dying workers, against a model of what docs/tasks.md promises.
 * A few fixed ones here, on every store; `node test/tasks/model/main.ts` plays others, and shortens one that fails.
 */
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingRedis } from '../servers/redis.ts'
import { programOf } from './model/program.ts'
import { openTable, type Store } from './model/table.ts'

const noPostgres = backends().find(({ name }) => name === 'postgres')!.skip
const noRedis = missingBackend('Redis', missingRedis())

interface Games {
  readonly store: Store
  readonly skip: string | false
  readonly seeds: readonly number[]
}

const games: readonly Games[] = [
  { store: 'sqlite', skip: false, seeds: [11, 12] },
  { store: 'memory', skip: false, seeds: [21] },
  { store: 'postgres', skip: noPostgres, seeds: [31] },
  { store: 'redis', skip: noRedis, seeds: [41] },
  { store: 'redis-postgres', skip: noPostgres || noRedis, seeds: [51] },
]

for (const { store, skip, seeds } of games)
  test(`whatever is asked for, every task ends as promised (${store})`, { skip }, async (t) => {
    await using table = await openTable(store)
    for (const seed of seeds)
      await t.test(`program ${seed}`, () => {
        const line = store.startsWith('redis')
        return table.play(programOf(seed, { length: 30, line, restarts: true }))
      })
  })
