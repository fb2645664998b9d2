import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { startGuarded } from '../servers/guard.ts'
import { endLeases } from '../servers/statement.ts'
import { type TestSystem, until } from '../test-system.ts'
import { dispatcherOf } from './dispatch.ts'
import { loadHandlers } from './load-handlers.ts'

const KILLS = 6
const process_ = path.join(import.meta.dirname, 'load-process.ts')

for (const backend of backends()) {
  test(`a server killed ${KILLS} times under a load of tasks settles each accepted one once (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ testHandlers: loadHandlers })
    const person = { ...pick(system), role: 'ops' as const }
    await system.stop()
    const file = path.join(system.folder, 'accepted')
    const accepted = () => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [])
    for (let kill = 0; kill < KILLS; kill++) {
      const before = accepted().length
      const server = await startGuarded({
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', process_],
        folder: system.folder,
        env: { ...environment(system), ACCEPTED: file, PERSON: JSON.stringify(person) },
      })
      try {
        await server.saying('loading')
        // How much was accepted before a kill differs, and so does where the kill falls.
        await until('tasks are accepted', async () => accepted().length > before + 40 * ((kill % 3) * 5 + 1))
      } finally {
        await server.kill9()
      }
    }
    // The next server would wait for the leases of the dead; on SQLite it knows that they are.
    if (system.databaseUrl) await endLeases(system.databaseUrl)
    await system.restart()
    const by = await dispatcherOf(system.app, person)
    await until(
      'every task is settled',
      async () => (await by.read((tx) => tx.db.selectFrom('queue').select('run_id').limit(1).execute())).length === 0,
    )
    const rows = await by.read((tx) =>
      tx.db.selectFrom('runs').select(['id', 'state', 'error_code']).where('kind', '=', 'task').execute(),
    )
    const settled = new Map(rows.map((row) => [row.id, row]))
    const promised = accepted()
    assert.ok(promised.length > 500, `${promised.length} tasks were accepted`)
    assert.deepEqual(
      promised.filter((id) => settled.get(id)?.state !== 'completed').map((id) => settled.get(id) ?? id),
      [],
      'accepted and not completed',
    )
    assert.equal(new Set(promised).size, promised.length)
    await system.settle()
    await system.check()
  })
}

const pick = ({ admin }: TestSystem) => ({ id: admin.id, number: admin.number, username: admin.username })

const environment = (system: TestSystem) => ({
  PATH: process.env.PATH,
  HOST: '127.0.0.1',
  PORT: '0',
  WRIT_DATA_DIR: path.join(system.folder, 'data'),
  WRIT_CHECKPOINT_INTERVAL_MS: '20',
  WRIT_SELF_CHECK_MINUTES: '0',
  ...(system.databaseUrl ? { DATABASE_URL: system.databaseUrl } : {}),
})
