/** A real Writ server as a process of its own, on loopback, that can be killed and started again on the same folder. */
import path from 'node:path'
import { freePort } from './free-port.ts'
import { type Guarded, startGuarded } from './guard.ts'

export const ADMIN = { username: 'admin', password: 'winter-copper-lantern' }
const MAIN = path.resolve(import.meta.dirname, '../../packages/server/src/main.js')

export type WritOptions = {
  /** Removed by the guard when the test dies; holds the data directory. */
  folder: string
  /** A PostgreSQL URL; SQLite in the data directory when left out. */
  databaseUrl?: string
  env?: Record<string, string>
  /** In place of the server's own command line: for limits that a shell sets. */
  wrap?: (command: string[]) => string[]
}

export type Writ = {
  readonly url: string
  readonly dataDir: string
  readonly env: Record<string, string>
  start(): Promise<void>
  stop(): Promise<void>
  /** Of the process that runs, or undefined. */
  pid(): number | undefined
  /** SIGKILL, as the kernel or a power supply does it; resolves when the process is gone. */
  kill9(): Promise<void>
  /** Starts a server that is expected to refuse; resolves with what it said. */
  refusal(): Promise<string>
  /** A request with the administrator's token (after `login`). Rejects only when the connection fails. */
  call(method: string, route: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Uploads one file to a run. */
  upload(run: number | string, name: string, bytes: string, headers?: Record<string, string>): Promise<Answer>
  login(): Promise<void>
  /** The header that carries the token. */
  authorised(): { authorization: string }
}

export type Answer = { status: number; type: string; body: Record<string, unknown> }

/** Prepares a server; `start` runs it. The port is fixed, so that clients meet the restarted server where it was. */
export async function prepareWrit(options: WritOptions): Promise<Writ> {
  const { folder } = options
  const port = await freePort()
  const dataDir = path.join(folder, 'data')
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    PORT: String(port),
    WRIT_DATA_DIR: dataDir,
    WRIT_ADMIN_USERNAME: ADMIN.username,
    WRIT_ADMIN_PASSWORD: ADMIN.password,
    WRIT_PROOF_SETTLE_SECONDS: '0',
    WRIT_CHECKPOINT_INTERVAL_MS: '20',
    WRIT_SHUTDOWN_GRACE_SECONDS: '5',
    LOG_LEVEL: 'error',
    ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
    ...options.env,
  }
  const url = `http://127.0.0.1:${port}`
  let server: Guarded | undefined
  let token = ''

  async function spawn(): Promise<Guarded> {
    const [command, ...args] = (options.wrap ?? ((words) => words))([process.execPath, MAIN])
    return startGuarded({ command: command!, args, folder, env })
  }

  async function request(method: string, route: string, init: RequestInit): Promise<Answer> {
    const response = await fetch(`${url}/api/v1${route}`, {
      ...init,
      method,
      signal: AbortSignal.timeout(30_000),
    }).catch((cause) => {
      throw new Error(`${method} ${route} was not answered: ${cause}`, { cause })
    })
    const text = await response.text().catch((cause) => {
      const headers = JSON.stringify(Object.fromEntries(response.headers))
      throw new Error(`${method} ${route} answered ${response.status} ${headers} and broke off`, { cause })
    })
    return {
      status: response.status,
      type: response.headers.get('content-type') ?? '',
      // What the server answers is asserted on by each test.
      body: (text.startsWith('{') ? JSON.parse(text) : { text }) as Record<string, unknown>,
    }
  }

  const authorised = () => ({ authorization: `Bearer ${token}` })
  return {
    url,
    authorised,
    dataDir,
    env,
    async start() {
      server = await spawn()
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
    pid: () => server?.pid,
    async refusal() {
      const refused = await spawn()
      const said = refused.saying('is ready at').then(
        () => 'the server started',
        (error: Error) => error.message,
      )
      const text = await said
      await refused.stop()
      return text
    },
    call: (method, route, body, headers = {}) =>
      request(method, route, {
        headers: { ...authorised(), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    upload(run, name, bytes, headers = {}) {
      const form = new FormData()
      form.append('file', new Blob([bytes]), name)
      return request('POST', `/artifacts?run_id=${run}`, { headers: { ...authorised(), ...headers }, body: form })
    },
    async login() {
      const answer = await request('POST', '/auth/login', {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(ADMIN),
      })
      if (answer.status !== 200) throw new Error(`login answered ${answer.status} ${JSON.stringify(answer.body)}`)
      token = String(answer.body.access_token)
    },
  }
}
