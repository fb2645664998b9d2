/** From a ticket to a bundle that a stranger verifies, in two people's browsers. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { Approval, Policy, Run, Ticket } from '@writ/api'
import { verifyBundle } from '@writ/tlog'
import type { Page } from 'playwright-core'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { makeKey } from '../../packages/tlog/test/memory-log.ts'
import { folderFiles, unpack, verifySh } from '../evidence/scene.ts'
import { addAuthenticator } from '../servers/chromium.ts'
import { comesTo, countOf, examples, openTab, skip, startConsole, textsOf } from './scene.ts'

// Files that are chosen together are announced together; the check may begin a moment after the last.
const patient = { env: { WRIT_PROOF_SETTLE_SECONDS: '1' } }

test('two people take a ticket from a promise to a bundle that verifies without the server', { skip }, async () => {
  await using system = await startConsole(patient)
  await using one = await openTab(system)
  await using other = await openTab(system)
  const [asks, agrees] = [one.page, other.page]

  await one.signIn(system.employee)
  await asks.getByRole('link', { name: 'New ticket' }).click()
  await asks.getByLabel('Title', { exact: true }).fill('Replace the core switch')
  await asks.getByLabel('Description', { exact: true }).fill('Sunday, 02:00 to 04:00')
  await asks.getByRole('button', { name: 'Submit', exact: true }).click()
  await asks.getByText('This ticket waits for an approval.').waitFor()
  await asks.getByText('May approve: admin.').waitFor()
  assert.equal(await asks.getByRole('button', { name: 'Review and approve' }).count(), 0, 'nobody approves their own')

  // The approver finds it on the first page, and reads exactly what is approved.
  await other.signIn(system.admin)
  await agrees.getByRole('link', { name: '#1 Replace the core switch' }).click()
  await agrees.getByRole('button', { name: 'Review and approve' }).click()
  await agrees.getByText('This page made the same digest from what it shows.').waitFor()
  await agrees.getByLabel('Reason (optional)', { exact: true }).fill('window agreed')
  await agrees.getByRole('button', { name: 'Approve', exact: true }).click()
  await agrees.getByText('window agreed').first().waitFor()

  // The other page hears of it by itself.
  await asks.locator('h1 .state-approved').waitFor()
  // Whoever does not see it is told.
  const told = asks.locator('.page > .unseen[role=status]')
  await comesTo(() => told.textContent(), 'Approved')
  await asks.getByRole('button', { name: 'Start a proof' }).click()
  await asks.getByRole('dialog').getByRole('button', { name: 'Start a proof' }).click()
  await asks.getByText('It waits for files').waitFor()
  await asks
    .locator('.dropzone input[type=file]')
    .setInputFiles(['access-switch.cfg', 'core-switch.json'].map((name) => path.join(examples, name)))
  await asks.locator('h1 .state-done').waitFor()
  await comesTo(() => told.textContent(), 'Done')
  await asks.getByRole('button', { name: 'access-switch.cfg', exact: true }).click()
  await asks.getByText('The bytes are those that were recorded.').waitFor()
  await asks.getByText('hostname').first().waitFor()
  await asks.keyboard.press('Escape')
  await asks.getByLabel('Write a comment', { exact: true }).fill('机柜 4 已断电')
  await asks.getByRole('button', { name: 'Comment' }).click()
  await asks.locator('.timeline .said', { hasText: '机柜 4 已断电' }).waitFor()

  // The seal line: five stations reached, each with its proof, checked in the page.
  await agrees.locator('.seal-stations .seal-done').nth(4).waitFor()
  await countOf(agrees.locator('.seal-stations .seal-done'), 5)
  await agrees.getByRole('button', { name: /^Agreed/ }).click()
  const drawer = agrees.getByRole('dialog')
  await drawer.getByText('One entry, checked in this page: all good.').waitFor()
  await drawer.getByText('The statement is signed by this instance').waitFor()
  await drawer.getByText('The entry is in the log').waitFor()
  await agrees.keyboard.press('Escape')

  await agrees.getByLabel('With every entry of the log').check()
  await agrees.getByRole('button', { name: 'Export and verify here' }).click()
  await agrees.getByText('Verified in this page, without asking the server.').waitFor()
  await agrees.getByText('none about what is here was left out').waitFor()
  const [download] = await Promise.all([
    agrees.waitForEvent('download'),
    agrees.getByRole('button', { name: /^Save the zip/ }).click(),
  ])
  const zip = path.join(system.folder, 'b.zip')
  await download.saveAs(zip)
  const folder = path.join(system.folder, 'b')
  await unpack(zip, folder)
  const report = await verifyBundle(await folderFiles(folder), { sha256, sha512, verify: verifySignature })
  assert.deepEqual(report.fault, undefined)
  assert.equal((await verifySh(folder)).code, 0)

  await asks.getByRole('button', { name: 'Close ticket' }).click()
  await asks.getByRole('dialog').getByRole('button', { name: 'Close ticket' }).click()
  await asks.locator('h1 .state-closed').waitFor()
  assert.deepEqual([...one.broken, ...other.broken], [])
  await system.check()
})

test('a bundle with a changed file is refused by the page, with its place', { skip }, async () => {
  await using system = await startConsole()
  await system.employee.post<Ticket>('/tickets', { title: 'x' })
  const token = await system.admin.token()
  const answer = await fetch(`${system.base}/api/v1/evidence/export`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'ticket', id: 1 }),
  })
  const zip = path.join(system.folder, 'good.zip')
  await writeFile(zip, Buffer.from(await answer.arrayBuffer()))
  const folder = path.join(system.folder, 'bundle')
  await unpack(zip, folder)
  await writeFile(path.join(folder, 'README.txt'), 'something else')
  const { execFileSync } = await import('node:child_process')
  const changed = path.join(system.folder, 'changed.zip')
  execFileSync('zip', ['-q', '-r', changed, '.'], { cwd: folder })
  await using tab = await openTab(system)
  await tab.openAs(system.admin, 'default/audit')
  const chooser = tab.page.locator('input[type=file]')
  await chooser.setInputFiles(zip)
  await tab.page.getByText('Verified in this page, without asking the server.').waitFor()
  await chooser.setInputFiles(changed)
  await tab.page.getByText(/Does not verify: README.txt/).waitFor()

  // What the reader has from elsewhere is expected of it; whatever was shown before was verified against something else.
  const { page } = tab
  await page.getByText('What you know from elsewhere').click()
  await page.getByLabel('Your policy of witnesses', { exact: true }).fill('witness mine nonsense')
  await page.getByText(/Does not verify/).waitFor({ state: 'detached' })
  await chooser.setInputFiles(zip)
  await page.getByText(/Cannot be read: line 1 of the policy: /).waitFor()
  const { witnessVkey } = makeKey('witness.example')
  await page.getByLabel('Your policy of witnesses', { exact: true }).fill(`witness mine ${witnessVkey}\nquorum mine\n`)
  await chooser.setInputFiles(zip)
  await page.getByText(/Does not verify: logs: nothing in it is cosigned as the policy asks: "mine"/).waitFor()
  await page.getByLabel('Your policy of witnesses', { exact: true }).fill('')
  const untouched = path.join(system.folder, 'untouched')
  await unpack(zip, untouched)
  const { rests } = await verifyBundle(await folderFiles(untouched), { sha256, sha512, verify: verifySignature })
  const keyOf = (what: RegExp) => rests.find((one) => what.test(one.what))!.value
  await page.getByLabel('Keys of the logs', { exact: true }).fill(`${keyOf(/^project log key$/)} `)
  await page
    .getByLabel('Fingerprint of the key that signs bundles', { exact: true })
    .fill(` ${keyOf(/^manifest key$/)}`)
  await chooser.setInputFiles(zip)
  await page.getByText('Verified in this page, without asking the server.').waitFor()
  await countOf(page.getByText('as expected'), 2)
  await page.getByLabel('Fingerprint of the key that signs bundles', { exact: true }).fill('SHA256:another')
  await chooser.setInputFiles(zip)
  await page.getByText(/Does not verify: SHA256SUMS\S*: signed by SHA256:\S+, not by SHA256:another/).waitFor()

  // The reason is in the language of the page, as the lines of the tree are.
  await using chinese = await openTab(system, { locale: 'zh-CN' })
  await chinese.openAs(system.admin, 'default/audit')
  await chinese.page.locator('input[type=file]').setInputFiles(changed)
  await chinese.page.getByText('核验未通过：README.txt：它的 SHA-256 与应有的不同').waitFor()
  assert.deepEqual([...tab.broken, ...chinese.broken], [])
})

/** By the dialog that asks for its name, which has one already. */
async function setUpPasskey(page: Page, name?: string): Promise<void> {
  await page.getByRole('button', { name: 'Set up a passkey' }).click()
  const dialog = page.getByRole('dialog')
  if (name !== undefined) await dialog.getByLabel('Name', { exact: true }).fill(name)
  await dialog.getByRole('button', { name: 'Set up', exact: true }).click()
  await dialog.waitFor({ state: 'detached' })
}

