import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/servers/free-port.ts'

const root = join(import.meta.dirname, '..')
// As `npm start` starts it: the flags are part of the product.
const [, ...command] = (
  JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: { start: string } }
).scripts.start.split(' ')

export interface WritProcess {
  readonly url: string
  readonly folder: string
  readonly pid: number
  /** From spawn to the first good /readyz, in milliseconds. */
  readonly startedIn: number
  token(): Promise<string>
  /** Resident memory in bytes, now and at most. */
  memory(): { now: number; peak: number }
  stop(): Promise<void>
}

/** A server of the benchmark's own: a process, a temporary folder, a free port on loopback. */
export async function startWrit(env: Record<string, string> = {}): Promise<WritProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'writ-bench-'))
  const port = await freePort()
  const before = performance.now()
  const child: ChildProcess = spawn(
    process.execPath,
    command.map((part) => (part.startsWith('packages/') ? join(root, part) : part)),
    {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        PATH: process.env.PATH,
        PORT: String(port),
        WRIT_DATA_DIR: join(folder, 'data'),
        WRIT_ADMIN_PASSWORD: 'bench-has-a-password',
        LOG_LEVEL: 'error',
        MAX_ARTIFACT_SIZE_MB: '4096',
        ...env,
      },
    },
  )
  const url = `http://127.0.0.1:${port}`
  const end = performance.now() + 30_000
  while (
    !(await fetch(`${url}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null || performance.now() > end) throw new Error('the server did not start')
    await new Promise((later) => setTimeout(later, 10))
  }
  const startedIn = performance.now() - before
  const status = (key: string) =>
    Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  return {
    url,
    folder,
    pid: child.pid!,
    startedIn,
    async token() {
      const answer = await fetch(`${url}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: 'admin', password: 'bench-has-a-password' }),
      })
      return ((await answer.json()) as { access_token: string }).access_token
    },
    memory: () => ({ now: status('VmRSS'), peak: status('VmHWM') }),
    async stop() {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
