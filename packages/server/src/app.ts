import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { api, type Endpoint, openapi } from '@writ/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  type AuditFolders,
  append,
  createSequencer,
  createWitnesses,
  findLogsAhead,
  type Keys,
  LogAheadOfDatabase,
  listEvents,
  loadWitnessPolicy,
  openKeys,
  SYSTEM,
  type WitnessHealth,
} from './audit/index.ts'
import {
  acceptSocket,
  countQueued,
  createCallbacks,
  createDeliverer,
  createFanOut,
  createFeed,
  createMail,
  createSealed,
  eventHandlers,
  forgetOldDeliveries,
  webhookHandlers,
} from './channels/index.ts'
import { blobSettings, type Config, isLoopback } from './config.ts'
import { createDispatchDoor, createDispatchMetrics, dispatchBody } from './doors/index.ts'
import {
  auditHandlers,
  createAttest,
  createLogDoors,
  createSelfChecker,
  evidenceHandlers,
  keysHandlers,
  privacyHandlers,
  recordKeys,
  serveApprovePage,
} from './evidence/index.ts'
import {
  authHandlers,
  authorize,
  bootstrap,
  type Caller,
  createSeal,
  deriveKey,
  listProjects,
  loadSecretKey,
  openIdentity,
  type PasswordCost,
  projectsHandlers,
  redactionKey,
  relyingPartyOf,
  signingKeyHandlers,
  slugOf,
  tokensHandlers,
  usersHandlers,
} from './identity/index.ts'
import { type Counter, createCounter, insightHandlers } from './insight/index.ts'
import { createJudgeThread, createProofKind, rulesHandlers } from './kinds/proof/index.ts'
import {
  type AttemptEnded,
  attemptSpanId,
  builtinHandlers,
  concurrencyKeyHandlers,
  createBacklog,
  createFeishu,
  createHandlerPool,
  createHandlers,
  createHttpHandlers,
  createLeaseTexts,
  createPayloads,
  createRemoteHandlers,
  createScripts,
  createSwitches,
  createTaskLane,
  createTaskMetrics,
  createTasks,
  createWorkers,
  deadLetterHandlers,
  type Handler,
  handlerHandlers,
  openHandlerFolder,
  openSandbox,
  queueHandlers,
  submitTask,
  type Tasks,
  taskHandlers,
  workerHandlers,
} from './kinds/task/index.ts'
import { AppError } from './platform/app-error.ts'
import { BlobCorrupt, BlobMissing, BlobStoreUnavailable, openBlobs } from './platform/blobs/index.ts'
import { type Clock, systemClock } from './platform/clock.ts'
import { type Database, type DatabaseSettings, INSTANCE, inProject, openDatabase } from './platform/db/index.ts'
import { createEgress } from './platform/egress.ts'
import { serveConsole } from './platform/http/console.ts'
import { createCursors } from './platform/http/cursor.ts'
import { serveDocs } from './platform/http/docs.ts'
import { type Mounting, mount } from './platform/http/mount.ts'
import { createHttpServer } from './platform/http/server.ts'
import { serveMetrics, serveSystem } from './platform/http/system.ts'
import { lockDataDir } from './platform/lock.ts'
import type { Logger } from './platform/log.ts'
import { createMetrics } from './platform/metrics.ts'
import { configureRedaction, liveSecrets, REDACTION_VERSION, redactionKinds } from './platform/redact/index.ts'
import { Secret } from './platform/secret.ts'
import { type FinishedSpan, noTracing, openTracing, parentSpanOf, spanIdOf, traceIdOf } from './platform/tracing.ts'
import { observed, openQueue } from './queue/index.ts'
import {
  artifactHandlers,
  createCheckLane,
  createWaiting,
  createWorker,
  findTraceId,
  fireTimers,
  removeErasedBytes,
  runHandlers,
} from './runs/index.ts'
import { createScheduler, type Scheduler, scheduleHandlers } from './schedules/index.ts'
import { assetHandlers, ticketHandlers } from './tickets/index.ts'
import { version } from './version.ts'

