/** What the suites use of the peers, which are installed for benchmarks alone. */
declare module 'better-sqlite3' {
  export default class Database {
    constructor(file: string)
    prepare(text: string): { get(): unknown }
    close(): void
  }
}

declare module 'plainjob' {
  import type Database from 'better-sqlite3'

  type Connection = { close(): void }
  export interface Queue {
    addMany(type: string, data: readonly unknown[]): unknown
    countJobs(which: { status: number }): number
    close(): void
  }
  interface Logger {
    error(): void
    warn(): void
    info(): void
    debug(): void
  }
  export function better(database: Database): Connection
  export function defineQueue(options: { connection: Connection; logger: Logger }): Queue
  export function defineWorker(
    type: string,
    process: () => Promise<void>,
    options: { queue: Queue; logger: Logger; pollIntervall: number },
  ): { start(): Promise<void>; stop(): Promise<void> }
}

declare module 'pg-boss' {
  export class PgBoss {
    constructor(options: { connectionString: string; max: number })
    on(event: 'error', heard: (error: Error) => void): void
    start(): Promise<unknown>
    stop(options: { graceful: boolean }): Promise<void>
    createQueue(name: string): Promise<void>
    insert(name: string, jobs: readonly { data: object }[]): Promise<unknown>
    work(
      name: string,
      options: { batchSize: number; pollingIntervalSeconds: number; localConcurrency: number },
      work: (jobs: readonly unknown[]) => Promise<void>,
    ): Promise<string>
  }
}

declare module 'bullmq' {
  interface Options {
    connection: unknown
    concurrency?: number
    defaultJobOptions?: { removeOnComplete: boolean }
  }
  export interface Job {
    readonly data: { readonly at: number }
  }
  export const createPostgresBackend: unique symbol
  export class Queue {
    constructor(name: string, options: Options, backend?: unknown)
    add(name: string, data: object): Promise<unknown>
    addBulk(jobs: readonly { name: string; data: object }[]): Promise<unknown>
    close(): Promise<void>
  }
  export class Worker {
    constructor(name: string, work: (job: Job) => Promise<null>, options: Options, backend?: unknown)
    on(event: 'completed' | 'error', heard: () => void): void
    waitUntilReady(): Promise<unknown>
    close(force?: boolean): Promise<void>
  }
}

declare module '@dbos-inc/dbos-sdk' {
  type Flow = () => Promise<null>
  export const DBOS: {
    setConfig(options: {
      name: string
      systemDatabaseUrl: string
      logLevel: string
      systemDatabasePoolSize: number
    }): void
    registerWorkflow(flow: Flow, options: { name: string }): Flow
    startWorkflow(flow: Flow): () => Promise<{ getResult(): Promise<null> }>
    launch(): Promise<void>
    shutdown(): Promise<void>
  }
}

declare module '@restatedev/restate-sdk' {
  import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

  export function service(definition: { name: string; handlers: Record<string, () => Promise<null>> }): unknown
  export function createEndpointHandler(options: {
    services: readonly unknown[]
    logger: () => void
  }): (request: Http2ServerRequest, response: Http2ServerResponse) => void
}

declare module 'lighthouse' {
  interface Result {
    readonly lhr: { readonly categories: Readonly<Record<string, { readonly score: number | null }>> }
  }
  /** A preset of settings, given back as it is. */
  type Config = object
  export const desktopConfig: Config
  export default function lighthouse(
    url: string,
    flags: {
      port: number
      disableStorageReset: boolean
      /** Milliseconds. */
      maxWaitForLoad: number
      logLevel: 'error'
      onlyCategories: readonly string[]
    },
    config?: Config,
  ): Promise<Result | undefined>
}
