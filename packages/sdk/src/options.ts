import type { RetryRules } from './retry.ts'

/** What a client needs to know; only `url` is required. */
export interface ClientOptions {
  /** Where the server listens, without the API prefix: `https://writ.example.com`. A path before the prefix is kept. */
  readonly url: string
  /** A bearer JWT or an API token. A browser on the server's own origin may leave it out and use the session cookie. */
  readonly token?: string | undefined
  /** Slug for `X-Project`; the server takes `default` when absent. */
  readonly project?: string | undefined
  /** Another fetch: for tests, proxies, or a page's own. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Ends every call of this client; each call also takes a signal of its own. */
  readonly signal?: AbortSignal | undefined
  /** Sent with every request, for example `X-CSRF-Token`. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Below the url; `/api/v1` unless the server was told otherwise. */
  readonly prefix?: string | undefined
  readonly retry?: Partial<RetryRules> | undefined
}
