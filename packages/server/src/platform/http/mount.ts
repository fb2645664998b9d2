import { createHash, hash } from 'node:crypto'
import multipart from '@fastify/multipart'
import type { WebSocket } from '@fastify/websocket'
import type { BodyOf, Endpoint, ParamsOf, QueryOf, ReplyOf } from '@writ/api'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import { AppError } from '../app-error.ts'
import type { Clock } from '../clock.ts'
import {
  type Command,
  type Database,
  INSTANCE,
  inProject,
  type ListPart,
  markOf,
  type Remembered,
  type RequestKey,
  type RequestMark,
  recall,
  remember,
  type Tx,
  UniqueViolation,
} from '../db/index.ts'
import { redactor } from '../redact/index.ts'
import { createIdReader } from './canonical-ids.ts'
import type { Cursors } from './cursor.ts'
import { declaredFields } from './declared-fields.ts'
import { alteredNumbersOf } from './json-body.ts'
import { receiveFile } from './receive-file.ts'
import { bodySchema, refusalOfForm } from './strict.ts'

/** What the routes need to know of whoever asks; `project` is an id, or null outside projects. */
export interface Asking {
  /** Whose idempotency keys, pages and rate limits these are: a person, or an API token with those that it replaced. */
  readonly principal: string
  readonly project: string | null
}

/** One request as a handler sees it. */
export interface Ask<E, C> {
  readonly caller: C
  readonly params: ParamsOf<E>
  readonly query: QueryOf<E>
  readonly body: BodyOf<E>
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** Where numbers stood in the body that were read as others, of an endpoint that judges them itself (`alteredNumbers`). */
  readonly altered: readonly string[]
  /** Reads in the caller's project, in one snapshot. */
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Changes in the caller's project; what `work` answers is the reply, kept under the Idempotency-Key if there is one. */
  change<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** What a repeat of this request is known by: for an effect that cannot share a transaction with its answer. See `markOf`. */
  readonly mark: RequestMark | null
  /** Whether an effect that was found again is of this very request. Throws IDEMPOTENCY_MISMATCH where the key came with another body. */
  isRepeatOf(left: RequestMark | null | undefined): boolean
  /** What was uploaded, once it was read: the same key with other contents is another request. See `contentsText`. */
  received(contents: string): void
  /** As `change`, for a command that many callers share; `remember` goes with the input. */
  submit<I extends { remember: RequestKey | null }, O>(command: Command<I, O>, input: Omit<I, 'remember'>): Promise<O>
  /** The same, among the tables and the log of the instance. */
  readonly instance: {
    read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
    change<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  }
  /** Says which version of the thing was answered (`ETag`). Of what can be changed, not of all that the answer tells. */
  tag(version: string): void
  /** In the transaction that changes it: refuses a request that is for another version (`If-Match`). Throws VERSION_DIFFERS. */
  mustMatch(version: string): void
  /** Answers a list: the documented array with `X-Total-Count`, or with `cursor` a page. */
  page<Row, Item>(list: PageOf<Row, Item>): Promise<Item[] | { items: Item[]; next_cursor: string | null }>
}

export interface PageOf<Row, Item> {
  /** Rows in the list's order from `after` (a sort key) or `skip` on. */
  rows(tx: Tx, page: ListPart): Promise<Row[]>
  total(tx: Tx): Promise<number>
  key(row: Row): string
  show(row: Row): Item
  /**
   * Of a list that looks at so many of its rows for each page: behind which key the next page looks when this one has no more; null at
   * the end.
   */
  further?(tx: Tx, after: string | undefined): Promise<string | null>
  /** Read among the tables of the instance: a list of nothing that is a project's. */
  readonly ofInstance?: true
}

type Handler<E, C> = (ask: Ask<E, C>) => Promise<ReplyOf<E> | FastifyReply | undefined>
/** One handler for each endpoint; a missing one does not compile. */
export type Handlers<G extends Record<string, Endpoint>, C> = { readonly [N in keyof G]: Handler<G[N], C> }

export interface Mounting<C extends Asking> {
  readonly db: Database
  readonly clock: Clock
  readonly cursors: Cursors
  readonly prefix: string
  /** Decides who asks, before a byte of the body is read. Throws a refusal. */
  authenticate(id: string, endpoint: Endpoint, request: FastifyRequest): Promise<C>
  /** Runs after the caller is known and before the handler. */
  authorize(id: string, endpoint: Endpoint, caller: C): void
  /**
   * What an endpoint makes of the answer that is kept under an Idempotency-Key, when it is asked again: for one that answers more than it
   * keeps. By the id of the endpoint; otherwise the answer is what is kept.
   */
  readonly resume?: Readonly<Record<string, (ask: Ask<Endpoint, C>, kept: unknown) => Promise<unknown>>>
  /** Who serves a WebSocket, by the id of its endpoint, once the caller is known and allowed. */
  readonly sockets?: Readonly<Record<string, (socket: WebSocket, request: FastifyRequest, caller: C) => Promise<void>>>
  /** For clients of other systems, which let pass what is refused elsewhere: fields of a body where none is taken, and the like. */
  readonly lax?: true
}

