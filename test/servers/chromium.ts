/**
 * The Chromium that is installed, driven over its debugging protocol. Nothing is downloaded. The build without windows: the other one
 * draws its own tabs and bars as pages, too, though nobody sees them, and takes half as much processor time again.
 */
import { existsSync } from 'node:fs'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

const executablePath = '/usr/bin/chromium-headless-shell'

/** Why there is no browser here, or undefined. */
export const missingChromium = (): string | undefined =>
  existsSync(executablePath)
    ? undefined
    : `${executablePath} is not installed (apt-get install chromium-headless-shell)`

const executable = {
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
}

/** A browser without a window and without traffic of its own. */
export const startChromium = (): Promise<Browser> => chromium.launch(executable)

/** The same with a profile in this folder, for a program that drives it over the debugging protocol on this port of loopback. */
export const openProfile = (folder: string, port: number): Promise<BrowserContext> =>
  chromium.launchPersistentContext(folder, {
    ...executable,
    args: [...executable.args, `--remote-debugging-port=${port}`],
  })

/**
 * Whoever sits before this page has an authenticator, and touches it whenever a passkey is made or asked for, unless `touch(false)`
 * was the last that they were told.
 */
export async function addAuthenticator(page: Page): Promise<{ touch(now: boolean): Promise<void> }> {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  })
  return {
    async touch(enabled) {
      await devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled })
    },
  }
}
