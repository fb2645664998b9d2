/** A bundle with thousands of entries is verified beside the page: it says how far it came, stays usable, and can be stopped. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { zipSync } from 'fflate'
import { makeBundle, signed } from '../../packages/tlog/test/bundle.ts'
import { until } from '../test-system.ts'
import { openTab, skip, startConsole } from './scene.ts'

const ENTRIES = 3_000

async function largeBundle(file: string): Promise<void> {
  const remarks = Array.from({ length: ENTRIES - 1 }, () => ({ act: 'ticket.commented', res: 't' }))
  const bundle = signed(await makeBundle([{ act: 'ticket.created', res: 't' }, ...remarks]))
  const files: Record<string, Uint8Array> = {}
  for (const name of bundle.names) files[name] = await bundle.read(name)
  await writeFile(file, zipSync(files))
}

test('a large bundle is verified beside the page, with how far it came, and is stopped when one says so', {
  skip,
}, async () => {
  await using system = await startConsole()
  const zip = path.join(system.folder, 'large.zip')
  await largeBundle(zip)
  await using tab = await openTab(system)
  await tab.openAs(system.admin, 'default/audit')
  const { page } = tab
  const chooser = page.locator('input[type=file]')
  await page.evaluate(`new PerformanceObserver((list) => { for (const one of list.getEntries()) window.longest = Math.max(window.longest ?? 0, one.duration) })
    .observe({ entryTypes: ['longtask'] })`)
  await chooser.setInputFiles(zip)
  await page.getByText(/^Files: [\d,]+ of 12,\d{3} \([\d.]+ .?B of [\d.]+ MB\)$/).waitFor()
  assert.equal(page.workers().length, 1)
  await page.getByRole('button', { name: 'Stop verifying' }).click()
  await page.getByText('Stopped before the end: nothing is known of this bundle.').waitFor()
  await until('the verifier has ended', async () => page.workers().length === 0)
  assert.equal(await page.getByText(/^(Verified|Does not verify)/).count(), 0)

  // Again, to its end; and one leaves in the middle of it without a trace.
  const began = performance.now()
  await chooser.setInputFiles(zip)
  await page.getByText('Verified in this page, without asking the server.').waitFor({ timeout: 120_000 })
  await page
    .getByText(`${ENTRIES.toLocaleString('en')} entries`)
    .or(page.getByText(`${ENTRIES} entries`))
    .first()
    .waitFor()
  // Of the time that the verification took on this machine: in the page itself it would be nearly all of it.
  const took = performance.now() - began
  const longest = Number(await page.evaluate('window.longest ?? 0'))
  assert.ok(longest < took / 4, `the page stood still for ${longest} of ${Math.round(took)} ms`)
  await chooser.setInputFiles(zip)
  await page.getByText(/^Files: /).waitFor()
  await tab.open('default/tickets')
  await until('the verifier has ended', async () => page.workers().length === 0)
  assert.deepEqual(tab.broken, [])
})
