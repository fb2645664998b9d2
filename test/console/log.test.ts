/** What a task prints, on its page while it prints: followed, searched, left alone, by attempt, and where no stream comes through. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Submitted } from '@writ/api'
import type { Page } from 'playwright-core'
import { handlerOf } from '../tasks/dispatch.ts'
import { lookAt, openTab, skip, startConsole, tabShows, textsOf } from './scene.ts'

/** A handler that prints what a test tells it to. */
function printer(maxAttempts = 1) {
  let print: (line: string) => void = () => {}
  let end: (error?: Error) => void = () => {}
  const handler = handlerOf(
    'test.prints',
    (_, { log, signal }) =>
      new Promise((resolve, reject) => {
        print = log
        end = (error) => (error ? reject(error) : resolve(null))
        log('it begins')
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      }),
    { maxAttempts },
  )
  return { handler, print: (line: string) => print(line), end: (error?: Error) => end(error) }
}

const lineOf = (page: Page, text: string) => page.locator('.log-row', { hasText: text })
const atEnd = (page: Page) =>
  page.waitForFunction(
    "(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight < 2)(document.querySelector('.log-lines'))",
  )

test('lines come while a task runs; who reads above stays there; each attempt keeps its own', { skip }, async () => {
  const { handler, print, end } = printer(2)
  await using system = await startConsole({ testHandlers: [handler] })
  await using tab = await openTab(system)
  const { page } = tab
  const task = (await system.admin.post<Submitted>('/tasks', { handler: 'test.prints', input: {} })).body
  await tab.openAs(system.admin, `default/tasks/${task.number}`)
  await lineOf(page, 'it begins').waitFor()
  await page.getByText('lines come as they are printed').waitFor()
  print('\u001b[31mport 1/0/7 is down\u001b[0m')
  await page.locator('.log-row .ansi-1', { hasText: 'port 1/0/7 is down' }).waitFor()
  for (let i = 3; i <= 300; i++) print(`line ${i}`)
  await lineOf(page, 'line 300').waitFor()
  await atEnd(page)

  // Who scrolls up is left alone.
  await page.locator('.log-lines').evaluate((log) => log.scrollTo({ top: 0 }))
  await page.getByRole('switch', { name: 'Follow', checked: false }).waitFor()
  print('line 301')
  await page.getByLabel('Search the log', { exact: true }).fill('line 30')
  await page.getByText('3 of 301 lines').waitFor()
  await textsOf(page.locator('.log-row mark'), ['line 30', 'line 30', 'line 30'])
  await page.getByLabel('Search the log', { exact: true }).fill('')
  await lineOf(page, 'it begins').waitFor()
  await page.getByRole('button', { name: 'To the end' }).click()
  await lineOf(page, 'line 301').waitFor()
  await page.getByRole('switch', { name: 'Follow', checked: true }).waitFor()

  // The next attempt follows by itself; the first can be read again.
  end(new Error('once more'))
  await page.getByText('Attempt 2: lines come').waitFor()
  await textsOf(page.locator('.log-row'), ['1it begins'])
  print('the second time')
  await lineOf(page, 'the second time').waitFor()
  end()
  await page.locator('h1 .state-completed').waitFor()
  await page.getByText('lines come as they are printed').waitFor({ state: 'detached' })
  await page.getByRole('combobox', { name: 'Attempt' }).click()
  await page.getByRole('option', { name: 'Attempt 1' }).click()
  await lineOf(page, 'line 301').waitFor()
  await atEnd(page)
  await page.locator('.log-lines').evaluate((log) => log.scrollTo({ top: 0 }))
  await lineOf(page, 'port 1/0/7').waitFor()
  assert.deepEqual(tab.broken, [])
  assert.deepEqual(await lookAt(system, [['task-log', `tasks/${task.number}`, '.log-row']]), [])
})

test('where no stream comes through, the page asks; the tab shows the state', { skip }, async () => {
  const { handler, print, end } = printer()
  await using system = await startConsole({ testHandlers: [handler] })
  await using tab = await openTab(system)
  const { page } = tab
  // A proxy that holds streams back.
  await page.route(/\/tasks\/[^/]+\/log/, (route) =>
    route.request().headers().accept === 'text/event-stream' ? undefined : route.continue(),
  )
  const task = (await system.admin.post<Submitted>('/tasks', { handler: 'test.prints', input: {} })).body
  await tab.openAs(system.admin, `default/tasks/${task.number}`)
  await lineOf(page, 'it begins').waitFor()
  await page.getByText('asked every second').waitFor()
  print('and goes on')
  await lineOf(page, 'and goes on').waitFor()
  await tabShows(page, 'running')
  end()
  await tabShows(page, 'completed')
  await page.getByText('asked every second').waitFor({ state: 'detached' })
  // Elsewhere the tab has the sign of Writ again.
  await page.keyboard.press('g')
  await page.keyboard.press('t')
  await page.locator('link[rel=icon][href*="/app/-/icon"]:not([data-state])').waitFor({ state: 'attached' })
  assert.deepEqual(tab.broken, [])
})

test('a log that has not come, or cannot be read, is not said to be empty', { skip }, async () => {
  await using system = await startConsole()
  await using tab = await openTab(system)
  const { page } = tab
  const task = (await system.admin.post<Submitted>('/tasks', { handler: 'system.ping' })).body
  await system.admin.get(`/tasks/${task.id}/wait?timeout=30`)
  await tab.openAs(system.admin, 'default')
  let answer = () => {}
  const held = new Promise<void>((go) => {
    answer = go
  })
  await page.route(/\/tasks\/[^/]+\/log/, async (route) => {
    await held
    await route.fulfill({ status: 404, json: { code: 'TASK_NOT_FOUND', status: 404, detail: 'No such task.' } })
  })
  await tab.open(`default/tasks/${task.number}`)
  const log = page.locator('.task-log')
  await log.getByRole('status', { name: 'Loading' }).waitFor()
  assert.equal(await log.getByText(/printed nothing|said nothing/).count(), 0)
  assert.equal(await log.getByText('Follow').count(), 0)
  answer()
  await log.getByText('The log cannot be read now').waitFor()
  assert.equal(await log.getByText(/printed nothing|said nothing/).count(), 0)
  assert.deepEqual(tab.broken, [])
})
