/** litewitness of torchwood: a witness that is not ours, with its key in OpenSSH's agent and its memory in a file of SQLite. */
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../servers/free-port.ts'
import { type Guarded, startGuarded } from '../servers/guard.ts'
import { until } from '../test-system.ts'
import { programs } from './tools.ts'

const run = promisify(execFile)

export interface Litewitness extends AsyncDisposable {
  /** The submission prefix. */
  readonly url: string
  readonly vkey: string
  /** Lets it cosign a log; the origin is the name in the key. */
  addLog(vkey: string): Promise<void>
  /** One request of the protocol. */
  submit(body: string): Promise<{ status: number; body: string }>
  /** Kills it and starts it again on the same memory. */
  kill9(): Promise<void>
}

/** Starts one in a folder of its own below `folder`. */
export async function startLitewitness(folder: string, name: string): Promise<Litewitness> {
  const dir = path.join(folder, 'litewitness')
  await mkdir(dir)
  const key = path.join(dir, 'key')
  const socket = path.join(dir, 'agent.sock')
  const db = path.join(dir, 'witness.db')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', key])
  const agent = await startGuarded({ command: 'ssh-agent', args: ['-D', '-a', socket], folder: dir })
  await agent.saying('SSH_AUTH_SOCK=')
  await run('ssh-add', ['-q', key], { env: { ...process.env, SSH_AUTH_SOCK: socket } })
  const { stdout } = await run('ssh-keygen', ['-l', '-f', `${key}.pub`])
  const fingerprint = stdout.split(' ')[1]!
  const address = `127.0.0.1:${await freePort()}`
  const url = `http://${address}`
  const args = ['-name', name, '-db', db, '-ssh-agent', socket, '-key', fingerprint, '-listen', address]
  let vkey = ''
  let server: Guarded
  async function start(): Promise<void> {
    server = await startGuarded({ command: path.join(programs(), 'litewitness'), args, folder: dir })
    await server.saying('verifier key')
    // It says that it listens before it does; its page says the key again.
    await until('litewitness listens', async () => {
      const page = await fetch(url).then(
        (reply) => reply.text(),
        () => '',
      )
      vkey = /[^\s<>"]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}/.exec(page.replaceAll('&#43;', '+'))?.[0] ?? ''
      return vkey !== ''
    })
  }
  await start()
  const control = (...words: string[]) => run(path.join(programs(), 'witnessctl'), words)
  return {
    url,
    vkey,
    async addLog(log) {
      const origin = log.slice(0, log.indexOf('+'))
      await control('add-log', '-db', db, '-origin', origin)
      await control('add-key', '-db', db, '-origin', origin, '-key', log)
    },
    async submit(body) {
      const reply = await fetch(`${url}/add-checkpoint`, { method: 'POST', body })
      return { status: reply.status, body: await reply.text() }
    },
    async kill9() {
      await server.kill9()
      await start()
    },
    async [Symbol.asyncDispose]() {
      await server.stop()
      await agent.stop()
    },
  }
}
