/** Handlers in the console, those of workers switched off and on; and what was done to one device. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { HandlerInfo, Submitted } from '@writ/api'
import { handlerOf } from '../tasks/dispatch.ts'
import { lookAt, openTab, skip, startConsole } from './scene.ts'

test('a handler over HTTP is added, switched and removed; a key is paused and goes on', { skip }, async () => {
  const keyed = handlerOf('test.keyed', (_, { signal }) => {
    signal.throwIfAborted()
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
  })
  await using system = await startConsole({ testHandlers: [keyed] })
  const { admin } = system
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(admin, 'default/handlers')
  await page.getByRole('button', { name: 'New HTTP handler' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name', { exact: true }).fill('vlan.add')
  await dialog.getByLabel('Address', { exact: true }).fill('http://127.0.0.1:9/vlan')
  await dialog.getByLabel('Seconds for an attempt', { exact: true }).fill('45')
  await dialog.getByRole('button', { name: 'Add handler' }).click()
  await dialog.getByText(/^whsec_/).waitFor()
  await dialog.getByRole('button', { name: 'I have kept it' }).click()
  const row = page.locator('tr', { hasText: 'vlan.add' })
  await row.getByText('http://127.0.0.1:9/vlan').waitFor()
  await row.getByText('3, at most 45 s each').waitFor()
  // What the server itself knows is switched for this project, too.
  for (const name of ['vlan.add', 'demo_script']) {
    await page.getByRole('button', { name: `Disable: ${name}` }).click()
    await dialog.getByLabel('Reason (optional)', { exact: true }).fill(`${name} rests`)
    await dialog.getByRole('button', { name: 'Disable' }).click()
    await page.locator('tr', { hasText: name }).locator('.state-disabled').waitFor()
    await page
      .locator('tr', { hasText: name })
      .getByText(/admin \(you\) · /)
      .waitFor()
    await page.locator('q', { hasText: `${name} rests` }).waitFor()
  }
  await page.getByRole('button', { name: 'Remove: vlan.add' }).click()
  await dialog.getByText(/HANDLER_GONE/).waitFor()
  await dialog.getByRole('button', { name: 'Remove' }).click()
  await row.waitFor({ state: 'detached' })

  const task = await admin.post<Submitted>('/tasks', { handler: 'test.keyed', concurrency_key: 'sw1' })
  await tab.go('default/queues')
  const key = page.locator('tr', { hasText: 'sw1' })
  await key.waitFor()
  await page.getByRole('button', { name: 'Pause …: sw1' }).click()
  await dialog.getByLabel('Reason (optional)', { exact: true }).fill('it is being replaced')
  await dialog.getByRole('button', { name: 'Pause' }).click()
  await key.locator('q', { hasText: 'it is being replaced' }).waitFor()
  await page.getByRole('button', { name: 'Resume: sw1' }).click()
  await dialog.getByRole('button', { name: 'Resume' }).click()
  await page.getByRole('button', { name: 'Resume: sw1' }).waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Limit …: sw1' }).click()
  await dialog.getByLabel('Tasks at once', { exact: true }).fill('2')
  await dialog.getByLabel('Reason', { exact: true }).fill('slow today')
  await dialog.getByRole('button', { name: 'Limit' }).click()
  await key.getByText('Limited: 2 at once · slow today').waitFor()
  await page.getByRole('button', { name: 'Lift: sw1' }).click()
  await dialog.getByRole('button', { name: 'Lift' }).click()
  await page.getByRole('button', { name: 'Lift: sw1' }).waitFor({ state: 'detached' })
  // What comes with Writ is told in the language of the page, in lists and forms.
  await page.getByRole('button', { name: 'Language' }).click()
  await page.getByRole('menuitem', { name: '简体中文' }).click()
  await page.getByRole('link', { name: '工单', exact: true }).waitFor()
  await tab.go('default/handlers')
  await page.locator('tr', { hasText: 'demo_script' }).getByText('等待三秒，然后问候').waitFor()
  await tab.go('default/tasks/new?handler=demo_script')
  await page.getByText('问候谁；省略时为“Stranger”').waitFor()
  assert.deepEqual(tab.broken, [])
  const faults = await lookAt(system, [['queues-keys', 'queues', 'tbody tr']], {
    after: async ({ page, go }, look) => {
      await go('default/handlers')
      await page.getByRole('button', { name: /New HTTP handler|新建 HTTP 处理器/ }).click()
      await page.getByRole('dialog').locator('input[name=url]').waitFor()
      await look('handler-new')
    },
  })
  await admin.post(`/tasks/${task.body.id}/cancel`, {})
  assert.deepEqual(faults, [])
})

test('a handler of a worker is seen and switched, and a device shows the tasks that name it', { skip }, async () => {
  await using system = await startConsole()
  const { admin } = system
  const worker = { worker: 'w1', queues: ['api'], handlers: [{ name: 'team.greet', title: 'Greets somebody' }] }
  assert.equal((await admin.post('/workers/claim', worker)).status, 200)
  const theirs = async () =>
    (await admin.get<HandlerInfo[]>('/handlers')).body.find(({ name }) => name === 'team.greet')!
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(admin, 'default/handlers')
  const row = page.locator('tr', { hasText: 'team.greet' })
  await row.locator('.state-active').waitFor()
  await row.getByText('Worker', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Disable: team.greet' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click()
  await row.locator('.state-disabled').waitFor()
  assert.equal((await theirs()).enabled, false)
  await page.getByRole('button', { name: 'Enable: team.greet' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Enable' }).click()
  await row.locator('.state-active').waitFor()
  // The contract is there to be read, and the way to a dispatch is one press.
  await page.locator('tr', { hasText: 'demo_script' }).getByText('Contract').click()
  await page.locator('tr', { hasText: 'demo_script' }).locator('.tree').first().waitFor()
  await page.getByLabel('Search handlers', { exact: true }).fill('TEAM.')
  await page.locator('tr', { hasText: 'demo_script' }).waitFor({ state: 'detached' })
  await row.getByRole('link', { name: 'Dispatch' }).click()
  await page.waitForURL(/tasks\/new\?handler=team\.greet$/)

  const asset = { name: 'Core switch 9', asset_type: 'switch', serial_number: 'SW-CORE-009' }
  assert.equal((await admin.post('/assets', asset)).status, 200)
  const named = await admin.post<Submitted>('/tasks', { handler: 'demo_script', input: { name: 'SW-CORE-009' } })
  assert.equal(named.status, 201, JSON.stringify(named.body))
  await admin.post('/tasks', { handler: 'system.ping' })
  await tab.go('default/assets/1')
  const tasks = page.locator('.section', { hasText: 'Tasks that name it' })
  await tasks.getByRole('link', { name: `#${named.body.number} demo_script` }).waitFor()
  assert.equal(await tasks.getByRole('link', { name: /system\.ping/ }).count(), 0)
  assert.deepEqual(tab.broken, [])
  const faults = await lookAt(system, [
    ['handlers', 'handlers', 'tbody tr'],
    ['asset-tasks', 'assets/1', '.rows .row'],
  ])
  assert.deepEqual(faults, [])
})

test('whoever reads Chinese learns in Chinese what a verification found, why a file does not load, and what does not work', {
  skip,
}, async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-handlers-'))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(path.join(folder, 'vlan.ts'), 'export const vlan = 7')
  await using system = await startConsole({ env: { WRIT_HANDLERS_DIR: folder, WRIT_HANDLERS_PROCESSES: '1' } })
  await using tab = await openTab(system, { locale: 'zh-CN' })
  const { page } = tab
  const reason = 'the log has entry 3, the database has no row for it'
  await page.route('**/readyz', (route) =>
    route.fulfill({
      json: {
        status: 'ready',
        checks: { database: 'ok' },
        degraded: { 'self_check default': `ROW_MISSING at entry 3 of log/x: ${reason}` },
      },
    }),
  )
  await page.route('**/api/v1/audit/verify', (route) =>
    route.fulfill({ json: { ok: false, origin: 'log/x', code: 'ROW_MISSING', reason, index: 3, path: null } }),
  )
  await tab.openAs(system.admin, 'default')
  await page.getByText('自检 default：log/x 的条目 3（ROW_MISSING）：日志有条目 3，数据库中没有对应的记录').waitFor()
  await tab.go('default/audit')
  await page.getByRole('button', { name: '立即核验' }).click()
  await page.getByText('不一致：日志有条目 3，数据库中没有对应的记录').waitFor()
  // What the server says is what one looks for.
  await page.locator(`.verdict[title="ROW_MISSING: ${reason}"]`).waitFor()
  await tab.go('default/handlers')
  const file = page.locator('tr', { hasText: 'vlan.ts' })
  await file.getByText('此文件没有导出处理器：即带有 name 和 run 的对象').waitFor()
  await file.getByText('无法加载的文件').waitFor()
  // At the fields of forms too.
  await tab.go('default/tasks/new?handler=system.ping')
  await page.locator('summary', { hasText: '选项' }).click()
  await page.getByLabel('优先级', { exact: true }).fill('500')
  await page.getByRole('button', { name: '派发', exact: true }).click()
  await page.locator('.mantine-InputWrapper-error', { hasText: /\p{Script=Han}.*100/u }).waitFor()
  assert.equal(await page.getByText('must be').count(), 0)
  assert.deepEqual(tab.broken, [])
})
