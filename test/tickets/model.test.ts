/**
 * Programs that nobody chose: random orders of people with tickets, against a book of what docs/lifecycles.md promises. A few fixed ones
 * here, on both databases; `node test/tickets/model/main.ts` plays others, and shortens one that fails.
 */
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { programOf } from './model/program.ts'
import { openTable } from './model/table.ts'

const games = { sqlite: [11, 12, 13], postgres: [21, 22] } as const

for (const { name, skip } of backends())
  test(`whatever people ask for, a ticket and its runs become what is promised (${name})`, { skip }, async (t) => {
    await using table = await openTable(name)
    for (const seed of games[name])
      await t.test(`program ${seed}`, () => table.play(programOf(seed, { length: 80, restarts: true })))
  })
