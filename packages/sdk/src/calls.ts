import type { Api, BodyOf, Endpoint, Event, QueryOf, SelfCheckReport, TaskLog, VerifyReport } from '@writ/api'
import type { Static, TSchema } from 'typebox'
import type { Download } from './download.ts'
import type { OnProgress, UploadSource } from './multipart.ts'
import type { SelfCheckArgs, VerifyArgs } from './verification.ts'
import type { FollowLogArgs, WatchArgs } from './watch.ts'

// The client's shape is computed from the API as data: an endpoint that is declared there is callable here, with its
// own parameter, query, body and reply types, and nothing is generated.

export type AnyEndpoint = Endpoint

type None = Record<never, never>
/** A key that may be left out when its value may. */
type Given<K extends string, T> = None extends T
  ? { readonly [P in K]?: T }
  : null extends T
    ? { readonly [P in K]?: T }
    : { readonly [P in K]: T }

type PathArgs<E extends Endpoint> = E['path'] extends `${string}*`
  ? { readonly params: { readonly path: string } }
  : E extends { params: infer S extends TSchema }
    ? { readonly params: { readonly [K in keyof Static<S>]: string | number } }
    : None
type QueryArgs<E extends Endpoint> = E extends { query: TSchema } ? Given<'query', QueryOf<E>> : None
type BodyArgs<E extends Endpoint> = E extends { upload: true }
  ? { readonly file: Blob | UploadSource; readonly onProgress?: OnProgress }
  : E extends { body: TSchema }
    ? Given<'body', BodyOf<E>>
    : None

/** What one call takes. */
export type Args<E extends Endpoint> = PathArgs<E> &
  QueryArgs<E> &
  BodyArgs<E> & {
    readonly signal?: AbortSignal | undefined
    readonly headers?: Readonly<Record<string, string>>
    /** For recorded POSTs; made automatically. Give one to make a call repeatable beyond this process. */
    readonly idempotencyKey?: string
    /** The `ETag` of what was read, from `client.call`: nothing is changed if somebody changed it since (`VERSION_DIFFERS`). */
    readonly ifMatch?: string
  }

type Reply<E extends Endpoint> = E extends { media: string }
  ? Download
  : E extends { reply: infer S extends TSchema }
    ? Static<S>
    : undefined
type Listed<E extends Endpoint> = Extract<Reply<E>, readonly unknown[]>
type Page<E extends Endpoint> = Extract<Reply<E>, { next_cursor: string | null }>
type ArgList<E extends Endpoint> = None extends Args<E> ? [args?: Args<E>] : [args: Args<E>]

/** Lists answer an array, or with `query.cursor` a page; everything else answers one shape. */
export type Call<E extends Endpoint> = E extends { query: { properties: { cursor: unknown } } }
  ? {
      (args: Args<E> & { readonly query: { readonly cursor: string } }): Promise<Page<E>>
      (...args: ArgList<E>): Promise<Listed<E>>
    }
  : (...args: ArgList<E>) => Promise<Reply<E>>

export type Calls = { readonly [G in keyof Api]: { readonly [N in keyof Api[G]]: Call<EndpointAt<G, N>> } }

type EndpointAt<G extends keyof Api, N extends keyof Api[G]> = Api[G][N] extends Endpoint ? Api[G][N] : never
type ById = {
  [G in keyof Api & string as never]: never
} & UnionToIntersection<
  { [G in keyof Api & string]: { [N in keyof Api[G] & string as `${G}.${N}`]: EndpointAt<G, N> } }[keyof Api & string]
>
type UnionToIntersection<U> = (U extends unknown ? (u: U) => void : never) extends (i: infer I) => void ? I : never

/** `tickets.create`: the operation id of OpenAPI, and the scope of a token. */
export type CallId = keyof ById
export type EndpointOf<I extends CallId> = ById[I] extends Endpoint ? ById[I] : never
/** The ids of lists that can be walked by cursor. */
export type ListId = {
  [I in CallId]: EndpointOf<I> extends { query: { properties: { cursor: unknown } } } ? I : never
}[CallId]
export type ItemOf<I extends ListId> = Listed<EndpointOf<I>>[number]

/** An answer with what stands around it. */
export interface Answer<T> {
  readonly data: T
  readonly status: number
  readonly headers: Headers
}

export interface Client extends Calls {
  /** Any call by its id, with status and headers: `X-Total-Count`, `Idempotency-Replayed`. */
  call<I extends CallId>(id: I, ...args: ArgList<EndpointOf<I>>): Promise<Answer<Reply<EndpointOf<I>>>>
  /** Walks a list by cursor, one page at a time; nothing is skipped or doubled while others write. */
  pages<I extends ListId>(id: I, args?: Args<EndpointOf<I>>): AsyncGenerator<ItemOf<I>[], void, undefined>
  /** The same, item by item. */
  items<I extends ListId>(id: I, args?: Args<EndpointOf<I>>): AsyncGenerator<ItemOf<I>, void, undefined>
  /** A whole list as an array, however many calls that takes. Of what may be very many rather walk the items. */
  all<I extends ListId>(id: I, args?: Args<EndpointOf<I>>): Promise<ItemOf<I>[]>
  /** Events as they happen, in the order of the log, without gaps and across broken connections; see `watchEvents`. */
  watch(args?: WatchArgs): AsyncGenerator<Event, void, undefined>
  /** What a task prints, as it is kept, across attempts and broken connections; see `followLog`. `tasks.log` reads what is there. */
  followLog(args: FollowLogArgs): AsyncGenerator<TaskLog, void, undefined>
  /** Has the server verify its log, however long that takes, and says how far it is. `audit.verify` waits in silence. */
  verifyLog(args?: VerifyArgs): Promise<VerifyReport>
  /** Has the server run its self-check now, and says how far it is. `audit.selfCheck` waits in silence. */
  selfCheck(args?: SelfCheckArgs): Promise<SelfCheckReport>
}
