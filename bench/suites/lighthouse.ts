import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import lighthouse, { desktopConfig } from 'lighthouse'
import { openProfile } from '../../test/servers/chromium.ts'
import { freePort } from '../../test/servers/free-port.ts'
import { median } from '../figure.ts'
import { startWrit } from '../writ-process.ts'

const CATEGORIES = ['performance', 'accessibility', 'best-practices'] as const

export interface Score {
  readonly device: 'desktop' | 'mobile'
  readonly category: (typeof CATEGORIES)[number]
  /** 0 to 100, the median of the rounds. */
  readonly score: number
  readonly rounds: number
}

/**
 * What Lighthouse says of the home page of somebody who is signed in to a new server, with its own settings for both devices. It takes the processor as
 * it finds it: performance on a machine that does other things at the time is that of a slower machine.
 */
export async function scoresOfHome(rounds = 3): Promise<Score[]> {
  const writ = await startWrit()
  const folder = mkdtempSync(join(tmpdir(), 'writ-lighthouse-'))
  const port = await freePort()
  const context = await openProfile(folder, port)
  try {
    const home = `${writ.url.replace('127.0.0.1', 'localhost')}/app/default`
    const page = await context.newPage()
    await page.goto(home)
    await page.locator('input[name=username]').fill('admin')
    await page.locator('input[name=password]').fill('bench-has-a-password')
    await page.locator('form button[type=submit]').click()
    await page.locator('.figures').waitFor()
    await page.goto('about:blank')
    const found: Score[] = []
    for (const device of ['desktop', 'mobile'] as const) {
      const results: Readonly<Record<string, { readonly score: number | null }>>[] = []
      for (let i = 0; i < rounds; i++) {
        const flags = {
          port,
          disableStorageReset: true,
          // The stream of events never ends, so the network is never still.
          maxWaitForLoad: 15_000,
          logLevel: 'error',
          onlyCategories: CATEGORIES,
        } as const
        const result = await lighthouse(home, flags, device === 'desktop' ? desktopConfig : undefined)
        if (!result) throw new Error('Lighthouse said nothing')
        results.push(result.lhr.categories)
      }
      for (const category of CATEGORIES) {
        const score = median(results.map((one) => Math.round((one[category]?.score ?? 0) * 100)))
        found.push({ device, category, score, rounds })
      }
    }
    return found
  } finally {
    await context.close()
    await writ.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
