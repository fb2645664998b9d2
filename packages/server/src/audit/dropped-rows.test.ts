/** That rows of days and of dropped logs are found by what was appended together, and go a few at a time. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { createFakeClock } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject, openDatabase, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createLog } from '../platform/log.ts'
import { append, SYSTEM } from './append.ts'
import { dropOldestLog } from './erase.ts'
import { type AuditFolders, logFolder } from './folders.ts'
import { createSequencer, newOrigin, type Sequencer } from './sequencer.ts'
import { listLogs } from './store.ts'
import { deleteDropped, filesLag, rowsOfDay } from './store-erasure.ts'
import { verifyProjectLog } from './verify.ts'

const DAY = '2026-01-01'
const T = Date.parse(DAY)
const DAY_MS = 86_400_000
const P = '0190a000-0000-7000-8000-00000000000a'

interface Place {
  readonly db: Database
  readonly folders: AuditFolders
  readonly folder: string
  readonly sequencer: Sequencer
  /** Statements that were asked of the sequencer's transactions. */
  readonly said: string[]
  /** The next of these statements fails, as where the disk is full. */
  fail(text: string): void
}

/** A project whose log has 6 appends of 300 events of one day. */
async function withLog(work: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-dropped-'))
  const at = (name: string) => path.join(folder, name)
  const folders = { log: at('log'), keys: at('keys'), signer: at('signer'), days: at('audit') }
  const stored = await openDatabase({ url: `sqlite:${at('writ.db')}` }, createFakeClock(T))
  const said: string[] = []
  let failing: string | undefined
  const listening = (tx: Tx): Tx => ({
    ...tx,
    async sql<Row>(text: string, params?: Parameters<Tx['sql']>[1]) {
      said.push(text)
      if (failing !== undefined && text.includes(failing)) {
        failing = undefined
        throw new Error('no space left')
      }
      return tx.sql<Row>(text, params)
    },
  })
  const db: Database = { ...stored, sequence: (unit) => stored.sequence((tx) => unit(listening(tx))) }
  const log = createLog({ level: 'fatal', format: 'text' })
  const slugOf = async () => 'p'
  const sequencer = createSequencer({ db, clock: createFakeClock(T), log, folders, intervalMs: 10, slugOf })
  const fail = (text: string) => {
    failing = text
  }
  try {
    for (const [id, shard] of [
      [INSTANCE, 0],
      [P, 0],
    ] as const)
      await inProject(id, () =>
        db.write(async (tx) => {
          if (id === P) await tx.insert('projects', [{ id, slug: 'p', name: 'Test', policy: '{}', created_at: T }])
          if ((await listLogs(tx)).length === 0)
            await tx.insert('logs', [{ project_id: id, shard, origin: newOrigin(), root: '', opened_at: T }])
        }),
      )
    for (let i = 0; i < 6; i++) await say(db, 300, T + i)
    await sequencer.settle()
    await work({ db, folders, folder, sequencer, said, fail })
  } finally {
    await stored.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

const say = (db: Database, events: number, at: number) =>
  inProject(P, () =>
    db.write((tx) =>
      append(
        tx,
        at,
        SYSTEM,
        ...Array.from({ length: events }, () => ({
          type: 'ticket.created' as const,
          resource: { type: 'ticket', id: uuidv7(at) },
          action: 'Created ticket',
        })),
      ),
    ),
  )

const countRows = (db: Database) =>
  db.sequence(async (tx) => {
    const [found] = await tx.sql<{ events: number; appends: number; orphans: number }>(
      `select (select count(*) from audit_events where project_id = ?1) as events,
         (select count(*) from audit_appends where project_id = ?1) as appends,
         (select count(*) from audit_events e where project_id = ?1 and not exists (select 1 from audit_appends b where b.seq = e.append)) as orphans`,
      [P],
    )
    return { ...found! }
  })

const verify = async ({ db, folders }: Place) => {
  const report = await verifyProjectLog({
    db,
    folders,
    project: P,
    slug: 'p',
    findUntoldEnd: async () => undefined,
  })
  return [report.ok, report.reason, report.dropped?.length]
}

/** Closes the log and drops it. */
async function drop({ db, sequencer }: Place): Promise<void> {
  await sequencer.rotate(P, SYSTEM, 'end of the year')
  await sequencer.settle()
  await inProject(P, () =>
    db.write(async (tx) => dropOldestLog(tx, T, SYSTEM, (await listLogs(tx))[0]!, 'kept long enough')),
  )
}

/** As many rounds as it takes: each ends after a while, and on a busy machine that is soon. */
async function clear({ db, sequencer }: Place): Promise<void> {
  do await sequencer.settle()
  while (await db.sequence(filesLag))
}

test('the rows of a day are read by their appends, each once', () =>
  withLog(async ({ db, sequencer, said }) => {
    await say(db, 10, T + DAY_MS)
    await sequencer.settle()
    said.length = 0
    const indexes: number[] = []
    for await (const row of rowsOfDay((work) => db.sequence(work), P, DAY)) indexes.push(row.log_index)
    assert.deepEqual(
      indexes,
      Array.from({ length: 1_800 }, (_, i) => i),
    )
    // A plan that knows of no statistics: none may look through all events of the project.
    const asked = said.filter((text) => text.includes('audit_'))
    for (const text of asked) {
      const plan = await db.sequence((tx) =>
        tx.sql<{ detail: string }>(`explain query plan ${text}`, [P, '0', '1', '[]'].slice(0, highest(text))),
      )
      const through = plan.map(({ detail }) => detail).filter((detail) => / e USING .*\(project_id=\?\)$/.test(detail))
      assert.deepEqual(through, [], text)
    }
    assert.ok(asked.length >= 2)
  }))

/** How many parameters a statement has. */
const highest = (text: string) => Math.max(...[...text.matchAll(/\?(\d)/g)].map(([, n]) => Number(n)))

test('the rows of a dropped log go a slice at a time, and no event without its append', () =>
  withLog(async (place) => {
    const { db } = place
    const before = await countRows(db)
    assert.deepEqual([before.appends, before.orphans], [6, 0])
    await drop(place)
    const slice = () => db.sequence((tx) => deleteDropped(tx, { project_id: P, shard: 0 }, 500))
    const gone: number[] = []
    for (let left = (await countRows(db)).events; await slice(); ) {
      const now = await countRows(db)
      assert.equal(now.orphans, 0)
      gone.push(left - now.events)
      left = now.events
    }
    assert.ok(gone.length === 4 && gone.every((rows) => rows <= 700), gone.join())
    assert.ok((await countRows(db)).events < 10)
  }))

test('a stop between the day files and the rows of a dropped log is made good, and verifies meanwhile', () =>
  withLog(async (place) => {
    const { db, folders, sequencer } = place
    const kept = path.join(logFolder(folders, P, 0), 'tile')
    await drop(place)
    place.fail('delete from audit_events')
    await assert.rejects(sequencer.settle(), /no space left/)
    assert.ok((await countRows(db)).events > 1_800 && existsSync(kept))
    assert.equal(linesOf(place, DAY), '')
    assert.deepEqual(await verify(place), [true, null, 1])
    await clear(place)
    assert.ok((await countRows(db)).events < 10 && !existsSync(kept))
    assert.deepEqual(await verify(place), [true, null, 1])
  }))

test('events that are newer than the end of their log go too: the clock had been set back', () =>
  withLog(async (place) => {
    await say(place.db, 10, T + DAY_MS)
    await place.sequencer.settle()
    assert.match(linesOf(place, '2026-01-02'), /ticket\.created/)
    await drop(place)
    // Its rows are gone, and what their slices met is known from the database alone to the round that goes on.
    place.fail('select dropped_until from logs')
    await assert.rejects(
      place.sequencer.settle().then(() => clear(place)),
      /no space left/,
    )
    await clear(place)
    assert.equal(linesOf(place, '2026-01-02'), '')
    assert.deepEqual(await verify(place), [true, null, 1])
  }))

/** What the day file says of tickets. */
function linesOf({ folders }: Place, day: string): string {
  const file = path.join(folders.days, 'p', `audit_${day}.jsonl`)
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  return lines.filter((line) => line.includes('ticket.created')).join('\n')
}
