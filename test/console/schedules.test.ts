/** Schedules in the console: added, looked at by day, run, paused, changed, deleted; and who may not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Schedule, ScheduleDetail } from '@writ/api'
import { until } from '../test-system.ts'
import { countOf, lookAt, openTab, skip, startConsole, textsOf } from './scene.ts'

// New Year is far from any day on which this runs, and from any clock change.
const YEARLY = '0 3 1 1 *'

test('a schedule is added by its form, run, paused, resumed, changed and deleted', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  const only = async () => (await system.admin.get<Schedule[]>('/schedules')).body[0]
  await tab.openAs(system.admin, 'default/schedules')
  await page.getByText('No schedules yet').waitFor()
  await page.getByRole('link', { name: 'New schedule' }).first().click()
  await page.getByLabel('Name', { exact: true }).fill('Nightly Inventory')
  await page.getByRole('combobox', { name: 'Handler' }).fill('demo')
  await page.getByRole('option', { name: 'demo_script' }).click()
  await page.getByRole('textbox', { name: 'Cron' }).fill('0 25 * * *')
  // What the server says of the times is said while one types.
  await page.locator('aside .refusal').waitFor()
  await page.getByRole('textbox', { name: 'Cron' }).fill(YEARLY)
  await page.locator('.preview-times li').nth(9).waitFor()
  await page.getByLabel('name', { exact: true }).fill('core-sw-1')
  await page.locator('details.options summary').click()
  await page.getByLabel('Concurrency key', { exact: true }).fill('core')
  await page.getByLabel('Limit of an attempt (seconds)', { exact: true }).fill('90')
  await page.getByLabel('To end within (seconds)', { exact: true }).fill('3600')
  await page.getByLabel('Callback', { exact: true }).fill(`${system.base}/hook?k=1`)
  await page.getByRole('button', { name: 'Add schedule' }).click()
  await page.locator('.mantine-TextInput-error').first().waitFor()
  await page.getByLabel('Name', { exact: true }).fill('nightly-inventory')
  await page.getByRole('button', { name: 'Add schedule' }).click()
  await page.getByRole('heading', { name: 'nightly-inventory' }).waitFor()
  const made = (await only())!
  assert.deepEqual([made.cron, made.zone, made.handler], [YEARLY, 'Asia/Shanghai', 'demo_script'])
  assert.deepEqual(made.options, { concurrency_key: 'core', timeout_ms: 90_000, ttl_ms: 3_600_000 })
  assert.deepEqual(made.callback, { url: `${system.base}/hook?…` })
  await page.getByText('It has not been due yet.').waitFor()

  await page.getByRole('button', { name: 'Run now' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Run now' }).click()
  await page.locator('h1 .state-completed').waitFor()
  await page.locator('.tree', { hasText: 'core-sw-1' }).first().waitFor()

  await tab.open(`default/schedules/${made.id}`)
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByLabel('Reason (optional)', { exact: true }).fill('freeze')
  await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click()
  await page
    .locator('.summary', { hasText: 'freeze' })
    .getByText(/admin \(you\) · /)
    .waitFor()
  await page.getByText('No time is ahead.').waitFor()
  await page.getByRole('button', { name: 'Resume' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
  await page.locator('h1 .state-active').waitFor()

  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByText('At intervals').click()
  await page.getByLabel('Every', { exact: true }).fill('2')
  await page.getByRole('combobox', { name: 'Unit' }).click()
  await page.getByRole('option', { name: 'Days' }).click()
  await page.locator('.preview-times li').nth(9).waitFor()
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('every 2 days').waitFor()
  const changed = (await system.admin.get<ScheduleDetail>(`/schedules/${made.id}`)).body
  assert.deepEqual([changed.cron, changed.every_seconds], [null, 172_800])
  assert.deepEqual(changed.input, { name: 'core-sw-1' })
  assert.deepEqual([changed.options, changed.callback], [made.options, made.callback])

  // By keyboard to the list; on the calendar every other day has it.
  for (const key of ['g', 'c']) await page.keyboard.press(key)
  await page.locator('tbody tr', { hasText: 'nightly-inventory' }).waitFor()
  await page.getByRole('link', { name: 'Week', exact: true }).click()
  await page.getByRole('button', { name: 'Forward' }).click()
  await page.waitForURL(/on=/)
  await page.locator('.calendar-due', { hasText: 'nightly-inventory' }).nth(2).waitFor()
  await page.locator('.calendar-due').first().click()
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('No schedules yet').waitFor()
  assert.equal(await only(), undefined)

  await using other = await openTab(system)
  await other.openAs(system.employee, 'default/schedules')
  await other.page.getByText('Your role does not open this').waitFor()
  assert.deepEqual([...tab.broken, ...other.broken], [])
  await system.settle()
  await system.check()
})

test('schedules are chosen by state, handler and words, in the list as on the calendar', { skip }, async () => {
  await using system = await startConsole()
  for (const [name, handler, cron] of [
    ['backup-hall-1', 'system.ping', '0 4 * * *'],
    ['backup-hall-2', 'demo_script', '30 4 * * *'],
    ['report', 'system.ping', '0 8 * * *'],
  ] as const) {
    const input = handler === 'demo_script' ? { name: 'x' } : {}
    assert.equal((await system.admin.post('/schedules', { name, handler, input, cron, zone: 'UTC' })).status, 201)
  }
  await system.admin.post('/schedules/report/pause', {})
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/schedules')
  const names = page.locator('tbody tr td:first-child')
  await textsOf(names, [' backup-hall-1', ' backup-hall-2', ' report'])
  await page.locator('[data-filter]').fill('BACKUP 30')
  await textsOf(names, [' backup-hall-2'])
  await page.locator('[data-filter]').fill('')
  await page.getByRole('combobox', { name: 'State' }).click()
  await page.getByRole('option', { name: 'Active' }).click()
  await textsOf(names, [' backup-hall-1', ' backup-hall-2'])
  await page.getByRole('combobox', { name: 'Handler' }).click()
  await page.getByRole('option', { name: 'system.ping' }).click()
  await textsOf(names, [' backup-hall-1'])
  assert.match(page.url(), /schedules\?state=active&handler=system\.ping$/)
  // The calendar shows the same, and each of its links is high enough.
  await page.getByRole('link', { name: 'Month', exact: true }).click()
  // The next one, in which something is due on every day, also when this one is about to end.
  await page.getByRole('button', { name: 'Forward' }).click()
  await page.waitForURL(/on=/)
  const due = page.locator('.calendar-due')
  await due.first().waitFor()
  assert.match(page.url(), /state=active.*view=month/)
  assert.deepEqual(
    [...new Set(await page.locator('.calendar-due .calendar-name').allTextContents())],
    ['backup-hall-1'],
  )
  for (const box of await due.all()) assert.ok((await box.boundingBox())!.height >= 24)
  await tab.go('default/schedules?q=nothing-like-it')
  await page.getByRole('link', { name: 'Clear the filters' }).click()
  await textsOf(names, [' backup-hall-1', ' backup-hall-2', ' report'])
  assert.deepEqual(tab.broken, [])
})

test('a time that clocks skip, or show twice, says beside its field as which it is taken', { skip }, async () => {
  await using system = await startConsole()
  const second = '2099-10-25T01:30:00Z'
  const made = await system.admin.post<{ id: string }>('/schedules', {
    name: 'the-second',
    handler: 'demo_script',
    input: { name: 'x' },
    at: second,
  })
  assert.equal(made.status, 201)
  await using tab = await openTab(system, { zone: 'Europe/Berlin' })
  const { page } = tab
  await tab.openAs(system.admin, 'default/schedules/new')
  await page.getByText('Once', { exact: true }).click()
  const field = page.getByLabel('At', { exact: true })
  const times = page.locator('.preview-times li')
  await field.fill('2027-03-28T02:30')
  await page.getByText('Clocks skip this time on that day. It is taken as Mar 28, 2027, 03:30:00 GMT+2.').waitFor()
  await field.fill('2027-10-31T02:30')
  await page
    .getByText(
      'this time comes twice. The first is taken, Oct 31, 2027, 02:30:00 GMT+2; the second is Oct 31, 2027, 02:30:00 GMT+1.',
    )
    .waitFor()
  await times.filter({ hasText: 'Oct 31, 2027, 02:30:00 GMT+2' }).waitFor()
  await field.fill('2027-10-31T03:30')
  await countOf(page.locator('.clock-change'), 0)

  // A cron is read by other clocks than those of whoever looks.
  await page.getByText('By cron', { exact: true }).click()
  await page.getByRole('textbox', { name: 'Cron' }).fill('0 9 * * *')
  await times
    .filter({ hasText: /09:00:00 GMT\+[12]/ })
    .first()
    .waitFor()
  await countOf(page.locator('.preview-there'), 0)
  await page.getByRole('combobox', { name: 'Time zone' }).fill('Asia/Tokyo')
  await page.getByRole('option', { name: 'Asia/Tokyo' }).click()
  await times.filter({ hasText: '09:00:00 GMT+9 · Asia/Tokyo' }).first().waitFor()

  // What was not touched stays the instant that it was.
  await tab.go(`default/schedules/${made.body.id}/edit`)
  await times.filter({ hasText: 'Oct 25, 2099, 02:30:00 GMT+1' }).waitFor()
  // Filters of lists are such times too.
  await tab.go('default/tasks?from=2027-03-28T02:30')
  await page.getByText('Clocks skip this time on that day.').waitFor()
  assert.deepEqual(tab.broken, [])
})

test('why the server paused a schedule is said in the language of the page; a person is quoted', { skip }, async () => {
  await using system = await startConsole({ fakeClock: true })
  const olga = await system.hire('olga', 'ops')
  const add = async (who: typeof olga, name: string) =>
    assert.equal((await who.post('/schedules', { name, handler: 'system.ping', every_seconds: 60 })).status, 201)
  await add(olga, 'of-olga')
  await add(system.admin, 'of-nothing')
  await add(system.admin, 'of-somebody')
  await system.admin.post('/schedules/of-somebody/pause', { reason: '变更冻结期' })
  await system.admin.patch(`/users/${olga.id}`, { is_active: false })
  system.app.tasks.handlers.remove('system.ping')
  const found = async (name: string) => (await system.admin.get<ScheduleDetail>(`/schedules/${name}`)).body
  for (let times = 1; times <= 10; times++) {
    system.advance(60_000)
    await until(`it was due ${times} times`, async () => (await found('of-nothing')).fires.length === times)
  }
  await until('both are paused', async () => (await found('of-olga')).state === 'paused')
  for (const [locale, ...said] of [
    ['zh-CN', '连续 10 次未能启动任务，最后一次为 TASK_UNKNOWN_HANDLER。', '由谁恢复，此后就以谁的名义派发。'],
    ['en-GB', '10 times in a row, the last time with TASK_UNKNOWN_HANDLER.', 'in the name of whoever resumes it.'],
  ] as const) {
    await using tab = await openTab(system, { locale })
    await tab.openAs(system.admin, 'default/schedules/of-nothing')
    for (const [name, words] of [
      ['of-nothing', said[0]],
      ['of-olga', said[1]],
      ['of-somebody', '变更冻结期'],
    ] as const) {
      await tab.go(`default/schedules/${name}`)
      await tab.page.locator('.summary', { hasText: words }).waitFor()
      assert.equal(await tab.page.getByText('it started nothing').count(), 0)
    }
    assert.deepEqual(tab.broken, [])
  }
})

test('the pages of schedules are whole and accessible in both themes', { skip }, async () => {
  await using system = await startConsole()
  const add = async (body: object) => {
    const answer = await system.admin.post<ScheduleDetail>('/schedules', body)
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body.id
  }
  const soon = new Date(Date.now() + 1_500).toISOString()
  const once = await add({ name: 'firmware-window', handler: 'system.ping', at: soon })
  await add({
    name: 'nightly-inventory',
    handler: 'demo_script',
    input: { name: 'x' },
    cron: '30 2 * * *',
    zone: 'Europe/Berlin',
  })
  await add({ name: 'backup', handler: 'system.ping', cron: '0 4 * * SUN', zone: 'Asia/Shanghai', dst_gap: 'skip' })
  await add({ name: 'poll', handler: 'system.ping', every_seconds: 3_600, when_running: 'skip', catch_up: 'none' })
  await add({ name: 'renew-certificates', handler: 'system.ping', cron: '15 9 1 * *', catch_up: 'all' })
  const paused = await add({ name: 'report', handler: 'system.ping', cron: '0 8 * * MON' })
  await system.admin.post(`/schedules/${paused}/pause`, { reason: 'holidays' })
  await until('the one time has come', async () => {
    const { fires } = (await system.admin.get<ScheduleDetail>(`/schedules/${once}`)).body
    return fires[0]?.run_id != null
  })
  await system.settle()
  // A week and a month that begin later: in the last hour of this one nothing need be due in it.
  const later = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)
  const faults = await lookAt(
    system,
    [
      ['schedules', 'schedules', 'tbody tr'],
      ['schedules-month', `schedules?view=month&on=${later(35)}`, '.calendar-due'],
      ['schedules-week', `schedules?view=week&on=${later(8)}`, '.calendar-due'],
      ['schedule-fired', `schedules/${once}`, 'tbody .state-completed'],
      ['schedule-paused', `schedules/${paused}`, '.summary-wait'],
      ['schedule-new', 'schedules/new', '.preview-times li'],
      ['schedule-edit', `schedules/${paused}/edit`, '.preview-times li'],
    ],
    {
      after: async ({ page, go }, look) => {
        await go(`default/schedules/${paused}`)
        await page.locator('.actions button').last().click()
        await page.locator('.ask').waitFor()
        await look('schedule-delete')
      },
    },
  )
  assert.deepEqual(faults, [])
})