export interface App {
  /** Listens; answers with the address. */
  listen(): Promise<{ host: string; port: number }>
  /** Stops in reverse order: no new requests, no new claims, what is under way gets its grace, then the log and the store. */
  stop(): Promise<void>
  /** Rejects when something ended that the server cannot live without. */
  readonly failed: Promise<never>
  /** The administrator made at this first start; the password only if it was made up here. */
  readonly created: { username: string; password?: string } | null
  /** What an operator should be told about this set-up. */
  readonly notes: readonly string[]
  /** What attestations and manifests are signed with. */
  readonly keys: Keys
  /** For tests and tools in the same process. */
  readonly audit: { settle(): Promise<void> }
  readonly tasks: Tasks
  readonly scheduler: Scheduler
  readonly counter: Counter
  readonly db: Database
  readonly databaseSettings: DatabaseSettings
}

/** Where `packages/console/build.ts` puts the bundle. */
const CONSOLE = fileURLToPath(new URL('../../console/dist', import.meta.url))
const LEASE_MS = 30_000
/** What a process without the role `api` answers. */
const OPERATIONAL: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics', '/ping'])
const POLL_MS = 200
/** How often what has ended is counted for insight. */
const COUNT_MS = 5_000
/** How often the workers of a task may be lost. */
const MAX_LOST = 10
/** How long work that was told to stop is waited for. */
const PATIENCE_MS = 1_000

/** Where the audit log and its keys are. */
export const auditFolders = (config: Config): AuditFolders => ({
  log: join(config.dataDir, 'log'),
  keys: join(config.dataDir, 'keys'),
  signer: join(config.dataDir, 'signer'),
  days: config.auditPath,
  ...(config.logStorage === 'local' ? {} : { tiles: tileStore(config, config.logStorage) }),
})

function tileStore(config: Config, type: 'minio' | 's3'): NonNullable<AuditFolders['tiles']> {
  const settings = blobSettings(config, type)
  if (settings.type === 'local') throw new Error('a local store is no store for tiles')
  const { endpoint, region, bucket, accessKey, secretKey } = settings
  return { endpoint, region, bucket, accessKey: accessKey?.reveal(), secretKey: secretKey?.reveal() }
}

/** The store that a configuration names. */
export const databaseSettings = (config: Pick<Config, 'database' | 'migrationUrl'>): DatabaseSettings => ({
  url: config.database.kind === 'sqlite' ? `sqlite:${config.database.file}` : config.database.url.reveal(),
  migrationUrl: config.migrationUrl?.reveal(),
})

/** Tells the redactor the secrets of this process and the key of this installation. Before anything is written or logged. */
export async function setUpRedaction(config: Config): Promise<void> {
  const keys = await loadSecretKey(config)
  const settings: string[] = []
  const collect = (value: unknown) => {
    if (value instanceof Secret) settings.push(String(value.reveal()))
    else if (typeof value === 'object' && value !== null) for (const one of Object.values(value)) collect(one)
  }
  collect(config)
  configureRedaction({
    key: redactionKey(keys),
    live: liveSecrets([...keys.filter((key) => key !== undefined), ...settings]),
  })
}

/** Puts on record by which list texts are redacted from now on, so that it is known of every stored text. */
async function recordRedaction(db: Database, clock: Clock): Promise<void> {
  await inProject(INSTANCE, () =>
    db.write(async (tx) => {
      const [last] = await listEvents(tx, { event_type: 'redaction.changed' }, { limit: 1 })
      const known = last?.event
        ? (JSON.parse(last.event) as { details?: { version?: number } }).details?.version
        : undefined
      if (known === REDACTION_VERSION) return
      await append(tx, clock.now(), SYSTEM, {
        type: 'redaction.changed',
        action: `Texts are redacted by list ${REDACTION_VERSION}`,
        details: { version: REDACTION_VERSION, kinds: redactionKinds },
      })
    }),
  )
}

