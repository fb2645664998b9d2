import type { Endpoint, Role } from '@writ/api'
import type { FastifyRequest } from 'fastify'
import { AppError } from '../platform/app-error.ts'
import type { Clock } from '../platform/clock.ts'
import { coalesce } from '../platform/coalesce.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { createAddressSet } from '../platform/http/client-address.ts'
import { randomHex } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { redactor } from '../platform/redact/index.ts'
import { beginTrace, parentOf, type Tracing, traceStateOf } from '../platform/tracing.ts'
import { isSecret, parseApiToken, secretHash } from './api-token.ts'
import { checkCsrf, sessionCookie } from './browser.ts'
import type { Caller } from './caller.ts'
import type { Configured } from './configured.ts'
import type { AccessTokens } from './jwt.ts'
import { tokenRole } from './permissions.ts'
import { findSessions, findTokens, type SessionAccess, type TokenAccess, touch } from './store-access.ts'

/** How long a cookie session lives without being used, and at most. */
const COOKIE_IDLE_MS = 2 * 3_600_000
export const COOKIE_MAX_MS = 12 * 3_600_000
const TOUCH_EVERY_MS = 60_000

const DEFAULT_PROJECT = 'default'
const SLUG = /^[a-z0-9][a-z0-9_-]{1,63}$/
const BEARER = /^bearer +(\S+) *$/i
const WITH_ONE_TIME_PASSWORD = new Set(['auth.me', 'auth.session', 'auth.changePassword', 'auth.logout'])

export interface Authenticator {
  /**
   * Decides who asks. Reads no body and keeps nothing: deactivation, revocation and roles act at once. Whose credential it is stands in
   * `request.caller` also when the caller is refused: the log says who it was.
   */
  authenticate(id: string, endpoint: Endpoint, request: FastifyRequest): Promise<Caller>
  /** Writes what is still to be noted about the use of sessions and tokens. */
  settle(): Promise<void>
}

type Where = Pick<Caller, 'ip' | 'userAgent' | 'at' | 'requestId' | 'traceId' | 'spanId' | 'traceparent' | 'tracestate'>

/**
 * Makes the authenticator. Credentials, first that is there: `Authorization: Bearer` (access token or API token),
 * `X-API-Token` or `X-API-Key`, the session cookie. Lookups of one turn of the event loop are one statement.
 */
