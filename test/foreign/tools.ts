/** Programs that others wrote, as main.ts has them from Debian: how a test asks each of them. */
import { execFile } from 'node:child_process'
import path from 'node:path'

export interface Said {
  readonly ok: boolean
  /** Both streams. */
  readonly text: string
}

/** Where main.ts put the programs. */
export function programs(): string {
  const folder = process.env.WRIT_FOREIGN_PROGRAMS
  if (!folder) throw new Error('the programs are fetched and built by: npm run test:foreign')
  return folder
}

/** Runs one of the programs; ended after a minute, which counts as a refusal. */
export function ask(program: string, ...args: string[]): Promise<Said> {
  const command = path.join(programs(), program)
  return new Promise((resolve, reject) => {
    const options = { timeout: 60_000, killSignal: 'SIGKILL' as const, maxBuffer: 64 * 1024 * 1024 }
    execFile(command, args, options, (error, out, err) => {
      if (error && 'code' in error && error.code === 'ENOENT') reject(error)
      else resolve({ ok: error === null, text: out + err })
    })
  })
}

/**
 * tessera's fsck, on a `file://` or `http://` address. Of 1.0.4 the exit code says nothing: it is 0 also when the check failed, so its
 * sentence of success is what counts. With one worker, which is the default, it waits for ever when a tile is not as it should be.
 */
export async function fsck(address: string, vkeyFile: string, ...more: string[]): Promise<Said> {
  const args = ['--ui=false', '--N=4', `--storage_url=${address}`, `--public_key=${vkeyFile}`, ...more]
  const said = await ask('fsck', ...args)
  return { ok: said.ok && said.text.includes("Successfully fsck'd log with size "), text: said.text }
}
