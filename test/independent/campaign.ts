/**
 * Writers that commit events to a real PostgreSQL, and sequencers beside them as processes that may die at any moment. What
 * each writer was told is remembered and compared, at the end, with the log's files byte for byte.
 */
import assert from 'node:assert/strict'

import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { decodeBundle, tilePath } from '@writ/tlog'
import { Client } from 'pg'
import { type AuditFolders, append, logFolder, SYSTEM } from '../../packages/server/src/audit/index.ts'
import { systemClock } from '../../packages/server/src/platform/clock.ts'
import {
  type Database,
  DatabaseUnavailable,
  inProject,
  openDatabase,
} from '../../packages/server/src/platform/db/index.ts'
import { uuidv7 } from '../../packages/server/src/platform/ids.ts'
import { type Guarded, startGuarded } from '../servers/guard.ts'
import { type Postgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit } from '../servers/writ.ts'

const RETRY_MS = 20
/** Commits that writers go on with after the ones that somebody waits for, so that what happens next happens under load. */
const AHEAD = 60

export const foldersOf = (data: string): AuditFolders => ({
  log: path.join(data, 'log'),
  keys: path.join(data, 'keys'),
  signer: path.join(data, 'signer'),
  days: path.join(data, 'audit'),
})

/** Keeps every checkpoint that a reader of the log meets, by its order; `end` says how many, and whether one was smaller than the one before. */
export function watchCheckpoints(
  log: string,
  into: string,
): { end(): Promise<{ seen: number; wrong: string | null }>; abandon(): Promise<void> } {
  const watcher = new Worker(new URL('./watch-checkpoint.ts', import.meta.url), { workerData: { log, into } })
  watcher.unref()
  return {
    async end() {
      watcher.postMessage('stop')
      const [report] = (await once(watcher, 'message')) as [{ seen: number; wrong: string | null }]
      return report
    },
    async abandon() {
      if (watcher.threadId > 0) await watcher.terminate()
    },
  }
}

export interface Campaign extends AsyncDisposable {
  readonly folder: string
  readonly postgres: Postgres
  readonly db: Database
  /** Folder and verifier key of the log that is written. */
  readonly log: string
  readonly vkey: string
  readonly checkpoints: string
  /** Starts a sequencer process; resolves when it leads, or at once with `lead: false`. */
  sequencer(on?: { lead: boolean }): Promise<Guarded>
  /** Resolves after that many more commits were answered. */
  answered(count: number): Promise<void>
  /** One statement as the superuser. */
  sql<Row = Record<string, unknown>>(text: string): Promise<Row[]>
  /** Stops the writers, waits until everything is published, and compares all that was said with all that is there. */
  settle(): Promise<{ entries: number; checkpoints: number; rolledBack: number }>
}

