/** Carries out a program on a real server, and holds all that can be seen against the book, as an auditor and a monitor would. */
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { AuditEvent, Hold, Keys, LogInfo, Project, Run, SelfCheckReport, Ticket, VerifyReport } from '@writ/api'
import { backup, restore, verifyOffline } from '@writ/server/ops'
import { parseCheckpoint, parseNote, parseVkey } from '@writ/tlog'
import pg from 'pg'
import { type ServedWitness, serveWitness } from '../../../packages/cli/src/witness/serve-witness.ts'
import {
  addWitnessedLog,
  createWitness,
  openWitness,
  type WitnessFolder,
} from '../../../packages/cli/src/witness/witness-folder.ts'
import { sha256 } from '../../../packages/server/src/audit/index.ts'
import { prepareRestorePostgres, restorePostgres } from '../../../packages/server/src/platform/db/index.ts'
import type { Answer } from '../../client.ts'
import { writ } from '../../evidence/command-line.ts'
import { unpack, verifySh, verifyZipFile } from '../../evidence/scene.ts'
import { carryOut } from '../../play-programs.ts'
import { freePort } from '../../servers/free-port.ts'
import type { Independent } from '../../servers/go-verifier.ts'
import { type Person, TestSystem, until } from '../../test-system.ts'
import {
  type Artifact,
  type Change,
  compareEntries,
  copyOf,
  heldBy,
  openProjectBook,
  type ProjectBook,
} from './book.ts'
import { type Order, PROJECTS } from './program.ts'
import type { NewDatabase } from './table.ts'

/** @throws Error that says at which order what was seen differs from what is promised */
export async function play(on: {
  newDatabase: NewDatabase
  orders: readonly Order[]
  tell?: ((text: string) => void) | undefined
  /** Looks at each log at the end. */
  independent?: Independent | undefined
}): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-operator-'))
  const { player, close } = await settleDown(folder, on.newDatabase)
  try {
    const carriesOut = (order: Order) =>
      player.carryOut(order).catch((error: unknown) => {
        // An answer of 500 says no more than that the log knows.
        for (const line of player.log().split('\n')) if (/"level":"?(?:[56]0|error|fatal)/.test(line)) on.tell?.(line)
        throw error
      })
    await carryOut(on.orders, { carryOut: carriesOut }, on.tell)
    await player.finish(on.independent)
  } finally {
    await close()
    await rm(folder, { recursive: true, force: true })
  }
}

const ok = <T>(answer: Answer<T>): T => {
  assert.ok(answer.status < 300, JSON.stringify(answer.body))
  return answer.body
}
const refused = (answer: Answer<unknown>, code: string) =>
  assert.equal((answer.body as { code?: string }).code, code, JSON.stringify(answer.body))
const inside = (project: number) => ({ headers: { 'x-project': PROJECTS[project]! } })

interface Backup {
  readonly folder: string
  readonly books: readonly ProjectBook[]
  /** Whether people worked meanwhile. */
  readonly busy: boolean
}

/** After these nothing is verified that is not verified after the next. */
const QUIET: ReadonlySet<Order['do']> = new Set(['work', 'hold', 'release', 'export', 'backup', 'auditor', 'selfCheck'])

/** A checkpoint that a monitor has seen. */
interface Seen {
  readonly project: string
  readonly size: number
  readonly note: string
}

async function settleDown(folder: string, newDatabase: NewDatabase) {
  const witnessDir = path.join(folder, 'witness')
  const vkey = await createWitness(witnessDir, 'witness.example/w')
  const port = await freePort()
  const policy = path.join(folder, 'witnesses.policy')
  await writeFile(policy, `witness w ${vkey} http://127.0.0.1:${port}\nquorum w\n`)
  const database = await newDatabase(true)
  const system = await TestSystem.start({
    fakeClock: true,
    env: {
      ...database,
      // The same through all starts: what an auditor keeps is filed by it.
      PORT: String(await freePort()),
      WRIT_DATA_DIR: path.join(folder, 'data-0'),
      WRIT_WITNESS_POLICY: policy,
      WRIT_WITNESS_INTERVAL_MS: '20',
    },
  })
  const ann = await system.hire('ann', 'admin')
  ok(await system.admin.post('/projects', { slug: PROJECTS[1], name: 'Plant' }))
  ok(await system.admin.put(`/members/${ann.number}`, { role: 'admin' }, inside(1)))
  const player = createPlayer({ folder, system, ann, newDatabase, witnessDir, port, database })
  await player.begin()
  return {
    player,
    async close() {
      await player.close()
      await system[Symbol.asyncDispose]()
    },
  }
}

