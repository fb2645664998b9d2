// A log that goes on after its database was restored from a backup: everything that verifies logs and bundles follows it, and says it where
// what was seen before is lost.
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { LogInfo } from '@writ/api'
import { backup, restore, verifyOffline } from '@writ/server/ops'
import { keepCheckpoint, loadKeptCheckpoint } from '../../packages/cli/src/kept-checkpoints.ts'
import { buildVerifier, type Independent, missingGo } from '../servers/go-verifier.ts'
import { addDatabase, addLogins } from '../servers/logins.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { missingPostgres, startPostgres } from '../servers/postgres.ts'
import { prepareWrit, type Writ } from '../servers/writ.ts'
import { until } from '../test-system.ts'
import { runWritCommand } from './command-line.ts'
import { unpack, verifySh, verifyZipFile } from './scene.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-restored-'))
after(() => rm(folder, { recursive: true, force: true }))
let servers = 0

const place = (writ: Writ) => ({ dataDir: writ.dataDir, env: writ.env, cwd: writ.dataDir })
const open = async (writ: Writ, title: string) => {
  assert.equal((await writ.call('POST', '/tickets', { title })).status, 200)
  await settled(writ)
}
const logOf = async (writ: Writ) =>
  (await writ.call('GET', '/audit/log')).body as unknown as LogInfo & { pending: number }
const settled = (writ: Writ) => until('every event is in the log', async () => (await logOf(writ)).pending === 0)

/** What everybody says of a server that runs: the command line with what it kept, the host, the bundle of ticket 1, and Go. */
async function allVerify(writ: Writ, home: string, go: Independent | null): Promise<void> {
  await settled(writ)
  const said = await runWritCommand(commandEnv(writ, home), 'audit', 'verify', '-o', 'json')
  assert.equal(said.code, 0, said.err)
  const answer = await fetch(`${writ.url}/api/v1/evidence/export`, {
    method: 'POST',
    headers: { ...writ.authorised(), 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'ticket', id: 1, whole_log: true }),
  })
  const zip = path.join(home, 'bundle.zip')
  await writeFile(zip, Buffer.from(await answer.arrayBuffer()))
  const report = await verifyZipFile(zip)
  assert.equal(report.fault, undefined, JSON.stringify(report.fault))
  const byCommand = await runWritCommand(commandEnv(writ, home), 'verify', zip)
  assert.equal(byCommand.code, 0, byCommand.err)
  await unpack(zip, path.join(home, 'bundle'))
  const script = await verifySh(path.join(home, 'bundle'))
  assert.equal(script.code, 0, script.err)
  const offline = await verifyOffline(place(writ))
  assert.deepEqual([offline.ok, offline.reason], [true, null])
  if (!go) return
  const logs = ((await writ.call('GET', '/keys')).body as unknown as { logs: { origin: string; vkeys: string[] }[] })
    .logs
  const below = path.join(writ.dataDir, 'log')
  let verified = 0
  for (const project of await readdir(below))
    for (const shard of (await readdir(path.join(below, project))).filter((name) => /^\d+$/.test(name))) {
      const at = path.join(below, project, shard)
      // One that was rotated into after the database was saved is not known to it; its files stay what they are.
      const checkpoint = await readFile(path.join(at, 'checkpoint'), 'utf8')
      if (!logs.some(({ origin }) => checkpoint.startsWith(`${origin}\n`))) continue
      const told: { ok: boolean; said: string }[] = await Promise.all(
        logs.map(({ vkeys }) => go.verify(at, vkeys.at(-1)!)),
      )
      assert.equal(told.filter((one) => one.ok).length, 1, `${at}: ${told.map((one) => one.said).join('; ')}`)
      verified++
    }
  assert.equal(verified, logs.length)
}

const commandEnv = (writ: Writ, home: string) => ({
  home,
  url: writ.url,
  token: writ.authorised().authorization.replace('Bearer ', ''),
})

/** What was kept of one server, as if the other stood at its address. */
async function moveKept(home: string, from: Writ, to: Writ): Promise<void> {
  const state = path.join(home, 'state', 'writ')
  const kept = await loadKeptCheckpoint(state, { url: from.url, project: 'default' })
  assert.ok(kept)
  await keepCheckpoint(state, { ...kept, url: to.url })
}

const backends = [
  ['SQLite', undefined],
  ['PostgreSQL', missingBackend('PostgreSQL', missingPostgres())],
] as const
for (const [backend, skip] of backends)
  test(`${backend}: a log that was restored, twice, is followed by every verifier`, {
    skip,
    timeout: 300_000,
  }, async () => {
    const undo: (() => Promise<unknown>)[] = []
    const prepare = async (): Promise<Writ> => {
      const own = await mkdtemp(path.join(folder, `server-${++servers}-`))
      if (backend === 'SQLite') return prepareWrit({ folder: own })
      const postgres = await startPostgres({ fresh: true })
      undo.push(() => postgres.stop())
      await addLogins(postgres.url)
      return prepareWrit({ folder: own, env: await addDatabase(postgres.url, 'writ') })
    }
    const start = async (writ: Writ) => {
      await writ.start()
      undo.push(() => writ.stop())
      await writ.login()
    }
    try {
      const go = missingGo() === undefined ? await buildVerifier(folder) : null
      const home = await mkdtemp(path.join(folder, 'home-'))
      const [first, second, third] = [await prepare(), await prepare(), await prepare()]
      await start(first)
      await open(first, 'one')
      // While a key of the log is being replaced, with both signing.
      const rotated = await first.call('POST', '/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 1 })
      assert.equal(rotated.status, 200)
      await until('both keys sign', async () => {
        const checkpoint = await readFile(path.join((await logOf(first)).folder, 'checkpoint'), 'utf8')
        return checkpoint.match(/^— /gm)!.length === 2
      })
      const saved = path.join(folder, `backup-${servers}`)
      await backup({ ...place(first), to: saved })
      await allVerify(first, home, go)
      // Published, kept by an auditor, and lost with the machine.
      await open(first, 'two')
      await allVerify(first, home, go)
      await first.stop()

      await restore({ ...place(second), from: saved, reason: 'the disk failed', operator: 'olga' })
      await start(second)
      await open(second, 'after')
      // Whoever had seen more is told so, and has to say that it was to be.
      await moveKept(home, first, second)
      const refused = await runWritCommand(commandEnv(second, home), 'audit', 'verify')
      assert.equal(refused.code, 5)
      assert.match(refused.err, /had \d+ before.*log\.continued.*--trust-new-log.*\[LOG_TRUNCATED\]/)
      const trusted = await runWritCommand(commandEnv(second, home), 'audit', 'verify', '--trust-new-log')
      assert.equal(trusted.code, 0, trusted.err)
      await allVerify(second, home, go)

      // Once more, of what was restored; in the middle of a rotation of the log itself.
      const rotating = second.call('POST', '/audit/logs/rotate', { reason: 'end of the year' })
      const again = `${saved}-again`
      await backup({ ...place(second), to: again })
      assert.equal((await rotating).status, 200)
      await allVerify(second, home, go)
      await second.stop()
      await restore({ ...place(third), from: again, reason: 'and again', operator: 'olga' })
      await start(third)
      await open(third, 'at last')
      await allVerify(third, await mkdtemp(path.join(folder, 'home-')), go)
    } finally {
      for (const step of undo.reverse()) await step().catch(() => {})
    }
  })