export async function openCampaign({ writers }: { writers: number }): Promise<Campaign> {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-campaign-'))
  const postgres = await startPostgres({ fsync: true })
  const processes = new Set<Guarded>()
  const undo: (() => Promise<unknown>)[] = [() => postgres.stop(), () => rm(folder, { recursive: true, force: true })]
  const dispose = async () => {
    for (const one of processes) await one.kill9()
    for (const step of undo) await step()
  }
  try {
    // The first start of a real server makes project, log and keys.
    const writ = await prepareWrit({ folder, databaseUrl: postgres.url })
    await writ.start()
    await writ.stop()
    const db = await openDatabase({ url: postgres.url }, systemClock)
    const [project] = await db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
    const id = project!.id
    const [first] = await sql<{ vkey: string }>(`select vkey from logs where project_id = '${id}'`)
    const log = logFolder(foldersOf(writ.dataDir), id, 0)
    const checkpoints = path.join(folder, 'checkpoints')
    mkdirSync(checkpoints)
    const watcher = watchCheckpoints(log, checkpoints)

    const committed = new Map<string, string[]>()
    const inDoubt = new Set<string>()
    const rolledBack = new Set<string>()
    let answers = 0
    let allowed = 0
    let resume = Promise.withResolvers<void>()
    let waiting: { at: number; resolve(): void }[] = []
    let ending = false

    class Undone extends Error {}

    async function write(name: number): Promise<void> {
      const mine: string[] = []
      committed.set(String(name), mine)
      for (let n = 0; ; n++) {
        while (answers >= allowed && !ending) await resume.promise
        if (ending) return
        const mark = `${name}/${n}`
        const undone = n % 6 === 5
        try {
          await inProject(id, () =>
            db.write(async (tx) => {
              await append(tx, systemClock.now(), SYSTEM, {
                type: 'ticket.commented',
                resource: { type: 'ticket', id: uuidv7(systemClock.now()) },
                action: mark,
              })
              if (undone) throw new Undone()
            }),
          )
          mine.push(mark)
          answers++
          for (const one of waiting) if (one.at <= answers) one.resolve()
          waiting = waiting.filter((one) => one.at > answers)
        } catch (error) {
          if (error instanceof Undone) rolledBack.add(mark)
          else if (error instanceof DatabaseUnavailable) {
            // Nobody was told: the commit may have happened before the server died.
            if (!undone) inDoubt.add(mark)
            await pause(RETRY_MS)
          } else throw error
        }
      }
    }
    const working = Promise.all(Array.from({ length: writers }, (_, name) => write(name)))
    working.catch(() => {})
    function end() {
      ending = true
      resume.resolve()
    }
    undo.unshift(async () => {
      end()
      await working.catch(() => {})
      await db.close()
      await watcher.abandon()
    })

    async function sql<Row>(text: string): Promise<Row[]> {
      const client = new Client({ connectionString: postgres.url })
      await client.connect()
      try {
        return (await client.query(text)).rows as Row[]
      } finally {
        await client.end()
      }
    }
    const publishedSize = async () =>
      Number((await readFile(path.join(log, 'checkpoint'), 'utf8').catch(() => '\n0')).split('\n')[1])

    const campaign: Campaign = {
      folder,
      postgres,
      db,
      log,
      vkey: first!.vkey,
      checkpoints,
      sql,
      async sequencer(on = { lead: true }) {
        const started = await startGuarded({
          command: process.execPath,
          args: [
            '--disable-warning=ExperimentalWarning',
            path.join(import.meta.dirname, 'sequencer-process.ts'),
            '--url',
            postgres.url,
            '--data',
            writ.dataDir,
          ],
          folder,
          // Started many times: what Node compiled of our sources is kept beside the test's other files.
          env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: path.join(folder, 'compiled') },
        })
        processes.add(started)
        if (on.lead) await started.saying('leading')
        return {
          ...started,
          async kill9() {
            processes.delete(started)
            await started.kill9()
          },
          async stop() {
            processes.delete(started)
            await started.stop()
          },
        }
      },
      answered(count) {
        const at = answers + count
        allowed = at + AHEAD
        resume.resolve()
        resume = Promise.withResolvers()
        return Promise.race([new Promise<void>((resolve) => waiting.push({ at, resolve })), working.then(() => {})])
      },
      async settle() {
        end()
        await working
        const [counted] = await sql<{ n: string }>(`select count(*) as n from audit_events where project_id = '${id}'`)
        const total = Number(counted!.n)
        while ((await publishedSize()) < total) await pause(5)
        const { seen, wrong } = await watcher.end()
        assert.equal(wrong, null)

        const rows = await sql<{ log_index: string; event: string; entry: Buffer }>(
          `select i.log_index, e.event, e.entry from audit_events e
           left join audit_places i on i.project_id = e.project_id and i.event_id = e.id
           where e.project_id = '${id}' order by i.log_index`,
        )
        const entries = await readEntries(log, total)
        assert.equal(entries.length, rows.length, 'as many entries as committed events')
        for (const [index, row] of rows.entries()) {
          assert.equal(Number(row.log_index), index, 'places are dense')
          assert.ok(row.entry.equals(entries[index]!), `entry ${index} is the committed one, byte for byte`)
        }

        const marks = rows
          .map((row) => JSON.parse(row.event) as { event_type: string; action: string })
          .filter((event) => event.event_type === 'ticket.commented')
          .map((event) => event.action)
        const logged = new Set(marks)
        assert.equal(logged.size, marks.length, 'none stands twice')
        for (const mark of rolledBack) assert.ok(!logged.has(mark), `${mark} was rolled back`)
        for (const [name, mine] of committed) {
          for (const mark of mine) assert.ok(logged.has(mark), `${mark} was answered`)
          const order = marks.filter((mark) => mark.startsWith(`${name}/`)).map((mark) => Number(mark.split('/')[1]))
          assert.deepEqual(
            order,
            order.toSorted((a, b) => a - b),
            `writer ${name}'s events stand in its order`,
          )
          for (const n of order) assert.ok(mine.includes(`${name}/${n}`) || inDoubt.has(`${name}/${n}`))
        }
        return { entries: total, checkpoints: seen, rolledBack: rolledBack.size }
      },
      [Symbol.asyncDispose]: dispose,
    }
    return campaign
  } catch (error) {
    await dispose()
    throw error
  }
}

async function readEntries(log: string, size: number): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for (let index = 0; index * 256 < size; index++) {
    const width = Math.min(256, size - index * 256)
    const path_ = tilePath({ level: 'entries', index, width })
    const bytes = await readFile(path.join(log, path_))
    all.push(...decodeBundle(bytes, width))
  }
  return all
}
