import { type authApi, Username } from '@writ/api'
import type { FastifyRequest } from 'fastify'
import { Check } from 'typebox/schema'
import { append } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Tx, UniqueViolation } from '../platform/db/index.ts'
import type { Ask, Handlers } from '../platform/http/mount.ts'
import { randomToken, uuidv7 } from '../platform/ids.ts'
import { actorOf, announceMember, createAccount } from './accounts.ts'
import { secretHash } from './api-token.ts'
import { COOKIE_MAX_MS } from './authenticate.ts'
import { cookieOf, csrfOf, isSecureContext, setCookie, setSessionCookie } from './browser.ts'
import type { Caller } from './caller.ts'
import { type Identity, reportThrottled } from './identity.ts'
import { OIDC_LOGIN_MS, type OidcPerson, type OidcProvider, OidcRefused } from './oidc.ts'
import { insertSession, type UserInView, type UserRow } from './store.ts'
import { findLinked, insertLink, isLinked, lockByEmail, lockByName } from './store-links.ts'
import { findProject, type ProjectRow } from './store-projects.ts'

const COOKIE = '__Host-writ-oidc'
const CONSOLE = '/app'

type OidcAsk = Ask<typeof authApi.oidcStart | typeof authApi.oidcCallback, Caller>

/** Handlers of the login at an identity provider. */
export const oidcHandlers = (identity: Identity) =>
  ({
    async oidcStart(ask) {
      const provider = mustHave(identity, ask)
      const begin = async () => provider.begin(callbackUrl(identity, ask.request), ask.caller.at)
      const begun = await begin().catch((error: unknown) => refuse(identity, ask, error))
      if (begun === undefined) return undefined
      ask.reply.header('set-cookie', setCookie(COOKIE, begun.sealed, OIDC_LOGIN_MS / 1000))
      ask.reply.header('cache-control', 'no-store').header('location', begun.url)
      return undefined
    },

    async oidcCallback(ask) {
      const provider = mustHave(identity, ask)
      const { caller, request, reply } = ask
      const sealed = cookieOf(request, COOKIE)
      // Whatever comes of it, the attempt is used up.
      reply.header('set-cookie', setCookie(COOKIE, '', 0)).header('cache-control', 'no-store')
      const attempt = await admitted(identity, sealed, caller)
      try {
        const person = await provider.finish(sealed, new URL(request.url, 'http://writ').searchParams, caller.at)
        const { secret, csrf } = await openSession(identity, provider, ask, person)
        attempt.succeeded()
        reply.header('set-cookie', setSessionCookie(secret, COOKIE_MAX_MS / 1000))
        // In the fragment, which no server and no log sees; the console takes it out of the address.
        reply.header('location', `${CONSOLE}#csrf_token=${csrf}`)
        return undefined
      } catch (error) {
        attempt.failed()
        return refuse(identity, ask, error)
      } finally {
        attempt.dropped()
      }
    },
  }) satisfies Pick<Handlers<typeof authApi, Caller>, 'oidcStart' | 'oidcCallback'>

function mustHave(identity: Identity, ask: Pick<OidcAsk, 'request'>): OidcProvider {
  if (identity.oidc === null) throw new AppError('OIDC_NOT_CONFIGURED')
  if (!isSecureContext(ask.request, identity.trusted)) throw new AppError('COOKIE_NEEDS_TLS')
  return identity.oidc
}

/** What the provider has in its list of redirect URIs: below WRIT_PUBLIC_URL, else below the address that was asked. */
function callbackUrl(identity: Identity, request: FastifyRequest): string {
  const path = (request.routeOptions.url ?? '').replace(/start$/, 'callback')
  if (identity.settings.publicUrl !== undefined) return identity.settings.publicUrl + path
  const { host = '' } = request.headers
  if (!/^(\[::1\]|[\w.-]+)(:\d+)?$/.test(host)) throw new OidcRefused('address')
  const peer = request.raw.socket.remoteAddress ?? ''
  const forwarded = request.headers['x-forwarded-proto'] === 'https' && identity.trusted.has(peer)
  return `${forwarded || 'encrypted' in request.raw.socket ? 'https' : 'http'}://${host}${path}`
}

// By address only: there is no name yet that could be guessed at.
async function admitted(identity: Identity, sealed: string | undefined, caller: Caller) {
  try {
    return identity.logins.admit(`oidc ${sealed ?? ''}`, caller.ip ?? '')
  } catch (error) {
    await reportThrottled(identity)
    throw error
  }
}

/**
 * What the provider did is told to the operator, not to whoever asks. A person's browser is led back to the page where one signs in,
 * which says why; whatever else asks gets the refusal itself.
 */
function refuse(identity: Identity, { request, reply }: OidcAsk, error: unknown): undefined {
  if (!(error instanceof OidcRefused)) throw error
  identity.log.warn({ err: error.cause ?? error, reason: error.message }, 'a login at the identity provider failed')
  if (request.headers.accept?.split(',')[0]?.trim() !== 'text/html')
    throw new AppError('OIDC_FAILED', { reason: error.message }, { cause: error })
  // A word of ours and no sentence: what stands in an address may come from anybody.
  reply.header('cache-control', 'no-store').header('location', `${CONSOLE}#sign_in=${error.reason}`)
  return undefined
}