/** The composition root: the only file that knows every feature. Opens all, listens to nothing yet. */
export async function openApp(on: {
  config: Config
  log: Logger
  clock?: Clock
  passwordCost?: PasswordCost
  /** How long a lease lasts that is not extended; half a minute unless a test has no time for that. */
  leaseMs?: number
  /** Handlers of tests, whose names begin with `test.`; a server that has them is none for people. */
  testHandlers?: readonly Handler[]
}): Promise<App> {
  const { config, log, clock = systemClock } = on
  const has = (role: Config['roles'][number]) => config.roles.includes(role)
  await setUpRedaction(config)
  const policy = config.witnessPolicy === undefined ? undefined : await loadWitnessPolicy(config.witnessPolicy)
  const lock = config.database.kind === 'sqlite' ? lockDataDir(config.dataDir) : null
  const settings = databaseSettings(config)
  const db = await openDatabase(settings, clock)
  const folders = auditFolders(config)
  // Before anything is written: a database that was put back must not grow a second history.
  const [ahead] = await findLogsAhead(db, folders)
  if (ahead) {
    await db.close()
    lock?.release()
    throw new LogAheadOfDatabase(ahead.project, ahead.published, ahead.stored)
  }
  const keys = await openKeys(folders.keys, clock.now())
  const attest = createAttest(keys)
  const party = relyingPartyOf(config.publicUrl)
  const blobs = await openBlobs(config.blobs)
  const metrics = createMetrics()
  const tracing =
    config.otlpUrl === undefined
      ? noTracing
      : await openTracing({
          url: config.otlpUrl,
          headers: headersOf(config.otlpHeaders?.reveal() ?? ''),
          serviceName: config.otelServiceName,
          version,
        })
  const stopping = new AbortController()

  const identity = await openIdentity({
    db,
    clock,
    log: log.child({ part: 'identity' }),
    settings: config,
    ...(on.passwordCost ? { passwordCost: on.passwordCost } : {}),
  })
  const created = (await bootstrap(identity))?.created ?? null
  await recordRedaction(db, clock)
  const sequencer = createSequencer({
    db,
    clock,
    log: log.child({ part: 'sequencer' }),
    folders,
    intervalMs: config.checkpointIntervalMs,
    slugOf: (project) => slugOf(db, project),
  })

  const selfChecker = createSelfChecker({
    db,
    database: settings,
    folders,
    sequencer,
    clock,
    log: log.child({ part: 'self-check' }),
    memoryFile: join(config.dataDir, 'self-check.json'),
    everyMs: config.selfCheckMinutes * 60_000,
  })
  await recordKeys({ db, keys }, clock.now())
  const witnesses = createWitnesses({
    db,
    clock,
    log: log.child({ part: 'witnesses' }),
    folders,
    policy,
    projects: config.witnessProjects,
    intervalMs: config.witnessIntervalMs,
  })
  metrics.gaugeBy('writ_witness_up', 'Whether a witness of the policy signs, 1 or 0.', 'witness', () =>
    Object.fromEntries(witnesses.health.witnesses.map(({ name, state }) => [name, state === 'ok' ? 1 : 0])),
  )
  const doors = createLogDoors({
    db,
    folders,
    authenticate: identity.authenticate,
    instanceAccess: config.instanceLogAccess,
  })

  const judges = createJudgeThread()
  const kinds = new Map([createProofKind({ blobs, clock, judges })].map((kind) => [kind.name, kind]))
  const waiting = createWaiting()
  let queueTrouble: string | null = null
  const opened = await openQueue(db, {
    backend: config.queueBackend,
    redisUrl: config.redisUrl,
    clock,
    log: log.child({ part: 'queue' }),
    health: (reason) => {
      queueTrouble = reason
    },
  })
  const backlog = createBacklog(db, opened)
  const ours = createTaskMetrics(metrics.registry, { now: clock.now, backlog })
  const queue = observed(opened, ours.batch)
  const executing = {
    db,
    queue,
    blobs,
    clock,
    log: log.child({ part: 'worker' }),
    kinds,
    attest,
    leaseMs: on.leaseMs ?? LEASE_MS,
    timeoutSeconds: config.runTimeoutSeconds,
    maxDeliveries: 10,
    notBefore: witnesses.newestRoot,
    settled: waiting.settled,
  }
  const secretKeys = await loadSecretKey(config)
  const egress = createEgress({ allow: config.egressAllow, loopback: isLoopback(config.host) })
  const feishu = createFeishu({
    db,
    clock,
    egress,
    seal: createSeal(secretKeys, 'feishu'),
    handleKey: deriveKey(secretKeys[0], 'feishu handles'),
    settings: {
      url: config.dispatch.feishuUrl,
      appId: config.dispatch.feishuAppId,
      appSecret: config.dispatch.feishuAppSecret,
    },
  })
  const scriptLimits = {
    timeoutSeconds: config.dispatch.scriptTimeoutSeconds,
    concurrent: config.dispatch.maxConcurrentScripts,
  }
  const scripts =
    config.dispatch.scriptsDir === undefined
      ? null
      : createScripts(
          { ...scriptLimits, dir: config.dispatch.scriptsDir, network: config.dispatch.scriptsNetwork },
          await openSandbox(config.dispatch.scriptsSandbox),
        )
  const handlers = createHandlers(
    [...builtinHandlers({ clock, egress, feishu, scripts, scriptLimits }), ...(on.testHandlers ?? [])],
    { testHandlers: on.testHandlers !== undefined },
  )
  const handlersOn =
    config.handlersDir === undefined ? null : { dir: config.handlersDir, log: log.child({ part: 'handlers' }) }
  const pool =
    handlersOn &&
    createHandlerPool({
      ...handlersOn,
      env: Object.fromEntries(
        Object.entries(config.handlersEnvironment).map(([name, value]) => [name, value.reveal()]),
      ),
      processes: config.handlersProcesses,
      maxTasks: config.handlersMaxTasks,
      memoryMb: config.handlersMemoryMb,
      patienceMs: PATIENCE_MS,
    })
  // Before anything is claimed: a task that waits for one of these must find it.
  const folder = pool && (await openHandlerFolder({ ...handlersOn!, handlers, pool, pollMs: 2_000 }))
  const payloads = createPayloads(createSeal(secretKeys, 'payloads'))
  const documented = createDispatchMetrics(metrics.registry, async () =>
    Object.fromEntries((await backlog()).queues.map((one) => [one.queue, one.waiting])),
  )
  const remote = createRemoteHandlers(handlers)
  const addresses = createHttpHandlers({ egress, seal: createSeal(secretKeys, 'http handlers'), clock })
  const switches = createSwitches(db)
  // Before anything is claimed.
  await switches.refresh()
  const tasks = createTasks({
    db,
    queue,
    blobs,
    clock,
    handlers,
    remote,
    http: addresses,
    switches,
    waiting,
    payloads,
    accepted: documented.accepted,
  })
  const settledTask = (runId: string, state: 'completed' | 'failed' | 'timeout' | 'cancelled') => {
    waiting.settled(runId)
    metrics.runsSettled.inc({ kind: 'task', outcome: state })
  }
  const observe: NonNullable<Parameters<typeof createTaskLane>[0]['observe']> = {
    started: documented.started,
    ended(done) {
      const { row, startedAt, endedAt, ending } = done
      documented.ended(row.queue, row.handler, (endedAt - startedAt) / 1_000, ending.errorCode)
      ours.ended(ending.state)
      tracing.record(spanOfAttempt(done))
    },
    settled(row, ending, at) {
      tracing.record({
        name: `task ${row.handler}`,
        kind: 'consumer',
        traceId: row.trace_id,
        spanId: spanIdOf(row.id),
        parentSpanId: null,
        start: row.created_at,
        end: at,
        attributes: { 'writ.run': row.id, 'writ.handler': row.handler, 'writ.queue': row.queue },
        error: ending.error,
      })
    },
    leaseLost: ours.leaseLost,
  }
  const workers = createWorkers({
    ...executing,
    payloads,
    registry: remote,
    children: tasks.children,
    texts: createLeaseTexts(deriveKey(secretKeys[0], 'leases')),
    maxLost: MAX_LOST,
    random: Math.random,
    settled: settledTask,
    observe,
  })
  const scheduler = createScheduler({
    db,
    clock,
    log: log.child({ part: 'schedules' }),
    tasks,
    payloads,
    pollMs: POLL_MS,
  })
  const counter = createCounter({ db, clock, log: log.child({ part: 'insight' }), pollMs: COUNT_MS })
  const worker = createWorker({
    db,
    queue,
    clock,
    log: executing.log,
    lanes: [
      createCheckLane(executing, 4, () => worker.wake()),
      createTaskLane({
        ...executing,
        log: log.child({ part: 'tasks' }),
        handlers,
        payloads,
        children: tasks.children,
        http: addresses,
        off: switches.off,
        observe,
        concurrency: config.taskConcurrency,
        atMost: 10 * config.taskConcurrency,
        patienceMs: PATIENCE_MS,
        maxLost: MAX_LOST,
        random: Math.random,
        settled: settledTask,
        free: () => worker.wake(),
      }),
    ],
    elsewhere: workers.wake,
    async timers() {
      await fireTimers(executing, tasks.expire)
      await tasks.admitDue()
    },
    leaseMs: on.leaseMs ?? LEASE_MS,
    pollMs: POLL_MS,
    graceMs: config.shutdownGraceSeconds * 1_000,
  })

  // Denials are events like any other. A caller outside of any project is the instance's business; addresses that may not
  // connect at all are only counted, or anybody could fill the log.
  async function recordDenial(request: FastifyRequest, refusal: AppError): Promise<void> {
    // Set by mount() once the caller is known.
    const caller = request.caller as Caller | undefined
    const by = caller?.userId
      ? caller
      : { ...SYSTEM, ip: request.clientIp, userAgent: request.headers['user-agent']?.slice(0, 255) ?? null }
    const operation = request.routeOptions.config.id ?? null
    await inProject(caller?.project ?? INSTANCE, () =>
      db.write((tx) =>
        append(tx, clock.now(), by, {
          type: 'access.denied',
          action: `Denied ${operation ?? request.method}`,
          details: {
            operation,
            path: request.url.split('?')[0],
            code: refusal.code,
            request_id: request.id,
            project: request.headers['x-project'] ?? null,
          },
          success: false,
          error: refusal.message,
        }),
      ),
    )
  }

  const refused = async (request: FastifyRequest, refusal: AppError) => {
    metrics.refusals.inc({ code: refusal.code })
    if (refusal.status === 403 && refusal.code !== 'IP_NOT_ALLOWED') await recordDenial(request, refusal)
  }
  const httpOn = {
    settings: {
      allowedIps: config.allowedIps,
      trustedProxies: config.trustedProxies,
      corsOrigins: config.corsOrigins,
      rateLimit: config.apiRateLimit,
      bodyLimit: 1024 * 1024,
    },
    clock,
    log: log.child({ part: 'http' }),
    recognise: recogniseStores,
    refused,
  }
  const http = await createHttpServer(httpOn)
  if (!has('api'))
    http.addHook('onRequest', (request, _, done) =>
      done(OPERATIONAL.has(request.routeOptions.url ?? '') ? undefined : new AppError('ROUTE_NOT_FOUND')),
    )
  http.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.config.id ?? 'other'
    if (tracing !== noTracing) tracing.record(spanOfRequest(request, reply, clock.now()))
    metrics.requests.answered(route, request.method, reply.statusCode, reply.elapsedTime / 1_000)
    done()
  })

  // What the outside is told: one reader of the logs, one sender, and those who watch.
  const sealed = createSealed(createSeal(secretKeys, 'webhooks'))
  const callbacks = createCallbacks({ db, egress, sealed, key: deriveKey(secretKeys[0], 'callbacks') })
  const mail = config.smtpUrl && config.smtpFrom ? createMail(config.smtpUrl, config.smtpFrom) : null
  const sources = new Map<string, string>()
  const sourceOf = async (project: string) => {
    // A slug stays.
    const source = sources.get(project) ?? `${config.publicUrl ?? ''}/projects/${await slugOf(db, project)}`
    sources.set(project, source)
    return source
  }
  const deliverer = createDeliverer({
    db,
    clock,
    log: log.child({ part: 'deliverer' }),
    egress,
    mail,
    sealed,
    timeoutMs: config.webhookTimeoutSeconds * 1_000,
    pollMs: POLL_MS,
    alone: lock !== null,
    dispatchBody: (tx, runId) => dispatchBody(tasks, tx, runId),
    traceOf: findTraceId,
    tracing,
    sourceOf,
    sent: (outcome) => metrics.deliveries.inc({ outcome }),
  })
  const fanOut = createFanOut({
    db,
    clock,
    log: log.child({ part: 'fan-out' }),
    pollMs: POLL_MS,
    told: deliverer.wake,
  })
  metrics.gauge('writ_webhook_queue_depth', 'Deliveries that wait or are under way.', () =>
    inProject(INSTANCE, () => db.read(countQueued)),
  )
  const streams = new AbortController()
  const open = new Set<Promise<void>>()

  const watching = {
    db,
    clock,
    log: log.child({ part: 'events' }),
    feed: createFeed({ db, pollMs: 100, sourceOf }),
    stopping: streams.signal,
    heartbeatMs: config.streamHeartbeatSeconds * 1_000,
    publicUrl: config.publicUrl,
    async recheck(request: FastifyRequest) {
      // Set by `mount` for each of its routes.
      const { id, endpoint } = request.routeOptions.config as { id: string; endpoint: Endpoint }
      const caller = await identity.authenticate(id, endpoint, request)
      authorize(id, endpoint, caller)
      return caller
    },
  }

  const mounting: Mounting<Caller> = {
    db,
    clock,
    prefix: config.apiPrefix,
    cursors: createCursors(identity.cursorSecret),
    authenticate: identity.authenticate,
    authorize,
    sockets: {
      async 'events.socket'(socket, request, caller) {
        const served = acceptSocket(watching, socket, request, caller)
        open.add(served)
        await served.finally(() => open.delete(served))
      },
    },
  }
  const dispatching = { tasks, callback: callbacks.ensure }
  const runsOn = {
    tasks: { start: submitTask.bind(undefined, dispatching) },
    db,
    queue,
    blobs,
    clock,
    kinds,
    attest,
    waiting,
    wake: worker.wake,
    uploads: {
      maxBytes: config.maxArtifactMb * 1024 * 1024,
      limitMb: config.maxArtifactMb,
      settleMs: config.proofSettleSeconds * 1_000,
    },
  }
  mount(
    http,
    'system',
    api.system,
    { health: async () => ({ status: 'healthy', service: 'traceable-execution-platform' }) },
    mounting,
  )
  mount(http, 'auth', api.auth, authHandlers(identity), mounting)
  mount(http, 'users', api.users, usersHandlers(identity), mounting)
  mount(http, 'tokens', api.tokens, tokensHandlers(identity), mounting)
  mount(http, 'projects', api.projects, projectsHandlers(identity, attest), mounting)
  mount(http, 'assets', api.assets, assetHandlers, mounting)
  mount(http, 'tickets', api.tickets, ticketHandlers({ attest, party }), mounting)
  mount(http, 'runs', api.runs, runHandlers(runsOn), mounting)
  mount(http, 'rules', api.rules, rulesHandlers, mounting)
  mount(http, 'artifacts', api.artifacts, artifactHandlers(runsOn), mounting)
  mount(
    http,
    'audit',
    api.audit,
    auditHandlers({
      db,
      database: settings,
      folders,
      dataDir: config.dataDir,
      sequencer,
      selfChecker,
      doors,
      witnesses,
    }),
    mounting,
  )
  mount(
    http,
    'evidence',
    api.evidence,
    evidenceHandlers({ db, blobs, folders, keys, policy, sequencer, witnesses, log: log.child({ part: 'evidence' }) }),
    mounting,
  )
  mount(http, 'signingKeys', api.signingKeys, signingKeyHandlers({ attest, party }), mounting)
  mount(
    http,
    'webhooks',
    api.webhooks,
    webhookHandlers({ egress, sealed, hasMail: mail !== null, wake: deliverer.wake }),
    mounting,
  )
  mount(http, 'events', api.events, eventHandlers(watching), mounting)
  mount(http, 'tasks', api.tasks, taskHandlers({ ...dispatching, streams: watching }), mounting)
  mount(http, 'queues', api.queues, queueHandlers(dispatching), mounting)
  mount(http, 'concurrencyKeys', api.concurrencyKeys, concurrencyKeyHandlers(dispatching), mounting)
  mount(http, 'deadLetters', api.deadLetters, deadLetterHandlers(dispatching), mounting)
  mount(http, 'workers', api.workers, workerHandlers(workers), mounting)
  mount(http, 'handlers', api.handlers, handlerHandlers(dispatching), mounting)
  const dispatchOn = {
    ...dispatching,
    version,
    feishu,
    scripts,
    log: log.child({ part: 'http' }),
    recognise: recogniseStores,
    refused,
    settings: {
      rateLimitMax: config.dispatch.rateLimitMax,
      rateLimitWindowMs: config.dispatch.rateLimitWindow * 1_000,
      retryMax: config.dispatch.retryMax ?? 0,
      logDir: config.dispatch.logDir,
    },
  }
  const door = createDispatchDoor(dispatchOn, mounting)
  await door.serve(http)
  const doorHttp = config.dispatch.port === undefined ? null : await createHttpServer(httpOn)
  if (doorHttp) {
    await door.serve(doorHttp)
    serveMetrics(doorHttp, metrics)
  }
  mount(http, 'insight', api.insight, insightHandlers(), mounting)
  mount(http, 'schedules', api.schedules, scheduleHandlers({ tasks, payloads }), mounting)
  await serveApprovePage(http, config.apiPrefix)
  await serveConsole(http, {
    folder: CONSOLE,
    prefix: config.apiPrefix,
    name: config.projectName,
    identityProvider: config.oidcIssuer !== undefined,
  })
  mount(http, 'privacy', api.privacy, privacyHandlers({ db, sequencer }), mounting)
  mount(http, 'keys', api.keys, keysHandlers({ db, folders, keys }), mounting)
  await serveDocs(
    http,
    openapi(api, { title: `${config.projectName} API`, version, prefix: config.apiPrefix }),
    config.apiPrefix,
    config.projectName,
  )
  serveSystem(http, {
    name: config.projectName,
    version,
    prefix: config.apiPrefix,
    metrics,
    ready: readiness({ db, blobs, sequencer }),
    degraded: () => ({
      ...Object.fromEntries(witnesses.health.witnesses.flatMap(witnessLine)),
      ...(queueTrouble === null ? {} : { queue: queueTrouble }),
      ...Object.fromEntries([...selfChecker.alarms].map(([project, alarm]) => [`self_check ${project}`, alarm])),
    }),
    gauges: {
      integrated: () => sequencer.health.integrated,
      unanchored: () => witnesses.health.unanchored,
      selfCheckAlarms: () => selfChecker.alarms.size,
      selfCheckEntries: () => selfChecker.totals.entries,
      selfCheckFailures: () => selfChecker.totals.failures,
      selfCheckFinished: () => selfChecker.totals.finishedAt / 1_000,
    },
  })

  const chores = [
    ...(has('sequencer') ? [sequencer.run(stopping.signal), witnesses.run(stopping.signal)] : []),
    ...(has('sequencer') && config.selfCheckMinutes > 0 ? [selfChecker.run(stopping.signal)] : []),
    ...(has('worker') ? [worker, fanOut, deliverer].map((one) => one.run(stopping.signal)) : []),
    ...(has('scheduler') ? [scheduler, counter].map((one) => one.run(stopping.signal)) : []),
    // A process that only accepts tasks knows the contracts too.
    ...(folder ? [folder.run(stopping.signal)] : []),
    every(1_000, stopping.signal, log, switches.refresh),
    every(60_000, stopping.signal, log, async () => {
      await inProject(INSTANCE, () => identity.sweep())
      await db.prepareMonths(clock.now())
      // Bytes that were erased while the store was away, or just before a stop.
      for (const { id } of await listProjects(db)) await removeErasedBytes({ db, blobs, clock }, id)
      if (has('sequencer')) await sequencer.rotateDue({ days: config.logRotateDays, entries: config.logRotateEntries })
      await forgetOldDeliveries(db, clock.now())
    }),
  ]
  const failed = Promise.all(chores).then(() => new Promise<never>(() => {}))
  failed.catch(() => {})

  return {
    created,
    keys,
    notes: db.notes,
    failed,
    audit: sequencer,
    tasks,
    scheduler,
    counter,
    db,
    databaseSettings: settings,
    async listen() {
      // An older database under a longer log is refused before anybody is served. Beside another leader nothing is ours to
      // check, and after a while neither is it worth waiting for.
      if (has('sequencer')) await Promise.race([sequencer.first, failed, sleep(5_000, undefined, { ref: false })])
      await http.listen({ host: config.host, port: config.port })
      await doorHttp?.listen({ host: config.host, port: config.dispatch.port })
      const address = http.addresses()[0]!
      return { host: config.host, port: typeof address === 'object' ? address.port : config.port }
    },
    async stop() {
      streams.abort()
      workers.stop()
      // Each socket is told that the server stops; one that does not listen is not waited for.
      await Promise.race([Promise.allSettled(open), sleep(1_000, undefined, { ref: false })])
      await http.close()
      await doorHttp?.close()
      await identity.close()
      stopping.abort()
      await Promise.allSettled(chores)
      await pool?.close()
      await queue.close()
      await tracing.stop()
      await judges.close()
      await doors.close()
      await blobs.close()
      await db.close()
      lock?.release()
    },
  }
}

