/** Every page: nothing broken, nothing wider than the screen, nothing that axe-core calls serious, in both themes and languages. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Webhook } from '@writ/api'
import { startReceiver } from '../channels/receiver.ts'
import { makeSshKey, proposeKey } from '../evidence/ssh-key.ts'
import { handlerOf } from '../tasks/dispatch.ts'
import { comesTo, faultsOf, fill, lookAt, looker, openTab, type Sight, settled, skip, startConsole } from './scene.ts'

const pages: readonly Sight[] = [
  ['home', '', '.figures'],
  ['tickets', 'tickets', '.list-row'],
  ['board', 'tickets?view=board', '.board-card'],
  ['ticket-done', 'tickets/1', '.timeline li'],
  ['ticket-failed', 'tickets/2', '.timeline li'],
  ['ticket-submitted', 'tickets/3', '.approval'],
  ['ticket-new', 'tickets/new', 'form'],
  ['runs', 'runs', '.list-row'],
  ['run', 'runs/2', '.entries li'],
  ['assets', 'assets', '.list-row'],
  ['asset', 'assets/1', '.rows .row'],
  ['audit', 'audit', '.list-row'],
  ['notices', 'notices', 'tbody tr'],
  ['webhook', 'notices/$webhook', '.facts'],
  ['start', 'start', '.step-now form'],
  ['me', 'settings/me', '.rows .row'],
  ['people', 'settings/people', 'tbody tr'],
  ['tokens', 'settings/tokens', '.empty, tbody tr'],
  ['keys', 'settings/keys', 'tbody tr'],
  ['policy', 'settings/policy', 'form'],
  ['retention', 'settings/retention', 'tbody tr'],
  ['projects', 'settings/projects', 'tbody tr'],
  ['missing', 'tickets/99', '.failed'],
  ['nothing-matches', 'tickets?q=nothing', '.empty'],
]

test('every page is whole and accessible in both themes', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await using receiver = await startReceiver()
  const hook = await system.admin.post<Webhook>('/webhooks', {
    name: 'inventory',
    url: receiver.url,
    events: ['run.*'],
  })
  assert.equal(hook.status, 201, JSON.stringify(hook.body))
  const faults = await lookAt(
    system,
    pages.map(([name, place, shown]) => [name, place.replace('$webhook', hook.body.id), shown]),
    {
      before: async (tab, look) => {
        await tab.page.locator('form').waitFor()
        await look('sign-in')
      },
    },
  )
  assert.deepEqual(faults, [])
})

test('names without a blank, as long as they may be, keep pages as wide as the screen', { skip }, async () => {
  const long = (length: number) => 'abcdefghij_klmnopqrst.'.repeat(20).slice(0, length)
  const stepping = handlerOf(
    'test.steps',
    async (_, { step, cost }) => {
      await step(long(100), async () => ({ address: long(100) }))
      cost(0.01, long(100))
    },
    { input: { type: 'object', properties: { [long(60)]: { type: 'string', description: long(200) } } } },
  )
  await using system = await startConsole({ testHandlers: [stepping] })
  const { admin } = system
  const dashed = (length: number) => long(length).replaceAll(/[_.]/g, '-')
  const handler = long(100)
  const made = [
    await admin.post('/tokens', { name: long(100), role: 'dev' }),
    await admin.post('/webhooks', { name: long(100), url: `http://127.0.0.1:9/${long(200)}`, events: ['run.*'] }),
    await admin.post('/holds', { subject_type: 'project', reason: long(300) }),
    await admin.post('/projects', { slug: dashed(60), name: long(90) }),
    await admin.post('/users', {
      username: long(50),
      email: 'long@example.com',
      full_name: long(90),
      password: 'correct horse battery',
      role: 'dev',
    }),
    await admin.post('/handlers', { name: handler, url: `http://127.0.0.1:9/${long(200)}`, title: long(190) }),
    await admin.post('/schedules', {
      name: long(60),
      handler,
      cron: '0 3 * * *',
      zone: 'America/Argentina/Buenos_Aires',
    }),
    await admin.post('/tasks', { handler: 'system.ping', queue: dashed(60) }),
    await admin.post('/concurrency-keys/limit', { key: long(190), concurrency: 2, reason: long(300) }),
    await system.employee.post('/tickets', { title: long(200) }),
    await system.employee.post('/runs', {
      run_type: 'proof',
      ticket_id: 1,
      script_id: 'proof.config_format',
      expect: [{ name: `${long(200)}.cfg` }],
    }),
    await admin.post('/tasks', { handler: 'test.steps', tags: [long(60)], metadata: { [long(60)]: long(100) } }),
  ]
  for (const { status, body } of made) assert.ok(status < 300, JSON.stringify(body))
  const steps = made.at(-1)!.body as { id: string; number: number }
  await admin.get(`/tasks/${steps.id}/wait?timeout=30`)
  const places = [
    ...['tickets', 'tickets/1', 'runs/2', 'handlers', 'schedules', `schedules/${long(60)}`, 'notices', 'queues'],
    ...[`schedules/${long(60)}/edit`, 'tasks', `tasks/${steps.number}`, 'tasks/new?handler=test.steps'],
  ]
  const settings = ['people', 'tokens', 'retention', 'projects'].map((page) => `settings/${page}`)
  // 320: what is left of 1280 at four times the size, WCAG 1.4.10.
  for (const width of [320, 1024, 1440]) {
    await using tab = await openTab(system, { width })
    await tab.openAs(admin, 'default/settings/me')
    for (const place of [...places, ...settings]) {
      await tab.go(`default/${place}`)
      await tab.page
        .getByText(long(20))
        .or(tab.page.getByText(dashed(20)))
        .filter({ visible: true })
        .first()
        .waitFor()
      await settled(tab.page)
      // Rows of lists are cut on a wide screen alone.
      const parts = width < 760 ? '.section, .list-row > span' : '.section'
      const wider = await tab.page.evaluate(
        `[document.documentElement.scrollWidth - innerWidth, ...[...document.querySelectorAll("${parts}")].map((one) => one.scrollWidth - one.clientWidth)].filter((px) => px > 1)`,
      )
      assert.deepEqual(wider, [], `${place} at ${width}`)
    }
    // A dialog names what it is about, and its cross stays inside.
    await tab.go('default/settings/retention')
    await tab.page.getByRole('button', { name: /^Release: / }).click()
    const dialog = (await tab.page.getByRole('dialog').boundingBox())!
    const cross = (await tab.page.getByRole('dialog').getByRole('button', { name: 'Close' }).boundingBox())!
    assert.ok(cross.x + cross.width <= dialog.x + dialog.width, `the cross ends at ${cross.x + cross.width}`)
  }
})

test('on a phone a project is a card with everything that its row has on a wide screen', { skip }, async () => {
  await using system = await startConsole()
  for (const [width, heads] of [
    [1280, true],
    [390, false],
  ] as const) {
    await using tab = await openTab(system, { width })
    await tab.openAs(system.admin, 'default/settings/projects')
    const row = tab.page.locator('.projects tbody tr', { hasText: 'default' })
    for (const text of ['Admin', 'Members only', /writ\.log\/.…[0-9a-f]{10}/]) await row.getByText(text).waitFor()
    // The words stand above the columns, or beside the values.
    for (const word of ['Role', 'Access', 'Origin', 'Created']) {
      await row.getByText(word, { exact: true }).waitFor({ state: heads ? 'hidden' : 'visible' })
      await tab.page.locator('.projects th', { hasText: word }).waitFor({ state: heads ? 'visible' : 'hidden' })
    }
    assert.deepEqual(await faultsOf(tab.page), [])
  }
})

test('on a phone every row of a list says when', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  await system.admin.post('/tasks', { handler: 'system.ping' })
  await using tab = await openTab(system, { width: 390 })
  await tab.openAs(system.admin, '')
  for (const place of ['tickets', 'runs', 'tasks', 'audit']) {
    await tab.go(`default/${place}`)
    await tab.page.locator('.list-row').first().waitFor()
    const silent = tab.page.locator('.list-row').filter({ hasNot: tab.page.locator('time:visible') })
    await comesTo(() => silent.count(), 0)
    assert.deepEqual(await faultsOf(tab.page), [])
  }
})

/** What each cell of each row says, without the words that stand beside values on a phone alone. */
const CELLS = `[...document.querySelectorAll('.content tbody tr')].map((row) => [...row.querySelectorAll('td')].map((cell) => {
  if (!cell.checkVisibility()) return '(left out)'
  const copy = cell.cloneNode(true)
  for (const word of copy.querySelectorAll('.card-word')) word.remove()
  for (const time of copy.querySelectorAll('time')) time.textContent = time.dateTime
  return copy.textContent.trim()
}))`
/** How many parts have to be scrolled sideways. */
const WIDER = `[...document.querySelectorAll('.section, table')].filter((one) => one.scrollWidth > one.clientWidth + 1).length`

