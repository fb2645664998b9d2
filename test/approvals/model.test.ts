/**
 * Programs that nobody chose: random orders of people who agree to tickets, policies and each other's keys, while all of these change, with
 * statements that come back late, twice or with somebody else's key, and a clock that is set back. A few fixed ones here, on both
 * databases; `node test/approvals/model/main.ts` plays others, and shortens one that fails.
 */
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { programOf } from './model/program.ts'
import { openTable } from './model/table.ts'

const games = { sqlite: [13], postgres: [26] } as const

for (const { name, skip } of backends())
  test(`whatever people agree to, it is theirs to agree to, under a policy that a stranger is told (${name})`, {
    skip,
  }, async (t) => {
    await using table = await openTable(name)
    for (const seed of games[name])
      await t.test(`program ${seed}`, () => table.play(programOf(seed, { length: 80, restarts: true })))
  })
