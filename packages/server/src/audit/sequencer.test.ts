import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { until } from '../../../../test/test-system.ts'
import { type Clock, createFakeClock } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject, openDatabase, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createLog } from '../platform/log.ts'
import { append, SYSTEM } from './append.ts'
import { erasePayload } from './erase.ts'
import { type AuditFolders, logFolder } from './folders.ts'
import { recentRows } from './recent.ts'
import { createSequencer, LogAheadOfDatabase, newOrigin } from './sequencer.ts'
import { listEvents } from './store.ts'

const T = Date.UTC(2026, 0, 1)
const P = '0190a000-0000-7000-8000-00000000000a'

/** A new database, and where the files of its logs go. */
async function openStore(): Promise<{ folder: string; folders: AuditFolders; db: Database }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-sequencer-'))
  const folders = {
    log: path.join(folder, 'log'),
    keys: path.join(folder, 'keys'),
    signer: path.join(folder, 'signer'),
    days: path.join(folder, 'audit'),
  }
  const db = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, createFakeClock(T))
  return { folder, folders, db }
}

const addProject = (db: Database, id: string, slug: string) =>
  inProject(id, () =>
    db.write(async (tx) => {
      await tx.insert('projects', [{ id, slug, name: 'Test', policy: '{}', created_at: T }])
      await tx.insert('logs', [{ project_id: id, shard: 0, origin: newOrigin(), root: '', opened_at: T }])
    }),
  )

/** A sequencer of that database, which says only what is worse than expected. */
const openSequencer = (
  on: Pick<Parameters<typeof createSequencer>[0], 'db' | 'folders' | 'intervalMs'>,
  {
    level = 'error',
    slugOf = () => 'p',
    clock = createFakeClock(T),
  }: { level?: 'error' | 'fatal'; slugOf?: (project: string) => string; clock?: Clock } = {},
) =>
  createSequencer({
    ...on,
    clock,
    log: createLog({ level, format: 'text' }),
    slugOf: async (project) => slugOf(project),
  })

/** The size of a project's published checkpoint. */
const publishedIn = (folders: AuditFolders, project: string): number =>
  Number(readFileSync(path.join(logFolder(folders, project, 0), 'checkpoint'), 'utf8').split('\n')[1])

const say = (db: Database, events: number, project = P) =>
  inProject(project, () =>
    db.write((tx) =>
      append(
        tx,
        T,
        SYSTEM,
        ...Array.from({ length: events }, () => ({
          type: 'ticket.created' as const,
          resource: { type: 'ticket', id: uuidv7(T) },
          action: 'Created ticket',
        })),
      ),
    ),
  )

/** The database, and how many rows of the log the sequencer reads back. */
function counted(db: Database): { db: Database; readBack(): number } {
  let rows = 0
  const listening = (tx: Tx): Tx => ({
    ...tx,
    async sql<Row>(text: string, params?: Parameters<Tx['sql']>[1]) {
      const found = await tx.sql<Row>(text, params)
      if (text.includes('e.entry')) rows += found.length
      return found
    },
  })
  return { db: { ...db, sequence: (work) => db.sequence((tx) => work(listening(tx))) }, readBack: () => rows }
}