/** Mounts a group of endpoints: validation, caller, fences, idempotency, pages. */
export function mount<G extends Record<string, Endpoint>, C extends Asking>(
  app: FastifyInstance,
  group: string,
  endpoints: G,
  handlers: Handlers<G, C>,
  on: Mounting<C>,
): void {
  for (const [name, endpoint] of Object.entries(endpoints)) {
    const id = `${group}.${name}`
    // The mapped type ties each handler to its endpoint; behind the loop they are one of many.
    const handle = handlers[name as keyof G] as unknown as Handler<Endpoint, C>
    const body = on.lax ? endpoint.body : bodySchema(endpoint)
    const schema: FastifySchema = {
      ...(endpoint.params ? { params: endpoint.params } : {}),
      ...(endpoint.query
        ? { querystring: endpoint.query }
        : { querystring: { type: 'object', additionalProperties: false } }),
      ...(body ? { body } : {}),
    }
    const fields = declaredFields(endpoint)
    const ids = {
      params: createIdReader(endpoint.params),
      query: createIdReader(endpoint.query),
      body: createIdReader(endpoint.body),
    }
    const route: RouteOptions = {
      method: endpoint.method,
      url: (endpoint.root ? '' : on.prefix) + endpoint.path,
      schema,
      config: { id, endpoint },
      // Bytes that are somebody's evidence go out as they are: whole, of a known length. The compressor would also take
      // any that begin like a zlib stream ("80" does) for compressed, and announce an encoding that they do not have.
      // What a command answers is short: looking at it costs more than sending it.
      ...(endpoint.media === undefined && endpoint.method === 'GET' ? {} : { compress: false }),
      onRequest: async (request) => {
        const caller = await on.authenticate(id, endpoint, request)
        request.caller = caller
        on.authorize(id, endpoint, caller)
      },
      preValidation: (request, _reply, done) => {
        ids.params(request.params)
        ids.query(request.query)
        ids.body(request.body)
        done(on.lax ? undefined : refusalOfForm(request))
      },
      handler: async (request, reply) => {
        // Here, so that no handler, row, event or idempotency record sees what was not meant to be kept.
        request.body = redactor.value(request.body, fields)
        request.query = redactor.value(request.query, fields)
        // The caller was set above, by this route's own hook.
        const answer = await respond(id, endpoint, handle, request.caller as C, request, reply, on)
        // Of a reader who left in the middle the headers were sent, and the end was not.
        if (answer === reply || reply.sent || reply.raw.headersSent) return reply
        reply.code(endpoint.status)
        return endpoint.reply ? answer : reply.send()
      },
    }
    const serve = endpoint.socket ? on.sockets?.[id] : undefined
    // The hooks above have run before the upgrade, and refuse as they do elsewhere.
    if (serve) route.wsHandler = (socket, request) => serve(socket, request, request.caller as C)
    // In a scope of its own: the parser watches every request of its scope, whether it has parts or not.
    if (endpoint.upload)
      app.register(async (scope) => {
        await scope.register(multipart)
        scope.route(route)
      })
    else app.route(route)
  }
}

const inFlight = new Set<string>()

async function respond<C extends Asking>(
  id: string,
  endpoint: Endpoint,
  handle: Handler<Endpoint, C>,
  caller: C,
  request: FastifyRequest,
  reply: FastifyReply,
  on: Mounting<C>,
) {
  const given = endpoint.method === 'POST' && !endpoint.unrecorded ? keyOf(request) : undefined
  if (given === undefined) return handle(new RequestAsk(caller, request, reply, on, endpoint, null))
  // Only ever compared, so nothing of what a client put into it has to be kept.
  const key = hash('sha256', given, 'hex')
  const asked = { principal: caller.principal, route: id, key, bodySha256: digestOf(endpoint, request, given) }
  const flight = [caller.project, asked.principal, asked.route, asked.key].join('\n')
  if (inFlight.has(flight)) throw new AppError('IDEMPOTENCY_IN_FLIGHT', {}, { headers: { 'retry-after': '1' } })
  inFlight.add(flight)
  try {
    const before = await recallAnswer(on.db, caller.project, asked, endpoint)
    const ask = new RequestAsk(caller, request, reply, on, endpoint, asked)
    const again = (kept: unknown) => on.resume?.[id]?.(ask, kept) ?? kept
    if (before) {
      const contents = endpoint.upload ? await contentsOf(request) : undefined
      const whole = (one: RequestKey) => (contents === undefined ? one : withContents(one, contents))
      // Kept by a version that made digests of the request alone.
      const former = whole({ ...asked, bodySha256: digestOf(endpoint, request) })
      return again(replay(before, before.body_sha256 === former.bodySha256 ? former : whole(asked), endpoint, reply))
    }
    try {
      return await handle(ask)
    } catch (error) {
      // A rival in another process won the key: its answer is ours.
      const won =
        error instanceof UniqueViolation && error.index.includes('idempotency')
          ? await recallAnswer(on.db, caller.project, asked, endpoint)
          : undefined
      if (!won) throw error
      return again(replay(won, ask.key ?? asked, endpoint, reply))
    }
  } finally {
    inFlight.delete(flight)
  }
}

function keyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(key)) throw new AppError('IDEMPOTENCY_KEY_INVALID')
  return key
}

/**
 * Of a request, together with its key, which is kept nowhere: there are passwords in bodies, and whoever has the rows could find out one
 * from a digest of nothing else, a thousand million guesses a second.
 */
function digestOf(endpoint: Endpoint, request: FastifyRequest, key?: string): string {
  const body = endpoint.upload ? null : (request.body ?? null)
  const text = JSON.stringify([request.params, request.query, body])
  return hash('sha256', key === undefined ? text : `${key}\n${text}`, 'hex')
}

/** The bytes of an upload are known only when they were read; then they are part of what was asked. */
const withContents = (asked: RequestKey, contents: string): RequestKey => ({
  ...asked,
  bodySha256: hash('sha256', `${asked.bodySha256}\n${contents}`, 'hex'),
})

/** Name and digest of an upload, as one text. */
export const contentsText = (name: string | undefined, sha256: string): string => JSON.stringify([name ?? null, sha256])

/** Reads an upload that was taken before, to the end, for its digest alone. */
async function contentsOf(request: FastifyRequest): Promise<string> {
  const file = await receiveFile(request)
  const digest = createHash('sha256')
  for await (const chunk of file.bytes) digest.update(chunk)
  return contentsText(file.filename, digest.digest('hex'))
}

async function recallAnswer(
  db: Database,
  project: string | null,
  asked: RequestKey,
  endpoint: Endpoint,
): Promise<Remembered | undefined> {
  for (const fence of project === null ? [INSTANCE] : [project, INSTANCE]) {
    const key = keyWithin(fence, project, asked, endpoint)
    const found = await inProject(fence, () => db.read((tx) => recall(tx, key)))
    if (found) return found
  }
  return undefined
}

/**
 * What is asked of a project and changes the instance (an account, an invitation) is remembered among what is the instance's, under a key
 * that is the project's: the same key in another project is another request.
 */
const keyWithin = (fence: string, project: string | null, asked: RequestKey, { access }: Endpoint): RequestKey =>
  fence === INSTANCE && access === 'member' && project !== null
    ? { ...asked, key: hash('sha256', `${project}\n${asked.key}`, 'hex') }
    : asked

function replay(before: Remembered, asked: RequestKey, endpoint: Endpoint, reply: FastifyReply): unknown {
  if (before.body_sha256 !== asked.bodySha256) throw new AppError('IDEMPOTENCY_MISMATCH')
  if (endpoint.secret)
    throw new AppError(
      'SECRET_SHOWN_ONCE',
      {},
      { headers: before.resource_id ? { 'x-resource-id': before.resource_id } : {} },
    )
  reply.header('idempotency-replayed', 'true')
  return before.response === null ? undefined : JSON.parse(before.response)
}

/** What is kept of an answer: all of it, or only the id when it holds a secret. */
export function answerOf(
  endpoint: Pick<Endpoint, 'secret' | 'status'>,
  reply: unknown,
): { status: number; response: string | null; resourceId: string | null } {
  // A handler has a name and no id.
  const made = typeof reply === 'object' && reply !== null ? (reply as { id?: unknown; name?: unknown }) : {}
  const id = made.id ?? made.name
  return {
    status: endpoint.status,
    response: endpoint.secret || reply === undefined ? null : JSON.stringify(reply),
    resourceId: id === undefined ? null : String(id),
  }
}

/** A class rather than an object of closures: one is made for every request. Handlers call its methods on it. */
class RequestAsk<C extends Asking> implements Ask<Endpoint, C> {
  readonly caller: C
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly #on: Mounting<C>
  readonly #endpoint: Endpoint
  readonly #asked: RequestKey | null
  /** The key with what was uploaded under it, once that is known. */
  key: RequestKey | null

