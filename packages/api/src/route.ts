import type { Method } from './endpoint.ts'
import type { Api } from './endpoints.ts'

/** What of an endpoint a client needs to send a call and to read the answer. The fields mean what they mean in `Endpoint`. */
export interface Route {
  readonly method: Method
  readonly path: string
  readonly root?: true
  readonly media?: string
  readonly unrecorded?: true
  /** The good answer is JSON; otherwise it is a file (`media`) or nothing. */
  readonly json?: true
}

/** A route for every endpoint: one that is missing, or left over, does not compile. */
export type Routes = { readonly [G in keyof Api]: { readonly [E in keyof Api[G]]: Route } }