test('an approver signs with a passkey on a phone, and the proof shows the signature', { skip }, async () => {
  await using system = await startConsole()
  const second = await system.hire('second', 'admin')
  const ticket = (await system.employee.post<Ticket>('/tickets', { title: 'Replace <b>the</b> main switch' })).body
  await using phone = await openTab(system, { width: 390, height: 844, passkey: true })
  const { page } = phone
  await phone.openAs(system.admin, 'default/settings/keys')
  await setUpPasskey(page)
  await page.getByText('Enrolled', { exact: true }).waitFor()
  const policy = (await system.admin.get<Policy>('/policy')).body
  const change = await system.admin.put<{ id: string }>('/policy', { ...policy, require_signature: true })
  const agreed = await second.post(`/policy/changes/${change.body.id}/approve`)
  assert.equal(agreed.status, 200, JSON.stringify(agreed.body))

  await phone.open('default/tickets/1')
  await page
    .getByRole('heading', { name: /Replace <b>the<\/b> main switch/ })
    .first()
    .waitFor()
  await page.getByRole('button', { name: 'Review and approve' }).click()
  await page.getByText('This page made the same digest from what it shows.').waitFor()
  await page.getByRole('button', { name: 'Approve with my passkey' }).click()
  await page.locator('h1 .state-approved').waitFor()
  const [approval] = (await system.admin.get<Approval[]>(`/tickets/${ticket.id}/approvals`)).body
  assert.notEqual(approval!.signed_with_id, null)
  await page.getByText(/signed by the person · logged in \d+ (ms|s|min)( \d+ s)? before, with password$/).waitFor()
  await page.getByRole('button', { name: /^Agreed/ }).click()
  await page.getByText('The person signed this very statement').waitFor()
  assert.equal(await page.locator('.check-bad').count(), 0)
  // Nothing sticks out.
  await comesTo(() => page.evaluate('document.documentElement.scrollWidth <= window.innerWidth'), true)
  assert.deepEqual(phone.broken, [])
  await system.check()
})

