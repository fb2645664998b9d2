/** Lists that were once answered whole: as arrays they are bounded and counted, and by cursor nobody misses or sees anything twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backends } from '../backends.ts'
import { TestSystem } from '../test-system.ts'

/** How many of each there are. */
const MADE = 5

interface Item {
  readonly id?: string
  readonly user_id?: string
  readonly name?: string
  readonly key?: string
  readonly origin?: string
}

const keyOf = ({ id, user_id, name, key, origin }: Item): string | undefined => id ?? user_id ?? name ?? key ?? origin
interface Page {
  readonly items: readonly Item[]
  readonly next_cursor: string | null
}

/** Makes some of everything, and says where it is listed. */
async function fill({ admin, anonymous, employee, bob, hire }: TestSystem): Promise<string[]> {
  const many = async (make: (n: number) => Promise<{ status: number; body: unknown }>) => {
    for (let n = 0; n < MADE; n++) {
      const { status, body } = await make(n)
      assert.ok(status < 300, JSON.stringify(body))
    }
  }
  const ticket = await employee.post<{ id: string }>('/tickets', { title: 'T' })
  const path = `/tickets/${ticket.body.id}`
  await many(() => employee.post(`${path}/comments`, { body: 'same' }))
  await many(async (n) => {
    await employee.post(`${path}/submit`)
    return admin.post(`${path}/reject`, { reason: `no ${n}` })
  })
  await employee.post(`${path}/submit`)
  await admin.post(`${path}/approve`)
  const run = await employee.post<{ id: string }>('/runs', {
    ticket_id: ticket.body.id,
    run_type: 'proof',
    script_id: 'proof.file_hash',
    finalize: 'manual',
  })
  await many((n) => employee.upload(run.body.id, `f${n}.cfg`, `line ${n}\n`))
  await many((n) => admin.post('/tokens', { name: `t${n}` }))
  await many(() => admin.post('/invites', { role: 'employee' }))
  await many((n) => admin.post('/schedules', { name: `s${n}`, handler: 'system.ping', cron: '0 0 1 1 *' }))
  await many((n) => admin.post('/webhooks', { name: `w${n}`, url: `http://127.0.0.1:9/${n}`, events: ['hold.set'] }))
  await many((n) => admin.post('/holds', { subject_type: 'ticket', subject_id: ticket.body.id, reason: `reason ${n}` }))
  const policy = (await admin.get<Record<string, unknown>>('/policy')).body
  await many(() => admin.put('/policy', policy))
  await many((n) => admin.post(`/queues/q${n}/pause`, { create: true }))
  // Of another project, in which nobody asks.
  await admin.post('/projects', { slug: 'elsewhere', name: 'Elsewhere' })
  await admin.post('/queues/theirs/pause', { create: true }, { headers: { 'x-project': 'elsewhere' } })
  await many((n) => admin.post('/concurrency-keys/pause', { key: `customer ${n}`, until: '2999-01-01T00:00:00Z' }))
  await many((n) => admin.post('/handlers', { name: `acme.h${n}`, url: `http://127.0.0.1:9/${n}` }))
  await many((n) => admin.post('/projects', { slug: `site-${n}`, name: `Site ${n}` }))
  const definition = { rules: [{ validator: 'size@1', params: { min_bytes: 1 } }] }
  await many((n) => admin.post('/rule-sets', { name: n < 3 ? 'switch' : `router-${n}`, definition }))
  const { username, password } = admin
  await many(() => anonymous.post('/auth/login', { username, password }))
  await many((n) => admin.post('/audit/logs/rotate', { reason: `the end of year ${n}` }))
  for (const name of ['carol', 'dave']) await hire(name, 'employee')
  assert.ok(bob.id)
  return [
    `${path}/comments`,
    `${path}/approvals`,
    `/artifacts/run/${run.body.id}`,
    '/tokens',
    '/invites',
    '/schedules',
    '/webhooks',
    '/holds',
    '/policy/changes',
    '/members',
    '/queues',
    '/concurrency-keys',
    '/handlers',
    '/projects',
    '/rule-sets',
    '/auth/sessions',
    '/audit/logs',
  ]
}

for (const backend of backends())
  test(`${backend.name}: lists are walked by cursor, and an array says how many there are`, {
    skip: backend.skip,
  }, async (t) => {
    await using system = await backend.start()
    const { admin } = system
    for (const path of await fill(system))
      await t.test(path.replace(/[0-9a-f-]{36}/, '…'), async () => {
        const whole = await admin.get<Item[]>(path)
        const keys = whole.body.map(keyOf)
        assert.ok(keys.length >= MADE && keys.every(Boolean), `${keys.length}`)
        assert.ok(!keys.includes('theirs'), 'of another project')
        assert.equal(whole.headers.get('x-total-count'), String(keys.length))
        const walked: (string | undefined)[] = []
        let pages = 0
        for (let cursor: string | null = ''; cursor !== null; pages++) {
          const page: { body: Page } = await admin.get<Page>(`${path}?limit=2&cursor=${encodeURIComponent(cursor)}`)
          walked.push(...page.body.items.map(keyOf))
          cursor = page.body.next_cursor
        }
        assert.deepEqual(walked, keys)
        assert.equal(pages, Math.ceil(keys.length / 2))
        const part = await admin.get<Item[]>(`${path}?limit=2&skip=1`)
        assert.deepEqual(part.body.map(keyOf), keys.slice(1, 3))
        assert.equal(part.headers.get('x-total-count'), String(keys.length))
      })
  })

test('a place in a list of one project is none in that of another', async () => {
  await using system = await TestSystem.start()
  const { admin } = system
  await admin.post('/projects', { slug: 'site-2', name: 'Site 2' })
  const ask = (cursor: string, project: string) =>
    admin.get<Page & { code?: string }>(`/members?limit=1&cursor=${encodeURIComponent(cursor)}`, {
      headers: { 'x-project': project },
    })
  const next = (await ask('', 'default')).body.next_cursor!
  assert.equal((await ask(next, 'default')).status, 200)
  assert.equal((await ask(next, 'site-2')).body.code, 'CURSOR_INVALID')
})