  constructor(
    caller: C,
    request: FastifyRequest,
    reply: FastifyReply,
    on: Mounting<C>,
    endpoint: Endpoint,
    asked: RequestKey | null,
  ) {
    this.caller = caller
    this.request = request
    this.reply = reply
    this.#on = on
    this.#endpoint = endpoint
    this.#asked = asked
    this.key = asked
  }

  // Validated against the endpoint's schemas before the handler runs; the mapped Handlers type gives them back.
  get params() {
    return this.request.params as never
  }
  get query() {
    return (this.request.query ?? {}) as never
  }
  get body() {
    return (this.request.body ?? null) as never
  }
  get altered() {
    return alteredNumbersOf(this.request)
  }
  get instance() {
    return {
      read: <T>(work: (tx: Tx) => Promise<T>) => inProject(INSTANCE, () => this.#on.db.read(work)),
      change: <T>(work: (tx: Tx) => Promise<T>) => this.#changeIn(INSTANCE, work),
    }
  }

  get #project(): string {
    if (this.caller.project === null) throw new Error('this endpoint has no project')
    return this.caller.project
  }

  #changeIn<T>(fence: string, work: (tx: Tx) => Promise<T>): Promise<T> {
    const { db, clock } = this.#on
    return inProject(fence, () =>
      db.write(async (tx) => {
        const answer = await work(tx)
        if (this.key) {
          const key = keyWithin(fence, this.caller.project, this.key, this.#endpoint)
          await remember(tx, clock.now(), [{ ...key, ...answerOf(this.#endpoint, answer) }])
        }
        return answer
      }),
    )
  }

  // Async, so that asking without a project is a rejection like every other.
  async read<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return inProject(this.#project, () => this.#on.db.read(work))
  }

  async change<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#changeIn(this.#project, work)
  }

  get mark(): RequestMark | null {
    return this.#asked && markOf(this.#asked)
  }

  isRepeatOf(left: RequestMark | null | undefined): boolean {
    const { mark } = this
    if (!mark || !left || left.request !== mark.request) return false
    if (left.body !== mark.body && left.body !== digestOf(this.#endpoint, this.request))
      throw new AppError('IDEMPOTENCY_MISMATCH')
    this.reply.header('idempotency-replayed', 'true')
    return true
  }

  received(contents: string): void {
    if (this.#asked) this.key = withContents(this.#asked, contents)
  }

  submit<I extends { remember: RequestKey | null }, O>(command: Command<I, O>, input: Omit<I, 'remember'>): Promise<O> {
    return inProject(this.#project, () => this.#on.db.submit(command, { ...input, remember: this.#asked } as I))
  }

  tag(version: string): void {
    this.reply.header('etag', `"${version}"`)
  }

  mustMatch(version: string): void {
    const wanted = this.request.headers['if-match']
    if (wanted === undefined || wanted.trim() === '*') return
    // RFC 9110, 13.1.1. A tag is ours whether it is called weak or not: proxies that compress answers call all of them so.
    const tags = wanted.split(',').map((one) => /^\s*(?:W\/)?"([^"]*)"\s*$/.exec(one)?.[1])
    if (!tags.includes(version)) throw new AppError('VERSION_DIFFERS')
  }

  async page<Row, Item>(list: PageOf<Row, Item>): Promise<Item[] | { items: Item[]; next_cursor: string | null }> {
    const { request, reply } = this
    const { cursors } = this.#on
    const query = request.query as { skip?: number; limit?: number; cursor?: string } & Record<string, unknown>
    const { skip = 0, limit = 100, cursor, ...filters } = query
    const whose = list.ofInstance ? this.caller.principal : `${this.caller.principal}\n${this.caller.project}`
    const of = `${request.routeOptions.url}\n${JSON.stringify(filters)}\n${whose}`
    const after = cursor ? cursors.read(of, cursor) : undefined
    return (list.ofInstance ? this.instance : this).read(async (tx) => {
      if (cursor === undefined) {
        const rows = await list.rows(tx, { limit, skip, after: undefined })
        // Where the list ends in sight nobody has to count.
        const isLast = rows.length < limit && (rows.length > 0 || skip === 0) && !list.further
        reply.header('x-total-count', String(isLast ? skip + rows.length : await list.total(tx)))
        return rows.map(list.show)
      }
      const rows = await list.rows(tx, { limit: limit + 1, skip: 0, after })
      const shown = rows.slice(0, limit)
      const last = shown.at(-1)
      const next = rows.length > limit && last ? list.key(last) : ((await list.further?.(tx, after)) ?? null)
      return { items: shown.map(list.show), next_cursor: next === null ? null : cursors.make(of, next) }
    })
  }
}
