import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Project, Ticket } from '@writ/api'
import { backends } from './backends.ts'
import type { TestSystem } from './test-system.ts'
import { ok } from './verifies.ts'

async function scraped(system: TestSystem, name: string): Promise<number | undefined> {
  const text = await (await fetch(`${system.base}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return line === undefined ? undefined : Number(line.slice(name.length + 1))
}

for (const backend of backends()) {
  test(`what waits for somebody else's decision is told, of all projects together (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin } = system
    const tickets = 'writ_approvals_pending{subject="ticket"}'
    assert.equal(await scraped(system, tickets), 0)
    ok(await admin.post<Project>('/projects', { slug: 'second', name: 'Second' }), 201)
    const second = { headers: { 'X-Project': 'second' } }
    const submitted = async (on: { headers?: Record<string, string> }) =>
      ok(await admin.post<Ticket>('/tickets', { title: 'Renew' }, on))
    ok(await admin.post<Ticket>('/tickets', { title: 'A draft waits for nobody', status: 'draft' }))
    await submitted({})
    const { number } = await submitted(second)
    assert.equal(await scraped(system, tickets), 2)
    ok(await admin.post<Ticket>(`/tickets/${number}/close`, { reason: 'not needed' }, second))
    assert.equal(await scraped(system, tickets), 1)
    assert.equal(await scraped(system, 'writ_approvals_pending{subject="signing_key"}'), 0)
  })
}

test('what is replaced is counted by its kind, and never told by its value', async () => {
  await using system = await backends()[0]!.start()
  const count = () => scraped(system, 'writ_redactions_total{kind="url-credentials"}')
  assert.equal(await count(), 0)
  const { title } = ok(
    await system.admin.post<Ticket>('/tickets', { title: 'From https://ops:Tr0ub4dor9@switch.example/run' }),
  )
  assert.match(title, /REDACTED:url-credentials/)
  assert.equal(await count(), 1)
})
