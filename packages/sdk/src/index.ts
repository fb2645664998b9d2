/**
 * Typed client of the Writ HTTP API. Everything here runs in browsers and in Node; what needs files is in
 * `@writ/sdk/node`. No global state, no telemetry: a client talks to the one server it was created for.
 */
export type { Answer, AnyEndpoint, Args, CallId, Calls, Client, ItemOf, ListId } from './calls.ts'
export { createClient } from './client.ts'
export type { Download } from './download.ts'
export { ConnectionLost, type FieldProblem, isErrorCode, WritError } from './errors.ts'
export type { OnProgress, UploadSource } from './multipart.ts'
export type { ClientOptions } from './options.ts'
export { defaultRetry, type RetryRules, retryDelay, shouldRetry } from './retry.ts'
export type { SelfCheckArgs, VerifyArgs, VerifyProgress } from './verification.ts'
export type { FollowLogArgs, WatchArgs } from './watch.ts'
export {
  createWorker,
  type Dispatched,
  type HandlerContext,
  type Outcome,
  TaskError,
  type Worker,
  type WorkerOptions,
} from './worker.ts'
