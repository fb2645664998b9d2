/** Tasks in the console: dispatched, failed, looked at, replayed; queues held and emptied; who may do none of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Queue, Submitted, Task } from '@writ/api'
import { handlerOf } from '../tasks/dispatch.ts'
import type { TestSystem } from '../test-system.ts'
import { comesTo, countOf, lookAt, openTab, type Sight, skip, startConsole, textsOf } from './scene.ts'

/** Fails twice with its own words, and writes a log. */
const failing = handlerOf(
  'test.fails',
  async (_, { attempt, cost, log, step }) => {
    await step('look up the switch', async () => ({ address: '192.0.2.7', model: 'CE6860' }))
    cost(0.012 * attempt, 'gpt-5-mini')
    log(`attempt ${attempt}`)
    for (const port of [1, 2, 3]) log(`port 1/0/${port} is down`)
    throw new Error(`switch did not answer (attempt ${attempt})`)
  },
  { maxAttempts: 2 },
)
const patient = handlerOf('test.waits', (_, { signal }) => {
  signal.throwIfAborted()
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
})

/** Dispatches six that wait, and waits for them. */
const parent = handlerOf('test.parent', async (_, { dispatch, waitFor }) => {
  const children = []
  for (const n of [1, 2, 3, 4, 5, 6]) children.push(await dispatch(`part ${n}`, { handler: 'test.waits' }))
  await Promise.all(children.map((child) => waitFor(child)))
})

async function dispatch(system: TestSystem, body: object): Promise<Submitted> {
  const answer = await system.admin.post<Submitted>('/tasks', body)
  assert.equal(answer.status, 201, JSON.stringify(answer.body))
  return answer.body
}

async function ended(system: TestSystem, id: string): Promise<Task> {
  const answer = await system.admin.get<Task>(`/tasks/${id}/wait?timeout=30`)
  assert.ok(answer.body.completed_at, `task ${id} is ${answer.body.state}`)
  return answer.body
}

