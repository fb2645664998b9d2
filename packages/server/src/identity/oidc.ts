import type { Configuration } from 'openid-client'
import type { Clock } from '../platform/clock.ts'
import type { Secret } from '../platform/secret.ts'
import type { Seal } from './secret-key.ts'

/** What a provider says of a person, checked: signature, issuer, audience, times, nonce. */
export interface OidcPerson {
  readonly issuer: string
  readonly subject: string
  /** Only an address that the provider says it has verified. */
  readonly email: string | null
  readonly username: string | null
  readonly fullName: string | null
  /** When they proved it there, in milliseconds; null where the provider does not say, or says what cannot be. */
  readonly authTime: number | null
  /** How, in the provider's words (RFC 8176 has the usual ones). */
  readonly amr: readonly string[]
}

export interface OidcProvider {
  readonly autoCreate: boolean
  /** Where to send the browser, and what it has to bring back, sealed. Throws OidcRefused. */
  begin(redirectUri: string, now: number): Promise<{ url: string; sealed: string }>
  /** Redeems the code of the answer; `sealed` is what `begin` gave out. Throws OidcRefused. */
  finish(sealed: string | undefined, query: URLSearchParams, now: number): Promise<OidcPerson>
}

/** Why a login at the provider comes to nothing, as anybody may read it. The words are for the API; the console has its own by these keys. */
const reasons = {
  address: 'the address of this server is not clear',
  away: 'the provider cannot be reached',
  refused: 'the provider refused it',
  unproven: 'what the provider answered does not hold',
  untold: 'the provider does not tell who it is',
  late: 'it was not begun in this browser, or it took too long',
  unknown: 'no account here belongs to it',
  inactive: 'the account here is inactive',
  taken: 'its name is taken here',
  unfit: 'its name there cannot be a name here',
  foreign: 'the account here belongs to somebody else there',
  unverified: 'an instance administrator is known by a verified address only',
  unvouched: 'somebody registered the account here, and no administrator has said whose it is',
} as const
type OidcReason = keyof typeof reasons

/** The provider, or whoever came from it, did not bring what is needed; `reason` and `message` may be shown, the cause may not. */
export class OidcRefused extends Error {
  override name = 'OidcRefused'
  readonly reason: OidcReason
  constructor(reason: OidcReason, options?: ErrorOptions) {
    super(reasons[reason], options)
    this.reason = reason
  }
}

export interface OidcSettings {
  readonly oidcIssuer?: string | undefined
  readonly oidcClientId?: string | undefined
  readonly oidcClientSecret?: Secret<string> | undefined
  readonly oidcScopes?: string
  readonly oidcUsernameClaim?: string
  readonly oidcAutoCreate?: boolean
}

/** How long somebody may take at the provider. */
export const OIDC_LOGIN_MS = 600_000
const REDISCOVER_MS = 3_600_000
const TIMEOUT_SECONDS = 10
const PURPOSE = 'login'

/** One login under way. In the browser's keeping, so no server has to remember it and any may finish it. */
interface Attempt {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
  readonly redirectUri: string
  readonly expiresAt: number
}

/**
 * The configured OpenID Connect provider, asked for its metadata at the first login and hourly after that; null if there
 * is none. Authorization code with PKCE (RFC 7636, S256), state and nonce; the ID token's signature is checked against
 * the provider's keys even though it comes over TLS. Source: OpenID Connect Core 1.0, section 3.1; RFC 9700.
 */
