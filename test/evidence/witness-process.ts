/** A real witness as a process of its own, started by the command that people use, which can be killed. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../servers/free-port.ts'
import { type Guarded, startGuarded } from '../servers/guard.ts'

const run = promisify(execFile)
const MAIN = path.resolve(import.meta.dirname, '../../packages/cli/src/main.ts')
const ARGS = ['--disable-warning=ExperimentalWarning', MAIN, 'witness']

export interface WitnessProcess {
  readonly dir: string
  readonly url: string
  readonly vkey: string
  addLog(vkey: string): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
  kill9(): Promise<void>
  /** One request of the protocol, as any client makes it. */
  submit(body: string): Promise<{ status: number; type: string; body: string }>
}

/** Makes a witness in a folder below `folder`; `start` serves it, always on the same port. */
export async function makeWitness(folder: string, name: string): Promise<WitnessProcess> {
  const dir = path.join(folder, name)
  const port = await freePort()
  const { stdout } = await run(process.execPath, [
    ...ARGS,
    'init',
    '--dir',
    dir,
    '--name',
    `witness.example/${name}`,
    '-q',
  ])
  let server: Guarded | undefined
  return {
    dir,
    url: `http://127.0.0.1:${port}`,
    vkey: stdout.trim(),
    async addLog(vkey) {
      await run(process.execPath, [...ARGS, 'add-log', '--dir', dir, vkey])
    },
    async start() {
      const args = [...ARGS, 'serve', '--dir', dir, '--port', String(port)]
      server = await startGuarded({ command: process.execPath, args, folder: dir })
      await server.saying('is ready at')
    },
    async stop() {
      await server?.stop()
      server = undefined
    },
    async kill9() {
      await server?.kill9()
      server = undefined
    },
    async submit(body) {
      const reply = await fetch(`http://127.0.0.1:${port}/add-checkpoint`, { method: 'POST', body })
      return { status: reply.status, type: reply.headers.get('content-type') ?? '', body: await reply.text() }
    },
  }
}

/** A policy file with these witnesses, all of whom are needed. */
export async function writePolicy(file: string, witnesses: readonly WitnessProcess[]): Promise<string> {
  const names = witnesses.map((_, i) => `W${i + 1}`)
  const lines = [
    ...witnesses.map(({ vkey, url }, i) => `witness ${names[i]} ${vkey} ${url}`),
    `group all-of-them all ${names.join(' ')}`,
    'quorum all-of-them',
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}
