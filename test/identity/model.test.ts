/**
 * Programs that nobody chose: random orders of people who come, go and hand out rights, with every credential that they ever had, against a
 * book of who may do what. A few fixed ones here, on both databases; `node test/identity/model/main.ts` plays others, and shortens one
 * that fails.
 */
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { programOf } from './model/program.ts'
import { openTable } from './model/table.ts'

const games = { sqlite: [12], postgres: [25] } as const

for (const { name, skip } of backends())
  test(`whatever people ask for, nobody may more than is promised, and what is over stays over (${name})`, {
    skip,
  }, async (t) => {
    await using table = await openTable(name)
    for (const seed of games[name])
      await t.test(`program ${seed}`, () => table.play(programOf(seed, { length: 60, restarts: true })))
  })
