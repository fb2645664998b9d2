/** What goes wrong while somebody works: the session ends, somebody else is quicker, a field does not fit, the server goes away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Policy, Run, Ticket } from '@writ/api'
import type { Page } from 'playwright-core'
import { makeSshKey, proposeKey } from '../evidence/ssh-key.ts'
import { comesTo, fill, openTab, skip, startConsole } from './scene.ts'

test('a session that ends in the middle of a form is asked for again, and the form goes on', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  await tab.open('default/tickets/new')
  await tab.signIn(system.employee)
  const title = page.getByLabel('Title', { exact: true })
  const endSession = async (typed: string) => {
    await title.fill(typed)
    await tab.context.clearCookies()
    // At once, and not by the mouse: what the page still asked may have been told so before, and then the form is covered.
    const submit = page.getByRole('button', { name: 'Submit' })
    await submit.evaluate((button) => (button as unknown as { click(): void }).click())
    await page.getByText('Your session has ended.').waitFor()
  }
  const signInAgain = async (who: { username: string; password: string }) => {
    const dialog = page.locator('.sign-in')
    await dialog.locator('input[name=username]').fill(who.username)
    await dialog.locator('input[name=password]').fill(who.password)
    await dialog.locator('button[type=submit]').click()
    await dialog.waitFor({ state: 'detached' })
  }
  await endSession('Typed before the session ended')
  await signInAgain(system.employee)
  assert.equal(await title.inputValue(), 'Typed before the session ended')
  await page.getByRole('button', { name: 'Submit' }).click()
  await page.getByRole('heading', { name: 'Typed before the session ended' }).waitFor()

  // Somebody else gets a page of their own: what was typed is none of theirs.
  await tab.open('default/tickets/new')
  await endSession('Not for others')
  await signInAgain(system.bob)
  await page.getByRole('button', { name: 'Account of bob' }).waitFor()
  assert.equal(await title.inputValue(), '')
  assert.deepEqual(tab.broken, [])
})

test('an edit replaces nothing of somebody else that was not shown', { skip }, async () => {
  await using system = await startConsole()
  const due_at = '2027-05-17T09:30:15.500Z'
  const opened = await system.employee.post<Ticket>('/tickets', {
    title: ' Core switch',
    description: 'Sunday',
    due_at,
  })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.employee, 'default/tickets/1')
  await page.getByRole('button', { name: 'More' }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Description', { exact: true }).fill('Sunday, 02:00')
  await system.admin.patch('/tickets/1', { title: 'Core switch in hall 3' })
  const now = async () => {
    const { title, description, due_at, version } = (await system.employee.get<Ticket>('/tickets/1')).body
    return [title, description, due_at, version]
  }
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.getByRole('alert').getByText('Somebody changed this ticket meanwhile').waitFor()
  await dialog.locator('.theirs').getByText('Core switch in hall 3').waitFor()
  assert.deepEqual(await now(), ['Core switch in hall 3', 'Sunday', opened.body.due_at, 2])
  // On top of it: the title that nobody touched here, and the seconds that the field does not show, stay.
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.waitFor({ state: 'detached' })
  assert.deepEqual(await now(), ['Core switch in hall 3', 'Sunday, 02:00', opened.body.due_at, 3])
  assert.deepEqual(tab.broken, [])
})

test('a refusal says which field it is about, and the field says so too until it is changed', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system, { locale: 'zh-CN' })
  const { page } = tab
  await tab.openAs(system.employee, 'default/tickets/new')
  const title = page.getByLabel('标题', { exact: true })
  await title.fill('   ')
  await page.getByRole('button', { name: '提交' }).click()
  const refusal = page.getByRole('alert').filter({ hasText: '标题：至少要有 1 个字符' })
  await refusal.waitFor()
  const said = () =>
    title.evaluate((field) => [field.getAttribute('aria-invalid'), field.getAttribute('aria-describedby')])
  assert.deepEqual(await said(), ['true', await refusal.getAttribute('id')])
  assert.ok(await title.evaluate((field) => field.matches(':focus')))
  await title.fill('换交换机')
  assert.deepEqual(await said(), [null, null])
})

test('a page that was not yet loaded when the server went away comes when it is back', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default')
  await page.getByRole('heading', { level: 1 }).waitFor()
  await tab.context.setOffline(true)
  const side = page.locator('nav.side')
  await side.getByRole('link', { name: 'Audit' }).click()
  await page.locator('.connection-lost').waitFor()
  await side.getByRole('link', { name: 'Audit' }).waitFor()
  await tab.context.setOffline(false)
  await page.getByRole('heading', { name: 'Audit', level: 1 }).waitFor()
  await comesTo(() => page.locator('.connection-lost').count(), 0)
})

test('a browser that takes itself for offline reaches a server on its own machine', { skip }, async () => {
  await using system = await startConsole()
  await system.employee.post<Ticket>('/tickets', { title: 'One' })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.employee, 'default')
  await page.getByRole('heading', { level: 1 }).waitFor()
  // What a browser tells when the last cable is out.
  await page.evaluate("dispatchEvent(new Event('offline'))")
  await page.locator('nav.side').getByRole('link', { name: 'Tickets' }).click()
  await page.locator('.list-row a').first().click()
  await page.getByLabel('Write a comment', { exact: true }).fill('still here')
  await page.getByRole('button', { name: 'Comment' }).click()
  await page.locator('.said', { hasText: 'still here' }).waitFor()
  assert.deepEqual(tab.broken, [])
})

test('whoever closes a dialog or the menu by keyboard goes on where they were', { skip }, async () => {
  await using system = await startConsole()
  await system.admin.post('/tasks', { handler: 'system.ping' })
  const focusOn = (page: Page) =>
    page.evaluate<string>(
      'document.activeElement.ariaLabel ?? (document.activeElement.id || document.activeElement.tagName)',
    )
  await using tab = await openTab(system)
  await tab.openAs(system.admin, 'default/queues')
  const pause = tab.page.getByRole('button', { name: 'Pause: api' })
  await pause.press('Enter')
  await tab.page.getByRole('dialog').waitFor()
  await tab.page.keyboard.press('Escape')
  await comesTo(() => focusOn(tab.page), 'Pause: api')
  // Nor after the deed.
  await pause.press('Enter')
  await tab.page.getByRole('dialog').getByRole('button', { name: 'Pause' }).press('Enter')
  await tab.page.getByRole('button', { name: 'Resume: api' }).waitFor()
  await comesTo(() => focusOn(tab.page), 'Resume: api')

  // What was pressed is gone with what it was for: then the page has it, not the top of everything.
  const ticket = (await system.employee.post<Ticket>('/tickets', { title: 'Replace the main switch' })).body
  await tab.go(`default/tickets/${ticket.number}`)
  await tab.page.getByRole('button', { name: 'Review and approve' }).press('Enter')
  const approval = tab.page.getByRole('dialog')
  await approval.getByText('This page made the same digest').waitFor()
  await approval.getByRole('button', { name: 'Approve', exact: true }).press('Enter')
  await approval.waitFor({ state: 'detached' })
  await comesTo(() => focusOn(tab.page), 'content')
  await tab.page.getByRole('button', { name: 'Start a proof' }).press('Enter')
  await tab.page.getByRole('dialog').getByRole('button', { name: 'Start a proof' }).press('Enter')
  const choose = tab.page.getByRole('button', { name: 'Choose files' }).first()
  await choose.focus()
  const [run] = (await system.admin.get<Run[]>('/runs')).body
  assert.equal((await system.employee.upload(run!.number, 'core.json', '{"hostname":"core"}')).status, 200)
  await choose.waitFor({ state: 'detached' })
  await comesTo(() => focusOn(tab.page), 'content')

  await using phone = await openTab(system, { width: 390, height: 844 })
  await phone.openAs(system.admin, 'default/tickets')
  const menu = phone.page.getByRole('button', { name: 'Menu' })
  const side = phone.page.locator('nav.side')
  await menu.press('Enter')
  await side.waitFor()
  assert.equal(await menu.getAttribute('aria-expanded'), 'true')
  await phone.page.keyboard.press('Escape')
  await side.waitFor({ state: 'hidden' })
  assert.ok(await menu.evaluate((button) => button.matches(':focus')))
  // The link of the page that is there leads to it.
  await menu.press('Enter')
  await side.getByRole('link', { name: 'Tickets' }).press('Enter')
  await side.waitFor({ state: 'hidden' })
  assert.deepEqual([...tab.broken, ...phone.broken], [])
})

test('a button that is pressed by keyboard has the focus again when what it does is done, or refused', {
  skip,
}, async () => {
  await using system = await startConsole()
  await fill(system)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/audit')
  const verify = page.getByRole('button', { name: 'Verify now' })
  await verify.press('Enter')
  await page.locator('.verdict-good').waitFor()
  await comesTo(() => verify.evaluate((button) => button.matches(':focus')), true)

  let answer = () => {}
  await page.route('**/api/v1/evidence/export', async (route) => {
    await new Promise<void>((done) => {
      answer = done
    })
    await route.fulfill({ status: 409, json: { code: 'LEGAL_HOLD', status: 409, detail: 'refused', request_id: 'r' } })
  })
  await tab.go('default/tickets/1')
  const take = page.getByRole('button', { name: 'Export and verify here' })
  const press = async () => {
    const asked = page.waitForRequest('**/api/v1/evidence/export')
    await take.press('Enter')
    await asked
    await page.locator(':disabled', { hasText: 'Export and verify here' }).waitFor()
  }
  await press()
  answer()
  await comesTo(() => take.evaluate((button) => button.matches(':focus')), true)

  // Who went on meanwhile stays there.
  await press()
  const comment = page.getByPlaceholder('Write a comment')
  await comment.focus()
  answer()
  await take.and(page.locator(':enabled')).waitFor()
  assert.ok(await comment.evaluate((field) => field.matches(':focus')))
})