test('whoever closes an approval while the authenticator asks has approved nothing, and can begin again', {
  skip,
}, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  const authenticator = await addAuthenticator(page)
  await system.employee.post<Ticket>('/tickets', { title: 'Replace the main switch' })
  await tab.openAs(system.admin, 'default/settings/keys')
  await setUpPasskey(page)
  await page.getByText('Enrolled', { exact: true }).waitFor()
  await tab.go('default/tickets/1')
  const review = async () => {
    await page.getByRole('button', { name: 'Review and approve' }).click()
    await page.getByText('This page made the same digest from what it shows.').waitFor()
  }
  const sign = page.getByRole('button', { name: 'Approve with my passkey' })
  await review()
  await authenticator.touch(false)
  await sign.click()
  await page.locator('button[data-loading]', { hasText: 'Approve with my passkey' }).waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  // A touch that comes now signs nothing.
  await authenticator.touch(true)
  await review()
  assert.equal(await page.getByRole('alert').count(), 0)
  assert.equal((await system.admin.get<Ticket>('/tickets/1')).body.status, 'submitted')
  await sign.click()
  await page.locator('h1 .state-approved').waitFor()
  assert.deepEqual(tab.broken, [])
})

test('an admin takes back a signing key that they proposed, and the log calls it that', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system, { passkey: true })
  const { page } = tab
  await tab.openAs(system.admin, 'default/settings/keys')
  await setUpPasskey(page)
  await page.getByText('Enrolled', { exact: true }).waitFor()
  await page.locator('tr', { hasText: 'Chrome, Linux' }).waitFor()
  await setUpPasskey(page, '我的安全密钥')
  await page.locator('tr', { hasText: '我的安全密钥' }).waitFor()
  await page.getByRole('button', { name: 'Withdraw' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Withdraw' }).click()
  await page.getByText('Withdrawn', { exact: true }).waitFor()
  assert.equal(await page.getByRole('button', { name: 'Withdraw' }).count(), 0)
  await tab.go('default/audit')
  await page.getByText('Withdrew a signing key').waitFor()
  assert.deepEqual(tab.broken, [])
})

