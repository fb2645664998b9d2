/** The command line as people run it, against a system of a test. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import type { TestSystem } from '../test-system.ts'

const MAIN = path.resolve(import.meta.dirname, '../../packages/cli/src/main.ts')

/** `writ` against the system, with a memory of its own for kept checkpoints. */
export const writ = async (sys: TestSystem, home: string, ...args: string[]) =>
  runWritCommand({ home, url: sys.base, token: await sys.admin.token() }, ...args)

/** `writ` against a server, with its memory below `home`. */
export async function runWritCommand(
  { home, url, token }: { home: string; url: string; token: string },
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    XDG_CONFIG_HOME: path.join(home, 'config'),
    XDG_STATE_HOME: path.join(home, 'state'),
    WRIT_URL: url,
    WRIT_TOKEN: token,
  }
  return new Promise((resolve) => {
    execFile(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], { env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err })
    })
  })
}