/** Errors of the byte store that have a place in the error table. */
function recogniseStores(error: unknown): AppError | undefined {
  if (error instanceof BlobStoreUnavailable || error instanceof BlobMissing || error instanceof BlobCorrupt)
    return new AppError('STORAGE_UNAVAILABLE', {}, { cause: error, headers: { 'retry-after': '1' } })
  return undefined
}

/** What /readyz says of a witness that does not sign. The server goes on without it, so it stays ready. */
const witnessLine = ({ name, state, reason }: WitnessHealth): [string, string][] =>
  state === 'ok' ? [] : [[`witness ${name}`, `${state}: ${reason}`]]

/** `name=value`, with commas between. Source: OpenTelemetry Protocol Exporter, "Specifying headers via environment variables". */
const headersOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split(',')
      .filter((pair) => pair.includes('='))
      .map((pair) => [
        pair.slice(0, pair.indexOf('=')).trim(),
        decodeURIComponent(pair.slice(pair.indexOf('=') + 1).trim()),
      ]),
  )

const spanOfAttempt = ({ row, attempt, startedAt, endedAt, ending }: AttemptEnded): FinishedSpan => ({
  name: `attempt ${row.handler}`,
  kind: 'internal',
  traceId: row.trace_id,
  spanId: attemptSpanId(row.id, attempt),
  parentSpanId: spanIdOf(row.id),
  start: startedAt,
  end: endedAt,
  attributes: {
    'writ.run': row.id,
    'writ.attempt': attempt,
    'writ.state': ending.state,
    ...(ending.errorCode === null ? {} : { 'error.type': ending.errorCode }),
  },
  error: ending.error,
})

