/** Lists of runs and tasks: searched, by time, with views and columns of one's own; and many tasks at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Submitted, Task } from '@writ/api'
import { handlerOf } from '../tasks/dispatch.ts'
import { comesTo, countOf, fill, lookAt, openTab, skip, startConsole, textsOf } from './scene.ts'

const painted = handlerOf('test.painted', async (_, { log }) => {
  log('\u001b[31mport 7 is down\u001b[0m, \u001b[1mport 8 is up\u001b[0m')
  throw new Error('port 7 does not answer')
})
const LATER = { run_at: '2999-01-01T00:00:00Z' }

test('tasks are searched, kept as a view, cancelled and replayed as many as were named', { skip }, async () => {
  await using system = await startConsole({ testHandlers: [painted] })
  await fill(system)
  const dispatch = async (body: object) => {
    const answer = await system.admin.post<Submitted>('/tasks', body)
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    return answer.body
  }
  const ended = async (id: string) => (await system.admin.get<Task>(`/tasks/${id}/wait?timeout=30`)).body
  const bad = [
    await dispatch({ handler: 'test.painted', tags: ['nightly'] }),
    await dispatch({ handler: 'test.painted', tags: ['nightly'] }),
  ]
  for (const { id } of bad) assert.equal((await ended(id)).state, 'failed')
  for (const tag of ['window-7', 'window-7', 'window-8'])
    await dispatch({ handler: 'system.ping', tags: [tag], ...LATER })
  await using tab = await openTab(system)
  const { page } = tab
  await tab.openAs(system.admin, 'default/tasks')
  await countOf(page.locator('.list-row'), 5)
  assert.equal(await page.getByRole('button', { name: 'Cancel …' }).count(), 0, 'not without a filter')
  await page.getByLabel('Search', { exact: true }).fill('PORT 7 does')
  await page.getByText('not results and logs').waitFor()
  await countOf(page.locator('.list-row'), 2)

  // A view of one's own is its address, with a name that this browser keeps.
  await page.getByRole('button', { name: 'Save view' }).click()
  await page.getByLabel('Name of the view', { exact: true }).fill('port 7')
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.locator('.view[aria-current]', { hasText: 'port 7' }).waitFor()
  await page.getByRole('link', { name: 'All', exact: true }).click()
  await countOf(page.locator('.list-row'), 5)
  await page.reload()
  await page.getByRole('link', { name: 'port 7' }).click()
  await countOf(page.locator('.list-row'), 2)
  await page.getByRole('button', { name: 'Forget the view port 7' }).click()
  await page.getByRole('link', { name: 'port 7' }).waitFor({ state: 'detached' })

  // What is not on the page is found by the palette.
  await page.keyboard.press('Control+k')
  await page.locator('[role=combobox]:focus').waitFor()
  await page.keyboard.type('window-8')
  await countOf(page.getByRole('option', { name: /^#\d+ system\.ping/ }), 1)
  await page.keyboard.press('Escape')

  // Columns are left out and stay so.
  await page.getByRole('button', { name: 'Columns' }).click()
  await page.getByRole('menuitemcheckbox', { name: 'Queue' }).click()
  // Closer, if one likes, and kept as well.
  await page.getByRole('menuitemcheckbox', { name: 'Close rows' }).click()
  await comesTo(async () => (await page.locator('.list-row').first().boundingBox())?.height, 26)
  await page.keyboard.press('Escape')
  await page.getByRole('columnheader', { name: 'Queue' }).waitFor({ state: 'detached' })
  await page.reload()
  await page.getByRole('columnheader', { name: 'Attempts' }).waitFor()
  await page.getByRole('columnheader', { name: 'Queue' }).waitFor({ state: 'detached' })

  await tab.go('default/tasks?tag=window-7')
  await countOf(page.locator('.list-row'), 2)
  await page.getByRole('button', { name: 'Cancel …' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText(/that have not ended, tagged window-7, dispatched before/).waitFor()
  await dialog.getByLabel('Reason (optional)', { exact: true }).fill('the window was moved')
  await dialog.getByRole('button', { name: 'Cancel 2 tasks' }).click()
  await page.getByText('2 cancelled, 0 asked to stop.').waitFor()
  await countOf(page.locator('.list-row .state-cancelled'), 2)
  const left = (await system.admin.get<Task[]>('/tasks?state=pending')).body
  assert.deepEqual(
    left.map(({ tags }) => tags),
    [['window-8']],
  )

  await tab.go('default/tasks?state=failed&tag=nightly')
  await page.getByRole('button', { name: 'Replay …' }).click()
  await dialog.getByText(/ended so: Failed, tagged nightly/).waitFor()
  await dialog.getByRole('button', { name: 'Replay 2 tasks' }).click()
  await page.getByText('2 replayed.').waitFor()

  // The log in its colours.
  await tab.go(`default/tasks/${bad[0]!.number}`)
  await textsOf(page.locator('.code .ansi-1'), ['port 7 is down'])
  await page.getByLabel('Search the log', { exact: true }).fill('port 8')
  await textsOf(page.locator('.code mark'), ['port 8'])

  await tab.go('default/runs?q=core%20switch')
  await page.getByText('ticket title of the newest').waitFor()
  await countOf(page.locator('.list-row'), 1)
  // Runs on tickets, verified again and cancelled as many as were named.
  const opened = { run_type: 'proof', ticket_id: 3, finalize: 'manual' }
  assert.equal((await system.employee.post('/runs', opened)).status, 200)
  await tab.go('default/runs')
  await countOf(page.locator('.list-row'), 3)
  assert.equal(await page.getByRole('button', { name: 'Check again …' }).count(), 0, 'not without a filter')
  await tab.go('default/runs?script_id=proof.config_format')
  await countOf(page.locator('.list-row'), 2)
  await page.getByRole('button', { name: 'Check again …' }).click()
  await dialog.getByText(/not cancelled, of the check proof.config_format, opened before/).waitFor()
  await dialog.getByRole('button', { name: 'Check 2 runs again' }).click()
  await page.getByText('2 are being checked again.').waitFor()
  await countOf(page.locator('.list-row'), 4)
  await tab.go('default/runs?ticket_id=3')
  await countOf(page.locator('.list-row'), 1)
  await page.getByRole('button', { name: 'Cancel …' }).click()
  await dialog.getByText(/still wait, on ticket #3/).waitFor()
  await dialog.getByRole('button', { name: 'Cancel one run' }).click()
  await page.getByText('1 cancelled.').waitFor()
  await countOf(page.locator('.list-row .state-cancelled'), 1)
  await tab.go('default/runs?to=2020-01-01T00:00')
  await page.getByText('Nothing matches').waitFor()
  assert.deepEqual(tab.broken, [])

  const faults = await lookAt(
    system,
    [
      ['tasks-searched', 'tasks?q=port', '.list-row'],
      ['runs-searched', 'runs?q=proof', '.list-row'],
      ['task-painted', `tasks/${bad[0]!.number}`, '.code .ansi-1'],
    ],
    {
      after: async ({ page: wide, go }, look) => {
        await go('default/tasks?tag=window-8')
        await wide.locator('.list-row').first().waitFor()
        await wide.locator('.page-head .actions button').first().click()
        await wide.locator('.ask .dimmed').waitFor()
        await look('tasks-cancel')
        await go('default/runs?script_id=proof.config_format')
        await wide.locator('.list-row').first().waitFor()
        await wide.locator('.page-head .actions button').first().click()
        await wide.locator('.ask .dimmed').waitFor()
        await look('runs-verify')
      },
    },
  )
  assert.deepEqual(faults, [])
})
