/** What the console tells of destinations, and of what became of messages to them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Webhook, WebhookFormat } from '@writ/api'
import { startReceiver } from '../channels/receiver.ts'
import type { TestSystem } from '../test-system.ts'
import { countOf, faultsOf, openTab, skip, startConsole } from './scene.ts'

async function addHook(system: TestSystem, body: { url: string; format?: WebhookFormat; handlers?: string[] }) {
  const made = await system.admin.post<Webhook>('/webhooks', { name: 'inventory', events: ['ticket.*'], ...body })
  assert.equal(made.status, 201, JSON.stringify(made.body))
  return made.body
}

test('whoever reads Chinese learns in Chinese why nothing arrives, and a long answer fits a phone', {
  skip,
}, async () => {
  await using system = await startConsole()
  await using receiver = await startReceiver()
  const gone = await addHook(system, { url: receiver.url })
  const chat = await addHook(system, { url: receiver.url, format: 'feishu' })
  const away = await addHook(system, { url: 'http://127.0.0.1:9/' })
  await using tab = await openTab(system, { locale: 'zh-CN', width: 390, height: 844 })
  const { page } = tab
  await tab.openAs(system.admin, 'default/notices')

  // Refused with 410: disabled by itself, and no test is sent.
  receiver.answer = () => ({ status: 410 })
  await tab.go(`default/notices/${gone.id}`)
  await page.getByRole('button', { name: '发送测试' }).click()
  await page.getByText('接收方答复 410 Gone（不再接收）').waitFor()
  await page.getByRole('button', { name: '发送测试' }).click()
  await page.getByText('此目的地已停用；请先启用。').waitFor()

  // Refused with 200, as chats do: the answer is longer than the screen is wide, and scrolls by itself.
  receiver.answer = () => ({ status: 200, body: JSON.stringify({ code: 19021, msg: 'sign match fail '.repeat(9) }) })
  await tab.go(`default/notices/${chat.id}`)
  await page.getByRole('button', { name: '发送测试' }).click()
  await page.getByText('1 次尝试').waitFor()
  await page.locator('.entries summary').click()
  await page.getByText(/200 · FEISHU_19021/).waitFor()
  const { width = 0, x = 0 } = (await page.locator('.entries summary').boundingBox()) ?? {}
  assert.ok(x + width <= 390, `the row ends at ${x + width}`)
  assert.deepEqual(await faultsOf(page), [])

  await tab.go(`default/notices/${away.id}`)
  await page.getByRole('button', { name: '发送测试' }).click()
  await page.locator('.entries summary').click()
  await page.getByText('该处没有程序在监听（ECONNREFUSED）').first().waitFor()

  // Who stops it is asked first, and says why beside it.
  await page.getByRole('button', { name: '停用', exact: true }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('不再向其发送任何消息。').waitFor()
  await dialog.getByLabel('理由（可选）', { exact: true }).fill('这个系统已下线')
  await dialog.getByRole('button', { name: '停用', exact: true }).click()
  await page.getByText('admin（你） · 这个系统已下线').waitFor()
  assert.deepEqual(await faultsOf(page), [])
  await page.getByRole('button', { name: '启用', exact: true }).click()
  await page.getByRole('button', { name: '停用', exact: true }).waitFor()

  // The reason names the setting, in both languages.
  await tab.go('default/notices')
  await page.getByRole('button', { name: '新建目的地' }).click()
  await page.getByLabel('名称', { exact: true }).fill('x')
  await page.getByLabel('地址', { exact: true }).fill('http://10.0.0.5/x')
  await page.getByRole('button', { name: '添加目的地' }).click()
  await page.getByText(/10\.0\.0\.5 位于 10\.0\.0\.5，不是公网地址；须在 WRIT_EGRESS_ALLOW 中写明/).waitFor()
  assert.deepEqual(tab.broken, [])
})

test('all deliveries can be reached, and a destination says what it listens to', { skip }, async () => {
  await using system = await startConsole()
  await using receiver = await startReceiver()
  const hook = await addHook(system, { url: receiver.url, handlers: ['demo_script'] })
  for (let i = 0; i < 60; i++) await system.admin.post(`/webhooks/${hook.id}/test`)
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, `default/notices/${hook.id}`)
  await page.locator('.facts', { hasText: 'demo_script' }).waitFor()
  const rows = page.locator('.entries > li')
  await countOf(rows, 50)
  await page.getByRole('button', { name: 'Show older ones' }).click()
  await countOf(rows, 60)
  await tab.go('default/notices')
  await page.getByText('ticket.*, demo_script').waitFor()
  assert.deepEqual(tab.broken, [])
})