export function createAuthenticator(options: {
  db: Database
  clock: Clock
  log: Logger
  accessTokens: AccessTokens
  publicUrl?: string | undefined
  configured: Configured
  /** Which requests become spans. */
  tracing: Pick<Tracing, 'collects' | 'samples'>
}): Authenticator {
  const { db, clock, log, accessTokens, configured } = options
  const publicOrigin = options.publicUrl === undefined ? undefined : new URL(options.publicUrl).origin
  const sessionsById = createSessionLookup(db, 'id')
  const sessionsByCookie = createSessionLookup(db, 'secret_hash')
  const tokensByPrefix = coalesce<TokenAccess>(async (prefixes) => {
    const rows = await findTokens(db, prefixes)
    return new Map(rows.map((row) => [row.prefix, row]))
  })
  const usage = createUsage(db, clock, log)

  function bySession(access: SessionAccess | undefined, where: Where): SessionAccess {
    const idle = access?.kind === 'cookie' && access.last_seen_at + COOKIE_IDLE_MS <= where.at
    if (!access || access.revoked_at !== null || access.expires_at <= where.at || idle) throw invalid()
    if (where.at - access.last_seen_at >= TOUCH_EVERY_MS) usage.session(access.session_id)
    return access
  }

  /** `ours`: which of the configuration it is. */
  async function byToken(text: string, ours: ReturnType<Configured['find']>, where: Where): Promise<TokenAccess> {
    const parsed = ours ? { prefix: ours.prefix, secret: text } : parseApiToken(text)
    const access = parsed && (await tokensByPrefix(parsed.prefix))
    if (!parsed || !access || !isSecret(parsed.secret, access.secret_hash)) throw invalid()
    if (access.revoked_at !== null || access.expires_at <= where.at) throw invalid()
    return access
  }

  /** Whether a token may be used so: from there, and for that project. */
  function admitToken(access: TokenAccess, slug: string | undefined, where: Where): void {
    const ranges = JSON.parse(access.ip_ranges) as string[]
    if (ranges.length > 0 && !createAddressSet(ranges).has(where.ip ?? '')) throw new AppError('TOKEN_IP_NOT_ALLOWED')
    if (slug !== undefined && slug !== access.project_slug) throw new AppError('TOKEN_FOREIGN_PROJECT')
    if (where.at - (access.last_used_at ?? 0) >= TOUCH_EVERY_MS) usage.token(access.token_id)
  }

  async function authenticate(id: string, endpoint: Endpoint, request: FastifyRequest): Promise<Caller> {
    const where = whereFrom(request)
    if (endpoint.access === 'public') return anonymous(where)
    const slug = slugFrom(request)
    const given = credentialOf(request)
    if (given === undefined) throw unauthenticated('NOT_AUTHENTICATED')

    const ours = given.kind === 'header' ? configured.find(given.text) : undefined
    if (ours || (given.kind !== 'cookie' && given.text.startsWith('writ_'))) {
      const access = await byToken(given.text, ours, where)
      const scopes = JSON.parse(access.scopes) as string[]
      const owner = access.is_instance_admin === 1 ? 'admin' : access.role
      // The owner of those of the configuration is nobody, who lends nothing.
      const role = ours ? ours.role : tokenRole(owner, access.token_role)
      const caller: Caller = {
        ...callerOf(access, where, access.project_slug, role),
        kind: 'token',
        id: access.token_id,
        // Whoever repeats a request after the token was rotated repeats it.
        principal: `token:${access.family_id}`,
        // A grant of the instance passes through a token only whole: the owner's, by a token that is admin.
        isInstanceAdmin: access.is_instance_admin === 1 && access.token_role === 'admin',
        scopes,
        tokenId: access.token_id,
        session: null,
        authentication: null,
      }
      request.caller = caller
      admitToken(access, slug, where)
      admit(id, access)
      return caller
    }

    const lookUp = given.kind === 'cookie' ? sessionsByCookie : sessionsById
    let key: string
    let owner: string | undefined
    if (given.kind === 'cookie') key = secretHash(given.text)
    else {
      const claims = given.kind === 'bearer' ? await accessTokens.verify(given.text) : undefined
      if (claims === undefined) throw invalid()
      key = claims.sessionId
      owner = claims.userId
    }
    const name = slug ?? DEFAULT_PROJECT
    const access = bySession(await lookUp(name, key), where)
    if (access.kind !== given.kind || (owner !== undefined && owner !== access.user_id)) throw invalid()
    const role = access.project_id === null ? null : access.is_instance_admin === 1 ? 'admin' : access.role
    const caller: Caller = {
      ...callerOf(access, where, name, role),
      kind: 'user',
      id: access.user_id,
      principal: `user:${access.user_id}`,
      isInstanceAdmin: access.is_instance_admin === 1,
      scopes: null,
      tokenId: null,
      session: { id: access.session_id, kind: access.kind },
      authentication: { at: access.auth_time, methods: JSON.parse(access.amr) as string[] },
    }
    request.caller = caller
    if (access.kind === 'cookie' && !isRead(request.method)) checkCsrf(request, access.csrf_hash, publicOrigin)
    admit(id, access)
    return caller
  }

  function whereFrom(request: FastifyRequest): Where {
    const parent = parentOf(request.headers.traceparent)
    const traceId = parent?.traceId ?? randomHex(16)
    // Not of the request's id, which a caller may give to several requests of one trace.
    const spanId = randomHex(8)
    const unrecorded = parent ? parent.header : beginTrace(options.tracing, traceId, spanId).traceparent
    const recorded = options.tracing.collects && (parent ? parent.sampled : unrecorded === null)
    return {
      // A peer that is gone already has no address.
      ip: request.clientIp || null,
      userAgent: redactor.text(request.headers['user-agent']?.slice(0, 255) ?? '') || null,
      at: clock.now(),
      requestId: request.id,
      traceId,
      spanId: recorded ? spanId : null,
      traceparent: recorded ? null : unrecorded,
      tracestate: parent && harmless(traceStateOf(request.headers.tracestate)),
    }
  }

  /** Null for a text with a secret in it: without the secret it would say something else. */
  function harmless(text: string | null): string | null {
    return text !== null && redactor.text(text) === text ? text : null
  }

  return { authenticate, settle: usage.settle }
}

