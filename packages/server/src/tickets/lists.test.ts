/** That tickets are found by any filter, and that nobody waits while very many are looked through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listeningOn, planOnSqlite } from '../../../../test/servers/listening.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres } from '../../../../test/servers/postgres.ts'
import { onPostgres, onSqlite } from '../../../../test/servers/stores.ts'
import { turnsDuring } from '../../../../test/turns-during.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { countTickets, listTickets, type TicketFilter } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const A = '0190a000-0000-7000-8000-000000000001'
const [MANY, FEW, NONE] = [2, 3, 4].map((n) => `0190a000-0000-7000-8000-00000000000${n}`) as [string, string, string]
/** Two stretches and a half. */
const TICKETS = 25_000

const made = Array.from({ length: TICKETS }, (_, n) => ({
  project_id: A,
  id: uuidv7(T + n),
  number: n + 1,
  title: `t ${n}`,
  description: null,
  status: n % 10 === 0 ? 'submitted' : 'closed',
  asset_id: null,
  created_by_id: n % 3_000 === 5 ? FEW : MANY,
  // Of some it is who opened them, too.
  assignee_id: n % 4_500 === 5 ? FEW : null,
  approved_by_id: null,
  due_at: n % 500 === 20 ? T + n : null,
  version: 1,
  digest: '',
  created_at: T,
  updated_at: T,
}))
type Made = (typeof made)[number]

const isDueBefore = (at: number, { due_at }: Made) => due_at !== null && due_at < at
const isOf = (person: string, { created_by_id, assignee_id }: Made) =>
  created_by_id === person || assignee_id === person
const filters: [TicketFilter, (one: Made) => boolean][] = [
  [{ status: 'submitted' }, ({ status }) => status === 'submitted'],
  [{ due_before: T + 1e9 }, (one) => isDueBefore(T + 1e9, one)],
  [{ due_before: T + 100 }, (one) => isDueBefore(T + 100, one)],
  [{ due_before: T }, () => false],
  [{ due_before: T + 1e9, status: 'submitted' }, (one) => isDueBefore(T + 1e9, one) && one.status === 'submitted'],
  [{ of: MANY }, (one) => isOf(MANY, one)],
  [{ of: FEW }, (one) => isOf(FEW, one)],
  [{ of: NONE }, () => false],
  [{ of: FEW, status: 'closed' }, (one) => isOf(FEW, one) && one.status === 'closed'],
  [{ of: MANY, due_before: T + 1e9 }, (one) => isOf(MANY, one) && isDueBefore(T + 1e9, one)],
  [{ of: MANY, above: 24_000 }, (one) => isOf(MANY, one) && one.number > 24_000],
]

async function fill(db: Database): Promise<void> {
  await inProject(A, async () => {
    await db.write(async (tx) => {
      await tx.insert('projects', [{ id: A, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])
      for (const [n, id] of [MANY, FEW, NONE].entries())
        await tx.sql(
          `insert into users (id, number, username, password_hash, created_at, updated_at) values (?1, ?2, ?1, '', 0, 0)`,
          [id, n + 1],
        )
    })
    for (let from = 0; from < TICKETS; from += 2_500)
      await db.write((tx) => tx.insert('tickets', made.slice(from, from + 2_500)))
  })
}

async function findAll(db: Database): Promise<void> {
  for (const [filter, takes] of filters) {
    const claim = JSON.stringify(filter)
    const expected = made
      .filter(takes)
      .map(({ number }) => number)
      .reverse()
    const list = (page: { before?: number; skip?: number }) =>
      inProject(A, () =>
        db.read(async (tx) =>
          (await listTickets(tx, filter, { limit: 30, skip: 0, ...page })).map(({ number }) => number),
        ),
      )
    assert.equal(await inProject(A, () => db.read((tx) => countTickets(tx, filter))), expected.length, claim)
    assert.deepEqual(await list({}), expected.slice(0, 30), claim)
    for (const skip of [1, 25, expected.length - 3, expected.length].filter((n) => n > 0))
      assert.deepEqual(await list({ skip }), expected.slice(skip, skip + 30), `${claim} from ${skip} on`)
    const before = expected[Math.floor(expected.length / 2)]
    if (before !== undefined)
      assert.deepEqual(await list({ before }), expected.slice(expected.indexOf(before) + 1).slice(0, 30), claim)
  }
}

test('SQLite: tickets are found by any filter, and nobody waits meanwhile', () =>
  onSqlite(T, async (db) => {
    await fill(db)
    await findAll(db)
    for (const look of [
      () => db.read((tx) => countTickets(tx, { due_before: T })),
      () => db.read((tx) => listTickets(tx, { due_before: T }, { limit: 10, skip: 0 })),
    ])
      assert.ok((await turnsDuring(() => inProject<Promise<unknown>>(A, look))) >= 3)
    // Of few of one's own nothing else is looked at.
    await inProject(A, () =>
      db.read(async (tx) => {
        const listening = listeningOn(tx)
        await listTickets(listening.tx, { of: FEW }, { limit: 10, skip: 0 })
        await countTickets(listening.tx, { of: FEW })
        const plan = await Promise.all(listening.said().map((one) => planOnSqlite(tx, one)))
        const ofTickets = plan.flat().filter((detail) => / tickets( |$)/.test(detail))
        for (const detail of ofTickets)
          assert.match(detail, /tickets_(creator|assignee) \(project_id=\? AND \w+=\?|\(project_id=\? AND number=\?\)/)
        assert.ok(ofTickets.length >= 5)
      }),
    )
  }))

test(
  'PostgreSQL: tickets are found by any filter',
  {
    skip: missingBackend('PostgreSQL', missingPostgres()),
  },
  () =>
    onPostgres(T, async (db) => {
      await fill(db)
      await findAll(db)
    }),
)
