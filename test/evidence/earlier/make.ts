/**
 * Makes the evidence of one version of Writ, to be kept here and held to by every later one (test/evidence/earlier.test.ts):
 *
 *     node test/evidence/earlier/make.ts <checkout of that version, after npm ci> test/evidence/earlier/<day>-<commit>
 *
 * It asks over HTTP alone, with the pages of that version where a passkey signs, and does what that version offers. What it did stands in
 * about.json.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Client, createClient } from '../../client.ts'
import { addAuthenticator, startChromium } from '../../servers/chromium.ts'
import { ADMIN, prepareWrit } from '../../servers/writ.ts'
import { until } from '../../test-system.ts'
import { makeSshKey, proposeKey, signApproval } from '../ssh-key.ts'
import { makeWitness, writePolicy } from '../witness-process.ts'

/** What about.json says of the folder that it lies in. */
export interface About {
  readonly commit: string
  /** Of what was asked for, what this version has. */
  readonly did: string[]
  /** The keys of each folder below `logs/`, the oldest first. */
  readonly logs: Record<string, readonly string[]>
}

const [checkout = '', to = ''] = process.argv.slice(2)
if (checkout === '' || to === '') throw new Error('usage: make.ts <checkout> <new folder>')
const commit = execFileSync('git', ['-C', checkout, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
const folder = await mkdtemp(path.join(tmpdir(), 'writ-earlier-'))
const main = await readdir(path.join(checkout, 'packages/server/src')).then((names) =>
  names.includes('main.js') ? 'main.js' : 'main.ts',
)
const witness = await makeWitness(folder, 'w1')
const policy = await writePolicy(path.join(folder, 'w1.policy'), [witness])
const writ = await prepareWrit({
  folder,
  wrap: () => [path.resolve(checkout, 'node_modules/.bin/node'), path.resolve(checkout, 'packages/server/src', main)],
})
const did: string[] = []

try {
  await mkdir(to, { recursive: false })
  await writ.start()
  const admin = await loggedIn(ADMIN)
  const keys = await knownLogs(admin)
  if (keys !== null) {
    await witness.addLog(keys.find(({ project }) => project === null)!.vkeys[0]!)
    await witness.start()
    await writ.stop()
    Object.assign(writ.env, { WRIT_WITNESS_POLICY: policy, WRIT_WITNESS_INTERVAL_MS: '100' })
    await writ.start()
  }
  const again = await loggedIn(ADMIN)
  await makeEvents(again)
  await exportAll(again)
  await keepLogs(again)
} finally {
  await writ.stop()
  await witness.stop()
  await rm(folder, { recursive: true, force: true })
}

async function loggedIn(who: { username: string; password: string }): Promise<Client> {
  const anonymous = createClient({ base: () => writ.url, prefix: '/api/v1', credentials: async () => ({}) })
  const { body } = await anonymous.post<{ access_token: string }>('/auth/login', who)
  const authorization = `Bearer ${body.access_token}`
  return createClient({ base: () => writ.url, prefix: '/api/v1', credentials: async () => ({ authorization }) })
}

type Known = { project: string | null; vkeys: string[]; origin: string }[]

/** Null before there was an endpoint for it. */
async function knownLogs(admin: Client): Promise<Known | null> {
  const { status, body } = await admin.get<{ logs: Known }>('/keys')
  return status === 200 ? body.logs : null
}

/** True if this version has it; anything but an answer that there is no such address has to be a good one. */
function has(what: string, answer: { status: number; body: unknown }): boolean {
  if (answer.status === 404 && /NOT_FOUND|Not Found/.test(JSON.stringify(answer.body))) return false
  assert.ok(answer.status >= 200 && answer.status < 300, `${what}: ${answer.status} ${JSON.stringify(answer.body)}`)
  did.push(what)
  return true
}

async function makeEvents(admin: Client): Promise<void> {
  const someone = { username: 'li.na', password: 'spring-silver-lantern' }
  has(
    'user',
    await admin.post('/users', { ...someone, email: 'li.na@example.com', full_name: 'Li Na', role: 'employee' }),
  )
  const employee = await loggedIn(someone)
  const key = await makeSshKey(folder, 'approver')
  const enrolled = await proposeKey(admin, key)
  has('ssh key', enrolled)
  const { body: ticket } = await employee.post<{ id: string; number: number }>('/tickets', {
    title: '更换主交换机',
    description: 'in hall 3',
  })
  has('comment', await employee.post(`/tickets/${ticket.number}/comments`, { body: 'call me at home' }))
  const signed = await signApproval(admin, ticket.number, key, enrolled.body.id)
  has('approval', await admin.post(`/tickets/${ticket.number}/approve`, { signed, reason: 'window agreed' }))
  const runs: number[] = []
  for (const [name, bytes] of [
    ['core switch.json', '{"hostname":"sw1"}'],
    ['broken.json', '{'],
    ['mistaken.json', '{"hostname":"sw9"}'],
  ] as const) {
    const asked = { run_type: 'proof', ticket_id: ticket.number, script_id: 'proof.config_format' }
    const opened = await employee.post<{ number: number }>('/runs', asked)
    assert.equal(opened.status, 200, JSON.stringify(opened.body))
    runs.push(opened.body.number)
    assert.equal((await employee.upload(opened.body.number, name, bytes)).status, 200)
    await until('the check has ended', async () => {
      const { body } = await admin.get<{ completed_at: string | null }>(`/runs/${opened.body.number}`)
      return body.completed_at !== null
    })
  }
  did.push('proof runs')
  const { body: files } = await admin.get<{ id: string; number: number; filename: string }[]>(
    `/artifacts/run/${runs.at(-1)}`,
  )
  const mistaken = files.find((file) => JSON.stringify(file).includes('mistaken.json'))!
  has('artifact deleted', await admin.delete(`/artifacts/${mistaken.id}`))
  // In the log first: what is not there yet cannot be erased.
  await settled(admin)
  const { body: events } = await admin.get<{ id: string }[]>('/audit/events?event_type=ticket.commented')
  has('payload erased', await admin.post(`/payloads/${events[0]?.id}/erase`, { ground: 'GDPR Art. 17' }))
  await settled(admin)
  has('log key rotated', await admin.post('/keys/rotate', { purpose: 'log', project: 'default', overlap_hours: 0 }))
  await settled(admin)
  has('task', await admin.post('/tasks', { handler: 'system.ping' }))
  await settled(admin)
  await approveWithPasskey(admin, employee)
  await settled(admin)
}

/** Another ticket, approved on the approve page by an authenticator of the browser, with a key that a second person enrolled. */
async function approveWithPasskey(admin: Client, employee: Client): Promise<void> {
  const second = { username: 'wang.wei', password: 'autumn-copper-lantern' }
  const about = { email: 'wang.wei@example.com', full_name: 'Wang Wei', role: 'admin' }
  assert.equal((await admin.post('/users', { ...second, ...about })).status, 201)
  const { body: ticket } = await employee.post<{ number: number }>('/tickets', { title: 'Replace the second switch' })
  const browser = await startChromium()
  try {
    const page = await (await browser.newContext({ locale: 'en-GB' })).newPage()
    await addAuthenticator(page)
    const answer = await page.goto(`${writ.url.replace('127.0.0.1', 'localhost')}/approve/${ticket.number}`)
    if (answer?.status() === 404) return
    await page.fill('input[name=username]', second.username)
    await page.fill('input[name=password]', second.password)
    await page.click('#login button')
    await page.click('#enrol:not([hidden])')
    await page.locator('#said', { hasText: 'another admin' }).waitFor()
    const { body: keys } = await admin.get<{ id: string; state: string; type: string }[]>('/signing-keys')
    const proposed = keys.find(({ state, type }) => state === 'proposed' && type === 'passkey')!
    assert.equal((await admin.post(`/signing-keys/${proposed.id}/approve`)).status, 200)
    await page.reload()
    await page.click('#approve:not([hidden])')
    await page.locator('#said', { hasText: 'Approved and signed.' }).waitFor()
    did.push('passkey approval')
  } finally {
    await browser.close()
  }
}

/** Every event is in the log. */
async function settled(admin: Client): Promise<void> {
  await until('every event is in the log', async () => {
    const { body } = await admin.get<{ pending: number }>('/audit/log')
    return body.pending === 0
  })
}

async function exportAll(admin: Client): Promise<void> {
  if (did.includes('payload erased')) {
    // The instance log records the project's within a minute, and then it is cosigned.
    const end = Date.now() + 90_000
    const size = (await admin.get<{ size: number }>('/audit/log')).body.size
    const reached = async () =>
      ((await admin.get<{ anchored: { size: number } | null }>('/audit/log')).body.anchored?.size ?? 0) >= size
    while (!(await reached()) && Date.now() < end) await new Promise((later) => setTimeout(later, 500))
    assert.ok(await reached(), 'no witness stands for it')
    did.push('cosigned')
  }
  await writ.login()
  for (const [name, body] of [
    ['ticket', { subject: 'ticket', id: 1 }],
    ['whole', { subject: 'ticket', id: 1, whole_log: true }],
    ['task', { subject: 'run', id: 4 }],
    ['passkey', { subject: 'ticket', id: 2 }],
  ] as const) {
    if (name === 'passkey' && !did.includes('passkey approval')) continue
    const answer = await fetch(`${writ.url}/api/v1/evidence/export`, {
      method: 'POST',
      headers: { ...writ.authorised(), 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    // What a version does not know, it refuses.
    if ((name === 'whole' || name === 'task') && answer.status >= 400 && answer.status < 500) continue
    assert.equal(answer.status, 200, `${name}: ${bytes}`)
    await writeFile(path.join(to, `${name}.zip`), bytes)
    did.push(`${name}.zip`)
  }
}

/** The files of the logs as they are published, and the keys that they are verified with. */
async function keepLogs(admin: Client): Promise<void> {
  await settled(admin)
  const known = await knownLogs(admin)
  const own = (await admin.get<{ origin: string; vkeys: string[] }>('/audit/log')).body
  await writ.stop()
  const logs: Record<string, readonly string[]> = {}
  const below = path.join(writ.dataDir, 'log')
  for (const project of await readdir(below)) {
    const name = project === '_instance' ? 'instance' : 'project'
    const shards = (await readdir(path.join(below, project))).filter((one) => /^\d+$/.test(one))
    assert.deepEqual(shards, ['0'])
    const kept = path.join(to, 'logs', name)
    await cp(path.join(below, project, '0'), kept, { recursive: true })
    const checkpoint = await readFile(path.join(kept, 'checkpoint'), 'utf8')
    const vkeys = (known ?? [own]).find(({ origin }) => checkpoint.startsWith(`${origin}\n`))?.vkeys
    if (vkeys === undefined) await rm(kept, { recursive: true })
    else logs[name] = vkeys
  }
  await dropOldWidths(path.join(to, 'logs'))
  const about: About = { commit, did, logs }
  await writeFile(path.join(to, 'about.json'), `${JSON.stringify(about, null, 2)}\n`)
  if (did.includes('cosigned')) await cp(policy, path.join(to, 'witnesses.policy'))
}

/** Of each tile that is not full, keeps the widest: the others are of sizes that it had before. */
async function dropOldWidths(below: string): Promise<void> {
  const names = await readdir(below, { recursive: true })
  for (const tile of names.filter((name) => name.endsWith('.p'))) {
    const widths = (await readdir(path.join(below, tile))).sort((a, b) => Number(a) - Number(b))
    for (const width of widths.slice(0, -1)) await rm(path.join(below, tile, width))
  }
}
