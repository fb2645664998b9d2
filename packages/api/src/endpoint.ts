import type { Static, TObject, TSchema } from 'typebox'
import type { ErrorCode } from './errors.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * Who may call: `public` needs no identity; `user` needs one, and no more; `member` needs a role in the project that
 * `permission` allows; `instance` needs the instance administrator.
 */
export type Access = 'public' | 'user' | 'member' | 'instance'

export interface Endpoint {
  readonly method: Method
  /** Fastify form (`/tickets/:id`), below the API prefix unless `root` is set. */
  readonly path: string
  readonly root?: true
  readonly access: Access
  /** Of the account itself: refused to API tokens, whose roles and scopes are of a project. */
  readonly personal?: true
  readonly summary: string
  readonly description: string
  readonly tag: string
  readonly params?: TObject
  readonly query?: TObject
  readonly body?: TSchema
  /** A WebSocket: asked for without an upgrade it is refused. */
  readonly socket?: true
  /** The body is `multipart/form-data` with one part called `file`; the handler gets a stream. */
  readonly upload?: true
  /** The status of the good answer; documented creates answer 200, new ones 201. */
  readonly status: number
  readonly reply?: TSchema
  /** The answer is not JSON: its media type. */
  readonly media?: string
  readonly errors: readonly ErrorCode[]
  /** A body that works on a fresh instance with the sample data; tests send it. */
  readonly example?: unknown
  /** The good answer holds a secret that is shown once: an idempotent replay answers 409 SECRET_SHOWN_ONCE. */
  readonly secret?: true
  /** A POST that only reads or only concerns the session keeps no idempotency record. */
  readonly unrecorded?: true
  /** About a thing that people change: reading it answers its version as `ETag`, and changing it takes that back in `If-Match`. */
  readonly versioned?: true
  /** Its texts are what somebody's code said, and half of a surrogate pair in them is no reason to lose the rest. */
  readonly foreignText?: true
  /** Numbers at such places (`.results.0.result.id`) that JavaScript would read as others do not refuse the whole body: the handler judges them. */
  readonly alteredNumbers?: RegExp
  /** Weighs too much to stand outside of the log for long: refused with LOG_BEHIND while events wait for it for over a minute. */
  readonly needsLog?: true
}

/** Declares one endpoint; a plain identity function that keeps the literal types. */
export const endpoint = <const E extends Endpoint>(declared: E): E => declared

type StaticOf<S> = S extends TSchema ? Static<S> : undefined

export type BodyOf<E> = E extends { body: infer S } ? StaticOf<S> : undefined
export type QueryOf<E> = E extends { query: infer S } ? StaticOf<S> : Record<string, never>
export type ParamsOf<E> = E extends { params: infer S } ? StaticOf<S> : Record<string, never>
export type ReplyOf<E> = E extends { reply: infer S } ? StaticOf<S> : unknown