test('on a phone rows of settings and notices say all that they say on a wide screen', { skip }, async () => {
  await using system = await startConsole()
  const { admin } = system
  const ticket = (await system.employee.post<{ id: string }>('/tickets', { title: 'x' })).body
  const made = [
    await admin.post('/tokens', { name: 'pipeline', role: 'dev', scopes: ['runs.start', 'tickets.list'] }),
    await admin.post('/webhooks', { name: 'inventory', url: 'http://127.0.0.1:9/a/path', events: ['run.*'] }),
    await admin.post('/holds', { subject_type: 'ticket', subject_id: ticket.id, reason: 'case 2026-17' }),
    await admin.post('/audit/logs/rotate', { reason: 'a year is over' }),
    await proposeKey(admin, await makeSshKey(system.folder, 'desk')),
  ]
  for (const { status, body } of made) assert.ok(status < 300, JSON.stringify(body))
  const places = [
    ['settings/people', 2],
    ['settings/tokens', 1],
    ['settings/keys', 6],
    ['settings/retention', 3],
    ['settings/projects', 3],
    ['notices', 1],
  ] as const
  const seen = async (width: number) => {
    await using tab = await openTab(system, { width })
    await tab.openAs(admin, 'default/settings/me')
    const found: Record<string, string[][]> = {}
    for (const [place, least] of places) {
      await tab.go(`default/${place}`)
      await tab.page
        .locator('.content tbody tr')
        .nth(least - 1)
        .waitFor()
      // Names come by a request of their own.
      await comesTo(() => tab.page.getByText('somebody', { exact: true }).count(), 0)
      found[place] = (await tab.page.evaluate(CELLS)) as string[][]
      // Nor has anything to be looked for by scrolling sideways.
      const wide = await tab.page.evaluate(WIDER)
      assert.equal(wide, 0, `${place} at ${width}`)
    }
    assert.deepEqual(tab.broken, [])
    return found
  }
  await system.settle()
  const [wide, phone] = [await seen(1280), await seen(390)]
  for (const [place, least] of places) assert.ok(wide[place]!.length >= least, place)
  assert.deepEqual(phone, wide)
})

