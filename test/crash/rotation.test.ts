/** Rotations of logs and keys that are killed in the middle, and asked for again: each happens once, and everything still verifies. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { verifyOffline } from '@writ/server/ops'
import { parseCheckpoint, parseNote } from '@writ/tlog'
import { unpack, verifySh } from '../evidence/scene.ts'
import { buildVerifier, missingGo } from '../servers/go-verifier.ts'
import { removeFolder } from '../servers/guard.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { stateOnPostgres } from '../servers/statement.ts'
import { type Answer, prepareWrit, type Writ } from '../servers/writ.ts'
import { until } from '../test-system.ts'

/** Milliseconds from the request to the kill: before it is read, at each of its commits, behind them. */
const DELAYS = [4, 20, 60]
const ROTATIONS = [
  ['/audit/logs/rotate', { reason: 'end of the year' }],
  ['/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 0 }],
  ['/keys/rotate', { purpose: 'log', overlap_hours: 0 }],
  ['/keys/rotate', { purpose: 'attestation' }],
  ['/keys/rotate', { purpose: 'manifest' }],
] as const

type Log = { shard: number; origin: string; vkey: string; size: number; checkpoint: string; closed_at: string | null }
type Keys = { logs: { origin: string; vkeys: string[] }[]; signing: { purpose: string; keyid: string }[] }

for (const store of ['sqlite', 'postgres'] as const)
  test(`rotations that are killed happen once when they are asked for again, on ${store}`, {
    skip:
      missingBackend('Go', missingGo()) || (store === 'postgres' && missingBackend('PostgreSQL', missingPostgres())),
  }, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'writ-rotation-'))
    const undo: (() => unknown)[] = [() => removeFolder(folder)]
    try {
      const postgres = store === 'postgres' ? await startPostgres({ settings: { synchronous_commit: 'on' } }) : null
      if (postgres) undo.push(() => postgres.stop())
      const writ = await prepareWrit({ folder, ...(postgres && { databaseUrl: postgres.url }) })
      undo.push(() => writ.stop())
      await writ.start()
      await writ.login()
      await rotateThroughKills(writ, folder, async () => {
        // What a server leaves that was stopped behind the effect and before the answer was kept.
        if (postgres) return stateOnPostgres(postgres.url, ['delete from idempotency'])
        const database = new DatabaseSync(path.join(writ.dataDir, 'writ.db'))
        database.exec('delete from idempotency')
        database.close()
      })
    } finally {
      for (const step of undo.reverse()) await step()
    }
  })

const list = <T>({ status, body }: Answer): T => {
  assert.equal(status, 200, JSON.stringify(body))
  return (body.text === undefined ? body : JSON.parse(String(body.text))) as T
}
const logsOf = async (writ: Writ) => list<Log[]>(await writ.call('GET', '/audit/logs'))
const keysOf = async (writ: Writ) => list<Keys>(await writ.call('GET', '/keys'))
const countKeys = ({ logs, signing }: Keys) => logs.reduce((sum, log) => sum + log.vkeys.length, signing.length)

/** Until it is not refused for a moment, as a client does that was told to try again. */
async function ask(writ: Writ, route: string, body: object, key: string): Promise<Answer> {
  for (;;) {
    const answer = await writ.call('POST', route, body, { 'idempotency-key': key })
    if (answer.status !== 409 && answer.status !== 503) return answer
    await pause(50)
  }
}

async function rotateThroughKills(writ: Writ, folder: string, forget: () => Promise<void>): Promise<void> {
  const tickets: string[] = []
  const openTicket = async () => tickets.push(String((await writ.call('POST', '/tickets', { title: 'One' })).body.id))
  await openTicket()
  for (const [route, body] of ROTATIONS) {
    const isLog = route === '/audit/logs/rotate'
    // One is killed behind its effect for sure, by the answer itself; the others wherever they are.
    for (const delay of [null, ...DELAYS]) {
      await openTicket()
      await settled(writ)
      const before = { logs: (await logsOf(writ)).length, keys: countKeys(await keysOf(writ)) }
      const key = randomUUID()
      const asked = ask(writ, route, body, key).catch(() => null)
      const first = delay === null ? await asked : await pause(delay, null)
      await writ.kill9()
      if (delay === null) await forget()
      await writ.start()
      await writ.login()
      const again = await ask(writ, route, body, key)
      assert.ok(again.status < 300, JSON.stringify(again.body))
      const title = `${route} ${JSON.stringify(body)} after ${delay}`
      if (first && isLog) {
        const { closed, opened } = again.body as { closed: Log; opened: Log }
        const told = first.body as { closed: Log; opened: Log }
        assert.deepEqual([closed, opened.origin], [told.closed, told.opened.origin], title)
      } else if (first) assert.deepEqual(again.body, first.body, title)
      const other = await writ.call(
        'POST',
        route,
        { ...body, ...(isLog ? { reason: 'x' } : { overlap_hours: 1 }) },
        { 'idempotency-key': key },
      )
      assert.equal(other.body.code, 'IDEMPOTENCY_MISMATCH')
      // The key of a log stands in its row when the sequencer has opened it.
      await settled(writ)
      const logs = await logsOf(writ)
      assert.equal(logs.length, before.logs + (isLog ? 1 : 0), title)
      assert.deepEqual(
        logs.map((log) => log.closed_at === null),
        logs.map((_, i) => i === logs.length - 1),
        title,
      )
      // A closed log has one key more, the first of its successor.
      assert.equal(countKeys(await keysOf(writ)), before.keys + 1, title)
    }
  }
  await settled(writ)
  await verifyEverything(writ, folder, tickets)
}

const settled = (writ: Writ) =>
  until('the log has every event', async () => Number((await writ.call('GET', '/audit/log')).body.pending) === 0)

/** By the server, without it, by a program in Go for each log that there ever was, and a bundle by its script. */
async function verifyEverything(writ: Writ, folder: string, tickets: readonly string[]): Promise<void> {
  const { body: report } = await writ.call('POST', '/audit/verify', {})
  assert.deepEqual([report.ok, report.code, report.reason], [true, null, null])
  await settled(writ)
  const logs = await logsOf(writ)
  const stored = await writ.call('GET', '/tickets?limit=500')
  assert.deepEqual(
    list<{ id: string }[]>(stored)
      .map(({ id }) => id)
      .sort(),
    [...tickets].sort(),
  )
  const independent = await buildVerifier(folder)
  const [project] = list<{ id: string }[]>(await writ.call('GET', '/projects'))
  for (const log of logs) {
    const files = path.join(writ.dataDir, 'log', project!.id, String(log.shard))
    const { origin, size } = parseCheckpoint(parseNote(log.checkpoint).text)
    assert.deepEqual([origin, size], [log.origin, log.size])
    const { ok, said } = await independent.verify(files, log.vkey)
    assert.ok(ok, said)
  }
  const zip = path.join(folder, 'bundle.zip')
  const answer = await fetch(`${writ.url}/api/v1/evidence/export`, {
    method: 'POST',
    headers: { ...writ.authorised(), 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'ticket', id: 1 }),
  })
  assert.equal(answer.status, 200)
  await writeFile(zip, Buffer.from(await answer.arrayBuffer()))
  await unpack(zip, path.join(folder, 'bundle'))
  const { code, err } = await verifySh(path.join(folder, 'bundle'))
  assert.equal(code, 0, err)
  await writ.stop()
  const offline = await verifyOffline({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
  assert.deepEqual([offline.ok, offline.code, offline.reason], [true, null, null])
}