/** Source: OpenTelemetry semantic conventions for HTTP server spans. */
function spanOfRequest(request: FastifyRequest, reply: FastifyReply, now: number): FinishedSpan {
  // Set by mount() once the caller is known.
  const caller = request.caller as Caller | undefined
  const route = request.routeOptions.url
  return {
    name: `${request.method} ${route ?? 'unknown'}`,
    kind: 'server',
    traceId: caller?.traceId ?? traceIdOf(request.id),
    spanId: spanIdOf(request.id),
    parentSpanId: caller ? parentSpanOf(request.headers.traceparent) : null,
    start: now - reply.elapsedTime,
    end: now,
    attributes: {
      'http.request.method': request.method,
      ...(route === undefined ? {} : { 'http.route': route }),
      'http.response.status_code': reply.statusCode,
      'writ.request': request.id,
    },
    error: reply.statusCode >= 500 ? `status ${reply.statusCode}` : null,
  }
}

/** What waits in the queues of tasks and among the dead letters, of all projects together. */
/** Whether requests can be served: each part with its reason if not. The byte store is asked every few seconds only. */
function readiness(on: {
  db: { ping(): Promise<void> }
  blobs: { check(): Promise<void> }
  sequencer: { health: { failing: string | null } }
}) {
  let checked = { at: Number.NEGATIVE_INFINITY, result: Promise.resolve<string | null>(null) }
  const reasonOf = (work: Promise<void>) =>
    work.then(
      () => null,
      (error: Error) => error.message,
    )
  return async (): Promise<Record<string, string | null>> => {
    if (performance.now() - checked.at > 5_000) checked = { at: performance.now(), result: reasonOf(on.blobs.check()) }
    const [database, artifacts] = await Promise.all([reasonOf(on.db.ping()), checked.result])
    return { database, artifacts, log: on.sequencer.health.failing }
  }
}

async function every(ms: number, stop: AbortSignal, log: Logger, work: () => Promise<void>): Promise<void> {
  while (!stop.aborted) {
    await work().catch((err) => log.warn({ err }, 'a chore failed and will be tried again'))
    await sleep(ms, undefined, { signal: stop }).catch(() => {})
  }
}
