/** What the suites use of graphile-worker, which is installed for benchmarks alone. */
declare module 'graphile-worker' {
  import type { Pool } from 'pg'

  export class Logger {
    constructor(factory: (scope: object) => (level: string, message: string, meta?: object) => void)
  }
  interface Options {
    logger: Logger
    pgPool: Pool
    preset: { worker: Record<string, unknown> }
  }
  export interface Runner {
    stop(): Promise<void>
  }
  interface WorkerUtils {
    migrate(): Promise<void>
    addJobs(jobs: readonly { identifier: string; payload: unknown }[]): Promise<unknown>
    release(): Promise<void>
  }
  export function makeWorkerUtils(options: Options): Promise<WorkerUtils>
  export function run(
    options: Options & { noHandleSignals: boolean; taskList: Record<string, () => Promise<void>> },
  ): Promise<Runner>
}
