import type { authApi, BodyOf } from '@writ/api'
import { append } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import type { Ask, Handlers } from '../platform/http/mount.ts'
import { randomToken, uuidv7 } from '../platform/ids.ts'
import { actorOf, announceMember, createAccount, refusingTaken, showUser } from './accounts.ts'
import { secretHash } from './api-token.ts'
import { COOKIE_MAX_MS } from './authenticate.ts'
import { csrfOf, isSecureContext, sessionCookie, setSessionCookie } from './browser.ts'
import { type Caller, personOf } from './caller.ts'
import { type Identity, reportThrottled } from './identity.ts'
import { oidcHandlers } from './oidc-login.ts'
import { checkPassword } from './password.ts'
import { permissionsOf } from './permissions.ts'
import {
  countSessions,
  findSession,
  findUserByName,
  insertSession,
  listSessions,
  loadUser,
  lockUser,
  rehash,
  revokeSession,
  revokeSessions,
  type SessionRow,
  sessionKey,
  type UserRow,
  updateUser,
  useTotpStep,
} from './store.ts'
import { findInvite, findProject, slugOf, takeInvite } from './store-projects.ts'
import { createTotpSecret, matchTotp, otpauthUrl } from './totp.ts'

const unauthorized = { headers: { 'www-authenticate': 'Bearer' } }

// The documented words, and those of the second factor.
const failures = {
  unknown: { action: 'Login failed: user not found', error: 'User not found' },
  password: { action: 'Login failed: incorrect password', error: 'Incorrect password' },
  inactive: { action: 'Login failed: user inactive', error: 'User inactive' },
  totp: { action: 'Login failed: incorrect one-time code', error: 'Incorrect one-time code' },
} as const

