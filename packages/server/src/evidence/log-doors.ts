import { api } from '@writ/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type AuditFolders,
  findLogByOrigin,
  isLogPath,
  type LogReader,
  openLogReader,
  readLogFile,
} from '../audit/index.ts'
import { type Authenticator, authorize, logAccessOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Database, INSTANCE } from '../platform/db/index.ts'

// A log as static files, for any client of tlog-tiles: `/log/<last part of the origin>/checkpoint`, `.../tile/...`. The
// origin is random, so the address says nothing of the project. Closed logs are served as they ended.

export interface LogDoors {
  /** Answers a request for `/log/*`: to everybody if the log is public, else to those who may read the log's files. */
  serve(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply>
  /** Sends one file of a log. Throws LOG_FILE_NOT_FOUND. */
  send(
    reply: FastifyReply,
    log: { readonly project_id: string; readonly shard: number },
    path: string,
    scope: 'public' | 'private',
  ): Promise<FastifyReply>
  close(): Promise<void>
}

/** The address of a log's door below the server's own. */
export const doorOf = (origin: string): string => `/log/${origin.slice(origin.lastIndexOf('/') + 1)}`

const ORIGIN_PREFIX = 'writ.log/'
const READERS = 200

export function createLogDoors(on: {
  db: Database
  folders: AuditFolders
  authenticate: Authenticator['authenticate']
  instanceAccess: 'members' | 'public'
}): LogDoors {
  // Which log an origin is of never changes, so what was found is kept; readers of S3 keep their connections.
  const known = new Map<string, { project_id: string; shard: number }>()
  const readers = new Map<string, Promise<LogReader>>()

  async function find(name: string): Promise<{ project_id: string; shard: number } | undefined> {
    const origin = ORIGIN_PREFIX + name
    const before = known.get(origin)
    if (before) return before
    const found = await on.db.sequence((tx) => findLogByOrigin(tx, origin))
    if (found) known.set(origin, { project_id: found.project_id, shard: found.shard })
    return known.get(origin)
  }

  async function isPublic(project: string): Promise<boolean> {
    return (project === INSTANCE ? on.instanceAccess : await logAccessOf(on.db, project)) === 'public'
  }

  /** Whoever may not know of the log gets the answer that a stranger's address gets. */
  async function admit(request: FastifyRequest, project: string): Promise<void> {
    const caller = await on.authenticate('audit.file', api.audit.file, request)
    if (project === INSTANCE) {
      if (!caller.isInstanceAdmin) throw new AppError('LOG_FILE_NOT_FOUND')
      return
    }
    if (caller.project !== project) throw new AppError('LOG_FILE_NOT_FOUND')
    authorize('audit.file', api.audit.file, caller)
  }

  async function read(log: { project_id: string; shard: number }, path: string): Promise<Uint8Array | null> {
    const key = `${log.project_id}/${log.shard}`
    let reader = readers.get(key)
    if (!reader) {
      if (readers.size >= READERS) {
        const [oldest] = readers.keys()
        const gone = readers.get(oldest!)!
        readers.delete(oldest!)
        await (await gone).close()
      }
      reader = openLogReader(on.folders, log.project_id, log.shard)
      readers.set(key, reader)
    }
    return readLogFile(await reader, path)
  }

  async function send(
    reply: FastifyReply,
    log: { readonly project_id: string; readonly shard: number },
    path: string,
    scope: 'public' | 'private',
  ): Promise<FastifyReply> {
    const bytes = isLogPath(path) ? await read(log, path) : null
    if (!bytes) throw new AppError('LOG_FILE_NOT_FOUND')
    const tile = path.startsWith('tile/')
    // Tiles never change, partial ones included; what names the newest state must not be older than a moment.
    return reply
      .header('cache-control', tile ? `${scope}, max-age=31536000, immutable` : 'no-cache')
      .type(tile ? 'application/octet-stream' : 'text/plain; charset=utf-8')
      .send(Buffer.from(bytes))
  }

  return {
    async serve(request, reply) {
      const rest = (request.params as { '*': string })['*']
      const [, name = '', path = ''] = /^([0-9a-f]{1,64})\/(.+)$/.exec(rest) ?? []
      const log = await find(name)
      // A log that is not there, and a member's log asked for without a key, look the same until a key is shown.
      const open = log !== undefined && (await isPublic(log.project_id))
      if (!open) await admit(request, log?.project_id ?? '')
      if (!log) throw new AppError('LOG_FILE_NOT_FOUND')
      return send(reply, log, path, open ? 'public' : 'private')
    },
    send,
    async close() {
      for (const reader of readers.values()) await (await reader).close()
    },
  }
}
