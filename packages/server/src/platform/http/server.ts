import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import compress from '@fastify/compress'
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import websocket from '@fastify/websocket'
import type { Endpoint } from '@writ/api'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { fullFormats } from 'ajv-formats/dist/formats.js'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify'
import { AppError } from '../app-error.ts'
import { withoutBase } from '../base-path.ts'
import type { Clock } from '../clock.ts'
import { uuidv7 } from '../ids.ts'
import type { Logger } from '../log.ts'
import { once } from '../once.ts'
import { clientAddress, createAddressSet } from './client-address.ts'
import { answerClientError } from './client-error.ts'
import { createJsonParser } from './json-body.ts'
import { isCutOff, problemOf, type Recognise, refusalOf } from './problem.ts'
import { OWN_SCHEMAS, whenAsked } from './when-asked.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `group.name` of the endpoint behind this route. */
    id?: string
    endpoint?: Endpoint
  }
  interface FastifyRequest {
    /** Behind trusted proxies the client's own address, else the peer's. */
    clientIp: string
    /** Who asks, once that is known; for the hooks around a handler. */
    caller?: unknown
  }
}

export interface HttpSettings {
  /** Asked for at each request, because it may be changed. */
  readonly allowedIps: '*' | readonly string[]
  readonly trustedProxies: readonly string[]
  readonly corsOrigins: readonly string[]
  /** Requests a minute for one client; 0 is off. */
  readonly rateLimit: number
  /** Bodies that are not uploads, in bytes. */
  readonly bodyLimit: number
  /** See `basePathOf`. */
  readonly basePath: string
  /**
   * How long, once it is told to stop, requests are answered still, each with `Connection: close`: who asks by connections that are kept
   * leaves them, and no request goes out on one that is closed in that moment. It is over when all have left.
   */
  readonly leaveMs: number
}

/**
 * The HTTP server without routes: who may connect, how often, security headers, gzip, request ids, strict validation,
 * and every error as problem+json. `refused` hears of each refusal (for the audit of denials) before it is answered.
 */