/** Handlers of logging in and out, of sessions, passwords and one-time codes. */
export const authHandlers = (identity: Identity) =>
  ({
    async login(ask) {
      const { accessTokenMinutes } = identity.settings
      const now = ask.caller.at
      const session = { id: uuidv7(now), expiresAt: now + accessTokenMinutes * 60_000 }
      const opened = await signIn(identity, ask, async (user) => {
        const token = await identity.accessTokens.issue({
          userId: user.id,
          sessionId: session.id,
          now,
          expiresAt: session.expiresAt,
        })
        return { answer: token, row: { ...session, kind: 'bearer', secret: token, csrf: null } }
      })
      return { access_token: opened, token_type: 'bearer', expires_in: accessTokenMinutes * 60 }
    },

    async cookieLogin(ask) {
      if (!isSecureContext(ask.request, identity.trusted)) throw new AppError('COOKIE_NEEDS_TLS')
      const now = ask.caller.at
      const expiresAt = now + COOKIE_MAX_MS
      const secret = randomToken(32)
      const csrf = csrfOf(secret)
      await signIn(identity, ask, async () => ({
        answer: undefined,
        row: { id: uuidv7(now), expiresAt, kind: 'cookie', secret, csrf },
      }))
      ask.reply.header('set-cookie', setSessionCookie(secret, COOKIE_MAX_MS / 1000))
      return { csrf_token: csrf, expires_at: rfc3339(expiresAt) }
    },

    ...oidcHandlers(identity),

    async session(ask) {
      const { caller } = ask
      const csrf = csrfOf(sessionCookie(ask.request) ?? '')
      const id = caller.session?.id ?? ''
      const row = await ask.instance.read((tx) => findSession(tx, personOf(caller), id, caller.at))
      // A cookie from before tokens followed from it: whoever has it logs in again.
      if (row?.kind !== 'cookie' || row.csrf_hash !== secretHash(csrf)) throw new AppError('SESSION_NOT_FOUND')
      ask.reply.header('cache-control', 'no-store')
      return { csrf_token: csrf, expires_at: rfc3339(row.expires_at) }
    },

    async logout(ask) {
      const { session } = ask.caller
      if (session === null) return undefined
      await ask.instance.change(async (tx) => {
        if (!(await revokeSession(tx, personOf(ask.caller), session.id, ask.caller.at))) return
        await append(tx, ask.caller.at, ask.caller, {
          type: 'user.logout',
          resource: { type: 'session', id: session.id },
          action: 'User logged out',
        })
      })
      if (session.kind === 'cookie') ask.reply.header('set-cookie', setSessionCookie('', 0))
      return undefined
    },

    async register(ask) {
      const { caller, body } = ask
      const attempt = identity.registrations.admit(caller.ip ?? '', caller.ip ?? '')
      try {
        const { invite, project, role, unvouched } = await admission(identity, body, caller.at)
        checkPassword(body.password, body.username)
        const passwordHash = await identity.passwords.hash(body.password)
        const user = await refusingTaken(() =>
          ask.instance.change(async (tx) => {
            const created = await createAccount(
              tx,
              caller.at,
              null,
              {
                username: body.username,
                email: body.email,
                fullName: body.full_name ?? null,
                passwordHash,
                role,
                project,
                unvouched,
                how: invite === null ? { registered: 'open' } : { registered: 'invite', invite_id: invite },
              },
              caller,
            )
            // Another one with the same code was faster: this transaction, the account included, is undone.
            if (invite !== null && !(await takeInvite(tx, invite, created.id, caller.at)))
              throw new AppError('INVITE_INVALID')
            return showUser(created)
          }),
        )
        await announceMember(identity.db, project.id, caller.at, actorOf(user, caller), user)
        return user
      } finally {
        attempt.failed()
      }
    },

    async me(ask) {
      const { caller } = ask
      const user = await mustLoad(identity, personOf(caller))
      return {
        ...showUser({ ...user, role: caller.role }),
        must_change_password: user.must_change_password === 1,
        totp_enabled: user.totp_secret !== null,
        project: caller.projectSlug,
        permissions: permissionsOf(caller.role, caller.scopes),
      }
    },

    async changePassword(ask) {
      const { caller, body } = ask
      const user = await mustLoad(identity, personOf(caller))
      const attempt = await admitted(identity, user.username, caller)
      try {
        const { right } = await identity.passwords.verify(body.current_password, user.password_hash)
        if (!right) {
          attempt.failed()
          throw new AppError('PASSWORD_WRONG')
        }
        attempt.succeeded()
      } finally {
        attempt.dropped()
      }
      checkPassword(body.new_password, user.username)
      // The one-time password would go on for ever.
      if (body.new_password === body.current_password) throw new AppError('PASSWORD_WEAK', { min: 10, max: 256 })
      const passwordHash = await identity.passwords.hash(body.new_password)
      await ask.instance.change(async (tx) => {
        const locked = await lockUser(tx, user.id)
        if (locked?.password_hash !== user.password_hash) throw new AppError('PASSWORD_WRONG')
        await updateUser(tx, user.id, { password_hash: passwordHash, must_change_password: 0 }, caller.at)
        const ended = await revokeSessions(tx, user.id, caller.session?.id ?? null, caller.at)
        await append(tx, caller.at, caller, {
          type: 'user.password_changed',
          resource: { type: 'user', id: user.id, number: user.number },
          action: `Changed password of: ${user.username}`,
          details: { ended_sessions: ended },
        })
      })
      return undefined
    },

    sessions(ask) {
      const [user, now] = [personOf(ask.caller), ask.caller.at]
      return ask.page({
        ofInstance: true,
        rows: (tx, page) => listSessions(tx, user, now, page),
        total: (tx) => countSessions(tx, user, now),
        key: sessionKey,
        show: (row) => showSession(row, ask.caller),
      })
    },

    async revokeSession(ask) {
      const { caller, params } = ask
      await ask.instance.change(async (tx) => {
        if (!(await revokeSession(tx, personOf(caller), params.id, caller.at))) throw new AppError('SESSION_NOT_FOUND')
        await append(tx, caller.at, caller, {
          type: 'session.revoked',
          resource: { type: 'session', id: params.id },
          action: 'Ended a session',
        })
      })
      return undefined
    },

    async totpStart(ask) {
      const secret = createTotpSecret()
      const user = await ask.instance.change(async (tx) => {
        const locked = await mustLock(tx, personOf(ask.caller))
        if (locked.totp_secret !== null) throw new AppError('TOTP_ALREADY_ON')
        await updateUser(tx, locked.id, { totp_pending: identity.seal.seal(secret, locked.id) }, ask.caller.at)
        return locked
      })
      return { secret, otpauth_url: otpauthUrl(secret, user.username) }
    },

    async totpConfirm(ask) {
      await changeTotp(identity, ask, async (tx, user, take) => {
        if (user.totp_secret !== null) throw new AppError('TOTP_ALREADY_ON')
        if (user.totp_pending === null) throw new AppError('TOTP_INVALID')
        await take(user.totp_pending)
        await updateUser(tx, user.id, { totp_secret: user.totp_pending, totp_pending: null }, ask.caller.at)
        return 'user.totp_enabled'
      })
      return undefined
    },

    async totpOff(ask) {
      await changeTotp(identity, ask, async (tx, user, take) => {
        if (user.totp_secret === null) throw new AppError('TOTP_INVALID')
        await take(user.totp_secret)
        await updateUser(tx, user.id, { totp_secret: null, totp_pending: null }, ask.caller.at)
        return 'user.totp_disabled'
      })
      return undefined
    },
  }) satisfies Handlers<typeof authApi, Caller>

