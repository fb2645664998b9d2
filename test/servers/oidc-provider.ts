/** A small OpenID Connect provider of the test's own, on loopback: discovery, keys, authorize, token, userinfo. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'

export const CLIENT = { id: 'writ', secret: 'a secret of the client' }

/** Who is logged in at the provider, and how it misbehaves. */
export interface Behaviour {
  claims: { readonly sub: string; readonly [claim: string]: unknown }
  /** Told by the userinfo endpoint only. */
  userinfo?: Readonly<Record<string, unknown>>
  /** Said instead of a code. */
  error?: string
  /** Replaces claims of the ID token. */
  forged?: Readonly<Record<string, unknown>>
  /** Signs with a key that the provider does not publish. */
  strangeKey?: boolean
}

export interface OidcTestProvider {
  readonly issuer: string
  behave(how: Behaviour): void
  /** How often it was asked for its metadata. */
  readonly described: number
  /** Requests to the token endpoint that were refused, with the reason. */
  readonly refused: readonly string[]
  close(): Promise<void>
}

export async function startOidcProvider(): Promise<OidcTestProvider> {
  const keys = await generateKeyPair('RS256')
  const strange = await generateKeyPair('RS256')
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }
  const codes = new Map<string, { query: URLSearchParams; how: Behaviour }>()
  const refused: string[] = []
  let how: Behaviour = { claims: { sub: 'nobody' } }

  const server = createServer((request, reply) => {
    const url = new URL(request.url ?? '', issuer())
    const answer = { '/.well-known/openid-configuration': discovery, '/keys': jwks, '/authorize': authorize }
    const other = { '/token': token, '/userinfo': userinfo }
    const handle = { ...answer, ...other }[url.pathname]
    if (!handle) return void reply.writeHead(404).end()
    Promise.resolve(handle(request, reply, url)).catch((error: unknown) => reply.writeHead(500).end(String(error)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = () => {
    const address = server.address()
    return `http://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}`
  }
  const json = (reply: ServerResponse, status: number, body: unknown) =>
    void reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))

  let described = 0
  function discovery(_: IncomingMessage, reply: ServerResponse) {
    described++
    json(reply, 200, {
      issuer: issuer(),
      authorization_endpoint: `${issuer()}/authorize`,
      token_endpoint: `${issuer()}/token`,
      userinfo_endpoint: `${issuer()}/userinfo`,
      jwks_uri: `${issuer()}/keys`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
      code_challenge_methods_supported: ['S256'],
    })
  }
  const jwks = (_: IncomingMessage, reply: ServerResponse) => json(reply, 200, { keys: [jwk] })

  /** Nobody is asked: whoever `behave` named is logged in and agrees. */
  function authorize(_: IncomingMessage, reply: ServerResponse, { searchParams: query }: URL) {
    const back = new URL(query.get('redirect_uri') ?? '')
    back.searchParams.set('state', query.get('state') ?? '')
    if (how.error) back.searchParams.set('error', how.error)
    else {
      const code = randomBytes(16).toString('hex')
      codes.set(code, { query, how })
      back.searchParams.set('code', code)
    }
    reply.writeHead(302, { location: back.href }).end()
  }

  async function token(request: IncomingMessage, reply: ServerResponse) {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const form = new URLSearchParams(body)
    const refuse = (why: string) => {
      refused.push(why)
      json(reply, 400, { error: why })
    }
    const basic = Buffer.from(/^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '', 'base64').toString()
    // RFC 6749, section 2.3.1: both halves are form-encoded.
    const [id, secret] = basic.split(':').map((half) => new URLSearchParams(`x=${half}`).get('x'))
    if (id !== CLIENT.id || secret !== CLIENT.secret) return refuse('invalid_client')
    const given = codes.get(form.get('code') ?? '')
    codes.delete(form.get('code') ?? '')
    if (!given) return refuse('invalid_grant')
    const { query, how } = given
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    if (query.get('code_challenge_method') !== 'S256' || query.get('code_challenge') !== challenge)
      return refuse('invalid_verifier')
    if (query.get('redirect_uri') !== form.get('redirect_uri')) return refuse('invalid_redirect')
    json(reply, 200, {
      access_token: `access ${how.claims.sub}`,
      token_type: 'Bearer',
      expires_in: 60,
      id_token: await sign(how.strangeKey ? strange.privateKey : keys.privateKey, query, how),
    })
  }

  function sign(key: CryptoKey, query: URLSearchParams, { claims, forged }: Behaviour): Promise<string> {
    const now = Math.floor(performance.timeOrigin / 1000 + performance.now() / 1000)
    const said = {
      iss: issuer(),
      aud: CLIENT.id,
      nonce: query.get('nonce'),
      iat: now,
      exp: now + 60,
      ...claims,
      ...forged,
    }
    return new SignJWT(said).setProtectedHeader({ alg: 'RS256', kid: 'one' }).sign(key)
  }

  const userinfo = (_: IncomingMessage, reply: ServerResponse) =>
    json(reply, 200, { sub: how.claims.sub, ...how.userinfo })

  return {
    get issuer() {
      return issuer()
    },
    behave(next) {
      how = next
    },
    get described() {
      return described
    },
    refused,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