const invalid = () => unauthenticated('CREDENTIALS_INVALID')
const unauthenticated = (code: 'NOT_AUTHENTICATED' | 'CREDENTIALS_INVALID') =>
  new AppError(code, {}, { headers: { 'www-authenticate': 'Bearer' } })
const isRead = (method: string) => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'

type Credential = { kind: 'bearer' | 'header' | 'cookie'; text: string }

function credentialOf(request: FastifyRequest): Credential | undefined {
  const { authorization } = request.headers
  if (authorization !== undefined) {
    const text = BEARER.exec(authorization)?.[1]
    if (text === undefined) throw unauthenticated('NOT_AUTHENTICATED')
    return { kind: 'bearer', text }
  }
  const header = request.headers['x-api-token'] ?? request.headers['x-api-key']
  if (typeof header === 'string') return { kind: 'header', text: header }
  const cookie = sessionCookie(request)
  return cookie === undefined || cookie === '' ? undefined : { kind: 'cookie', text: cookie }
}

// A name that no project can have is a project that does not exist; which of them do exist is not told.
function slugFrom(request: FastifyRequest): string | undefined {
  const header = request.headers['x-project']
  if (header === undefined || header === '') return undefined
  return typeof header === 'string' && SLUG.test(header) ? header : ' '
}

function admit(id: string, access: { is_active: number; must_change_password: number }): void {
  if (access.is_active !== 1) throw new AppError('USER_INACTIVE')
  if (access.must_change_password === 1 && !WITH_ONE_TIME_PASSWORD.has(id))
    throw new AppError('PASSWORD_CHANGE_REQUIRED')
}

function anonymous(where: Where): Caller {
  return {
    ...where,
    kind: 'system',
    id: null,
    number: null,
    username: null,
    principal: `address:${where.ip}`,
    userId: null,
    isInstanceAdmin: false,
    project: null,
    projectSlug: null,
    role: null,
    scopes: null,
    session: null,
    authentication: null,
    tokenId: null,
    mustChangePassword: false,
  }
}

function callerOf(access: SessionAccess | TokenAccess, where: Where, slug: string, role: Role | null) {
  // Who has no role sees no project: whether there is one of that name is not told.
  const inside = role !== null && access.project_id !== null
  return {
    ...where,
    number: access.user_number,
    username: access.username,
    userId: access.user_id,
    project: inside ? access.project_id : null,
    projectSlug: inside ? slug : null,
    role,
    mustChangePassword: access.must_change_password === 1,
  }
}

// Almost always one project is asked for in a turn, so there is one statement.
function createSessionLookup(db: Database, by: 'id' | 'secret_hash') {
  const bySlug = new Map<string, (key: string) => Promise<SessionAccess | undefined>>()
  return (slug: string, key: string) => {
    let lookUp = bySlug.get(slug)
    if (!lookUp) {
      // Slugs come from outside: the map must not grow with them.
      if (bySlug.size >= 1000) bySlug.clear()
      lookUp = coalesce<SessionAccess>(async (keys) => {
        const rows = await findSessions(db, by, keys, slug)
        return new Map(rows.map((row) => [by === 'id' ? row.session_id : row.secret_hash, row]))
      })
      bySlug.set(slug, lookUp)
    }
    return lookUp(key)
  }
}

// Uses are noted at most once a minute each, many in one statement and never before an answer. Stopped before it was
// written, the next use notes itself.
function createUsage(db: Database, clock: Clock, log: Logger) {
  let sessions = new Set<string>()
  let tokens = new Set<string>()
  let writing: Promise<void> | undefined
  const write = async () => {
    while (sessions.size + tokens.size > 0) {
      const used = { sessions: [...sessions].sort(), tokens: [...tokens].sort() }
      sessions = new Set()
      tokens = new Set()
      try {
        await inProject(INSTANCE, () => db.write((tx) => touch(tx, used, clock.now())))
      } catch (err) {
        log.warn({ err }, 'use of sessions could not be noted')
      }
    }
  }
  const start = () => {
    writing ??= write().finally(() => {
      writing = undefined
    })
  }
  return {
    session(id: string) {
      sessions.add(id)
      start()
    },
    token(id: string) {
      tokens.add(id)
      start()
    },
    settle: async () => writing,
  }
}
