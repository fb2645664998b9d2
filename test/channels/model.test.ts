/**
 * Programs that nobody chose: random orders of people with webhooks whose receivers take, refuse, redirect, drop and come back, against
 * a book of what docs/events.md promises, and somebody who watches and comes back. A few fixed ones here, on both databases;
 * `node test/channels/model/main.ts` plays others, and shortens one that fails.
 */
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { programOf } from './model/program.ts'
import { openTable } from './model/table.ts'

const games = { sqlite: [2], postgres: [304] } as const

for (const { name, skip } of backends())
  test(`whatever receivers do, each event reaches who listens, as promised (${name})`, { skip }, async (t) => {
    await using table = await openTable(name)
    for (const seed of games[name])
      await t.test(`program ${seed}`, () => table.play(programOf(seed, { length: 20, restarts: true })))
  })
