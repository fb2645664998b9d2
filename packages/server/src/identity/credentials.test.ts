import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { SignJWT } from 'jose'
import { createFakeClock } from '../platform/clock.ts'
import { Secret } from '../platform/secret.ts'
import { createApiToken, isSecret, parseApiToken } from './api-token.ts'
import { createAccessTokens } from './jwt.ts'
import { createPasswords, isWeak, oneTimePassword } from './password.ts'
import { createSeal, loadSecretKey } from './secret-key.ts'
import { createThrottle } from './throttle.ts'
import { createTotpSecret, matchTotp, totpCode } from './totp.ts'

const USER = '01900000-0000-7000-8000-000000000001'
const SESSION = '01900000-0000-7000-8000-000000000002'
const KEY = 'a-key-that-has-more-than-32-characters'
const OTHER = 'another-key-of-more-than-32-characters'

test('a password hash is PHC text, verifies, and is stale when made with other parameters', async () => {
  const old = createPasswords({ memory: 8, passes: 1, parallelism: 1 })
  const text = await old.hash('correct horse battery')
  assert.match(text, /^\$argon2id\$v=19\$m=8,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
  assert.deepEqual(await old.verify('correct horse battery', text), { right: true, stale: false })
  assert.deepEqual(await old.verify('correct horse', text), { right: false, stale: false })
  const now = createPasswords({ memory: 16, passes: 1, parallelism: 1 })
  assert.deepEqual(await now.verify('correct horse battery', text), { right: true, stale: true })
  assert.deepEqual(await now.verify('correct horse battery', null), { right: false, stale: false })
})

test('short, long, common and monotonous passwords are weak; a one-time password is not', () => {
  for (const weak of ['123456789', 'x'.repeat(257), 'Password123', 'aaaaaaaaaaaa', 'ababababab', 'somebody.else'])
    assert.equal(isWeak(weak, 'somebody.else'), true, weak)
  assert.equal(isWeak('密码很长而且不常见的一句话'), false)
  assert.equal(isWeak(oneTimePassword()), false)
})

test('one-time codes are those of RFC 6238, appendix B', () => {
  const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
  for (const [seconds, code] of [
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
  ] as const)
    assert.equal(totpCode(secret, Math.floor(seconds / 30)), code)
})

test('a code counts one step around now, and never at or before the last one', () => {
  const secret = createTotpSecret()
  assert.match(secret, /^[A-Z2-7]{32}$/)
  const at = 90_000_000
  assert.equal(matchTotp(secret, totpCode(secret, 2999), at, null), 2999)
  assert.equal(matchTotp(secret, totpCode(secret, 3001), at, null), 3001)
  assert.equal(matchTotp(secret, totpCode(secret, 2998), at, null), undefined)
  assert.equal(matchTotp(secret, totpCode(secret, 3000), at, 3000), undefined)
  assert.equal(matchTotp(secret, '12345', at, null), undefined)
})

test('an API token is found by its shape, and a typo is refused by its check', () => {
  const made = createApiToken()
  assert.match(made.token, /^writ_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/)
  const parsed = parseApiToken(made.token)
  assert.equal(parsed?.prefix, made.prefix)
  assert.equal(isSecret(parsed?.secret ?? '', made.secretHash), true)
  assert.equal(isSecret('x'.repeat(43), made.secretHash), false)
  const typo = made.token.slice(0, 30) + (made.token[30] === 'a' ? 'b' : 'a') + made.token.slice(31)
  assert.equal(parseApiToken(typo), undefined)
})

for (const algorithm of ['HS256', 'HS384', 'HS512', 'EdDSA'] as const)
  test(`an access token by ${algorithm} verifies until it expires`, async () => {
    const clock = createFakeClock()
    const privateKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const tokens = createAccessTokens({ algorithm, secrets: [KEY], privateKey, clock })
    const expiresAt = clock.now() + 60_000
    const token = await tokens.issue({ userId: USER, sessionId: SESSION, now: clock.now(), expiresAt })
    const claims = { userId: USER, sessionId: SESSION, notBefore: clock.now(), expiresAt }
    assert.deepEqual(await tokens.verify(token), claims)
    assert.deepEqual(await tokens.verify(token), claims)
    clock.advance(60_000)
    assert.equal(await tokens.verify(token), undefined)
  })

test('during a rotation the key before verifies, the new one signs, and a third does neither', async () => {
  const clock = createFakeClock()
  const of = (...secrets: [string, string?]) => createAccessTokens({ algorithm: 'HS256', secrets, clock })
  const claims = { userId: USER, sessionId: SESSION, now: clock.now(), expiresAt: clock.now() + 60_000 }
  const old = await of(OTHER).issue(claims)
  assert.ok(await of(KEY, OTHER).verify(old))
  assert.equal(await of(OTHER).verify(await of(KEY, OTHER).issue(claims)), undefined)
  assert.equal(await of(KEY).verify(old), undefined)
})

test('a token of another algorithm, type, issuer, audience or subject is none of ours', async () => {
  const clock = createFakeClock()
  const tokens = createAccessTokens({ algorithm: 'HS256', secrets: [KEY], clock })
  const now = Math.floor(clock.now() / 1000)
  const good = {
    header: { alg: 'HS256', typ: 'at+jwt' },
    claims: { sub: USER, jti: SESSION, iss: 'writ', aud: 'writ', iat: now, nbf: now, exp: now + 60 } as object,
  }
  const sign = (header: object, claims: object) =>
    new SignJWT({ ...good.claims, ...claims })
      .setProtectedHeader({ ...good.header, ...header })
      .sign(new TextEncoder().encode(KEY))
  assert.ok(await tokens.verify(await sign({}, {})))
  for (const [header, claims] of [
    [{ alg: 'HS512' }, {}],
    [{ typ: 'JWT' }, {}],
    [{ typ: undefined }, {}],
    [{}, { iss: 'other' }],
    [{}, { aud: 'other' }],
    [{}, { sub: '2' }],
    [{}, { jti: undefined }],
    [{}, { nbf: undefined }],
    [{}, { nbf: now + 30 }],
    [{}, { exp: undefined }],
  ] as const)
    assert.equal(await tokens.verify(await sign(header, claims)), undefined, JSON.stringify([header, claims]))
  const none = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${Buffer.from(JSON.stringify(good.claims)).toString('base64url')}.`
  assert.equal(await tokens.verify(none), undefined)
})

test('a sealed secret opens with either live key and for its own row only', () => {
  const sealed = createSeal([OTHER], 'test').seal('the secret', USER)
  assert.equal(createSeal([KEY, OTHER], 'test').open(sealed, USER), 'the secret')
  assert.throws(() => createSeal([KEY], 'test').open(sealed, USER))
  assert.throws(() => createSeal([OTHER], 'test').open(sealed, SESSION))
  assert.throws(() => createSeal([OTHER], 'another use').open(sealed, USER))
})

test('without SECRET_KEY one is made, kept for the owner only, and used again', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'writ-keys-'))
  const [first] = await loadSecretKey({ dataDir })
  assert.match(first, /^[\w-]{64}$/)
  assert.deepEqual(await loadSecretKey({ dataDir }), [first])
  const file = join(dataDir, 'keys', 'secret.key')
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.deepEqual(await readdir(join(dataDir, 'keys')), ['secret.key'])
  assert.deepEqual(await loadSecretKey({ dataDir, secretKey: new Secret(KEY) }), [KEY])
  await rm(dataDir, { recursive: true })
})

test('a throttle forgets failures as the window slides, and a right password clears the name', () => {
  const clock = createFakeClock()
  const throttle = createThrottle(clock, { perName: 2, perAddress: 100, windowMs: 60_000 })
  throttle.admit('Ann', '192.0.2.1').failed()
  clock.advance(30_000)
  throttle.admit('ann', '192.0.2.2').failed()
  assert.throws(() => throttle.admit('ANN', '192.0.2.3'), { code: 'RATE_LIMITED', headers: { 'retry-after': '30' } })
  clock.advance(30_000)
  throttle.admit('ann', '192.0.2.1').succeeded()
  throttle.admit('ann', '192.0.2.1').failed()
  throttle.admit('ann', '192.0.2.1').dropped()
  throttle.admit('bob', '192.0.2.1').failed()
})

test('when the clock is set back, a throttle lets people in as soon as it would have', () => {
  const clock = createFakeClock()
  const throttle = createThrottle(clock, { perName: 1, perAddress: 100, windowMs: 60_000 })
  throttle.admit('ann', '192.0.2.1').failed()
  clock.set(-3_600_000)
  assert.throws(() => throttle.admit('ann', '192.0.2.1'), { code: 'RATE_LIMITED', headers: { 'retry-after': '60' } })
  clock.advance(60_000)
  throttle.admit('ann', '192.0.2.1').succeeded()
})

test('an address is throttled over all names, and a burst in flight is bounded', () => {
  const clock = createFakeClock()
  const throttle = createThrottle(clock, { perName: 2, perAddress: 3, windowMs: 60_000 })
  for (const name of ['a', 'b', 'c']) throttle.admit(name, '192.0.2.1').failed()
  assert.throws(() => throttle.admit('d', '192.0.2.1'), { code: 'RATE_LIMITED' })
  const flights = Array.from({ length: 10 }, () => throttle.admit('e', '192.0.2.2'))
  assert.throws(() => throttle.admit('e', '192.0.2.3'), { code: 'RATE_LIMITED' })
  for (const flight of flights) flight.dropped()
  throttle.admit('e', '192.0.2.3').dropped()
})