test('a rejection goes back with its reason, and an edit after an approval is shown to the next approver', {
  skip,
}, async () => {
  await using system = await startConsole()
  const ticket = (await system.employee.post<Ticket>('/tickets', { title: 'Renumber the uplinks' })).body
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tickets/1')
  await page.getByRole('button', { name: 'Reject' }).click()
  const dialog = page.getByRole('dialog')
  // Not without a reason.
  await dialog.locator('button:disabled', { hasText: /^Reject$/ }).waitFor()
  await dialog.getByLabel('Reason', { exact: true }).fill('no rollback plan')
  await dialog.getByRole('button', { name: 'Reject' }).click()
  await page.locator('.approval-rejected', { hasText: 'no rollback plan' }).waitFor()

  await system.employee.post(`/tickets/${ticket.id}/submit`)
  await system.admin.post(`/tickets/${ticket.id}/approve`, {})
  await system.employee.patch(`/tickets/${ticket.id}`, { title: 'Renumber all uplinks' })
  // What is reviewed is what the page shows at that moment: it has heard of the edit.
  await page.getByRole('heading', { name: /Renumber all uplinks/ }).waitFor()
  await page.getByRole('button', { name: 'Review and approve' }).click()
  await dialog.getByText(/^Version 1 was approved by/).waitFor()
  await textsOf(dialog.locator('.changes del'), ['Renumber the uplinks'])
  await textsOf(dialog.locator('.changes ins'), ['Renumber all uplinks'])
  // What will judge: the digest that the server tells of each check, and the same of the run that names it.
  await dialog.getByText('7 checks may be named').click()
  const scripts = (await system.admin.get<{ script_id: string; digest: string | null }[]>('/scripts')).body
  const known = scripts.find(({ script_id }) => script_id === 'proof.config_format')?.digest
  await dialog.locator(`button[title="${known}"]`).waitFor()
  await countOf(dialog.locator('tbody button.mono'), scripts.filter(({ digest }) => digest !== null).length)
  // An edit while it is read changes nothing that is read: nothing can be approved until the new version is on the screen.
  await system.employee.patch(`/tickets/${ticket.id}`, { title: 'Renumber some uplinks' })
  await dialog.getByText('Version 3 has come since you began to read.').waitFor()
  await dialog.getByRole('heading', { name: 'Renumber all uplinks' }).waitFor()
  const approve = dialog.getByRole('button', { name: 'Approve', exact: true })
  assert.equal(await approve.count(), 0)
  await dialog.getByRole('button', { name: 'Show version 3' }).click()
  await textsOf(dialog.locator('.changes ins'), ['Renumber some uplinks'])
  await approve.click()
  await page.locator('h1 .state-approved').waitFor()
  assert.deepEqual(tab.broken, [])
})

test('the first run leads to a proven ticket in five steps, in Chinese', { skip }, async () => {
  await using system = await startConsole(patient)
  await using tab = await openTab(system, { locale: 'zh-CN' })
  const { page } = tab
  await tab.signIn(system.admin)
  await page.getByText('还没有人提出工作').waitFor()
  await page.getByText('这段时间没有结束的执行。').waitFor()
  await page.getByRole('link', { name: '第一张工单' }).click()
  await page.getByRole('button', { name: '创建资产' }).click()
  await page.getByRole('button', { name: '提交', exact: true }).click()
  await page.getByRole('button', { name: '发送一个损坏的文件' }).click()
  await page.getByText('检查已执行，证据未通过。').waitFor()
  await page.getByText(/检查了 \d+ 个文件：证据未通过。/).waitFor()
  await page.getByRole('button', { name: '用其他文件再试' }).click()
  await page.getByRole('button', { name: '发送 4 个示例文件' }).click()
  await page.getByText('每个文件都能按其格式读取。').waitFor()
  const verdict = page.url()
  await page.getByRole('button', { name: '带走证明' }).click()
  await page.getByRole('button', { name: '导出并在此核验' }).click()
  await page.getByText('已在本页面核验，未询问服务器。').waitFor()
  await page.goto(verdict)
  await page.getByText('每个文件都能按其格式读取。').waitFor()
  await comesTo(() => page.evaluate('document.documentElement.lang'), 'zh-CN')
  const runs = (await system.admin.get<Run[]>('/runs')).body
  assert.deepEqual(
    runs.map((run) => run.verdict),
    ['passed', 'failed'],
  )
  assert.deepEqual(tab.broken, [])
})

test('at another host than that of the passkeys none is offered, and the page says where', { skip }, async () => {
  await using system = await startConsole({ env: { WRIT_PUBLIC_URL: 'https://writ.example' } })
  await using tab = await openTab(system, { passkey: true })
  await tab.openAs(system.admin, 'default/settings/keys')
  await tab.page.getByText('Passkeys of this server are made and used at writ.example, not at localhost.').waitFor()
  assert.equal(await tab.page.getByRole('button', { name: 'Set up a passkey' }).count(), 0)
})
