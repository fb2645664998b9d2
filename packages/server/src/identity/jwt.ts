import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
// The two functions alone: the whole of jose is ten megabytes of memory more.
import { SignJWT } from 'jose/jwt/sign'
import { jwtVerify } from 'jose/jwt/verify'
import type { Clock } from '../platform/clock.ts'
import { isUuid } from '../platform/ids.ts'
import type { SecretKeys } from './secret-key.ts'

export type TokenAlgorithm = 'HS256' | 'HS384' | 'HS512' | 'EdDSA'

/** What an access token says: who, which session, and from when until when, in milliseconds. */
export interface AccessClaims {
  readonly userId: string
  readonly sessionId: string
  readonly notBefore: number
  readonly expiresAt: number
}

export interface AccessTokens {
  issue(claims: { userId: string; sessionId: string; now: number; expiresAt: number }): Promise<string>
  /** Undefined for anything but a token of ours that is valid now; the session row decides the rest. */
  verify(token: string): Promise<AccessClaims | undefined>
}

const ISSUER = 'writ'
const AUDIENCE = 'writ'
const TYPE = 'at+jwt'
const CACHED = 10_000

/**
 * Access tokens by RFC 8725 and RFC 9068: one algorithm, from the configuration and never from the token; explicit type,
 * issuer and audience; both live HMAC keys verify, the current one signs. A signature is checked once per token text:
 * later calls find the claims in a bounded cache and compare times only.
 */
export function createAccessTokens(options: {
  algorithm: TokenAlgorithm
  secrets: SecretKeys
  /** PKCS #8 PEM; needed for EdDSA. */
  privateKey?: string
  clock: Clock
}): AccessTokens {
  const { algorithm, clock } = options
  const { sign, verify } = keysFor(options)
  const known = new Map<string, AccessClaims>()

  async function read(token: string): Promise<AccessClaims | undefined> {
    for (const key of verify) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [algorithm],
          typ: TYPE,
          issuer: ISSUER,
          audience: AUDIENCE,
          requiredClaims: ['sub', 'exp', 'iat', 'nbf', 'jti'],
          currentDate: new Date(clock.now()),
        })
        const { sub, jti, nbf, exp } = payload
        if (!isUuid(sub ?? '') || !isUuid(jti ?? '')) return undefined
        // `requiredClaims` made sure that all four are there.
        return { userId: sub!, sessionId: jti!, notBefore: nbf! * 1000, expiresAt: exp! * 1000 }
      } catch {
        // Not signed with this key, or not a token at all: a caller learns no more than that it is not valid.
      }
    }
    return undefined
  }

  return {
    issue: ({ userId, sessionId, now, expiresAt }) =>
      new SignJWT()
        .setProtectedHeader({ alg: algorithm, typ: TYPE })
        .setSubject(userId)
        .setJti(sessionId)
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setIssuedAt(Math.floor(now / 1000))
        .setNotBefore(Math.floor(now / 1000))
        .setExpirationTime(Math.floor(expiresAt / 1000))
        .sign(sign),
    async verify(token) {
      let claims = known.get(token)
      if (claims === undefined) {
        claims = await read(token)
        if (claims === undefined) return undefined
        if (known.size >= CACHED) known.delete(known.keys().next().value!)
      } else known.delete(token)
      // Set anew, so that the first key of the map is the one that was not used for longest.
      known.set(token, claims)
      const now = clock.now()
      if (claims.expiresAt <= now) {
        known.delete(token)
        return undefined
      }
      return claims.notBefore <= now ? claims : undefined
    },
  }
}

function keysFor(options: { algorithm: TokenAlgorithm; secrets: SecretKeys; privateKey?: string }): {
  sign: KeyObject | Uint8Array
  verify: readonly (KeyObject | Uint8Array)[]
} {
  if (options.algorithm === 'EdDSA') {
    if (options.privateKey === undefined) throw new Error('EdDSA needs a private key')
    const key = createPrivateKey(options.privateKey)
    return { sign: key, verify: [createPublicKey(key)] }
  }
  const keys = options.secrets
    .filter((secret) => secret !== undefined)
    .map((secret) => new TextEncoder().encode(secret))
  return { sign: keys[0]!, verify: keys }
}
