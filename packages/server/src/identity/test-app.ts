import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { authApi, type Endpoint, projectsApi, tokensApi, usersApi } from '@writ/api'
import fastify from 'fastify'
import { type Attest, listEvents } from '../audit/index.ts'
import { createFakeClock } from '../platform/clock.ts'
import { type DatabaseSettings, INSTANCE, inProject, openDatabase } from '../platform/db/index.ts'
import { createCursors } from '../platform/http/cursor.ts'
import { mount } from '../platform/http/mount.ts'
import { problemOf, refusalOf } from '../platform/http/problem.ts'
import { createLog } from '../platform/log.ts'
import { Secret } from '../platform/secret.ts'
import { secretHash } from './api-token.ts'
import {
  authHandlers,
  authorize,
  type Bootstrapped,
  bootstrap,
  type IdentitySettings,
  openIdentity,
  projectsHandlers,
  tokensHandlers,
  usersHandlers,
} from './index.ts'

export interface Answer<T> {
  readonly status: number
  readonly body: T
  readonly headers: Record<string, string | string[] | number | undefined>
}
/** Every field that tests look at in some answer; each test knows which of them its own call answers. */
export interface Seen {
  readonly id: string
  readonly number: number
  readonly code: string
  readonly detail: string
  readonly errors: readonly { readonly path: string }[]
  readonly username: string
  readonly email: string | null
  readonly full_name: string | null
  readonly role: string | null
  readonly is_active: boolean
  readonly is_admin: boolean
  readonly created_at: string
  readonly project: string
  readonly permissions: readonly string[]
  readonly must_change_password: boolean
  readonly one_time_password: string
  readonly access_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly csrf_token: string
  readonly secret: string
  readonly invite: string
  readonly token: string
  readonly expires_at: string
  readonly ip_ranges: readonly string[]
  readonly log_origin: string
  readonly state: string
  readonly warnings: readonly string[]
  readonly approver_roles: readonly string[]
  readonly approval_ttl_hours: number | null
  readonly next_cursor: string
  readonly items: readonly Seen[]
}
/** A line of a day file. */
export interface Line {
  readonly event_type: string
  readonly action: string
  readonly success: boolean
  readonly error_message: string | null
  readonly actor_username: string | null
  readonly resource_id: string | null
  readonly details: Record<string, unknown> | null
}

export const ADMIN = { username: 'admin', password: 'admin123' }

/** Identity behind HTTP over a real store, without a socket; the clock stands still until moved. */
export async function startTestApp(
  options: { database?: DatabaseSettings; settings?: Partial<IdentitySettings> } = {},
) {
  const dir = await mkdtemp(join(tmpdir(), 'writ-identity-'))
  const clock = createFakeClock()
  const db = await openDatabase(options.database ?? { url: `sqlite:${join(dir, 'writ.db')}` }, clock)
  const settings: IdentitySettings = {
    dataDir: dir,
    algorithm: 'HS256',
    accessTokenMinutes: 30,
    registration: 'closed',
    adminUsername: ADMIN.username,
    adminPassword: new Secret(ADMIN.password),
    secretKey: new Secret('an-old-key-of-at-least-32-characters!'),
    trustedProxies: [],
    ...options.settings,
  }
  const log = createLog({ level: 'error', format: 'json' })
  const identity = await openIdentity({
    db,
    clock,
    log,
    settings,
    passwordCost: { memory: 8, passes: 1, parallelism: 1 },
  })
  const started: Bootstrapped = await bootstrap(identity)
  const app = fastify({ ajv: { customOptions: { removeAdditional: false, allErrors: true } } })
  app.decorateRequest('clientIp', '')
  app.addHook('onRequest', (request, _, done) => {
    request.clientIp = request.ip
    done()
  })
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(error, () => undefined)
    if (!refusal) throw error
    return reply
      .code(refusal.status)
      .headers(refusal.headers)
      .send(problemOf(refusal, { url: request.url, requestId: request.id }))
  })
  const { authenticate } = identity
  const on = { db, clock, cursors: createCursors('test'), prefix: '/api/v1', authenticate, authorize }
  mount(app, 'auth', authApi, authHandlers(identity), on)
  mount(app, 'users', usersApi, usersHandlers(identity), on)
  mount(app, 'tokens', tokensApi, tokensHandlers(identity), on)
  // Envelopes are the business of a room above; here only what the log says of them counts.
  const attest: Attest = async (_, about) => `sha256:${secretHash(about.id)}`
  mount(app, 'projects', projectsApi, projectsHandlers(identity, attest), on)
  await app.ready()

  async function call<T = Seen>(
    method: Endpoint['method'],
    path: string,
    more: { body?: object; token?: string; headers?: Record<string, string>; ip?: string } = {},
  ): Promise<Answer<T>> {
    const answer = await app.inject({
      method,
      url: `/api/v1${path}`,
      ...(more.body === undefined ? {} : { payload: more.body }),
      remoteAddress: more.ip ?? '127.0.0.1',
      headers: { ...(more.token ? { authorization: `Bearer ${more.token}` } : {}), ...more.headers },
    })
    // The caller says what it expects to see; its assertions tell whether it is there.
    const body = (answer.body === '' ? undefined : answer.json()) as T
    return { status: answer.statusCode, body, headers: answer.headers }
  }

  return {
    call,
    clock,
    db,
    identity,
    started,
    /** The access token of a user. */
    async login(username: string, password: string): Promise<string> {
      const answer = await call('POST', '/auth/login', { body: { username, password } })
      if (answer.status !== 200) throw new Error(`login of ${username}: ${answer.status}`)
      return answer.body.access_token
    },
    /** An account with a role in `default`, and its access token. */
    async person(admin: string, username: string, role: string) {
      const body = { username, email: `${username}@example.com`, password: 'correct horse battery', role }
      const { id, number } = (await call('POST', '/users', { token: admin, body })).body
      return { id, number, token: await this.login(username, body.password) }
    },
    /** The lines of a log, oldest first, as they stand in day files. */
    async events(project: string = INSTANCE): Promise<Line[]> {
      const rows = await inProject(project, () => db.read((tx) => listEvents(tx, {}, { limit: 1000 })))
      return rows.reverse().map((row) => JSON.parse(row.event) as Line)
    },
    async stop() {
      await app.close()
      await identity.close()
      await db.close()
      await rm(dir, { recursive: true })
    },
  }
}
export type TestApp = Awaited<ReturnType<typeof startTestApp>>
