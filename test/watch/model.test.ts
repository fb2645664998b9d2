/**
 * Programs that nobody chose: random orders of people who watch in every way there is, while connections are cut, tokens end, logs are closed
 * and servers stop, against a book of what docs/events.md promises. A few fixed ones here, on both databases;
 * `node test/watch/model/main.ts` plays others, and shortens one that fails.
 */
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { programOf } from './model/program.ts'
import { openTable } from './model/table.ts'

const games = { sqlite: [1], postgres: [12] } as const

for (const { name, skip } of backends())
  test(`whatever breaks, whoever watches gets the whole sequence once (${name})`, { skip }, async (t) => {
    await using table = await openTable(name)
    for (const seed of games[name])
      await t.test(`program ${seed}`, () => table.play(programOf(seed, { length: 10, restarts: true })))
  })
