import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Keys, LogInfo, Project } from '@writ/api'
import { parseCheckpoint, parseNote, verifyLog } from '@writ/tlog'
import { sha256, verifyEd25519 } from '../../packages/server/src/audit/index.ts'
import { backends } from '../backends.ts'
import type { TestSystem } from '../test-system.ts'
import { holds, ok } from '../verifies.ts'

const describe = async (sys: TestSystem) => ok(await sys.admin.get<LogInfo>('/audit/log'))
/** As a client of tlog-tiles asks: an address, and nothing else. */
const fetchFile = (sys: TestSystem, door: string, path: string, headers: Record<string, string> = {}) =>
  fetch(`${sys.base}${door}/${path}`, { headers })

holds(
  'the log of a project opens to the public by a change that is recorded, and then verifies from its address alone',
  async (sys) => {
    for (let i = 0; i < 3; i++) ok(await sys.admin.post('/tickets', { title: `Ticket ${i}` }))
    await sys.settle()
    const { door, vkey } = await describe(sys)
    assert.equal((await fetchFile(sys, door, 'checkpoint')).status, 401)

    const project = ok(await sys.admin.patch<Project>('/projects/default', { log_access: 'public' }))
    assert.equal(project.log_access, 'public')
    assert.equal((await describe(sys)).access, 'public')
    const verdict = await verifyLog({
      async read(path) {
        const reply = await fetchFile(sys, door, path)
        return reply.status === 200 ? new Uint8Array(await reply.arrayBuffer()) : null
      },
      vkeys: [vkey],
      hash: sha256,
      verify: verifyEd25519,
    })
    assert.equal(verdict.ok, true, JSON.stringify(verdict))

    const checkpoint = await fetchFile(sys, door, 'checkpoint')
    assert.equal(checkpoint.headers.get('content-type'), 'text/plain; charset=utf-8')
    assert.equal(checkpoint.headers.get('cache-control'), 'no-cache')
    const { size } = parseCheckpoint(parseNote(await checkpoint.text()).text)
    const tile = await fetchFile(sys, door, `tile/0/000.p/${size}`)
    assert.equal(tile.headers.get('content-type'), 'application/octet-stream')
    assert.equal(tile.headers.get('cache-control'), 'public, max-age=31536000, immutable')
    for (const path of [
      'nothing',
      'tile/0/00',
      '../../keys/manifest.json',
      'tile/0/000.p/0',
      '.tmp/x',
      'key-changes/9',
    ])
      assert.equal((await fetchFile(sys, door, path)).status, 404, path)
    assert.equal((await fetch(`${sys.base}/log/0123456789abcdef/checkpoint`)).status, 401)

    ok(await sys.admin.patch('/projects/default', { log_access: 'members' }))
    assert.equal((await fetchFile(sys, door, 'checkpoint')).status, 401)
  },
)

holds('a log of members is read with the token of an auditor, and with nobody else’s', async (sys) => {
  ok(await sys.admin.post('/tickets', { title: 'A ticket' }))
  await sys.settle()
  const { door } = await describe(sys)
  const auditor = await sys.hire('carol', 'auditor')
  const token = ok(
    await auditor.post<{ token: string }>('/tokens', { name: 'monitor', role: 'auditor', scopes: ['audit.file'] }),
    201,
  ).token
  const asked = (bearer: string) => fetchFile(sys, door, 'checkpoint', { authorization: `Bearer ${bearer}` })
  const read = await asked(token)
  assert.equal(read.status, 200)
  const tile = await fetchFile(sys, door, 'tile/entries/000.p/1', { authorization: `Bearer ${token}` })
  assert.match(tile.headers.get('cache-control') ?? 'none', /^(private|no-store|none)/)
  assert.equal((await asked(await sys.employee.token())).status, 403)

  // Another project's administrator does not learn that there is such a log.
  ok(await sys.admin.post('/projects', { slug: 'other', name: 'Other' }), 201)
  const foreign = { authorization: `Bearer ${await sys.admin.token()}`, 'x-project': 'other' }
  assert.equal((await fetchFile(sys, door, 'checkpoint', foreign)).status, 404)
})

const [sqlite] = backends()

test('the log of the instance is for its administrators, unless it is opened', async () => {
  await using sys = await sqlite!.start()
  await sys.settle()
  const log = ok(await sys.admin.get<Keys>('/keys')).logs.find((one) => one.project === null)!
  const door = `/log/${log.origin.split('/')[1]}`
  const as = async (token: string) =>
    (await fetchFile(sys, door, 'checkpoint', { authorization: `Bearer ${token}` })).status
  assert.equal((await fetchFile(sys, door, 'checkpoint')).status, 401)
  assert.equal(await as(await sys.employee.token()), 404)
  assert.equal(await as(await sys.admin.token()), 200)
  await sys.restart({ env: { WRIT_INSTANCE_LOG_ACCESS: 'public' } })
  assert.equal((await fetchFile(sys, door, 'checkpoint')).status, 200)
})
