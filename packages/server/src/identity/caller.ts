import type { Role } from '@writ/api'
import type { Actor } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Asking } from '../platform/http/mount.ts'

/**
 * Whoever asks, as every domain function sees them: an actor of the audit log with a role inside one project.
 * Made once per request by `authenticate`; never stored.
 */
export interface Caller extends Actor, Asking {
  /** The person behind it: also behind an API token. Null for callers that are not known. */
  readonly userId: string | null
  readonly isInstanceAdmin: boolean
  /** Id of the project of `X-Project`; null where the endpoint has none. */
  readonly project: string | null
  readonly projectSlug: string | null
  /** The role in that project, a token's own role if that is less; null outside projects. */
  readonly role: Role | null
  /** Scopes of an API token; null for a person, who has all of the role. */
  readonly scopes: readonly string[] | null
  /** The session or token that carried the request. */
  readonly session: { readonly id: string; readonly kind: 'bearer' | 'cookie' } | null
  /** When the person last proved who they are, and how. Null where no person did: API tokens, and the server itself. */
  readonly authentication: Authentication | null
  readonly tokenId: string | null
  readonly mustChangePassword: boolean
  /** When the request came, in milliseconds; the time of every event it causes. */
  readonly at: number
  readonly requestId: string
  /** W3C trace id, 32 hex characters: the caller's, or ours. */
  readonly traceId: string
  /** The span in it that what is asked for is a child of, 16 hex characters: the request's own. Null where it is not recorded, or none asked. */
  readonly spanId: string | null
  /** The caller's `traceparent`, to be handed on as it came: where nothing of it is recorded here. Null where it is, or none came. */
  readonly traceparent: string | null
  /** The caller's `tracestate`. */
  readonly tracestate: string | null
}

/** Source: OpenID Connect Core 1.0, section 2 (`auth_time`, `amr`); RFC 8176 (the words of `amr`). */
export interface Authentication {
  /** In milliseconds; null where the provider that they logged in at does not say when. */
  readonly at: number | null
  readonly methods: readonly string[]
}

/** A caller who is known. Throws NOT_AUTHENTICATED for any other. */
export function personOf(caller: Caller): string {
  if (caller.userId === null) throw new AppError('NOT_AUTHENTICATED')
  return caller.userId
}

/** Roles that see all tickets, runs and artifacts of their project, not only their own. */
export const seesAll = (caller: Caller): boolean =>
  caller.role === 'admin' || caller.role === 'ops' || caller.role === 'auditor'
