/** Insight in the console: what was counted is what is shown, as figures, charts, tables and a week; in both themes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { classOf } from '../../packages/server/src/insight/histogram.ts'
import { putStats, STEPS } from '../../packages/server/src/insight/store.ts'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { dispatcherOf, handlerOf } from '../tasks/dispatch.ts'
import type { TestSystem } from '../test-system.ts'
import { countOf, lookAt, openTab, skip, startConsole } from './scene.ts'

const bad = handlerOf('test.bad', async (_, { cost }) => {
  cost(0.012_345, 'model')
  throw new Error('as a test wants it')
})

/** Two weeks of other people's work, as the counter would have left it. */
async function history(system: TestSystem, project: string): Promise<void> {
  const hour = STEPS.hour
  const now = Math.floor(Date.now() / hour) * hour
  await inProject(project, () =>
    system.app.db.write(async (tx) => {
      for (let back = 1; back < 336; back++)
        for (const [handler, queue, many] of [
          ['billing.sync', 'night', 40],
          ['inventory.read', 'api', 120],
        ] as const) {
          const wave = Math.round(many * (1.2 + Math.sin(back / 3.8)))
          const ran = { [classOf(80 + (back % 50))]: wave, [classOf(900)]: Math.ceil(wave / 18) }
          const failed = handler === 'billing.sync' && back < 60 ? Math.round(wave / 9) : 0
          await putStats(tx, {
            ...{ step: 'hour', at: now - back * hour, handler, queue, ended: wave, failed, cancelled: 0 },
            ...{ ran: JSON.stringify(ran), waited: JSON.stringify({ [classOf(4 + (back % 9))]: wave }) },
            codes: JSON.stringify(failed > 0 ? { UPSTREAM_TIMEOUT: failed } : {}),
            cost_nanos: handler === 'billing.sync' ? wave * 2_100_000 : 0,
          })
        }
    }),
  )
}

test('what ended is shown as figures, charts, tables and a week, whole and accessible', { skip }, async () => {
  await using system = await startConsole({ testHandlers: [bad] })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/insight')
  await page.getByText('Nothing ended in this period').waitFor()
  const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
  for (const handler of ['system.ping', 'system.ping', 'system.ping', 'test.bad'])
    await by.settled((await by.dispatch(handler)).id)
  await system.settle()
  await system.app.counter.round()
  await tab.go('default/insight?period=1h')
  await page.locator('.figure', { hasText: 'Ended' }).locator('.figure-value', { hasText: /^4$/ }).waitFor()
  await page.locator('.figure', { hasText: 'Failing' }).locator('.figure-value', { hasText: /^25%$/ }).waitFor()
  await page.locator('.chart canvas').nth(3).waitFor()
  await page
    .locator('.figure', { hasText: 'Cost' })
    .locator('.figure-value', { hasText: /^\$0\.0123$/ })
    .waitFor()
  await page.locator('.columns tbody tr', { hasText: 'test.bad' }).getByTitle('$0.012345').waitFor()
  // The worst stands first, and the same numbers are in a table.
  await page.locator('.columns tbody tr').first().getByText('test.bad').waitFor()
  await page.locator('.chart-table summary').first().click()
  await page.locator('.chart-rows tbody tr', { hasText: /[1-4]/ }).first().waitFor()
  await page.getByRole('combobox', { name: 'Handler' }).click()
  await page.getByRole('option', { name: 'system.ping' }).click()
  await page.locator('.figure', { hasText: 'Ended' }).locator('.figure-value', { hasText: /^3$/ }).waitFor()
  assert.match(page.url(), /handler=system\.ping/)
  // Nothing said what it costs.
  await countOf(page.locator('.figure', { hasText: 'Cost' }), 0)
  // What ended in the last hour stands beside what waits.
  await tab.go('default/queues')
  await page.locator('tr', { hasText: 'api' }).getByText('(1 failed)').waitFor()

  await tab.go('default/tasks')
  await page.locator('.list-row', { hasText: 'test.bad' }).getByTitle('$0.012345').waitFor()
  await page
    .locator('.list-row', { hasText: 'system.ping' })
    .locator('.cell-cost', { hasText: /^–$/ })
    .first()
    .waitFor()

  await history(system, by.project)
  await tab.go('default/insight?period=7d')
  await page.locator('.heat .heat-5').first().waitFor()
  await page.getByText('What changed against the 7 days before').waitFor()
  await page.locator('tr', { hasText: 'UPSTREAM_TIMEOUT' }).waitFor()

  await using phone = await openTab(system, { width: 390, height: 844 })
  await phone.openAs(system.admin, 'default/insight?period=7d')
  const periods = phone.page.locator('.periods label')
  await countOf(periods, 6)
  for (const label of await periods.all()) {
    const { width, height } = (await label.boundingBox())!
    assert.ok(width >= 80 && height >= 40, `${await label.textContent()}: ${width} x ${height}`)
  }
  await phone.page.getByText('90 days', { exact: true }).click()
  await phone.page.waitForURL(/period=90d/)

  await using other = await openTab(system)
  await other.openAs(system.employee, 'default/insight')
  await other.page.getByText('Your role does not open this').waitFor()
  assert.deepEqual([...tab.broken, ...other.broken], [])

  const faults = await lookAt(
    system,
    [
      ['insight', 'insight', '.chart canvas'],
      ['insight-week', 'insight?period=7d', '.heat'],
      ['insight-nothing', 'insight?handler=none', '.empty'],
    ],
    {
      after: async ({ page: wide, go }, look) => {
        await go('default/insight?period=24h')
        await wide.locator('.chart canvas').nth(2).waitFor()
        await wide.locator('.chart-table summary').first().click()
        await wide.locator('.chart-rows').waitFor()
        await look('insight-table')
      },
    },
  )
  assert.deepEqual(faults, [])
})
