import { append, SYSTEM } from '../audit/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { createAddressSet } from '../platform/http/client-address.ts'
import type { Logger } from '../platform/log.ts'
import type { Secret } from '../platform/secret.ts'
import { noTracing, type Tracing } from '../platform/tracing.ts'
import { type Authenticator, createAuthenticator } from './authenticate.ts'
import { type Configured, type ConfiguredToken, createConfigured } from './configured.ts'
import { type AccessTokens, createAccessTokens, type TokenAlgorithm } from './jwt.ts'
import { createOidcProvider, type OidcProvider } from './oidc.ts'
import { createPasswords, type PasswordCost, type Passwords } from './password.ts'
import { createSeal, deriveKey, loadSecretKey, loadTokenKey, type Seal } from './secret-key.ts'
import { forgetSessions } from './store.ts'
import { createThrottle, type Throttle, type ThrottleLimits } from './throttle.ts'

/** What identity needs of the configuration. */
export interface IdentitySettings {
  readonly dataDir: string
  readonly publicUrl?: string | undefined
  readonly secretKey?: Secret<string> | undefined
  readonly secretKeyPrevious?: Secret<string> | undefined
  readonly algorithm: TokenAlgorithm
  readonly accessTokenMinutes: number
  readonly registration: 'closed' | 'open'
  readonly adminUsername: string
  readonly adminPassword?: Secret<string> | undefined
  readonly trustedProxies: readonly string[]
  readonly oidcIssuer?: string | undefined
  readonly oidcClientId?: string | undefined
  readonly oidcClientSecret?: Secret<string> | undefined
  readonly oidcScopes?: string
  readonly oidcUsernameClaim?: string
  readonly oidcAutoCreate?: boolean
  readonly configuredTokens?: readonly ConfiguredToken[]
}

/** Everything the handlers share. */
export interface Identity extends Authenticator {
  readonly db: Database
  readonly clock: Clock
  readonly log: Logger
  readonly settings: IdentitySettings
  readonly configured: Configured
  readonly passwords: Passwords
  readonly accessTokens: AccessTokens
  /** Seals the secrets of one-time codes. */
  readonly seal: Seal
  /** The provider that people may log in at; null if none is configured. */
  readonly oidc: OidcProvider | null
  readonly logins: Throttle
  readonly registrations: Throttle
  readonly trusted: { has(address: string): boolean }
  /** Signs page cursors. */
  readonly cursorSecret: string
  /** Once a minute: reports throttled logins and forgets sessions that ended a month ago. */
  sweep(): Promise<void>
  /** Before the database closes: what was not reported or noted yet. */
  close(): Promise<void>
}

const SESSION_MEMORY_MS = 30 * 86_400_000

/** Loads or makes the keys under `<data>/keys` and puts identity together. Starts nothing by itself. */
export async function openIdentity(options: {
  db: Database
  clock: Clock
  log: Logger
  settings: IdentitySettings
  passwordCost?: PasswordCost
  loginLimits?: ThrottleLimits
  tracing?: Tracing
}): Promise<Identity> {
  const { db, clock, log, settings } = options
  const secrets = await loadSecretKey(settings)
  const privateKey = settings.algorithm === 'EdDSA' ? await loadTokenKey(settings.dataDir) : undefined
  const accessTokens = createAccessTokens({ algorithm: settings.algorithm, secrets, privateKey, clock })
  const { trustedProxies, publicUrl } = settings
  const configured = createConfigured(settings.configuredTokens ?? [])
  const authenticator = createAuthenticator({
    db,
    clock,
    log,
    accessTokens,
    publicUrl,
    configured,
    tracing: options.tracing ?? noTracing,
  })
  const logins = createThrottle(clock, options.loginLimits)
  const identity: Identity = {
    ...authenticator,
    db,
    clock,
    log,
    settings,
    configured,
    passwords: createPasswords(options.passwordCost),
    accessTokens,
    seal: createSeal(secrets, 'one-time codes'),
    oidc: createOidcProvider(settings, createSeal(secrets, 'oidc logins'), clock),
    logins,
    registrations: createThrottle(clock, { perName: 50, perAddress: 50, windowMs: 300_000 }),
    trusted: createAddressSet(trustedProxies),
    cursorSecret: deriveKey(secrets[0], 'cursors').toString('hex'),
    async sweep() {
      await reportThrottled(identity)
      await forgetOldSessions(db, clock.now())
    },
    async close() {
      await reportThrottled(identity, true)
      await authenticator.settle()
    },
  }
  return identity
}

/** So many at a time: others want to write meanwhile. */
const FORGETS = 1_000

/** Forgets the sessions that ended more than 30 days ago. */
export const forgetOldSessions = (db: Database, now: number): Promise<void> =>
  inProject(INSTANCE, async () => {
    while ((await db.write((tx) => forgetSessions(tx, now - SESSION_MEMORY_MS, FORGETS))) === FORGETS) {}
  })

/** Appends one `user.login_throttled` for all that was refused since the last one, at most once a minute. */
export async function reportThrottled(
  identity: Pick<Identity, 'db' | 'clock' | 'logins'>,
  force = false,
): Promise<void> {
  const report = identity.logins.report(force)
  if (report === undefined) return
  await inProject(INSTANCE, () =>
    identity.db.write((tx) =>
      append(tx, identity.clock.now(), SYSTEM, {
        type: 'user.login_throttled',
        action: `Refused ${report.refused} login attempts`,
        details: report,
        success: false,
        error: 'Too Many Requests',
      }),
    ),
  )
}
