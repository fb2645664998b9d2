/** A Redis of the test's own, or a cluster of three: in a temporary folder, on loopback, gone with the test. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from './free-port.ts'
import { type Guarded, removeFolder, startGuarded } from './guard.ts'

const run = promisify(execFile)

export type RedisOptions = {
  /** What it keeps on disk: nothing, or every command before it is answered. */
  keep?: 'nothing' | 'all'
  /** A password that clients must give. */
  password?: string
  /** The URL is that of a user who may do no more than docs/operate.md says. */
  limited?: boolean
}

/** As in docs/operate.md, "Queues". */
const LIMITED =
  '~{writ:* &writ:* -@all +@connection +@read +@write +@stream +@scripting +@transaction +@pubsub +info +time +cluster'
const LIMITED_LOGIN = 'writ:limited@'

export type RedisServer = {
  /** redis://127.0.0.1:port/0, with the password if there is one. */
  url: string
  port: number
  stop(): Promise<void>
  /** As a crash: SIGKILL; resolves when it is gone. Then `restart`. */
  kill9(): Promise<void>
  /** Starts it again on the same port, with what it kept, or with `empty` without. */
  restart(options?: { empty: boolean }): Promise<void>
}

/** Why no Redis can be started here, or undefined if one can. */
export function missingRedis(): string | undefined {
  const folders = (process.env.PATH ?? '').split(':')
  const missing = ['redis-server', 'redis-cli'].filter(
    (name) => !folders.some((one) => existsSync(path.join(one, name))),
  )
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`
}

/** @throws Error when it does not start, with what it said */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const [port] = await freePorts(1)
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-redis-'))
  const server = await startNode(folder, port!, options, [])
  const password = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}@`
  const secret = options.limited ? LIMITED_LOGIN : password
  return {
    url: `redis://${secret}127.0.0.1:${port}/0`,
    port: port!,
    kill9: server.kill9,
    restart: server.restart,
    async stop() {
      await server.stop()
      removeFolder(folder)
    },
  }
}

export type RedisCluster = {
  /** Of one of its nodes. */
  url: string
  /** Three masters; no replicas. */
  nodes: readonly Pick<RedisServer, 'kill9' | 'restart'>[]
  stop(): Promise<void>
}

/** Three masters that share the slots. */
export async function startRedisCluster({
  limited = false,
}: Pick<RedisOptions, 'limited'> = {}): Promise<RedisCluster> {
  const ports = await freePorts(6)
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-redis-cluster-'))
  const nodes: Node[] = []
  const stop = async () => {
    for (const node of nodes) await node.stop()
    removeFolder(folder)
  }
  try {
    for (const port of ports.slice(0, 3)) {
      const own = path.join(folder, String(port))
      mkdirSync(own)
      const bus = ports[3 + nodes.length]!
      nodes.push(
        await startNode(own, port, { keep: 'all', limited }, [
          '--cluster-enabled',
          'yes',
          '--cluster-port',
          String(bus),
          '--cluster-node-timeout',
          '2000',
        ]),
      )
    }
    const addresses = ports.slice(0, 3).map((port) => `127.0.0.1:${port}`)
    await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'])
    for (const port of ports.slice(0, 3)) await agreeing(port)
    return { url: `redis://${limited ? LIMITED_LOGIN : ''}127.0.0.1:${ports[0]}/0`, nodes, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

type Node = Pick<RedisServer, 'stop' | 'kill9' | 'restart'>

async function startNode(folder: string, port: number, options: RedisOptions, more: string[]): Promise<Node> {
  const args = [
    ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''],
    ...(options.keep === 'all' ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no']),
    ...(options.password === undefined ? [] : ['--requirepass', options.password]),
    ...(options.limited ? ['--user', 'writ', 'on', '>limited', ...LIMITED.split(' ')] : []),
    ...more,
  ]
  let server: Guarded
  const start = async () => {
    server = await startGuarded({ command: 'redis-server', args, folder })
    await server.saying('Ready to accept connections')
  }
  await start()
  return {
    stop: () => server.stop(),
    kill9: () => server.kill9(),
    async restart({ empty } = { empty: false }) {
      await server.stop()
      if (empty) {
        for (const name of ['appendonlydir', 'dump.rdb'])
          rmSync(path.join(folder, name), { recursive: true, force: true })
      }
      await start()
    },
  }
}

/** A node takes commands when it has heard from the others that all slots are served. Gives up after 30 s. */
async function agreeing(port: number): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const { stdout } = await run('redis-cli', ['-p', String(port), 'cluster', 'info'])
    if (stdout.includes('cluster_state:ok')) return
    await new Promise((later) => setTimeout(later, 50))
  }
  throw new Error(`the cluster of port ${port} does not come up`)
}