test('dialogs and drawers are accessible too', { skip }, async () => {
  await using system = await startConsole()
  await fill(system)
  const shape = { scheme: 'dark', width: 1440, height: 900, locale: 'en-GB' } as const
  await using tab = await openTab(system, shape)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tickets/3')
  const faults: string[] = []
  const look = looker(page, shape, faults)
  await page.getByRole('button', { name: 'Review and approve' }).click()
  await page.getByText('This page made the same digest').waitFor()
  await look('approve')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.keyboard.press('Control+k')
  await page.getByRole('combobox').fill('core')
  await page.getByRole('option', { name: /Replace the core switch/ }).waitFor()
  await look('palette')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: /Replace the core switch/ }).waitFor()
  await page.getByRole('button', { name: /^Proved/ }).click()
  await page.getByText(/checked in this page/).waitFor()
  await look('proof')
  await page.keyboard.press('Escape')
  await tab.open('default/audit')
  await page.locator('.list-row a', { hasText: 'ticket.approved' }).first().click()
  await page
    .getByRole('dialog')
    .getByText('Approved version 1 of ticket #2: Replace the core switch in hall 3')
    .waitFor()
  await page.getByRole('button', { name: 'Prove that the log holds it' }).click()
  await page.getByText(/hashes lead to its root. Computed in this page/).waitFor()
  await look('event')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  // Menus: whoever opens one by keyboard is at its first item.
  const menus = page.locator('button[aria-haspopup=menu]')
  for (const button of await menus.all()) {
    const name = await button.textContent()
    await button.press('Enter')
    const items = page.getByRole('menu').locator('[role^=menuitem]')
    await items.first().waitFor()
    await comesTo(() => items.first().evaluate((item) => item.matches(':focus')), true)
    for (const fault of await faultsOf(page)) faults.push(`menu ${name}: ${fault}`)
    await page.keyboard.press('Escape')
    await items.first().waitFor({ state: 'detached' })
  }
  assert.deepEqual(faults, [])
  assert.deepEqual(tab.broken, [])
})