interface Opened {
  readonly user: UserRow
  readonly created: { readonly project: ProjectRow; readonly member: UserInView } | null
}

/** Finds or makes the account, opens a cookie session for it and says so in the log, in one transaction. */
async function openSession(
  identity: Identity,
  provider: OidcProvider,
  ask: OidcAsk,
  person: OidcPerson,
): Promise<{ secret: string; csrf: string }> {
  const { caller } = ask
  const secret = randomToken(32)
  const csrf = csrfOf(secret)
  const project = await findProject(identity.db, 'default')
  // Nobody knows it: such an account has a password only after somebody reset it.
  const passwordHash = provider.autoCreate ? await identity.passwords.hash(randomToken(32)) : ''
  const open = () =>
    ask.instance.change(async (tx): Promise<Opened> => {
      const found = await findAccount(tx, person)
      const created =
        found === undefined && provider.autoCreate && project
          ? { project, member: await makeAccount(tx, ask.caller, person, project, passwordHash) }
          : null
      const user = created?.member ?? found?.user
      if (user === undefined) throw new OidcRefused('unknown')
      if (user.is_active !== 1) throw new OidcRefused('inactive')
      const linkedBy = created ? 'created' : found!.by
      if (linkedBy !== 'link') {
        const { issuer, subject } = person
        await insertLink(tx, { issuer, subject, user_id: user.id, created_at: caller.at })
      }
      await insertSession(tx, {
        id: uuidv7(caller.at),
        secret_hash: secretHash(secret),
        user_id: user.id,
        kind: 'cookie',
        csrf_hash: secretHash(csrf),
        ip_address: caller.ip,
        user_agent: caller.userAgent,
        created_at: caller.at,
        expires_at: caller.at + COOKIE_MAX_MS,
        auth_time: person.authTime,
        amr: JSON.stringify(person.amr),
      })
      await append(tx, caller.at, actorOf(user, caller), {
        type: 'user.login',
        resource: { type: 'user', id: user.id, number: user.number },
        action: 'User logged in successfully',
        details: {
          via: 'oidc',
          issuer: person.issuer,
          amr: person.amr,
          ...(linkedBy === 'link' ? {} : { linked_by: linkedBy }),
        },
      })
      return { user, created }
    })
  try {
    const { user, created } = await open().catch((error: unknown) => {
      // Two first logins of one person at once: the other one made what this one now finds.
      if (error instanceof UniqueViolation) return open()
      throw error
    })
    if (created) await announceMember(identity.db, created.project.id, caller.at, actorOf(user, caller), created.member)
  } catch (error) {
    const refused = error instanceof UniqueViolation ? new OidcRefused('taken', { cause: error }) : error
    if (refused instanceof OidcRefused) await recordFailure(ask, person, refused.message)
    throw refused
  }
  return { secret, csrf }
}

/**
 * The account of somebody: by the link of an earlier login; else, and then linked for good, by a verified address or by
 * name. A user who has another account at the provider is not found again: names and addresses are given to new people.
 * Instance administrators are not found by name alone, because at many providers people choose their name. An account that somebody
 * registered with a name or an address of their choice is not linked: they know its password, and whoever has that name and address at the
 * provider would share it with them.
 */
async function findAccount(
  tx: Tx,
  person: OidcPerson,
): Promise<{ user: UserRow; by: 'link' | 'email' | 'username' } | undefined> {
  const linked = await findLinked(tx, person.issuer, person.subject)
  if (linked) return { user: linked, by: 'link' }
  const byEmail = person.email === null ? undefined : await lockByEmail(tx, person.email)
  const byName = byEmail || person.username === null ? undefined : await lockByName(tx, person.username)
  const user = byEmail ?? byName
  if (user === undefined) return undefined
  if (await isLinked(tx, person.issuer, user.id)) throw new OidcRefused('foreign')
  if (user.vouched === 0) throw new OidcRefused('unvouched')
  if (!byEmail && user.is_instance_admin === 1) throw new OidcRefused('unverified')
  return { user, by: byEmail ? 'email' : 'username' }
}

async function makeAccount(
  tx: Tx,
  caller: Caller,
  person: OidcPerson,
  project: ProjectRow,
  passwordHash: string,
): Promise<UserInView> {
  if (!Check(Username, person.username)) throw new OidcRefused('unfit')
  return createAccount(
    tx,
    caller.at,
    null,
    {
      username: person.username,
      email: person.email,
      fullName: person.fullName?.slice(0, 100) ?? null,
      passwordHash,
      role: 'employee',
      project,
      how: { registered: 'oidc', issuer: person.issuer },
    },
    caller,
  )
}

function recordFailure(ask: OidcAsk, person: OidcPerson, why: string): Promise<void> {
  const { caller } = ask
  return ask.instance.change((tx) =>
    append(tx, caller.at, caller, {
      type: 'user.login_failed',
      action: 'Login failed: identity provider',
      details: { via: 'oidc', issuer: person.issuer, subject: person.subject, username: person.username },
      success: false,
      error: why,
    }),
  )
}
