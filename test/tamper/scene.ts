/** A log with a history, made by a real server and then left alone, of which every tampering gets a copy of its own. */
import assert from 'node:assert/strict'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type OfflineReport, verifyOffline } from '@writ/server/ops'
import { prepareWrit, type Writ } from '../servers/writ.ts'

export const TICKETS = 600

/** Tickets of several people's worth of load, and one run with evidence; the server is stopped afterwards. */
export async function makeHistory(writ: Writ): Promise<void> {
  await writ.start()
  try {
    await writ.login()
    for (let from = 0; from < TICKETS; from += 100) {
      const made = await Promise.all(
        Array.from({ length: 100 }, (_, i) => writ.call('POST', '/tickets', { title: `Port ${from + i} | "quoted"` })),
      )
      assert.deepEqual([...new Set(made.map(({ status }) => status))], [200], JSON.stringify(made[0]!.body))
    }
    const run = await writ.call('POST', '/runs', { run_type: 'proof', ticket_id: 1, script_id: 'proof.file_hash' })
    assert.equal(run.status, 200, JSON.stringify(run.body))
    assert.equal((await writ.upload(Number(run.body.number), 'switch.cfg', 'hostname sw1\n')).status, 200)
    await writ.call('GET', `/runs/${run.body.id}/wait?timeout=20`)
  } finally {
    await writ.stop()
  }
}

export type Scene = {
  readonly folder: string
  /** A copy of the folder for one tampering; removed with the scene. */
  copy(): Promise<Copy>
  remove(): Promise<void>
}

export type Copy = {
  readonly dataDir: string
  readonly project: string
  /** Files of the project's log, by their path in it. */
  log(file: string): string
  day(kind: 'jsonl' | 'txt'): string
  execute(sql: string, ...params: (string | number | Uint8Array | null)[]): void
  query<Row>(sql: string, ...params: (string | number)[]): Row[]
  verify(on?: { keptDir?: string }): Promise<OfflineReport>
}

export async function makeScene(): Promise<Scene> {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-tamper-'))
  const writ = await prepareWrit({ folder })
  await makeHistory(writ)
  let copies = 0
  return {
    folder,
    remove: () => rm(folder, { recursive: true, force: true }),
    async copy() {
      const dataDir = path.join(folder, `copy-${++copies}`)
      await cp(writ.dataDir, dataDir, { recursive: true })
      return openCopy(dataDir, writ.env)
    },
  }
}

function openCopy(dataDir: string, env: Record<string, string>): Copy {
  const within = <T>(work: (database: DatabaseSync) => T): T => {
    const database = new DatabaseSync(path.join(dataDir, 'writ.db'))
    try {
      return work(database)
    } finally {
      database.close()
    }
  }
  const query = <Row>(sql: string, ...params: (string | number)[]) =>
    // The rows are what the statement of the caller selects.
    within((database) => database.prepare(sql).all(...params) as Row[])
  const [{ id: project }] = query<{ id: string }>(`select id from projects where slug = 'default'`) as [{ id: string }]
  const [{ day }] = query<{ day: string }>(
    `select strftime('%Y-%m-%d', timestamp / 1000, 'unixepoch') as day from audit_events where project_id = ? limit 1`,
    project,
  ) as [{ day: string }]
  return {
    dataDir,
    project,
    log: (file) => path.join(dataDir, 'log', project, '0', file),
    day: (kind) => path.join(dataDir, 'audit', kind === 'jsonl' ? `audit_${day}.jsonl` : `audit_readable_${day}.txt`),
    execute: (sql, ...params) => {
      within((database) => database.prepare(sql).run(...params))
    },
    query,
    verify: (on = {}) => verifyOffline({ dataDir, env, cwd: dataDir, patienceMs: 50, ...on }),
  }
}