test('Escape closes the dialog on top, and none below it with what was typed there', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/settings/tokens')
  await page.getByRole('button', { name: 'New token' }).click()
  const name = page.getByLabel('Name', { exact: true })
  await name.fill('ci')
  // Who is asked to sign in again presses it in vain.
  await tab.context.clearCookies()
  await page.getByRole('dialog').locator('button[type=submit]').click()
  const login = page.locator('.sign-in')
  await login.waitFor()
  await page.keyboard.press('Escape')
  await login.locator('input[name=username]').fill(system.admin.username)
  await login.locator('input[name=password]').fill(system.admin.password)
  await login.locator('button[type=submit]').click()
  await login.waitFor({ state: 'detached' })
  assert.equal(await name.inputValue(), 'ci')
  // And now it closes what is on top.
  await name.focus()
  await page.keyboard.press('Escape')
  await name.waitFor({ state: 'detached' })

  // Whoever needs a passkey to approve sets it up in a dialog over that of the approval.
  const second = await system.hire('second', 'admin')
  assert.equal((await proposeKey(second, await makeSshKey(system.folder, 'desk'))).body.state, 'enrolled')
  const policy = (await system.admin.get<Policy>('/policy')).body
  const change = await system.admin.put<{ id: string }>('/policy', { ...policy, require_signature: true })
  assert.equal((await second.post(`/policy/changes/${change.body.id}/approve`)).status, 200)
  await system.employee.post('/tickets', { title: 'Replace the main switch' })
  await tab.go('default/tickets/1')
  await page.getByRole('button', { name: 'Review and approve' }).click()
  const reason = page.getByLabel('Reason (optional)', { exact: true })
  await reason.fill('window agreed')
  await page.getByRole('button', { name: 'Set up a passkey' }).click()
  await page.getByRole('button', { name: 'Set up', exact: true }).waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Set up', exact: true }).waitFor({ state: 'detached' })
  assert.equal(await reason.inputValue(), 'window agreed')
  assert.deepEqual(tab.broken, [])
})