// Both ways of logging in, and both of changing the second factor, take the same body.
type LoginAsk = Pick<Ask<typeof authApi.login, Caller>, 'caller' | 'body' | 'instance'>
type CodeAsk = Pick<Ask<typeof authApi.totpConfirm, Caller>, 'caller' | 'body' | 'instance'>

interface NewSession {
  readonly id: string
  readonly kind: 'bearer' | 'cookie'
  readonly secret: string
  readonly csrf: string | null
  readonly expiresAt: number
}

/** Checks name, password and code, and opens the session that `prepare` describes. Every refusal is LOGIN_FAILED. */
async function signIn<T>(
  identity: Identity,
  ask: LoginAsk,
  prepare: (user: UserRow) => Promise<{ answer: T; row: NewSession }>,
): Promise<T> {
  const { caller, body } = ask
  const attempt = await admitted(identity, body.username, caller)
  try {
    const user = await findUserByName(identity.db, body.username)
    const { right, stale } = await identity.passwords.verify(body.password, user?.password_hash ?? null)
    const refuse = async (why: keyof typeof failures) => {
      attempt.failed()
      await recordFailure(ask, why, user)
      return new AppError('LOGIN_FAILED', {}, unauthorized)
    }
    if (user === undefined) throw await refuse('unknown')
    if (!right) throw await refuse('password')
    if (user.is_active !== 1) throw await refuse('inactive')
    let step: number | undefined
    if (user.totp_secret !== null) {
      if (body.totp === undefined) throw new AppError('TOTP_REQUIRED', {}, unauthorized)
      step = matchTotp(identity.seal.open(user.totp_secret, user.id), body.totp, caller.at, user.totp_last_step)
      if (step === undefined) throw await refuse('totp')
    }
    const amr = step === undefined ? ['pwd'] : ['pwd', 'otp']
    const fresh = stale ? await identity.passwords.hash(body.password) : undefined
    const { answer, row } = await prepare(user)
    const opened = await ask.instance.change(async (tx) => {
      // A password, code or account that was changed while this one was checked is what counts.
      const now = await lockUser(tx, user.id)
      if (now?.password_hash !== user.password_hash || now.is_active !== 1 || now.totp_secret !== user.totp_secret)
        return false
      if (step !== undefined && !(await useTotpStep(tx, user.id, step))) return false
      if (fresh !== undefined) await rehash(tx, user.id, user.password_hash, fresh)
      await insertSession(tx, {
        id: row.id,
        secret_hash: secretHash(row.secret),
        user_id: user.id,
        kind: row.kind,
        csrf_hash: row.csrf === null ? null : secretHash(row.csrf),
        ip_address: caller.ip,
        user_agent: caller.userAgent,
        created_at: caller.at,
        expires_at: row.expiresAt,
        auth_time: caller.at,
        amr: JSON.stringify(amr),
      })
      await append(tx, caller.at, actorOf(user, caller), {
        type: 'user.login',
        resource: { type: 'user', id: user.id, number: user.number },
        action: 'User logged in successfully',
        details: { amr },
      })
      return true
    })
    if (!opened) throw await refuse(step === undefined ? 'password' : 'totp')
    attempt.succeeded()
    return answer
  } finally {
    attempt.dropped()
  }
}

