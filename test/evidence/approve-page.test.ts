// The approve page in a real browser, with the browser's own virtual authenticator: a passkey is set up, signs, and the
// bundle shows it; and the same verification of that bundle inside a page.
import assert from 'node:assert/strict'
import path from 'node:path'
import { after, test } from 'node:test'
import type { Approval, Policy, SigningKey, Ticket } from '@writ/api'
import { verifyBundle } from '@writ/tlog'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { addAuthenticator, missingChromium, startChromium } from '../servers/chromium.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { type Person, TestSystem } from '../test-system.ts'
import { exportBundle, folderFiles, unpack, verifySh } from './scene.ts'

const skip = missingBackend('Chromium', missingChromium())
let browser: Promise<Browser> | undefined
after(async () => (await browser)?.close())

/** A page of a context of its own with an authenticator that verifies its user, as a phone does. */
async function openPage(locale: string): Promise<{ context: BrowserContext; page: Page; broken: string[] }> {
  browser ??= startChromium()
  const context = await (await browser).newContext({ locale, viewport: { width: 390, height: 800 } })
  const page = await context.newPage()
  const broken: string[] = []
  page.on('pageerror', (error) => broken.push(error.message))
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) broken.push(message.text())
  })
  await addAuthenticator(page)
  return { context, page, broken }
}

async function logIn(page: Page, system: TestSystem, person: Person, ticket: number): Promise<void> {
  await page.goto(`${system.base.replace('127.0.0.1', 'localhost')}/approve/${ticket}`)
  await page.fill('input[name=username]', person.username)
  await page.fill('input[name=password]', person.password)
  await page.click('#login button')
  await page.waitForSelector('#ticket:not([hidden])')
}

const said = (page: Page, text: string) => page.locator('#said', { hasText: text }).waitFor()

test('an approver sets up a passkey, another admin agrees, and the passkey signs', { skip }, async () => {
  await using system = await TestSystem.start()
  const second = await system.hire('second', 'admin')
  const ticket = (await system.employee.post<Ticket>('/tickets', { title: 'Replace <b>the</b> main switch' })).body

  const first = await openPage('en-GB')
  const description = 'close \u202e22 trop\u202c port 80\u200b\u{e0041}'
  const reordered = await system.employee.post<Ticket>('/tickets', { title: 'T', description })
  await logIn(first.page, system, system.admin, reordered.body.number)
  assert.equal(
    await first.page.textContent('#ticket-description'),
    'close [U+202E]22 trop[U+202C] port 80[U+200B][U+E0041]',
  )
  await first.page.goto(`${system.base.replace('127.0.0.1', 'localhost')}/approve/${ticket.number}`)
  await first.page.locator('#ticket-title', { hasText: '#1' }).waitFor()
  assert.equal(await first.page.textContent('#ticket-title'), '#1  Replace <b>the</b> main switch')
  const read = (where: string) => first.page.textContent(where)
  assert.equal(await read('#ticket-opened'), 'employee')
  assert.equal(await read('#changed-text'), 'Nobody has approved an earlier version: all of it is new.')
  assert.equal(await read('#may'), 'May approve: admin, second.')
  assert.match((await read('#checks')) ?? '', /proof\.config_format 1\.0\.0[0-9a-f]{64}/)
  assert.match((await read('#next')) ?? '', /^employee may start a run .* stands until the ticket is edited/)
  assert.ok(await first.page.isHidden('#approve'))
  await first.page.click('#enrol')
  await said(first.page, 'Your passkey is enrolled.')

  const phone = await openPage('zh-CN')
  await logIn(phone.page, system, second, ticket.number)
  assert.equal(await phone.page.title(), '审批工单')
  await phone.page.click('#enrol')
  await said(phone.page, '你的通行密钥正在等待另一位管理员批准。')
  const keys = (await system.admin.get<SigningKey[]>('/signing-keys')).body
  assert.deepEqual(
    keys.map((key) => [key.username, key.state, key.rp_id, key.algorithm]),
    [
      ['admin', 'enrolled', 'localhost', 'ecdsa-p256'],
      ['second', 'proposed', 'localhost', 'ecdsa-p256'],
    ],
  )
  assert.equal((await system.admin.post(`/signing-keys/${keys[1]!.id}/approve`)).status, 200)
  const policy = (await system.admin.get<Policy>('/policy')).body
  const change = await system.admin.put<{ id: string }>('/policy', { ...policy, require_signature: true })
  assert.equal((await second.post(`/policy/changes/${change.body.id}/approve`)).status, 200)

  await phone.page.reload()
  await phone.page.click('#approve:not([hidden])')
  await said(phone.page, '已批准并签名。')
  const [approval] = (await system.admin.get<Approval[]>('/tickets/1/approvals')).body
  assert.equal(approval!.signed_with_id, keys[1]!.id)
  const narrow = await phone.page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')
  assert.ok(narrow, 'nothing sticks out on a phone')
  assert.deepEqual([...first.broken, ...phone.broken], [])

  const zip = path.join(system.folder, 'b.zip')
  const folder = path.join(system.folder, 'b')
  await exportBundle(system, zip, { subject: 'ticket', id: 1 })
  await unpack(zip, folder)
  const report = await verifyBundle(await folderFiles(folder), { sha256, sha512, verify: verifySignature })
  assert.deepEqual(report.fault, undefined)
  assert.match(JSON.stringify(report.checks), /signed with their passkey of localhost/)
  assert.match(JSON.stringify(report.checks), /enrolled by a second person/)
  const script = await verifySh(folder)
  assert.equal(script.code, 0, script.err)
  await first.context.close()
  await phone.context.close()
  await system.check()
})