test('a second press, or one beside a dialog, loses neither a secret nor what was typed', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/settings/tokens')
  await page.getByRole('button', { name: 'New token' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name', { exact: true }).fill('ci')
  await page.mouse.click(5, 5)
  assert.equal(await dialog.getByLabel('Name', { exact: true }).inputValue(), 'ci')
  const button = (await dialog.locator('button[type=submit]').boundingBox())!
  await dialog.locator('button[type=submit]').click()
  await dialog.getByText('shown only now').waitFor()
  await page.mouse.click(button.x + 20, button.y + 10)
  await page.keyboard.press('Escape')
  assert.match((await dialog.locator('.secret').textContent()) ?? '', /^writ_/)
  await dialog.getByRole('button', { name: 'I have kept it' }).click()
  await dialog.waitFor({ state: 'detached' })
})

test('who goes back to a list is where they were, who comes by a link is at the top', { skip }, async () => {
  await using system = await startConsole()
  for (let i = 0; i < 60; i++) await system.admin.post('/assets', { name: `switch ${i + 1}`, asset_type: 'switch' })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/assets')
  const body = page.locator('.list-body')
  await body.waitFor()
  const top = () => body.evaluate((list) => list.scrollTop)
  await body.evaluate((list) => {
    list.scrollTop = 320
  })
  await comesTo(top, 320)
  // Row 14 of the list is in view then, and not before.
  await page.locator('.list-row[aria-rowindex="15"] a').click()
  await page.waitForURL(/assets\/\d+$/)
  await body.waitFor({ state: 'detached' })
  await page.goBack()
  await page.locator('.list-row[aria-rowindex="15"]').waitFor()
  await comesTo(top, 320)
  const side = page.locator('nav.side')
  await side.getByRole('link', { name: 'Queues' }).click()
  await page.getByRole('heading', { name: 'Queues', level: 1 }).waitFor()
  await side.getByRole('link', { name: 'Assets' }).click()
  await page.locator('.list-row[aria-rowindex="2"]').waitFor()
  await comesTo(top, 0)
})