async function admitted(identity: Identity, name: string, caller: Caller) {
  try {
    return identity.logins.admit(name, caller.ip ?? '')
  } catch (error) {
    await reportThrottled(identity)
    throw error
  }
}

// What was typed as a name may be a password: it stands in the payload, which can be erased, and in no column.
function recordFailure(ask: LoginAsk, why: keyof typeof failures, user: UserRow | undefined): Promise<void> {
  const { caller, body } = ask
  return ask.instance.change((tx) =>
    append(tx, caller.at, user === undefined ? caller : actorOf(user, caller), {
      type: 'user.login_failed',
      ...(user === undefined ? {} : { resource: { type: 'user', id: user.id, number: user.number } }),
      action: failures[why].action,
      details: user === undefined ? { username: body.username } : null,
      success: false,
      error: failures[why].error,
    }),
  )
}

/** Who may register: with an invitation into its project and role, else where the instance is open, as an employee. */
async function admission(identity: Identity, body: BodyOf<typeof authApi.register>, now: number) {
  if (body.invite !== undefined) {
    const invite = await findInvite(identity.db, secretHash(body.invite))
    const usable =
      invite && invite.used_at === null && invite.revoked_at === null && invite.expires_at > now ? invite : undefined
    if (!usable || (usable.email !== null && usable.email.toLowerCase() !== body.email.toLowerCase()))
      throw new AppError('INVITE_INVALID')
    const slug = (await slugOf(identity.db, usable.project_id)) ?? ''
    const project = { id: usable.project_id, slug }
    return { invite: usable.id, project, role: usable.role, unvouched: usable.email === null }
  }
  const project = identity.settings.registration === 'open' ? await findProject(identity.db, 'default') : undefined
  if (!project) throw new AppError('REGISTRATION_CLOSED')
  return { invite: null, project, role: 'employee' as const, unvouched: true }
}

/** One change of the second factor, guarded like a login: codes have six digits only. */
async function changeTotp(
  identity: Identity,
  ask: CodeAsk,
  change: (
    tx: Tx,
    user: UserRow,
    take: (sealed: string) => Promise<void>,
  ) => Promise<'user.totp_enabled' | 'user.totp_disabled'>,
): Promise<void> {
  const { caller, body } = ask
  const attempt = await admitted(identity, caller.username ?? '', caller)
  try {
    await ask.instance.change(async (tx) => {
      const user = await mustLock(tx, personOf(caller))
      const type = await change(tx, user, async (sealed) => {
        const step = matchTotp(identity.seal.open(sealed, user.id), body.code, caller.at, user.totp_last_step)
        if (step === undefined || !(await useTotpStep(tx, user.id, step))) throw new AppError('TOTP_INVALID')
      })
      await append(tx, caller.at, caller, {
        type,
        resource: { type: 'user', id: user.id, number: user.number },
        action: `${type === 'user.totp_enabled' ? 'Switched on' : 'Switched off'} one-time codes: ${user.username}`,
      })
    })
  } catch (error) {
    if (error instanceof AppError && error.code === 'TOTP_INVALID') attempt.failed()
    throw error
  } finally {
    attempt.dropped()
  }
}

async function mustLoad(identity: Identity, id: string): Promise<UserRow> {
  const user = await loadUser(identity.db, id)
  if (!user) throw new Error('the caller is no user')
  return user
}

async function mustLock(tx: Tx, id: string): Promise<UserRow> {
  const user = await lockUser(tx, id)
  if (!user) throw new Error('the caller is no user')
  return user
}

const showSession = (row: SessionRow, caller: Caller) => ({
  id: row.id,
  kind: row.kind,
  current: row.id === caller.session?.id,
  created_at: rfc3339(row.created_at),
  last_seen_at: rfc3339(row.last_seen_at),
  expires_at: rfc3339(row.expires_at),
  ip_address: row.ip_address,
  user_agent: row.user_agent,
})
