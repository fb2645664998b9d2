import { Cluster, Redis, type RedisOptions } from 'ioredis'

export type RedisClient = Redis | Cluster

const CONNECT_MS = 3_000
/** A command that takes longer counts as failed; it may have been done. */
const COMMAND_MS = 5_000

// Nothing waits in the client while Redis is away, and nothing is sent twice: whoever asked decides.
const impatient = {
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: CONNECT_MS,
  commandTimeout: COMMAND_MS,
  // Behind a network that was cut a connection may be silent for ever: it goes too, and the next one may get through.
  socketTimeout: COMMAND_MS,
  keepAlive: 10_000,
} satisfies RedisOptions

const retryMs = (times: number): number => Math.min(50 * 2 ** Math.min(times, 10), 1_000)

/**
 * Connects to the Redis at `url`, or to the cluster that it is a node of. Resolves when commands are taken; afterwards it
 * reconnects by itself, and commands fail meanwhile. `troubled` hears why; `cut` that a connection ended, so that a server may
 * not be what it was when the next one begins.
 */
export async function connectRedis(
  url: string,
  { troubled, cut }: { troubled(error: unknown): void; cut(): void },
): Promise<RedisClient> {
  const first = new Redis(url, { ...impatient, lazyConnect: true, retryStrategy: () => null })
  first.on('error', troubled)
  const options = first.options
  let clustered: boolean
  try {
    await first.connect()
    clustered = /^cluster_enabled:1/m.test(await first.info('cluster'))
  } finally {
    first.disconnect()
  }
  const client = clustered
    ? new Cluster([{ host: options.host ?? 'localhost', port: options.port ?? 6379 }], {
        enableOfflineQueue: false,
        lazyConnect: true,
        clusterRetryStrategy: retryMs,
        clusterNodeRetryStrategy: retryMs,
        maxRedirections: 4,
        redisOptions: {
          ...impatient,
          ...(options.username ? { username: options.username } : {}),
          ...(options.password ? { password: options.password } : {}),
          ...(options.tls ? { tls: options.tls } : {}),
        },
      })
    : new Redis(url, { ...impatient, lazyConnect: true, retryStrategy: retryMs })
  client.on('error', troubled)
  if (client instanceof Cluster) client.on('+node', (node: Redis) => node.on('close', cut))
  else client.on('close', cut)
  try {
    await client.connect()
  } catch (error) {
    client.disconnect()
    throw error
  }
  return client
}

/** Hears a channel, on a connection of its own: one that listens can do nothing else. A cluster has one for that already. */
export async function listenTo(
  client: RedisClient,
  channel: string,
  heard: (text: string) => void,
): Promise<RedisClient> {
  const ear = client instanceof Cluster ? client : client.duplicate()
  if (ear !== client) {
    // The other connection says it.
    ear.on('error', () => {})
    await ear.connect()
  }
  ear.on('message', (_, text: string) => heard(text))
  await ear.subscribe(channel)
  return ear
}

/** The servers that hold keys. */
export const mastersOf = (client: RedisClient): Redis[] =>
  client instanceof Cluster ? client.nodes('master') : [client]

/**
 * What an error of the client says, for a log. Never the error itself: it carries the command with its arguments, and of AUTH
 * these are the password.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason given'
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  // Which line of which of our scripts it was is nothing for a log.
  const said = error.message
    .replace(/\.? script: [0-9a-f]{40}, on @user_script:\d+\.?$/, '')
    .replace(BEFORE_7, '')
    .trim()
  return said || code || error.name
}

/** What Redis before 7 puts before an error of a script's command. */
const BEFORE_7 = /^.*@user_script: ?\d+: -(?=[A-Z]{2,20} )/

/** Whether Redis itself answered with an error: it is there, but full, read-only, or does not allow it. */
export const isRefusal = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError'

/** The word that an error of Redis begins with. As a label: it is one of few, whatever else it says. */
export const codeOf = (error: unknown): string =>
  (error instanceof Error && /^[A-Z]{2,20}(?= |$)/.exec(error.message.replace(BEFORE_7, ''))?.[0]) || 'ERR'

/** Whether Redis has no memory for what it was to add. */
export const isFull = (error: unknown): boolean => isRefusal(error) && codeOf(error) === 'OOM'