export async function createHttpServer(on: {
  settings: HttpSettings
  clock: Clock
  log: Logger
  recognise: Recognise
  refused(request: FastifyRequest, refusal: AppError): Promise<void>
}): Promise<FastifyInstance> {
  const { settings, log } = on
  const { basePath } = settings
  const trusted = createAddressSet(settings.trustedProxies)
  const isAllowed = createGate(settings)
  const clientOf = ({ ip, headers: { 'x-forwarded-for': forwarded } }: FastifyRequest) =>
    clientAddress(ip, Array.isArray(forwarded) ? forwarded.join(',') : forwarded, trusted)
  const app = fastify({
    // Pino's logger has all that Fastify asks of one; its type differs in `child` alone.
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // No child logger a request: lines name the request themselves.
    childLoggerFactory: (logger) => logger,
    genReqId: (request) => requestIdOf(request.headers['x-request-id']) ?? uuidv7(on.clock.now()),
    bodyLimit: settings.bodyLimit,
    rewriteUrl: ({ url }: IncomingMessage) => withoutBase(url!, basePath),
    routerOptions: { maxParamLength: 500 },
    // A client that sends nothing for a minute is gone; an upload that moves may take as long as it takes.
    requestTimeout: 0,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    // Ours says so as a problem, like every other refusal.
    return503OnClosing: false,
    exposeHeadRoutes: true,
    // An address that cannot be read, before there are hooks and an error handler.
    frameworkErrors(error, request, reply) {
      const refusal = isAllowed(clientOf(request)) ? refusalOf(error, on.recognise) : new AppError('IP_NOT_ALLOWED')
      reply.headers(SECURITY_HEADERS).header('x-request-id', request.id)
      answerProblem(reply, request, refusal ?? new AppError('ROUTE_NOT_FOUND'), basePath)
    },
    clientErrorHandler: (error, socket) => answerClientError(error, socket, on.clock.now()),
  })
  app.decorateRequest('clientIp', '')
  app.decorateRequest('caller', undefined)

  app.setValidatorCompiler(({ schema, httpPart }) =>
    whenAsked(() => (httpPart === 'body' ? bodies() : texts()).compile(schema as object)),
  )
  app.setSerializerCompiler(() => JSON.stringify)

  // Where a body is needed, the schema says so.
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, createJsonParser(app))

  let closing = false
  // Clients open spare connections. One on which nothing was asked yet is idle to us but not to Node, and would hold up
  // the end of the server.
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  app.addHook('preClose', async () => {
    // Fastify says `Connection: close` from here on.
    await haveLeft(sockets, settings.leaveMs)
    closing = true
    // Who is answered from now on, and asks nothing more, would hold it up for as long as connections are kept.
    app.server.keepAliveTimeout = 1
    app.server.keepAliveTimeoutBuffer = 0
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  })
  // Callback style: an async hook costs a promise for every request.
  app.addHook('onRequest', (request, reply, done) => {
    request.clientIp = clientOf(request)
    reply.headers(SECURITY_HEADERS)
    reply.header('x-request-id', request.id)
    if (closing) done(new AppError('SHUTTING_DOWN', {}, { headers: { connection: 'close', 'retry-after': '1' } }))
    else done(isAllowed(request.clientIp) ? undefined : new AppError('IP_NOT_ALLOWED'))
  })
  // PostgreSQL takes no such text, and nothing is called so. After the caller is known, as everything that is wrong with a request.
  app.addHook('preValidation', (request, _reply, done) => {
    done(request.url.includes('%00') && !request.is404 ? nulIn(request) : undefined)
  })
  // Browsers stay below it, whether a proxy takes it off or not.
  if (basePath !== '')
    app.addHook('onSend', (_request, reply, payload, done) => {
      const location = reply.getHeader('location')
      if (typeof location === 'string' && /^\/(?!\/)/.test(location)) reply.header('location', basePath + location)
      done(null, payload)
    })
  if (settings.corsOrigins.length > 0) {
    await app.register(cors, {
      origin: [...settings.corsOrigins],
      // The plugin would allow no changes: only what a form could send as well.
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      credentials: false,
      exposedHeaders: [
        'content-disposition',
        'etag',
        'idempotency-replayed',
        'ratelimit',
        'ratelimit-policy',
        'repr-digest',
        'retry-after',
        'x-ratelimit-limit',
        'x-ratelimit-remaining',
        'x-ratelimit-reset',
        'x-request-id',
        'x-resource-id',
        'x-total-count',
      ],
    })
  }
  if (settings.rateLimit > 0) {
    await app.register(rateLimit, {
      max: settings.rateLimit,
      timeWindow: 60_000,
      keyGenerator: (request) => request.clientIp,
      allowList: (request) => request.routeOptions.url === '/healthz' || request.routeOptions.url === '/readyz',
      errorResponseBuilder: () => new AppError('RATE_LIMITED'),
    })
    // The same in the words of draft-ietf-httpapi-ratelimit-headers-10, which gateways and clients begin to read.
    app.addHook('onSend', (_request, reply, payload, done) => {
      const left = reply.getHeader('x-ratelimit-remaining')
      if (left !== undefined) {
        reply.header('ratelimit-policy', `"client";q=${settings.rateLimit};w=60`)
        reply.header('ratelimit', `"client";r=${left};t=${reply.getHeader('x-ratelimit-reset')}`)
      }
      done(null, payload)
    })
  }
  await app.register(compress, {
    global: true,
    threshold: 1024,
    encodings: ['gzip', 'identity'],
    requestEncodings: ['gzip', 'deflate', 'br', 'identity'],
    customTypes: /^(application\/(json|problem\+json)|text\/)/,
  })

  await app.register(websocket, { options: { maxPayload: 16_384 } })

  const routes: { method: string; pattern: RegExp }[] = []
  app.addHook('onRoute', (route) => {
    const pattern = new RegExp(
      `^${route.url
        .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
        .replace(/:[^/]+/g, '[^/]+')
        .replace(/\*/g, '.*')}$`,
    )
    for (const method of [route.method].flat()) routes.push({ method: String(method), pattern })
  })
  // What is nowhere counts as well: who looks for doors asks for little else.
  const counted = settings.rateLimit > 0 ? { preHandler: app.rateLimit() } : {}
  app.setNotFoundHandler(counted, (request) => {
    const path = request.url.split('?')[0]!
    const methods = [...new Set(routes.filter((route) => route.pattern.test(path)).map((route) => route.method))]
    if (methods.length > 0) throw new AppError('METHOD_NOT_ALLOWED', {}, { headers: { allow: methods.join(', ') } })
    throw new AppError('ROUTE_NOT_FOUND')
  })

  app.setErrorHandler(async (error, request, reply) => {
    const known = refusalOf(error, on.recognise)
    if (!known && isCutOff(request)) {
      log.info({ request: request.id }, 'request cut off')
      return reply
    }
    const refusal = known ?? new AppError('INTERNAL')
    if (!known || refusal.status >= 500) {
      log[known ? 'warn' : 'error'](
        {
          err: error,
          request: request.id,
          route: request.routeOptions.config.id ?? request.url.split('?')[0],
          code: refusal.code,
        },
        known ? 'request refused' : 'request failed',
      )
    }
    if (known)
      await on
        .refused(request, refusal)
        .catch((err) => log.error({ err, request: request.id }, 'a denial could not be audited'))
    if (reply.sent) return reply
    for (const [name, value] of Object.entries(refusal.headers)) reply.header(name, value)
    if (refusal.code === 'RATE_LIMITED' && !reply.hasHeader('retry-after')) reply.header('retry-after', '60')
    return answerProblem(reply, request, refusal, basePath)
  })
  return app
}

