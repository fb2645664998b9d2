/** A PostgreSQL of the test's own: a fresh cluster in a temporary folder, on loopback, gone with the test. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { chown, mkdtemp, rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { freePort } from './free-port.ts'
import { type Guarded, removeFolder, startGuarded } from './guard.ts'

const run = promisify(execFile)

export type PostgresOptions = {
  /** Whether commits reach the disk. Off unless the test is about durability. */
  fsync?: boolean
  /** More settings of the server, as in postgresql.conf. */
  settings?: Record<string, string>
  /** Where its files are left when it stops, for `WRIT_TEST_POSTGRES_CLUSTER`. */
  keepAs?: string
  /** Made anew, for a test in which nobody may have heard of Writ's roles yet. */
  fresh?: boolean
}

export type Postgres = {
  /** A superuser's URL of an empty database. */
  url: string
  /** Ends the server (or drops the database, in somebody else's server) and removes the folder. */
  stop(): Promise<void>
  /** As a crash: SIGKILL to the postmaster; resolves when it is gone. Then `restart`. Refused for a server that is not ours. */
  kill9(): Promise<void>
  /** Starts the stopped or killed server again, on the same port and files. */
  restart(): Promise<void>
}

/** True if WRIT_TEST_POSTGRES_URL names somebody else's server, which tests may use but not kill. */
export function isBorrowed(): boolean {
  return Boolean(process.env.WRIT_TEST_POSTGRES_URL)
}

/** Why no PostgreSQL can be started here, or undefined if one can. */
export function missingPostgres(): string | undefined {
  if (process.env.WRIT_TEST_POSTGRES_URL) return undefined
  return findPrograms()
    ? undefined
    : 'no initdb and postgres in PATH or /usr/lib/postgresql/*/bin, and no WRIT_TEST_POSTGRES_URL'
}

/**
 * Starts an own server, or makes a fresh database in WRIT_TEST_POSTGRES_URL.
 * PostgreSQL refuses to run as root; root starts it as the user `postgres`, which the Debian package makes.
 * @throws Error when it cannot be had or does not start
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const shared = process.env.WRIT_TEST_POSTGRES_URL
  if (shared) return await borrowDatabase(shared)
  const programs = findPrograms()
  if (!programs) throw new Error(missingPostgres())
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-pg-'))
  const user = process.getuid?.() === 0 ? await idsOf('postgres') : undefined
  const data = path.join(folder, 'data')
  const env = { PATH: `${programs}:${process.env.PATH ?? ''}`, LC_ALL: 'C.UTF-8', TZ: 'UTC' }
  const fsync = options.fsync ? 'on' : 'off'
  let server: Guarded | undefined
  try {
    if (user) await chown(folder, user.uid, user.gid)
    const init = [
      '-D',
      data,
      '-U',
      'writ',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--no-sync',
      '--no-instructions',
    ]
    // A copy of an empty cluster is one like any other, and a second sooner there.
    const cluster = options.fresh ? undefined : process.env.WRIT_TEST_POSTGRES_CLUSTER
    if (cluster) await run('cp', ['-a', cluster, data])
    else await run(path.join(programs, 'initdb'), init, { ...user, env, cwd: folder })
    const port = await freePort()
    const settings = {
      fsync,
      synchronous_commit: fsync,
      full_page_writes: fsync,
      max_connections: '100',
      shared_buffers: '32MB',
    }
    const start = async () => {
      const listen = { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: folder }
      const all: Record<string, string> = { ...settings, ...options.settings, ...listen }
      const args = ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
      // INT is a fast shutdown: sessions are ended, not waited for.
      server = await startGuarded({
        command: path.join(programs, 'postgres'),
        args,
        folder,
        stopSignal: 'INT',
        ...user,
        env,
      })
      await server.saying('database system is ready to accept connections')
    }
    await start()
    return {
      url: `postgres://writ@127.0.0.1:${port}/postgres`,
      async stop() {
        await server?.stop()
        if (options.keepAs) await rename(data, options.keepAs)
        removeFolder(folder)
      },
      kill9: async () => await server?.kill9(),
      async restart() {
        await server?.stop()
        await start()
      },
    }
  } catch (error) {
    await server?.stop()
    removeFolder(folder)
    throw error
  }
}

async function borrowDatabase(shared: string): Promise<Postgres> {
  const name = `writ_test_${randomBytes(6).toString('hex')}`
  const execute = async (statement: string) => {
    const client = new Client({ connectionString: shared })
    await client.connect()
    await client.query(statement).finally(() => client.end())
  }
  await execute(`create database ${name}`)
  const url = new URL(shared)
  url.pathname = `/${name}`
  const refuse = async () => {
    throw new Error('the server of WRIT_TEST_POSTGRES_URL is not ours to kill')
  }
  return { url: url.href, stop: () => execute(`drop database ${name} with (force)`), kill9: refuse, restart: refuse }
}

/** The folder of initdb and postgres: PATH first, then Debian's, the newest version first. */
function findPrograms(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...(process.env.PATH ?? '').split(':'),
    ...versions.map((version) => path.join(debian, version, 'bin')),
  ]
  return folders.find((folder) => existsSync(path.join(folder, 'initdb')) && existsSync(path.join(folder, 'postgres')))
}

/** The pg_dump that belongs to the server of `startPostgres`, whose programs may be links; undefined if there is none. */
export function findPgDump(): string | undefined {
  const programs = findPrograms()
  if (programs === undefined) return undefined
  const own = path.join(path.dirname(realpathSync(path.join(programs, 'postgres'))), 'pg_dump')
  return existsSync(own) ? own : undefined
}

async function idsOf(name: string): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => Number((await run('id', [flag, name])).stdout)))
  return { uid: uid!, gid: gid! }
}
