/** What is shown is what was asked last: answers that come late, and what was made for an earlier look, are not shown for it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Trail } from '@writ/api'
import type { Page, Route } from 'playwright-core'
import { putStats, STEPS } from '../../packages/server/src/insight/store.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { comesTo, countOf, fill, openTab, skip, startConsole } from './scene.ts'

/** Holds back the first answer to what fits `what`, as the server gave it then; calls of `free` let it through. */
async function holdFirst(page: Page, what: RegExp) {
  let free = () => {}
  const held = new Promise<void>((done) => {
    free = done
  })
  const seen = { asked: 0, answered: 0 }
  await page.route(what, async (route: Route) => {
    const first = seen.asked++ === 0
    const response = await route.fetch()
    if (first) await held
    await route.fulfill({ response }).catch(() => {})
    seen.answered++
  })
  return { seen, free }
}

test('a row that changed twice shows what it is now, also when the first answer comes last', { skip }, async () => {
  await using system = await startConsole()
  const { tickets } = await fill(system)
  const ticket = tickets[2]!
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tickets')
  const row = page.locator('.list-row', { hasText: ticket.title })
  await row.locator('.state-submitted').waitFor()
  await page.locator('.connection-ok').waitFor()
  const { seen, free } = await holdFirst(page, new RegExp(`/api/v1/tickets/${ticket.id}$`))
  await system.admin.post(`/tickets/${ticket.number}/approve`, { digest: ticket.digest })
  await system.settle()
  await comesTo(async () => seen.asked, 1)
  await system.admin.post(`/tickets/${ticket.number}/close`, { reason: 'not needed' })
  await row.locator('.state-closed').waitFor()
  free()
  await comesTo(async () => seen.answered, 2)
  // What happens next is shown behind the answer that was late.
  await system.employee.post('/tickets/4/submit')
  await page.locator('.list-row', { hasText: tickets[3]!.title }).locator('.state-submitted').waitFor()
  await countOf(row.locator('.state-closed'), 1)
  assert.deepEqual(tab.broken, [])
})

test('a list that was left for a moment shows what happened meanwhile', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tickets')
  const row = page.locator('.list-row', { hasText: 'Move the printers' })
  await row.locator('.state-submitted').waitFor()
  // However long it took, to the page it was a moment.
  await page.clock.setFixedTime(Date.now())
  await page.locator('nav.side').getByRole('link', { name: 'Assets', exact: true }).click()
  await page.locator('.list-row', { hasText: 'Factory Gateway B' }).waitFor()
  await system.admin.post('/tickets/3/approve', {})
  await system.employee.post('/tickets', { title: 'Opened meanwhile' })
  await page.goBack()
  await row.locator('.state-approved').waitFor()
  await page.locator('.list-row', { hasText: 'Opened meanwhile' }).waitFor()
  assert.deepEqual(tab.broken, [])
})

test('what is new is counted for the filter that is shown, not for an earlier one', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tickets')
  await page.locator('.list-row').first().waitFor()
  await page.locator('.connection-ok').waitFor()
  await system.employee.post('/tickets', { title: 'Label the patch panel' })
  await page.getByRole('button', { name: 'One new' }).waitFor()
  await page.getByRole('link', { name: 'To approve', exact: true }).click()
  // It was asked for with the filter, so it is among the rows.
  await page.locator('.list-row', { hasText: 'Label the patch panel' }).waitFor()
  await countOf(page.getByRole('button', { name: 'One new' }), 0)
  assert.deepEqual(tab.broken, [])
})

test('the palette offers and opens nothing that was found for other words', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default')
  await page.getByRole('heading', { level: 1 }).waitFor()
  await page.keyboard.press('Control+k')
  const field = page.getByRole('combobox', { name: /Search/ })
  await field.fill('core switch')
  const found = page.getByRole('option', { name: /Replace the core switch/ })
  await found.waitFor()
  // Before anybody could answer: what stood there is not what is meant.
  await page.evaluate(`(() => {
    const field = document.querySelector('[role=combobox]')
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, 'printers')
    field.dispatchEvent(new Event('input', { bubbles: true }))
  })()`)
  assert.equal(await found.count(), 0)
  await page.getByRole('option', { name: /Move the printers/ }).waitFor()
  await page.keyboard.press('Enter')
  await page.waitForURL(/\/tickets\/3$/)
  assert.deepEqual(tab.broken, [])
})

test('figures are those of the period and the handler that are chosen', { skip }, async () => {
  await using system = await startConsole()
  const { id } = (await system.admin.get<{ id: string; slug: string }[]>('/projects')).body.find(
    ({ slug }) => slug === 'default',
  )!
  const at = Math.floor(Date.now() / STEPS.hour - 2) * STEPS.hour
  await inProject(id, () =>
    system.app.db.write((tx) =>
      putStats(tx, {
        ...{ step: 'hour', at, handler: 'billing.sync', queue: 'night', ended: 4321, failed: 0, cancelled: 0 },
        ...{ ran: '{}', waited: '{}', codes: '{}', cost_nanos: 0 },
      }),
    ),
  )
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/insight')
  const figures = page.locator('.figure-value', { hasText: '4,321' })
  await figures.first().waitFor()
  const { free } = await holdFirst(page, /\/insight\?.*queue=day/)
  await page.getByLabel('Queue').fill('day')
  await page.waitForURL(/queue=day/)
  await page.getByRole('status', { name: 'Loading' }).first().waitFor()
  await countOf(figures, 0)
  free()
  await page.getByText('Nothing ended in this period').waitFor()
  assert.deepEqual(tab.broken, [])
})

test('a key of a log is new as long as the page is open in which it was first seen', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tickets/1')
  const first = page.getByText('First seen in this browser now.')
  const look = async () => {
    await page.locator('.seal-stations button, .seal button').last().click()
    await page.getByRole('dialog').getByText('What this rests on').waitFor()
  }
  await look()
  await first.waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await look()
  await first.waitFor()
  await tab.open('default/tickets/1')
  await look()
  await page.getByText('The same as this browser saw before.').waitFor()
  assert.deepEqual(tab.broken, [])
})

test('what does not fit is said where it is read, and its seal is broken', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await using tab = await openTab(system)
  const { page } = tab
  await page.route(/\/evidence\/trail\?/, async (route) => {
    const response = await route.fetch()
    const trail = (await response.json()) as Trail
    const entries = trail.entries.map((one) =>
      one.event_type === 'ticket.approved'
        ? { ...one, payload: one.payload!.replace('window agreed', 'whatever') }
        : one,
    )
    await route.fulfill({ response, json: { ...trail, entries } })
  })
  await tab.openAs(system.admin, 'default/tickets/1')
  const told = page.locator('.timeline li', { hasText: 'Something does not fit.' })
  await told.filter({ hasText: 'Approved' }).waitFor()
  await countOf(told, 1)
  await page.locator('.seal-stations .seal-failed', { hasText: 'does not fit' }).waitFor()
  assert.deepEqual(tab.broken, [])
})