function createPlayer(on: {
  folder: string
  system: TestSystem
  ann: Person
  newDatabase: NewDatabase
  witnessDir: string
  port: number
  database: Readonly<Record<string, string>>
}) {
  const { folder, system, ann } = on
  const { admin } = system
  let dataDir = path.join(folder, 'data-0')
  let database = on.database
  let made = 0
  let leavers = 0
  let books: ProjectBook[] = PROJECTS.map(() => openProjectBook())
  /** Answered since the book was compared last, by project. */
  let changes: Change[][] = PROJECTS.map(() => [])
  const backups: Backup[] = []
  const bundles: string[] = []
  /** By origin, the oldest first. */
  const seen = new Map<string, Seen[]>()
  const shardOf = new Map<string, { project: string; shard: string }>()
  let witness: { folder: WitnessFolder; served: ServedWitness } | undefined
  /** Overlaps of key rotations end then, by log. */
  const overlaps = new Map<string, number>()
  /** The clock was set back. */
  let wasSet = false
  let auditorTrusts = true
  let auditorBegan = false
  /** Of the log that the auditor verified last, to its end. */
  let auditorShard: number | undefined
  const home = path.join(folder, 'auditor')

  const at = <T>(all: readonly T[], back: number): T | undefined =>
    all.length === 0 ? undefined : all[Math.max(0, all.length - 1 - back)]
  const place = () => ({
    dataDir,
    env: { PATH: process.env.PATH ?? '', WRIT_DATA_DIR: dataDir, ...database },
    cwd: folder,
  })
  const changed = (project: number, type: string, resource: string) => changes[project]!.push({ type, resource })

  // ---- the witness

  async function openDoor(): Promise<void> {
    if (witness) return
    const own = await openWitness(on.witnessDir)
    witness = {
      folder: own,
      served: await serveWitness(own, {
        host: '127.0.0.1',
        port: on.port,
        now: () => new Date(system.now()),
        say: () => {},
      }),
    }
  }
  async function closeDoor(): Promise<void> {
    await witness?.served.close()
    witness?.folder.close()
    witness = undefined
  }
  /** Its operator is told of each key of the instance log. */
  async function tellWitness(): Promise<void> {
    const { logs } = ok(await admin.get<Keys>('/keys'))
    for (const log of logs)
      if (log.project === null) for (const vkey of log.vkeys) await addWitnessedLog(on.witnessDir, vkey)
  }
  const readyz = async () =>
    (await (await fetch(`${system.base}/readyz`)).json()) as { status: string; degraded?: Record<string, string> }
  const trouble = async (name: string) =>
    Object.entries((await readyz()).degraded ?? {}).find(([part]) => part.startsWith(name))?.[1]

  // ---- looking

  async function eventsOf(project: number): Promise<AuditEvent[]> {
    const all: AuditEvent[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: { items: AuditEvent[]; next_cursor: string | null } = ok(
        await admin.get(`/audit/events?limit=1000&cursor=${encodeURIComponent(cursor)}`, inside(project)),
      )
      all.push(...page.items)
      cursor = page.next_cursor
    }
    return all
  }

  /** What is shown, against the book. */
  async function read(): Promise<void> {
    await system.settle()
    for (const [project, book] of books.entries()) {
      compareEntries(book, await eventsOf(project), changes[project]!)
      changes[project] = []
    }
  }

  /** And what can be verified, as far as anybody has kept anything. */
  async function look(): Promise<void> {
    await read()
    await monitor()
    for (const where of [inside(0), inside(1)]) {
      const info = ok(await admin.get<LogInfo>('/audit/log', where))
      const kept = seen.get(info.origin)?.at(-1)?.note
      const report = ok(await admin.post<VerifyReport>('/audit/verify', kept ? { kept_checkpoint: kept } : {}, where))
      assert.ok(report.ok, `${where.headers['x-project']}: ${report.code}, ${report.reason}`)
    }
    await offline('_instance')
    const { status, degraded = {} } = await readyz()
    assert.equal(status, 'ready')
    const parts = Object.keys(degraded).filter((part) => !part.startsWith('witness'))
    assert.deepEqual(parts, [], JSON.stringify(degraded))
  }

  async function offline(project?: string): Promise<void> {
    const kept = project && [...seen.values()].findLast((notes) => notes[0]?.project === project)?.at(-1)?.note
    const report = await verifyOffline({
      ...place(),
      patienceMs: 2_000,
      ...(project ? { project } : {}),
      ...(kept ? { kept } : {}),
    })
    assert.deepEqual([report.ok, report.code, report.reason], [true, null, null])
  }

  /** Every checkpoint of every log here, as a monitor fetches them. */
  async function monitor(): Promise<void> {
    const log = path.join(dataDir, 'log')
    for (const project of await readdir(log))
      for (const shard of await readdir(path.join(log, project))) {
        const note = await readFile(path.join(log, project, shard, 'checkpoint'), 'utf8').catch(() => '')
        if (note === '') continue
        const { origin, size } = parseCheckpoint(parseNote(note).text)
        const before = seen.get(origin) ?? []
        assert.ok((before.at(-1)?.size ?? 0) <= size, `the checkpoint of ${origin} went back to ${size}`)
        if (before.at(-1)?.note !== note) seen.set(origin, [...before, { project, size, note }])
        shardOf.set(origin, { project, shard })
      }
  }

  // ---- work

  async function open(project: number, title: string): Promise<Ticket> {
    return ok(await admin.post<Ticket>('/tickets', { title }, inside(project)))
  }

  async function work(project: number, tickets: number, proofs: number): Promise<void> {
    for (let i = 0; i < tickets; i++) {
      const { id, number, title } = await open(project, `Replace switch ${++made}`)
      books[project]!.tickets.push({ id, number, title })
      changed(project, 'ticket.created', id)
    }
    for (let i = 0; i < proofs; i++) await prove(project)
  }

  async function prove(project: number): Promise<void> {
    const ticket = books[project]!.tickets.at(-1)!
    const sent = inside(project)
    const run = ok(
      await admin.post<Run>(
        '/runs',
        { run_type: 'proof', ticket_id: ticket.number, script_id: 'proof.config_format' },
        sent,
      ),
    )
    changed(project, 'run.created', run.id)
    const text = `{"vlans": [${++made}]}\n`
    const { artifact } = ok(await admin.upload(run.number, 'vlans.json', text, {}, sent))
    changed(project, 'artifact.uploaded', artifact.id)
    const ended = ok(await admin.get<Run>(`/runs/${run.number}/wait?timeout=30`, sent))
    assert.deepEqual([ended.state, ended.verdict], ['completed', 'passed'])
    changed(project, 'run.completed', run.id)
    books[project]!.artifacts.push({ id: artifact.id, ticket: ticket.id, run: run.id, text, state: 'there' })
  }

  /** Of which what is answered counts, and what is under way may. */
  async function busily<T>(work: () => Promise<T>): Promise<T> {
    let over = false
    const person = async () => {
      while (!over) {
        const { id, number, title } = await open(0, `Replace switch ${++made}`)
        books[0]!.tickets.push({ id, number, title })
        changed(0, 'ticket.created', id)
      }
    }
    const people = person()
    try {
      return await work()
    } finally {
      over = true
      await people
    }
  }

  // ---- orders

  async function rotateKey({ purpose, project, hours }: Extract<Order, { do: 'rotateKey' }>): Promise<void> {
    const isLog = purpose === 'log' || purpose === 'instance log'
    const where = purpose === 'log' ? { project: PROJECTS[project] } : {}
    const info =
      purpose === 'log'
        ? ok(await admin.get<LogInfo>('/audit/log', inside(project)))
        : isLog
          ? ok(await admin.get<Keys>('/keys')).logs.find((log) => log.project === null && !log.closed)
          : undefined
    const answer = await admin.post('/keys/rotate', {
      purpose: isLog ? 'log' : purpose,
      ...where,
      ...(isLog ? { overlap_hours: hours } : {}),
    })
    if (info && answer.status >= 300) {
      refused(answer, 'KEY_ROTATION_UNDERWAY')
      assert.ok((overlaps.get(info.origin) ?? 0) > system.now(), 'an overlap lasts')
      return
    }
    ok(answer)
    // One that was over stays over, whatever the clock is set to.
    assert.ok(info === undefined || wasSet || (overlaps.get(info.origin) ?? 0) <= system.now(), 'no overlap lasts')
    if (info) overlaps.set(info.origin, system.now() + hours * 3_600_000)
    await system.settle()
    await tellWitness()
  }

  async function rotateLog(project: number): Promise<void> {
    type Rotated = Record<'closed' | 'opened', { shard: number; origin: string; vkey: string }>
    const done = ok(await admin.post<Rotated>('/audit/logs/rotate', { reason: 'end of the year' }, inside(project)))
    assert.equal(done.opened.shard, done.closed.shard + 1)
    assert.notEqual(done.opened.vkey, '')
  }

  async function drop(project: number): Promise<void> {
    const book = books[project]!
    const logs = ok(
      await admin.get<{ shard: number; closed_at: string | null; dropped_at: string | null }[]>(
        '/audit/logs?limit=1000',
        inside(project),
      ),
    )
    assert.deepEqual(
      logs
        .filter(({ dropped_at }) => dropped_at !== null)
        .map(({ shard }) => shard)
        .sort(),
      [...book.dropped].sort(),
    )
    const oldest = logs.filter(({ dropped_at }) => dropped_at === null).sort((a, b) => a.shard - b.shard)[0]!
    const ask = (who: Person) =>
      who.post<{ state: string }>(`/audit/logs/${oldest.shard}/drop`, { reason: 'kept long enough' }, inside(project))
    if (oldest.closed_at === null) return refused(await ask(admin), 'LOG_NOT_DROPPABLE')
    const held = book.holds.some(({ released }) => !released)
    if (held) return refused(await ask(admin), 'LEGAL_HOLD')
    assert.equal(ok(await ask(admin)).state, 'requested')
    assert.equal(ok(await ask(ann)).state, 'dropped')
    book.dropped.add(oldest.shard)
    // Nothing is left that would show whoever verified it last what continues it.
    if (project === 0 && oldest.shard === auditorShard) auditorTrusts = false
    await system.settle()
    await until('the files follow', async () => {
      await system.settle()
      const { project: name } = [...shardOf.values()].find(
        (one) => one.shard === String(oldest.shard) && one.project === projectIds[project],
      )!
      return !(await readdir(path.join(dataDir, 'log', name, String(oldest.shard)))).includes('tile')
    })
  }

  const projectIds: string[] = []

  async function erasePayload(project: number, which: number): Promise<void> {
    const book = books[project]!
    const ticket = at(book.tickets, which)
    const entry =
      ticket && book.entries.find(({ type, resource }) => type === 'ticket.created' && resource === ticket.id)
    if (!entry) return
    const ground = `request ${++made}`
    const answer = await admin.post<{ erased_by_id: string }>(
      `/payloads/${entry.id}/erase`,
      { ground },
      inside(project),
    )
    if (book.dropped.has(entry.shard)) return refused(answer, 'EVENT_NOT_FOUND')
    if (book.erasures.has(entry.id)) return refused(answer, 'PAYLOAD_ERASED')
    if (heldBy(book, ticket.id)) return refused(answer, 'LEGAL_HOLD')
    book.erasures.set(entry.id, { by: ok(answer).erased_by_id, ground })
    changed(project, 'payload.erased', entry.id)
  }

  async function endFile(project: number, which: number, how: 'erased' | 'deleted'): Promise<void> {
    const book = books[project]!
    const file = at(book.artifacts, which)
    if (!file) return
    const sent = inside(project)
    const answer =
      how === 'erased'
        ? await admin.post(`/artifacts/${file.id}/erase`, { ground: 'asked for' }, sent)
        : await admin.delete(`/artifacts/${file.id}`, sent)
    if (answer.status < 300) {
      assert.equal(heldBy(book, file.ticket), undefined, 'nothing that is held goes')
      assert.ok(file.state !== 'erased')
      file.state = how
      return
    }
    const { code } = answer.body as unknown as { code: string }
    if (heldBy(book, file.ticket) && file.state === 'there') assert.equal(code, 'LEGAL_HOLD')
    else assert.ok(file.state !== 'there' || how === 'deleted', `${how}: ${code}`)
  }

  async function leaver(): Promise<void> {
    const who = await system.hire(`leaver-${++leavers}`, 'admin')
    const ticket = ok(await who.post<Ticket>('/tickets', { title: `Replace switch ${++made}` }))
    books[0]!.tickets.push({ id: ticket.id, number: ticket.number, title: ticket.title })
    await system.settle()
    ok(await who.post('/audit/logs/rotate', { reason: 'end of the year' }))
    await read()
    ok(await admin.patch(`/users/${who.id}`, { is_active: false }))
    ok(await admin.post(`/users/${who.id}/erase`, { ground: 'GDPR Art. 17' }))
    await system.settle()
    // What went is told of, one by one.
    for (const [project, book] of books.entries())
      for (const event of await eventsOf(project)) {
        if (event.event_type !== 'payload.erased' || event.resource_id === null) continue
        const { ground } = event.details as { ground: string }
        if (!book.erasures.has(event.resource_id)) {
          assert.equal(ground, 'GDPR Art. 17')
          book.erasures.set(event.resource_id, { by: event.id, ground })
        }
      }
  }

  async function exportOne(project: number, which: number, whole: boolean): Promise<void> {
    const ticket = at(books[project]!.tickets, which)
    if (!ticket) return
    const file = path.join(folder, `bundle-${bundles.length}.zip`)
    const token = await admin.token()
    const answer = await fetch(`${system.base}/api/v1/evidence/export`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...inside(project).headers },
      body: JSON.stringify({ subject: 'ticket', id: ticket.number, ...(whole ? { whole_log: true } : {}) }),
    })
    const lost = books[project]!.artifacts.some((one) => one.ticket === ticket.id && one.state === 'lost')
    if (lost) return
    assert.equal(answer.status, 200, answer.status === 200 ? '' : await answer.text())
    await writeFile(file, Buffer.from(await answer.arrayBuffer()))
    const report = await verifyZipFile(file)
    assert.ok(report.ok, `the bundle of ticket ${ticket.number}: ${JSON.stringify(report.fault)}`)
    bundles.push(file)
  }

  async function makeBackup(busy: boolean): Promise<void> {
    await read()
    const to = path.join(folder, `backup-${backups.length}`)
    const books_ = books.map(copyOf)
    const go = () => backup({ ...place(), to })
    if (busy) await busily(go)
    else await go()
    backups.push({ folder: to, books: books_, busy })
  }

  /** What is known from now on: what the backup has, and of what people did meanwhile whatever it caught. */
  async function goBackTo({ books: old, busy }: Backup): Promise<void> {
    const later = books
    books = old.map(copyOf)
    changes = PROJECTS.map(() => [])
    system.advance(0)
    await system.settle()
    for (const [project, book] of books.entries()) {
      const shown = await eventsOf(project)
      const before = new Map(later[project]!.entries.map((entry) => [entry.id, entry]))
      const has = new Set(shown.map(({ id }) => id))
      // Tickets of which the backup tells by the way.
      if (busy)
        for (const ticket of later[project]!.tickets)
          if (
            !book.tickets.some(({ id }) => id === ticket.id) &&
            shown.some((one) => one.event_type === 'ticket.created' && one.resource_id === ticket.id)
          )
            book.tickets.push(ticket)
      for (const entry of book.entries)
        assert.ok(has.has(entry.id) || book.dropped.has(entry.shard), `${entry.type} was there before the backup`)
      const known = new Set(book.entries.map(({ id }) => id))
      const more = shown.filter(({ id }) => before.has(id) && !known.has(id))
      if (!busy)
        assert.deepEqual(
          more.filter(({ event_type }) => !event_type.startsWith('audit.')).map(({ event_type }) => event_type),
          [],
          'what came after the backup is not there',
        )
      const [continued] = shown.filter(({ event_type }) => event_type === 'log.continued')
      assert.ok(continued)
    }
    forgetNewer()
    auditorTrusts = false
    await tellWitness()
  }

  /** Of logs that were closed by a restore the world may have seen more than is here: whoever has, has been told. */
  function forgetNewer(): void {
    seen.clear()
    shardOf.clear()
  }

  async function restoreInto(which: number): Promise<void> {
    const chosen = at(backups, which)
    if (!chosen) return
    await system.settle()
    await monitor()
    await system.stop()
    const old = dataDir
    dataDir = path.join(folder, `data-${++made}`)
    database = { ...(await on.newDatabase(false)) }
    const restored = await restore({ ...place(), from: chosen.folder, reason: 'the disk failed', operator: 'olga' })
    assert.deepEqual(restored.notes, [])
    assert.equal(restored.continued.length, 3)
    await start()
    await goBackTo(chosen)
    await rm(old, { recursive: true })
  }

  async function restoreOver(which: number): Promise<void> {
    const chosen = at(backups, which)
    if (!chosen) return
    await assert.rejects(restore({ ...place(), from: chosen.folder }), /is not empty|server uses/)
    await system.stop()
    await assert.rejects(restore({ ...place(), from: chosen.folder }), /is not empty/)
    await start()
  }

  async function olderDatabase(which: number): Promise<void> {
    const chosen = at(backups, which)
    if (!chosen) return
    await system.settle()
    await system.stop()
    if (database.DATABASE_URL === undefined) {
      for (const end of ['-wal', '-shm']) await rm(path.join(dataDir, `writ.db${end}`), { force: true })
      await cp(path.join(chosen.folder, 'database', 'writ.db'), path.join(dataDir, 'writ.db'))
    } else {
      database = { ...(await on.newDatabase(false)) }
      const dump = path.join(chosen.folder, 'database', 'postgres.dump')
      await prepareRestorePostgres(database.WRIT_MIGRATION_URL!, dump)
      await restorePostgres(database.WRIT_MIGRATION_URL!, dump)
    }
    // Reading the book was an event: each log went on after the backup.
    await assert.rejects(start(), /an older database was put in place/)
    await assert.rejects(restore(place()), /--accept-loss/)
    const restored = await restore({ ...place(), acceptLoss: true, reason: 'wrong volume', operator: 'olga' })
    for (const { lost_entries } of restored.continued) assert.ok(lost_entries > 0)
    const now = books
    await start()
    await goBackTo(chosen)
    // Bytes that went since are gone, whatever the older database says.
    for (const [project, book] of books.entries())
      for (const file of book.artifacts) {
        const later = now[project]!.artifacts.find(({ id }) => id === file.id)
        if (file.state === 'there' && (later?.state === 'erased' || later?.state === 'lost')) file.state = 'lost'
      }
    const lost = books.flatMap(({ artifacts }) => artifacts).filter(({ state }) => state === 'lost').length
    assert.equal(restored.notes.length, lost > 0 ? 1 : 0, restored.notes.join())
  }

  const start = () => system.restart({ env: { ...database, WRIT_DATA_DIR: dataDir } })

  async function crash(project: number, after: number): Promise<void> {
    await system.settle()
    await system.stop()
    wasSet = true
    await system.restart({ process: true, fakeClock: false, env: { ...database, WRIT_DATA_DIR: dataDir } })
    system.advance(0)
    let answered = 0
    const people = Array.from({ length: 4 }, async () => {
      for (;;) {
        const answer = await admin
          .post<Ticket>('/tickets', { title: `Replace switch ${++made}` }, inside(project))
          .catch(() => null)
        if (!answer) return
        const { id, number, title } = ok(answer)
        books[project]!.tickets.push({ id, number, title })
        changes[project]!.push({ type: 'ticket.created', resource: id })
        answered++
      }
    })
    await until('people were answered', async () => answered >= after)
    await system.kill9()
    await Promise.all(people)
    await system.restart({ process: false, fakeClock: true })
    system.advance(0)
    // Of several at once the answers come in any order.
    const told = new Map((await placed(project)).map((event, i) => [event.resource_id, i]))
    changes[project]!.sort((a, b) => (told.get(a.resource) ?? 0) - (told.get(b.resource) ?? 0))
  }

  async function placed(project: number): Promise<AuditEvent[]> {
    await system.settle()
    return (await eventsOf(project))
      .filter((event) => event.log_index !== null && event.event_type === 'ticket.created')
      .sort((a, b) => a.shard! - b.shard! || a.log_index! - b.log_index!)
  }

  async function setWitness(up: boolean): Promise<void> {
    if (up) {
      await openDoor()
      await until('the witness is well', async () => {
        system.advance(301_000)
        await open(0, 'for the witness')
        await system.settle()
        return (await trouble('witness')) === undefined && (await anchored())
      })
      return
    }
    await closeDoor()
    await until('the witness is missed', async () => {
      system.advance(301_000)
      await open(0, 'for the witness')
      await system.settle()
      return (await trouble('witness'))?.includes('away') ?? false
    })
  }

  /** Whether witnesses stand for the logs of all projects that are open. */
  async function anchored(): Promise<boolean> {
    for (const where of [inside(0), inside(1)])
      if (ok(await admin.get<LogInfo>('/audit/log', where)).anchored === null) return false
    return true
  }

  async function auditor(): Promise<void> {
    await mkdir(home, { recursive: true })
    await system.settle()
    const first = await writ(system, home, 'audit', 'verify', '-o', 'json')
    if (auditorTrusts || !auditorBegan) assert.equal(first.code, 0, first.err)
    else {
      // Whoever kept something of the log before is told, and not led on.
      assert.equal(first.code, 5, first.out)
      assert.match(first.err, /--trust-new-log/)
      const again = await writ(system, home, 'audit', 'verify', '-o', 'json', '--trust-new-log')
      assert.equal(again.code, 0, again.err)
    }
    auditorTrusts = true
    auditorBegan = true
    auditorShard = ok(await admin.get<LogInfo>('/audit/log', inside(0))).shard
  }

  async function selfCheck(full: boolean, where: { headers: Record<string, string> }): Promise<SelfCheckReport> {
    return ok(await admin.post<SelfCheckReport>('/audit/self-check', { full }, where))
  }

  async function tamper({ project, what, restart: again }: Extract<Order, { do: 'tamper' }>): Promise<void> {
    const sent = inside(project)
    for (const full of [false, true]) assert.deepEqual([(await selfCheck(full, sent)).reason], [null])
    const book = books[project]!
    const entry = book.entries
      .filter((one) => one.type === 'ticket.created' && !book.erasures.has(one.id) && !book.dropped.has(one.shard))
      [what === 'old row' ? 'at' : 'slice'](...((what === 'old row' ? [0] : [-1]) as [number]))
    const target = Array.isArray(entry) ? entry[0] : entry
    if (!target) return
    const days = path.join(dataDir, 'audit', ...(project === 0 ? [] : [PROJECTS[project]!]))
    let undo: () => Promise<unknown>
    if (what === 'day file') {
      const [name] = (await readdir(days)).filter((one) => /^audit_\d.*\.jsonl$/.test(one)).sort()
      const file = path.join(days, name!)
      const bytes = await readFile(file)
      await writeFile(file, bytes.subarray(0, bytes.length - 5))
      undo = async () => writeFile(file, Buffer.concat([bytes, (await readFile(file)).subarray(bytes.length - 5)]))
    } else {
      await execute(`update audit_events set actor_username = 'mallory' where id = '${target.id}'`)
      undo = () => execute(`update audit_events set actor_username = 'admin' where id = '${target.id}'`)
    }
    const found = await selfCheck(true, sent)
    assert.equal(found.code, what === 'day file' ? 'DAY_FILE_CHANGED' : 'ROW_CHANGED')
    const alarm = () => trouble(`self_check ${PROJECTS[project]}`)
    assert.ok(await alarm(), 'the alarm is there')
    assert.equal((await selfCheck(false, sent)).ok, false, 'what is wrong is not right because nobody looks')
    assert.ok(await alarm(), 'the alarm stays')
    if (again && what !== 'day file') {
      await system.stop()
      await system.restart({ env: { WRIT_SELF_CHECK_MINUTES: '600' } })
      system.advance(0)
      await until('the alarm is there after a restart', async () => (await alarm()) !== undefined)
    }
    await undo()
    assert.deepEqual([(await selfCheck(false, sent)).reason], [null])
    assert.equal(await alarm(), undefined, 'the alarm is gone')
    await system.restart({ env: { WRIT_SELF_CHECK_MINUTES: '0' } })
  }

  async function execute(sql: string): Promise<void> {
    if (database.WRIT_MIGRATION_URL === undefined) {
      const db = new DatabaseSync(path.join(dataDir, 'writ.db'))
      try {
        return db.exec(sql)
      } finally {
        db.close()
      }
    }
    const client = new pg.Client({ connectionString: database.WRIT_MIGRATION_URL })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }

  async function carryOut(order: Order): Promise<void> {
    switch (order.do) {
      case 'work':
        await work(order.project, order.tickets, order.proofs)
        break
      case 'rotateKey':
        await rotateKey(order)
        break
      case 'rotateLog':
        await rotateLog(order.project)
        break
      case 'drop':
        await drop(order.project)
        break
      case 'erasePayload':
        await erasePayload(order.project, order.which)
        break
      case 'eraseFile':
        await endFile(order.project, order.which, 'erased')
        break
      case 'deleteFile':
        await endFile(order.project, order.which, 'deleted')
        break
      case 'hold': {
        const book = books[order.project]!
        const ticket = order.ticket === null ? null : at(book.tickets, order.ticket)
        if (ticket === undefined) return
        const body = ticket ? { subject_type: 'ticket', subject_id: ticket.id } : { subject_type: 'project' }
        const { id } = ok(await admin.post<Hold>('/holds', { ...body, reason: 'case 17' }, inside(order.project)))
        book.holds.push({ id, ticket: ticket?.id ?? null, released: false })
        changed(order.project, 'hold.set', id)
        break
      }
      case 'release': {
        const hold = at(books[order.project]!.holds, order.which)
        if (!hold) return
        const answer = await admin.post(`/holds/${hold.id}/release`, { reason: 'closed' }, inside(order.project))
        if (hold.released) return refused(answer, 'HOLD_RELEASED')
        ok(answer)
        hold.released = true
        changed(order.project, 'hold.released', hold.id)
        break
      }
      case 'leaver':
        await leaver()
        break
      case 'export':
        await exportOne(order.project, order.which, order.whole)
        break
      case 'backup':
        await makeBackup(order.busy)
        break
      case 'restore':
        await restoreInto(order.which)
        break
      case 'restoreOver':
        await restoreOver(order.which)
        break
      case 'olderDatabase':
        await olderDatabase(order.which)
        break
      case 'move': {
        await system.stop()
        const to = path.join(folder, `data-${++made}`)
        await rename(dataDir, to)
        dataDir = to
        await start()
        break
      }
      case 'restart':
        await system.stop()
        await start()
        break
      case 'loseDayFiles':
        await system.stop()
        await rm(path.join(dataDir, 'audit'), { recursive: true })
        await start()
        break
      case 'crash':
        await crash(order.project, order.after)
        break
      case 'advance':
        system.advance(order.ms)
        break
      case 'setClock':
        system.setClock(order.ms)
        wasSet ||= order.ms < 0
        break
      case 'witness':
        await setWitness(order.up)
        break
      case 'auditor':
        await auditor()
        break
      case 'selfCheck':
        for (const where of [inside(0), inside(1)]) assert.deepEqual([(await selfCheck(false, where)).reason], [null])
        break
      case 'tamper':
        await read()
        await tamper(order)
        break
    }
    if (QUIET.has(order.do)) await read()
    else await look()
  }

  async function compareFiles(): Promise<void> {
    for (const [project, book] of books.entries())
      for (const file of book.artifacts) {
        const answer = await admin.download(`/artifacts/${file.id}/download`, inside(project))
        const said =
          answer.status === 200 ? answer.body.toString() : (JSON.parse(answer.body.toString()) as { code: string }).code
        const expected: Record<Artifact['state'], string> = {
          there: file.text,
          erased: 'ARTIFACT_ERASED',
          deleted: 'ARTIFACT_DELETED',
          lost: 'STORAGE_UNAVAILABLE',
        }
        assert.equal(said, expected[file.state])
      }
    for (const [project, book] of books.entries())
      for (const { number, title } of book.tickets)
        assert.equal(ok(await admin.get<Ticket>(`/tickets/${number}`, inside(project))).title, title)
  }

  return {
    async begin() {
      await openDoor()
      const projects = ok(await admin.get<Project[]>('/projects'))
      for (const slug of PROJECTS) projectIds.push(projects.find((one) => one.slug === slug)!.id)
      await tellWitness()
      await look()
    },
    carryOut,
    log: system.log,
    async finish(independent?: Independent) {
      await look()
      await compareFiles()
      await auditor()
      for (const where of [inside(0), inside(1)]) assert.deepEqual([(await selfCheck(true, where)).reason], [null])
      await monitor()
      const { logs } = ok(await admin.get<Keys>('/keys'))
      await system.stop()
      await offline()
      for (const file of bundles) {
        const { ok: good, fault } = await verifyZipFile(file)
        assert.ok(good, JSON.stringify(fault))
      }
      for (const file of bundles.slice(-2)) {
        const to = path.join(folder, 'unpacked')
        await unpack(file, to)
        const said = await verifySh(to)
        assert.equal(said.code, 0, said.out + said.err)
      }
      if (independent) await askOthers(independent, new Map(logs.map((log) => [log.origin, log.vkeys])))
    },
    async close() {
      await closeDoor()
    },
  }

  async function askOthers(independent: Independent, vkeys: ReadonlyMap<string, readonly string[]>): Promise<void> {
    for (const [origin, notes] of seen) {
      const { project, shard } = shardOf.get(origin)!
      const log = path.join(dataDir, 'log', project, shard)
      if (!(await readdir(log)).includes('tile')) continue
      const earlier = path.join(folder, 'earlier')
      await rm(earlier, { recursive: true, force: true })
      await mkdir(earlier)
      // It knows one key, and no rotation.
      const vkey = vkeys.get(origin)?.at(-1)
      // Of a log that an older database knows nothing of only the files are left.
      if (vkey === undefined) continue
      const { keyId } = parseVkey(vkey, sha256)
      for (const [i, { note }] of notes.entries())
        if (parseNote(note).signatures.some((line) => line.keyId === keyId))
          await writeFile(path.join(earlier, String(i).padStart(6, '0')), note)
      const said = await independent.verify(log, vkey, earlier)
      assert.ok(said.ok, `${origin}: ${said.said}`)
    }
  }
}