test('a task is dispatched from its form, dies, and is replayed from the dead letters', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tasks')
  await page.getByText('No tasks yet').waitFor()
  await page.getByRole('link', { name: 'Dispatch' }).first().click()
  await page.getByRole('heading', { name: 'Dispatch a task' }).waitFor()
  await page.getByRole('combobox', { name: 'Handler' }).fill('script')
  await page.getByRole('option', { name: /^script\.execute/ }).click()
  await page.waitForURL(/handler=script\.execute$/)
  await page.getByLabel('script_name', { exact: true }).fill('inventory')
  await page.getByLabel('args', { exact: true }).fill('{"port": ')
  await page.getByText('This is no JSON yet.').waitFor()
  // What is no JSON yet is never sent.
  await page.locator('form button[type=submit]:disabled').waitFor()
  await page.getByLabel('args', { exact: true }).fill('{"port": "1/0/7"}')
  await page.getByText('Options').click()
  await page.getByRole('combobox', { name: 'Tags' }).fill('nightly')
  await page.keyboard.press('Enter')
  await page.locator('.snippet', { hasText: /"script_name":"inventory","args":\{"port":"1\/0\/7"\}/ }).waitFor()
  // What the server refuses is said at its field.
  await page.getByLabel('Queue', { exact: true }).fill('Not A Queue')
  await page.locator('form button[type=submit]').click()
  await page.locator('.mantine-TextInput-error').first().waitFor()
  await page.getByLabel('Queue', { exact: true }).fill('night')
  await page.locator('form button[type=submit]').click()
  await page.getByText('Accepted and kept.').waitFor()
  await page.getByText('SCRIPTS_OFF', { exact: false }).first().waitFor()
  await page.getByRole('link', { name: 'Open task #1' }).click()

  await page.locator('h1 .state-failed').waitFor()
  await page.getByText(/waits for somebody to decide/).waitFor()
  await page.getByText('Attempt 1', { exact: true }).waitFor()
  await page.locator('.entries .good').first().waitFor()
  await page.locator('.tree', { hasText: 'inventory' }).waitFor()
  await page.getByRole('link', { name: 'Home', exact: true }).click()
  await page.locator('.figure-bad', { hasText: 'Dead letters' }).click()
  await page.locator('.list-row', { hasText: 'SCRIPTS_OFF' }).waitFor()
  await page.getByLabel('Error code', { exact: true }).fill('SCRIPTS_OFF')
  await page.waitForURL(/error_code=SCRIPTS_OFF/)
  await page.getByRole('button', { name: 'Replay …' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText(/with SCRIPTS_OFF that died before/).waitFor()
  await dialog.getByRole('button', { name: 'Replay one task' }).click()
  await page.getByText('1 replayed, 0 left.').waitFor()
  const [replay] = (await system.admin.get<Task[]>('/tasks')).body
  assert.equal(replay!.number, 2)
  await ended(system, replay!.id)
  // One by one, from the row.
  await page.locator('.list-row', { hasText: '#2' }).waitFor()
  await page.getByRole('button', { name: 'Replay task #2' }).click()
  await page
    .getByRole('dialog')
    .getByText(/is dispatched as a new task on night/)
    .waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click()
  await page.getByRole('heading', { name: /Task #3/ }).waitFor()
  // The chain leads back to the first.
  await textsOf(page.locator('aside .path li a'), ['#1', '#2'])
  await page.getByRole('link', { name: '#2', exact: true }).click()
  await page.getByText('Left the dead letters').waitFor()
  await page.locator('aside .path li a', { hasText: '#3' }).waitFor()
  await system.settle()
  await system.check()
  assert.deepEqual(tab.broken, [])
})

test('a form is kept as a template, without what is secret, and its address fills it', { skip }, async () => {
  const secret = handlerOf('test.secret', async () => null, {
    input: {
      type: 'object',
      properties: { name: { type: 'string' }, password: { type: 'string', writeOnly: true } },
      additionalProperties: false,
    },
  })
  await using system = await startConsole({ testHandlers: [secret] })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tasks/new?handler=test.secret')
  await page.getByLabel('name', { exact: true }).fill('core-9')
  await page.getByRole('textbox', { name: 'password' }).fill('not to be kept')
  await page.getByText('Options').click()
  await page.getByLabel('Queue', { exact: true }).fill('night')
  await page.getByLabel('Not before', { exact: true }).fill('2999-01-01T00:00')
  await page.getByRole('button', { name: 'Save as a template' }).click()
  await page.getByLabel('Name of the template', { exact: true }).fill('nightly')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.locator('.view', { hasText: 'nightly' }).waitFor()
  const kept = (await page.evaluate('JSON.stringify(localStorage)')) as string
  assert.match(kept, /core-9/)
  assert.doesNotMatch(kept, /not to be kept|2999/)

  await tab.open('default/tasks/new?handler=test.secret')
  await page.getByRole('link', { name: 'nightly' }).click()
  await comesTo(() => page.getByLabel('name', { exact: true }).inputValue(), 'core-9')
  await comesTo(() => page.getByLabel('Queue', { exact: true }).inputValue(), 'night')
  await page.locator('form button[type=submit]').click()
  await page.getByText('Accepted and kept.').waitFor()
  const [task] = (await system.admin.get<Task[]>('/tasks')).body
  assert.equal(task!.queue, 'night')
  await ended(system, task!.id)
  assert.deepEqual(tab.broken, [])
})

test('a task is followed while it runs, searched in its log, and cancelled with a reason', { skip }, async () => {
  await using system = await startConsole({ testHandlers: [failing, patient] })
  await using tab = await openTab(system)
  const { page } = tab
  const failed = await dispatch(system, { handler: 'test.fails', tags: ['nightly'], input: { switch: 'sw1' } })
  await tab.openAs(system.admin, `default/tasks/${failed.number}`)
  // The page is open while it is tried again.
  await page.locator('h1 .state-failed').waitFor()
  await countOf(page.locator('.waterfall li'), 2)
  await page.locator('tr', { hasText: 'look up the switch' }).locator('td', { hasText: /^1$/ }).waitFor()
  await page.getByText('switch did not answer (attempt 1)').waitFor()
  // What each attempt cost, what for, and in all.
  await page.locator('.waterfall li', { hasText: '· $0.012' }).waitFor()
  await page
    .locator('tr', { hasText: 'gpt-5-mini' })
    .locator('td', { hasText: /^\$0\.036$/ })
    .waitFor()
  await page.locator('aside').getByText('$0.036', { exact: true }).waitFor()
  await tab.go('default/tasks')
  const costsAtLeast = page.getByLabel('Costs at least $', { exact: true })
  await costsAtLeast.fill('0.04')
  await page.getByText('Nothing matches').waitFor()
  await costsAtLeast.fill('$0.03')
  await countOf(page.locator('.list-row'), 1)
  const lina = await system.hire('li.na', 'dev')
  assert.equal((await lina.post('/tasks', { handler: 'system.ping' })).status, 201)
  await tab.open('default/tasks')
  await page.getByRole('combobox', { name: 'Dispatched by' }).click()
  await page.getByRole('option', { name: 'li.na' }).click()
  await countOf(page.locator('.list-row'), 1)
  await page.locator('.list-row', { hasText: 'system.ping' }).waitFor()
  await tab.go(`default/tasks/${failed.number}`)
  await page.getByLabel('Search the log', { exact: true }).fill('1/0/2')
  await page.getByText(/1 of \d+ lines/).waitFor()
  await countOf(page.locator('.code mark'), 1)

  const running = await dispatch(system, { handler: 'test.waits' })
  await tab.go('default/tasks?state=running')
  await page.locator('.list-row .state-running').waitFor()
  await countOf(page.locator('.list-row'), 1)
  const later = await dispatch(system, { handler: 'test.waits' })
  await page.getByRole('button', { name: 'One new' }).click()
  await page.locator('.list-row').nth(1).waitFor()
  await page.getByRole('link', { name: `#${running.number} test.waits` }).click()
  await page.getByRole('button', { name: 'Cancel task' }).click()
  await page.getByLabel('Reason (optional)', { exact: true }).fill('dispatched twice')
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel task' }).click()
  await page.locator('h1 .state-cancelled').waitFor()
  assert.match((await ended(system, running.id)).state, /cancelled/)
  await system.admin.post(`/tasks/${later.id}/cancel`, {})
  // The same by keyboard: to the queues, back to the list, and into its first row.
  for (const key of ['g', 'q']) await page.keyboard.press(key)
  await page.getByRole('heading', { name: 'Queues' }).waitFor()
  for (const key of ['g', 'x']) await page.keyboard.press(key)
  await page.locator('.list-row').first().waitFor()
  for (const key of ['j', 'Enter']) await page.keyboard.press(key)
  await page.getByRole('heading', { name: `Task #${later.number}` }).waitFor()
  await tab.go('default/tasks?tag=nightly&handler=test.fails')
  await page.locator('.list-row').waitFor()
  await countOf(page.locator('.list-row'), 1)
  assert.deepEqual(tab.broken, [])
})

test('entries of a task are told as those of one, also to whom their payloads are closed', { skip }, async () => {
  await using system = await startConsole()
  const lina = await system.hire('li.na', 'dev')
  const { id, number } = (await lina.post<Task>('/tasks', { handler: 'system.ping' })).body
  await ended(system, id)
  await system.settle()
  await using tab = await openTab(system, { locale: 'zh-CN' })
  await tab.openAs(lina, `default/tasks/${number}`)
  await tab.page.getByText('任务已完成：system.ping').click()
  await tab.page.getByText('只有审计员和管理员能得到文本').first().waitFor()
  assert.deepEqual(tab.broken, [])
})

test('how the server ended a task is told in the language of the page, what its handler said as it is', {
  skip,
}, async () => {
  const slow = handlerOf('test.slow', patient.run, { timeoutMs: 100 })
  await using system = await startConsole({ testHandlers: [failing, slow] })
  const late = await dispatch(system, { handler: 'test.slow' })
  const failed = await dispatch(system, { handler: 'test.fails' })
  for (const { id } of [late, failed]) await ended(system, id)
  await using tab = await openTab(system, { locale: 'zh-CN' })
  const { page } = tab
  await tab.openAs(system.admin, `default/tasks/${late.number}`)
  await page.locator('.summary-bad', { hasText: 'TASK_TIMEOUT: 这次尝试超过了时限' }).waitFor()
  await page.locator('.waterfall', { hasText: '这次尝试超过了时限' }).waitFor()
  await tab.go(`default/tasks/${failed.number}`)
  await page.locator('.summary-bad', { hasText: 'switch did not answer (attempt 2)' }).waitFor()
  assert.deepEqual(tab.broken, [])
})

test('a queue is paused, resumed and drained, and each says what it will do', { skip }, async () => {
  await using system = await startConsole({ testHandlers: [patient] })
  const done = await dispatch(system, { handler: 'system.ping', queue: 'night' })
  await ended(system, done.id)
  const queue = async () => (await system.admin.get<Queue[]>('/queues')).body.find(({ name }) => name === 'night')!
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/queues')
  await page.getByRole('button', { name: 'Pause: night' }).click()
  await page.getByRole('dialog').getByLabel('Reason (optional)', { exact: true }).fill('the rack is moved')
  await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click()
  await page.getByText('Paused', { exact: true }).waitFor()
  await page.locator('tr', { hasText: 'night' }).getByText('the rack is moved').waitFor()
  assert.notEqual((await queue()).paused_at, null)
  const later = new Date(Date.now() + 3_600_000).toISOString()
  for (const more of [{}, {}, { run_at: later }])
    await dispatch(system, { handler: 'system.ping', queue: 'night', ...more })
  // A task says where that is seen and lifted, and the queue who did it.
  await tab.go(`default/tasks/${done.number + 1}`)
  const waits = page.locator('p', { hasText: 'It waits: its queue is paused.' })
  await waits.getByRole('link', { name: 'Queues' }).click()
  await page.locator('tr', { hasText: 'night' }).getByRole('link', { name: 'In the log' }).click()
  await page.locator('.list-row', { hasText: 'Paused queue night' }).getByText('admin (you)').waitFor()
  await tab.go('default/queues')
  await page.getByRole('button', { name: 'Drain: night' }).and(page.locator(':not([disabled])')).waitFor()
  await page
    .locator('tr', { hasText: 'night' })
    .locator('td', { hasText: /^Waiting 2$/ })
    .waitFor()
  await page
    .locator('tr', { hasText: 'night' })
    .locator('td', { hasText: /^Delayed 1$/ })
    .waitFor()
  await page.getByRole('button', { name: 'Drain: night' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('Cancel 3 waiting tasks of night').waitFor()
  await dialog.getByText(/2 could start now, 1 wait for their time/).waitFor()
  await dialog.getByRole('button', { name: 'Cancel 3 tasks' }).click()
  await page.getByText('3 cancelled, 0 still wait.').waitFor()
  await page.getByRole('button', { name: 'Resume: night' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
  await page.getByRole('button', { name: 'Pause: night' }).waitFor()
  await comesTo(async () => {
    const { waiting, delayed, paused_at } = await queue()
    return [waiting, delayed, paused_at]
  }, [0, 0, null])
  assert.deepEqual(tab.broken, [])
})

test('who may not dispatch, see queues or decide about dead letters is told so', { skip }, async () => {
  await using system = await startConsole()
  const { number } = await dispatch(system, { handler: 'script.execute', input: { script_name: 'x' } })
  const auditor = await system.hire('audra', 'auditor')
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.employee, 'default/tasks/new')
  for (const place of ['tasks/new', 'queues', 'dead-letters']) {
    await tab.go(`default/${place}`)
    await page.getByText('Your role does not open this').waitFor()
  }
  assert.equal(await page.locator('nav.side').getByText('Dead letters').count(), 0)
  await tab.go(`default/tasks/${number}`)
  await page.getByText('You see tasks that you dispatched.').waitFor()
  await tab.go('default/tasks/99')
  await page.getByText('There is no task of this number').waitFor()
  assert.deepEqual(tab.broken, [])

  await using other = await openTab(system)
  await other.openAs(auditor, 'default/dead-letters')
  await other.page.locator('.list-row').waitFor()
  assert.equal(await other.page.getByRole('button', { name: /Replay|Purge/ }).count(), 0)
  await other.page.locator('.list-row a').first().click()
  await other.page.locator('h1 .state-failed').waitFor()
  assert.equal(await other.page.getByRole('button', { name: 'Replay' }).count(), 0)
  assert.deepEqual(other.broken, [])
})

test('an admin purges what a filter takes, and it says how many', { skip }, async () => {
  await using system = await startConsole()
  for (let i = 0; i < 3; i++)
    await ended(system, (await dispatch(system, { handler: 'script.execute', input: { script_name: 'x' } })).id)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/dead-letters?handler=script.execute')
  await page.locator('.list-row').nth(2).waitFor()
  await page.getByRole('button', { name: 'Purge …' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Purge 3 dead letters' }).click()
  await page.getByText('3 dead letters purged.').waitFor()
  await page.getByText('Nothing matches').waitFor()
  const dead = await system.admin.get<Task[]>('/dead-letters')
  assert.deepEqual(dead.body, [])
  assert.deepEqual(tab.broken, [])
})

const pages: readonly Sight[] = [
  ['tasks', 'tasks', '.list-row'],
  ['task-failed', 'tasks/1', '.entries li'],
  ['task-done', 'tasks/2', '.entries li'],
  ['dispatch', 'tasks/new?handler=proxy_forward', 'form'],
  ['dispatch-any', 'tasks/new?handler=system.ping', 'form'],
  ['dispatch-choose', 'tasks/new', 'input'],
  ['batches', 'batches', '.list-row'],
  ['queues', 'queues', 'tbody tr'],
  ['dead-letters', 'dead-letters', '.list-row'],
  ['dead-nothing', 'dead-letters?handler=none', '.empty'],
]

test('a batch shows how far it is, by state, and what is left of it is cancelled', { skip }, async () => {
  await using system = await startConsole({ testHandlers: [failing] })
  const batch = {
    tasks: [
      { handler: 'system.ping' },
      { handler: 'test.fails', max_attempts: 1 },
      { handler: 'system.ping', run_at: '2999-01-01T00:00:00Z' },
      { handler: 'system.ping', run_at: '2999-01-01T00:00:00Z' },
    ],
  }
  const made = await system.admin.post<Submitted[]>('/tasks/batch', batch)
  assert.equal(made.status, 201, JSON.stringify(made.body))
  for (const { id } of made.body.slice(0, 2)) await ended(system, id)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tasks')
  await page.getByRole('link', { name: 'Batches' }).click()
  await page.locator('.list-row', { hasText: '4 tasks dispatched together' }).click()
  await page.getByText('2 of 4').waitFor()
  await countOf(page.locator('.list-row'), 4)
  await page.locator('.batch-state', { hasText: 'Failed' }).click()
  await page.waitForURL(/state=failed/)
  await countOf(page.locator('.list-row'), 1)
  await page.locator('.batch-state', { hasText: 'Failed' }).click()
  await page.getByRole('button', { name: 'Cancel the rest …' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel 2 tasks' }).click()
  await page.getByText('4 of 4').waitFor()
  await countOf(page.locator('.list-row .state-cancelled'), 2)
  await page.getByRole('button', { name: 'Cancel the rest …' }).waitFor({ state: 'detached' })
})

test('a task leads to those that it begins after, to the one that dispatched it, and to those that it dispatched', {
  skip,
}, async () => {
  await using system = await startConsole({ testHandlers: [parent, patient] })
  const first = await dispatch(system, { handler: 'system.ping', run_at: '2999-01-01T00:00:00Z' })
  const above = await dispatch(system, { handler: 'test.parent' })
  const after = await dispatch(system, { handler: 'system.ping', depends_on: [first.number, above.number] })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, `default/tasks/${after.number}`)
  const section = (name: string) => page.locator('section', { has: page.getByRole('heading', { name, exact: true }) })
  await section('Begins after')
    .getByRole('link', { name: `#${above.number}`, exact: true })
    .waitFor()
  await section('Begins after').getByText('system.ping').waitFor()
  await section('Begins after')
    .getByRole('link', { name: `#${above.number}`, exact: true })
    .click()
  const children = section('Dispatched by it')
  await children.locator('.totals', { hasText: '6' }).waitFor()
  await countOf(children.locator('li'), 5)
  await children.getByRole('link', { name: 'All 6' }).click()
  await page.waitForURL(/\/tasks\?parent=2$/)
  await countOf(page.locator('.list-row', { hasText: 'test.waits' }), 6)
  await page.locator('.list-row').first().click()
  await page.locator('.facts div', { hasText: 'Dispatched by task' }).getByRole('link', { name: '#2' }).click()
  await page.getByRole('heading', { name: /Task #2/ }).waitFor()
  await page.getByRole('button', { name: 'Cancel task' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel task' }).click()
  // What it dispatched is cancelled with it, and the page says so by itself.
  await countOf(children.locator('li .state-cancelled'), 5)
})

test('the pages of tasks are whole and accessible in both themes', { skip }, async () => {
  await using system = await startConsole({ testHandlers: [failing, patient] })
  const first = await dispatch(system, {
    handler: 'test.fails',
    tags: ['nightly', '工厂'],
    input: { switch: 'core-sw-1', ports: [1, 2, 3], window: { from: '02:00', to: '04:00' } },
    metadata: { change: 'CHG-20419' },
  })
  await ended(system, first.id)
  await ended(system, (await dispatch(system, { handler: 'demo_script', input: { name: 'Ada', data: [1] } })).id)
  await dispatch(system, { handler: 'test.waits', queue: 'night' })
  await dispatch(system, {
    handler: 'system.ping',
    queue: 'night',
    run_at: new Date(Date.now() + 7_200_000).toISOString(),
  })
  for (let i = 0; i < 12; i++) await dispatch(system, { handler: 'system.ping', queue: 'morning' })
  await system.admin.post('/queues/morning/pause', { reason: 'the switches of hall 3 are replaced until noon' })
  await dispatch(system, { handler: 'system.ping', queue: 'morning' })
  const together = await system.admin.post<Submitted[]>('/tasks/batch', {
    tasks: [
      { handler: 'demo_script', input: { name: 'Ada' } },
      { handler: 'system.ping', run_at: '2999-01-01T00:00:00Z' },
    ],
  })
  await ended(system, together.body[0]!.id)
  await system.admin.post('/handlers/demo_script/disable', { reason: 'it greets nobody' })
  await system.settle()
  const faults = await lookAt(system, pages, {
    after: async ({ page, go }, look) => {
      await go(`default/batches/${together.body[0]!.batch_id}`)
      await page.locator('.list-row').first().waitFor()
      await look('batch')
      await go('default/dead-letters')
      await page.locator('.actions button').last().click()
      await page.locator('.ask .dimmed').waitFor()
      await look('dead-replay')
    },
  })
  assert.deepEqual(faults, [])
})