const answerProblem = (
  reply: FastifyReply,
  request: FastifyRequest,
  refusal: AppError,
  basePath: string,
): FastifyReply =>
  reply
    .code(refusal.status)
    .type('application/problem+json; charset=utf-8')
    .send(JSON.stringify(problemOf(refusal, { url: request.url, requestId: request.id, basePath })))

// Made once: servers of one process share what was compiled of schemas, which are constants.
const asked = { ...OWN_SCHEMAS, allErrors: false, strict: false, useDefaults: true, verbose: true }
// Bodies are taken as they are written; paths and queries are text and must be read as numbers and booleans.
const bodies = once(() => knowFormats(new Ajv2020({ ...asked, coerceTypes: false })))
const texts = once(() => knowFormats(new Ajv2020({ ...asked, coerceTypes: true })))

/** Times are those that can be counted with: no leap second has a number, and an offset has minutes. */
function knowFormats(ajv: Ajv2020): Ajv2020 {
  addFormats.default(ajv)
  const { validate } = fullFormats['date-time'] as { validate(text: string): boolean }
  return ajv.addFormat('date-time', (text: string) => validate(text) && !Number.isNaN(Date.parse(text)))
}

function nulIn(request: FastifyRequest): AppError | undefined {
  const parts = Object.entries({ params: request.params ?? {}, query: request.query ?? {} })
  const fields = parts.flatMap(([where, values]) =>
    Object.entries(values as Record<string, unknown>)
      .filter(([name, value]) => [name, value].flat().some((one) => String(one).includes('\0')))
      .map(([name]) => ({ path: `${where}.${name}`, message: 'must hold no character 0' })),
  )
  return fields.length === 0 ? undefined : new AppError('VALIDATION_FAILED', {}, { fields })
}

/** Whether an address may connect, as the setting says at that moment. */
export function createGate(settings: Pick<HttpSettings, 'allowedIps'>): (address: string) => boolean {
  let of: HttpSettings['allowedIps'] = '*'
  let set: ReturnType<typeof createAddressSet> | null = null
  return (address) => {
    const { allowedIps } = settings
    if (allowedIps !== of) {
      of = allowedIps
      set = allowedIps === '*' ? null : createAddressSet(allowedIps)
    }
    return set === null || set.has(address)
  }
}

/**
 * OWASP Secure Headers for an API: nothing is embedded, sniffed or leaked. The docs pages set a policy of their own.
 * Constant, so they are a table rather than a library that works them out for each request (8 us a request, measured).
 */
const SECURITY_HEADERS = {
  // What a proxy or a browser may keep says so itself: tiles of a log, files of the console, downloads.
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  // Without TLS in front of it browsers ignore this one.
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const

// A caller's own id is kept when it is harmless to print.
function requestIdOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[A-Za-z0-9._:-]{8,100}$/.test(header) ? header : undefined
}

/** Until nobody who has asked something is connected any more, or for as long as that may take. */
async function haveLeft(sockets: ReadonlySet<Socket>, atMostMs: number): Promise<void> {
  const end = performance.now() + atMostMs
  while (performance.now() < end && [...sockets].some(({ bytesRead }) => bytesRead > 0)) await sleep(10)
}
