/**
 * Programs that nobody chose: random orders of an operator (keys, logs, retention, backups, clocks, witnesses), against a book of what
 * docs/operate.md, docs/privacy.md and docs/trust.md promise. Two that meet most of it here; `node test/ops/model/main.ts` plays random
 * ones, and shortens one that fails.
 */
import { test } from 'node:test'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres } from '../servers/postgres.ts'
import type { Order } from './model/program.ts'
import { openTable } from './model/table.ts'

const work = { do: 'work', project: 0, tickets: 2, proofs: 1 } as const

const games: Readonly<Record<'sqlite' | 'postgres', readonly Order[]>> = {
  sqlite: [
    work,
    { do: 'rotateKey', purpose: 'log', project: 0, hours: 0 },
    { do: 'leaver' },
    { do: 'backup', busy: true },
    { do: 'setClock', ms: -7_200_000 },
    { do: 'restore', which: 0 },
    { do: 'export', project: 0, which: 0, whole: true },
    { do: 'drop', project: 0 },
    { do: 'loseDayFiles' },
  ],
  postgres: [
    work,
    { do: 'hold', project: 0, ticket: 0 },
    { do: 'erasePayload', project: 0, which: 0 },
    { do: 'rotateLog', project: 0 },
    { do: 'drop', project: 0 },
    { do: 'backup', busy: false },
    { do: 'release', project: 0, which: 0 },
    work,
    { do: 'olderDatabase', which: 0 },
  ],
}

const skips = { sqlite: false as const, postgres: missingBackend('PostgreSQL', missingPostgres()) }

for (const store of ['sqlite', 'postgres'] as const)
  test(`whatever its operator does, what was acknowledged is there, and what is gone is told of (${store})`, {
    skip: skips[store],
  }, async () => {
    await using table = await openTable(store)
    await table.play(games[store])
  })