test('a round begins before its time when much waits, and reads nothing back that is at hand', async () => {
  const { folder, folders, db: stored } = await openStore()
  const { db, readBack } = counted(stored)
  const stop = new AbortController()
  let working: Promise<void> = Promise.resolve()
  const published = () => publishedIn(folders, P)
  try {
    await addProject(db, P, 'p')
    // Of another process, as far as this one knows: nobody reads here yet.
    await say(db, 3)
    const sequencer = openSequencer({ db, folders, intervalMs: 3_600_000 })
    working = sequencer.run(stop.signal)
    await sequencer.first
    assert.deepEqual([published(), readBack()], [3, 3])
    for (let i = 0; i < 10; i++) await say(db, 500)
    await until('all of it is published', async () => published() === 5_003)
    assert.equal(readBack(), 3)
    assert.equal(recentRows.many, false)
  } finally {
    stop.abort()
    await working
    await stored.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a checkpoint that was published before a crash, and not told to the database, is told at the next start', async () => {
  const { folder, folders, db } = await openStore()
  const run = async (meanwhile: () => Promise<unknown> = async () => {}) => {
    const stop = new AbortController()
    const sequencer = openSequencer({ db, folders, intervalMs: 1 })
    const working = sequencer.run(stop.signal)
    await sequencer.first
    await meanwhile()
    await sequencer.settle()
    stop.abort()
    await working
  }
  const told = () =>
    inProject(P, () =>
      db.read(async (tx) => {
        const [row] = await tx.sql<{ root: string; checkpoint: string }>(
          'select root, checkpoint from logs where project_id = ?1',
          [P],
        )
        return row!
      }),
    )
  try {
    await addProject(db, P, 'p')
    await say(db, 3)
    await run()
    const first = await told()
    await run(() => say(db, 2))
    const second = await told()
    assert.deepEqual(
      [first, second].map(({ checkpoint }) => checkpoint.split('\n')[1]),
      ['3', '5'],
    )
    assert.equal(publishedIn(folders, P), 5)
    // As it is between the two steps: the file is in place, the row still of before.
    for (const before of [first, { root: '', checkpoint: null }]) {
      await inProject(P, () =>
        db.write((tx) =>
          tx.sql('update logs set root = ?2, checkpoint = ?3 where project_id = ?1', [
            P,
            before.root,
            before.checkpoint,
          ]),
        ),
      )
      await run()
      assert.deepEqual(await told(), second)
    }
  } finally {
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a log that cannot be written holds up no other, and goes on when it can', async () => {
  const { folder, folders, db } = await openStore()
  const projects = Array.from({ length: 20 }, (_, i) => `0190a000-0000-7000-8000-0000000001${10 + i}`)
  const stop = new AbortController()
  let working: Promise<void> = Promise.resolve()
  try {
    for (const [i, project] of projects.entries()) {
      await addProject(db, project, `p${i}`)
      await say(db, 3, project)
    }
    const [first, ...others] = projects
    const obstacle = logFolder(folders, first!, 0)
    mkdirSync(path.dirname(obstacle), { recursive: true })
    writeFileSync(obstacle, 'no folder')
    const published = (project: string) => publishedIn(folders, project)
    const sequencer = openSequencer(
      { db, folders, intervalMs: 10 },
      { level: 'fatal', slugOf: (project) => `p${projects.indexOf(project)}` },
    )
    working = sequencer.run(stop.signal)
    await until('the first is met', async () => sequencer.health.failing !== null)
    assert.match(sequencer.health.failing!, /ENOTDIR|EEXIST/)
    const recorded = await db.sequence((tx) =>
      tx.sql<{ n: number }>("select count(*) as n from audit_events where event_type = 'project.checkpoint'"),
    )
    assert.equal(recorded[0]!.n, others.length)
    assert.deepEqual(
      others.map(published),
      others.map(() => 3),
    )
    rmSync(obstacle)
    await sequencer.first
    assert.equal(published(first!), 3)
    assert.equal(sequencer.health.failing, null)
  } finally {
    stop.abort()
    await working
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a day file that cannot be written anew holds up no other, and no checkpoint', async () => {
  const { folder, folders, db } = await openStore()
  const projects = ['0190a000-0000-7000-8000-000000000010', '0190a000-0000-7000-8000-000000000011']
  const clock = createFakeClock(T)
  const stop = new AbortController()
  let working: Promise<void> = Promise.resolve()
  const dayOf = (project: string) => {
    const file = path.join(folders.days, slugOf(project), 'audit_2026-01-01.jsonl')
    return existsSync(file) ? readFileSync(file, 'utf8') : ''
  }
  const slugOf = (project: string) => (project === INSTANCE ? '_instance' : `p${projects.indexOf(project)}`)
  try {
    await addProject(db, INSTANCE, 'instance')
    for (const project of projects) {
      await addProject(db, project, slugOf(project))
      await say(db, 2, project)
    }
    const sequencer = openSequencer({ db, folders, intervalMs: 5 }, { level: 'fatal', slugOf, clock })
    working = sequencer.run(stop.signal)
    await until('all is in the day files', async () =>
      projects.every((project) => dayOf(project).split('\n').length === 3),
    )
    // What is written beside the file first.
    const obstacle = path.join(folders.days, 'p0', '.audit_2026-01-01.jsonl')
    mkdirSync(obstacle)
    for (const project of projects)
      await inProject(project, () =>
        db.write(async (tx) => {
          const [event] = await listEvents(tx, {}, { limit: 1 })
          await erasePayload(tx, T, SYSTEM, event!, 'a request')
        }),
      )
    clock.advance(60_000)
    await until('the second is written anew', async () => dayOf(projects[1]!).includes('[erased'))
    await until('the first is met', async () => sequencer.health.failing !== null)
    const recorded = () =>
      db.sequence((tx) =>
        tx.sql<{ resource_id: string }>(
          "select resource_id from audit_events where event_type = 'project.checkpoint' and timestamp > ?1",
          [T],
        ),
      )
    await until('both are recorded', async () => (await recorded()).length === 2)
    assert.ok(!dayOf(projects[0]!).includes('[erased'))
    rmSync(obstacle, { recursive: true })
    await until('the first is written anew', async () => dayOf(projects[0]!).includes('[erased'))
    await until('all is well', async () => sequencer.health.failing === null)
  } finally {
    stop.abort()
    await working
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('when the clock is set back, logs are recorded in the instance log each minute as before', async () => {
  const { folder, folders, db } = await openStore()
  const clock = createFakeClock(T)
  const stop = new AbortController()
  let working: Promise<void> = Promise.resolve()
  const recorded = async () => {
    const [row] = await db.sequence((tx) =>
      tx.sql<{ n: number }>("select count(*) as n from audit_events where event_type = 'project.checkpoint'"),
    )
    return row!.n
  }
  try {
    await addProject(db, INSTANCE, 'instance')
    await addProject(db, P, 'p')
    await say(db, 3)
    working = openSequencer({ db, folders, intervalMs: 5 }, { clock }).run(stop.signal)
    await until('it is recorded', async () => (await recorded()) === 1)
    clock.set(-3_600_000)
    await say(db, 3)
    await until('it is in its log', async () => publishedIn(folders, P) === 6)
    clock.advance(60_000)
    await until('it is recorded again', async () => (await recorded()) === 2)
  } finally {
    stop.abort()
    await working
    await db.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a round reads the logs that moved, however many are quiet, and misses none that another process appended to', async () => {
  const { folder, folders, db: stored } = await openStore()
  const projects = Array.from({ length: 40 }, (_, i) => `0190a000-0000-7000-8000-0000000002${10 + i}`)
  const [first, second, third] = projects as [string, string, string]
  let [read, rounds] = [0, 0]
  const listening = (tx: Tx): Tx => ({
    ...tx,
    async sql<Row>(text: string, params?: Parameters<Tx['sql']>[1]) {
      const found = await tx.sql<Row>(text, params)
      if (text.includes('* from logs')) read += found.length
      if (text.includes('distinct project_id')) rounds++
      return found
    },
  })
  const db: Database = { ...stored, sequence: (work) => stored.sequence((tx) => work(listening(tx))) }
  const stop = new AbortController()
  let working: Promise<void> = Promise.resolve()
  const published = (project: string) => publishedIn(folders, project)
  try {
    await addProject(db, INSTANCE, 'instance')
    for (const [i, project] of projects.entries()) {
      await addProject(db, project, `p${i}`)
      await say(db, 3, project)
    }
    const sequencer = openSequencer(
      { db, folders, intervalMs: 5 },
      { slugOf: (project) => `p${projects.indexOf(project)}` },
    )
    working = sequencer.run(stop.signal)
    await until('the instance log has recorded them', async () => sequencer.health.integrated === 4 * projects.length)
    const quietFrom = rounds + 2
    await until('some rounds went by', async () => rounds > quietFrom)
    const [before, at] = [read, rounds]
    await until('ten more rounds went by', async () => rounds > at + 10)
    assert.equal(read, before)
    // As another process does: what this one knows of its own appends does not hold it.
    const beside = await openDatabase({ url: `sqlite:${path.join(folder, 'writ.db')}` }, createFakeClock(T))
    await say(beside, 2, second).finally(() => beside.close())
    await until('it is in its log', async () => published(second) === 5)
    // A new project, which has said nothing, gets its key; one that is closed goes on in its next log.
    const late = '0190a000-0000-7000-8000-000000000300'
    await addProject(db, late, 'late')
    await until('its key is named', async () => {
      const [row] = await stored.sequence((tx) =>
        tx.sql<{ vkey: string | null }>('select vkey from logs where project_id = ?1', [late]),
      )
      return row!.vkey !== null
    })
    await sequencer.rotate(third, SYSTEM, 'test')
    const next = path.join(logFolder(folders, third, 1), 'checkpoint')
    await until('the next log is published', async () => existsSync(next))
    assert.equal(published(first), 3)
  } finally {
    stop.abort()
    await working
    await stored.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a log that is ahead of its database is named by what people know', () => {
  assert.match(
    new LogAheadOfDatabase(INSTANCE, 13, 11).message,
    /^The log of the instance was published with 13 entries/,
  )
  assert.match(new LogAheadOfDatabase(P, 13, 11).message, new RegExp(`^The log of project ${P} was published with 13 `))
})
