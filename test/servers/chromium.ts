/** The Chromium that is installed, driven over its debugging protocol. Nothing is downloaded. */
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const executablePath = '/usr/bin/chromium'

/** Why there is no browser here, or undefined. */
export const missingChromium = (): string | undefined =>
  existsSync(executablePath) ? undefined : `${executablePath} is not installed (apt-get install chromium)`

/** A browser without a window and without traffic of its own. */
export const startChromium = (): Promise<Browser> =>
  chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