export function createOidcProvider(settings: OidcSettings, seal: Seal, clock: Clock): OidcProvider | null {
  const { oidcIssuer: issuer, oidcClientId: clientId } = settings
  if (issuer === undefined || clientId === undefined) return null
  const secret = settings.oidcClientSecret
  const usernameClaim = settings.oidcUsernameClaim ?? 'preferred_username'
  let known: { at: number; configuration: Promise<Configuration> } | undefined

  const configure = (): Promise<Configuration> => {
    const now = clock.steady()
    if (known === undefined || now - known.at > REDISCOVER_MS) {
      const configuration = discover(issuer, clientId, secret)
      known = { at: now, configuration }
      // A provider that was away is asked again by the next login.
      configuration.catch(() => {
        known = undefined
      })
    }
    return known.configuration
  }

  return {
    autoCreate: settings.oidcAutoCreate === true,

    async begin(redirectUri, now) {
      const client = await import('openid-client')
      const configuration = await refusing('away', configure())
      const verifier = client.randomPKCECodeVerifier()
      const attempt: Attempt = {
        state: client.randomState(),
        nonce: client.randomNonce(),
        verifier,
        redirectUri,
        expiresAt: now + OIDC_LOGIN_MS,
      }
      const url = client.buildAuthorizationUrl(configuration, {
        redirect_uri: redirectUri,
        scope: settings.oidcScopes ?? 'openid',
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        state: attempt.state,
        nonce: attempt.nonce,
      })
      return { url: url.href, sealed: seal.seal(JSON.stringify(attempt), PURPOSE) }
    },

    async finish(sealed, query, now) {
      const attempt = openAttempt(seal, sealed, now)
      if (query.get('error') !== null) throw new OidcRefused('refused')
      const client = await import('openid-client')
      const configuration = await refusing('away', configure())
      const url = new URL(attempt.redirectUri)
      url.search = query.toString()
      const tokens = await refusing(
        'unproven',
        client.authorizationCodeGrant(configuration, url, {
          expectedState: attempt.state,
          expectedNonce: attempt.nonce,
          pkceCodeVerifier: attempt.verifier,
          idTokenExpected: true,
        }),
      )
      const claims = tokens.claims()
      if (claims === undefined) throw new OidcRefused('unproven')
      let facts: Record<string, unknown> = claims
      // Many providers keep names and addresses out of the ID token; `fetchUserInfo` makes sure of the subject.
      if (
        (claims.email === undefined || claims[usernameClaim] === undefined) &&
        configuration.serverMetadata().userinfo_endpoint !== undefined
      ) {
        const more = client.fetchUserInfo(configuration, tokens.access_token, claims.sub)
        facts = { ...(await refusing('untold', more)), ...claims }
      }
      return {
        issuer: claims.iss,
        subject: claims.sub,
        email: facts.email_verified === true ? textOrNull(facts.email) : null,
        username: textOrNull(facts[usernameClaim]),
        fullName: textOrNull(facts.name),
        authTime: authTimeOf(claims.auth_time, now),
        amr: methodsOf(claims.amr),
      }
    },
  }
}

// Of the ID token alone, which is signed. A time after now is a clock that is ahead: nobody proved anything yet to come.
const authTimeOf = (claim: unknown, now: number): number | null =>
  typeof claim === 'number' && claim > 0 && Number.isFinite(claim) ? Math.min(Math.trunc(claim * 1000), now) : null

/** The words of an `amr` claim: as many and as long as anybody needs, and nothing that is no word. */
const methodsOf = (claim: unknown): string[] =>
  Array.isArray(claim)
    ? claim.filter((one): one is string => typeof one === 'string' && /^[\w.:/+-]{1,64}$/.test(one)).slice(0, 16)
    : []

async function discover(issuer: string, clientId: string, secret: Secret<string> | undefined): Promise<Configuration> {
  const client = await import('openid-client')
  const url = new URL(issuer)
  // Plain http is accepted for this machine only; the setting's kind saw to that.
  const prepare = url.protocol === 'http:' ? [client.allowInsecureRequests] : []
  const found = await client.discovery(url, clientId, undefined, undefined, {
    execute: prepare,
    timeout: TIMEOUT_SECONDS,
  })
  const metadata = found.serverMetadata()
  // Basic is what a provider must support that says nothing else (OpenID Connect Discovery 1.0, section 3).
  const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  const authentication =
    secret === undefined
      ? client.None()
      : methods.includes('client_secret_basic')
        ? client.ClientSecretBasic(secret.reveal())
        : client.ClientSecretPost(secret.reveal())
  const configuration = new client.Configuration(metadata, clientId, undefined, authentication)
  configuration.timeout = TIMEOUT_SECONDS
  for (const step of [...prepare, client.enableNonRepudiationChecks]) step(configuration)
  return configuration
}

function openAttempt(seal: Seal, sealed: string | undefined, now: number): Attempt {
  const refused = () => new OidcRefused('late')
  if (sealed === undefined || sealed === '') throw refused()
  let attempt: Attempt
  try {
    // Sealed by `begin`, so it has this shape.
    attempt = JSON.parse(seal.open(sealed, PURPOSE)) as Attempt
  } catch {
    throw refused()
  }
  if (attempt.expiresAt <= now) throw refused()
  return attempt
}

const refusing = <T>(reason: OidcReason, work: Promise<T>): Promise<T> =>
  work.catch((cause: unknown) => Promise.reject(new OidcRefused(reason, { cause })))

const textOrNull = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
