import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { newOrigin, SYSTEM } from '../audit/index.ts'
import { INSTANCE, inProject } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { bootstrap } from './bootstrap.ts'
import { createProject, loadLogOrigin } from './projects.ts'
import { ADMIN, startTestApp } from './test-app.ts'

test('a first start makes the administrator, the project and both logs; a second one nothing', async () => {
  const app = await startTestApp()
  assert.deepEqual(app.started, { created: { username: 'admin' } })
  assert.deepEqual(
    (await app.events()).map((event) => event.event_type),
    ['log.opened', 'project.created', 'user.created'],
  )
  assert.match((await loadLogOrigin(app.db, INSTANCE)) ?? '', /^writ\.log\//)
  assert.equal(await bootstrap(app.identity), null)
  assert.equal((await app.events()).length, 3)
  await app.stop()
})

test('without a given password a one-time one is answered, which must be changed', async () => {
  const app = await startTestApp({ settings: { adminPassword: undefined } })
  const password = app.started?.created.password ?? ''
  const token = await app.login('admin', password)
  assert.equal((await app.call('GET', '/members', { token })).body.code, 'PASSWORD_CHANGE_REQUIRED')
  await app.stop()
})

test('two servers that start at once make one administrator', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'writ-bootstrap-'))
  const app = await startTestApp({ database: { url: `sqlite:${join(dir, 'writ.db')}` } })
  await inProject(INSTANCE, () =>
    app.db.write(async (tx) => {
      await tx.db.deleteFrom('memberships').execute()
      await tx.db.deleteFrom('users').execute()
    }),
  )
  const made = await Promise.all([bootstrap(app.identity), bootstrap(app.identity)])
  assert.deepEqual(made.filter((one) => one !== null).length, 1)
  await app.login(ADMIN.username, ADMIN.password)
  await app.stop()
  await rm(dir, { recursive: true })
})

test('a project whose creation was interrupted gets the log that was promised', async () => {
  const app = await startTestApp()
  const now = app.clock.now()
  const id = uuidv7(now)
  const origin = newOrigin()
  const project = { id, slug: 'half', name: 'Half', created_by_id: null }
  await inProject(INSTANCE, () => app.db.write((tx) => createProject(tx, now, SYSTEM, project, origin)))
  assert.equal(await loadLogOrigin(app.db, id), undefined)
  app.identity.log.level = 'silent'
  await bootstrap(app.identity)
  assert.equal(await loadLogOrigin(app.db, id), origin)
  await app.stop()
})

test('a project whose creation was interrupted gets a log, and the server starts, where whoever made it was erased since', async () => {
  const app = await startTestApp()
  const now = app.clock.now()
  const id = uuidv7(now)
  const project = { id, slug: 'half', name: 'Half', created_by_id: null }
  await inProject(INSTANCE, () =>
    app.db.write(async (tx) => {
      await createProject(tx, now, SYSTEM, project, newOrigin())
      await tx.sql(`update audit_events set event = '' where resource_id = ?1`, [id])
    }),
  )
  app.identity.log.level = 'silent'
  await bootstrap(app.identity)
  assert.match((await loadLogOrigin(app.db, id)) ?? '', /^writ\.log\//)
  await app.stop()
})

test('with EdDSA the key is made at first use, and logins work', async () => {
  const app = await startTestApp({ settings: { algorithm: 'EdDSA', secretKey: undefined } })
  const token = await app.login(ADMIN.username, ADMIN.password)
  assert.equal(Buffer.from(token.split('.')[0]!, 'base64url').toString(), '{"alg":"EdDSA","typ":"at+jwt"}')
  assert.equal((await app.call('GET', '/auth/me', { token })).status, 200)
  await app.stop()
})