test('a passkey of another site, or another statement, is refused', { skip }, async () => {
  await using system = await TestSystem.start({ env: { WRIT_PUBLIC_URL: 'https://writ.example' } })
  const ticket = (await system.employee.post<Ticket>('/tickets', { title: 'x' })).body
  const { page, context } = await openPage('en')
  await logIn(page, system, system.admin, ticket.number)
  // A browser makes one for any host that it is at: none is begun here that nobody would take.
  await said(page, 'Passkeys of this server are made and used at writ.example, not at localhost.')
  assert.ok(await page.isHidden('#enrol'))
  await page.evaluate("document.getElementById('enrol').hidden = false")
  await page.click('#enrol')
  await said(page, 'The signature is not valid')
  assert.deepEqual((await system.admin.get<SigningKey[]>('/signing-keys')).body, [])
  await context.close()
})

test('who approves again on a phone sees what was changed since, and who is excluded', { skip }, async () => {
  await using system = await TestSystem.start()
  const employee = (await system.employee.get<{ id: string }>('/auth/me')).body
  const second = await system.hire('second', 'admin')
  const doer = (await second.get<{ id: string }>('/auth/me')).body
  const asked = { title: 'Replace the switch', due_at: '2030-01-02T03:04:00Z', assignee_id: doer.id }
  const ticket = (await system.employee.post<Ticket>('/tickets', asked)).body
  assert.equal(ticket.created_by_id, employee.id)
  await system.admin.post(`/tickets/${ticket.id}/approve`)
  await system.employee.patch(`/tickets/${ticket.id}`, { title: 'Replace both switches', due_at: null })
  await system.employee.patch(`/tickets/${ticket.id}`, { title: 'Replace three switches' })
  const { page, context, broken } = await openPage('en-GB')
  await logIn(page, system, system.admin, ticket.number)
  assert.match((await page.textContent('#changed-text')) ?? '', /^Version 1 was approved by admin, /)
  assert.deepEqual(await page.locator('#changes dt').allTextContents(), ['Title', 'Due'])
  assert.deepEqual(await page.locator('#changes ins').allTextContents(), ['Replace three switches', '–'])
  assert.equal(await page.locator('#changes del').first().textContent(), 'Replace the switch')
  assert.deepEqual(await page.locator('#excluded li').allTextContents(), ['second may not: does the work.'])
  assert.equal(await page.textContent('#may'), 'May approve: admin.')
  assert.deepEqual(broken, [])
  await context.close()
})
