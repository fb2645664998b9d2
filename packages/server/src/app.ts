import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { api, type Endpoint, openapi } from '@writ/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { runChores } from './app-chores.ts'
import { openEngine } from './app-engine.ts'
import { readiness, recogniseStores, witnessLine } from './app-ready.ts'
import { accessOf, headersOf, spanOfRequest } from './app-spans.ts'
import {
  auditFolders,
  databaseSettings,
  recordRedaction,
  sealedColumns,
  setUpRedaction,
  sharedSettings,
  strangeSeals,
} from './app-stores.ts'
import {
  append,
  createSequencer,
  createWitnesses,
  findLogsAhead,
  type Keys,
  LogAheadOfDatabase,
  loadUnfinishedRestore,
  loadWitnessPolicy,
  openKeys,
  RestoreUnfinished,
  requireLog,
  SYSTEM,
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
  webhookHandlers,
} from './channels/index.ts'
import { type Config, isLoopback } from './config.ts'
import { createDispatchDoor, dispatchBody } from './doors/index.ts'
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
  createSealRenewal,
  deriveKey,
  loadSecretKey,
  openIdentity,
  type PasswordCost,
  projectsHandlers,
  relyingPartyOf,
  signingKeyHandlers,
  slugOf,
  tokensHandlers,
  usersHandlers,
} from './identity/index.ts'
import { type Counter, insightHandlers } from './insight/index.ts'
import { rulesHandlers } from './kinds/proof/index.ts'
import {
  concurrencyKeyHandlers,
  deadLetterHandlers,
  type Handler,
  handlerHandlers,
  queueHandlers,
  submitTask,
  type TaskRetention,
  type Tasks,
  taskHandlers,
  workerHandlers,
} from './kinds/task/index.ts'
import { type LiveSettings, liveIn } from './live-settings.ts'
import { AppError } from './platform/app-error.ts'
import { basePathOf } from './platform/base-path.ts'
import { openBlobs } from './platform/blobs/index.ts'
import { type Clock, systemClock } from './platform/clock.ts'
import {
  type Database,
  type DatabaseSettings,
  holdSchema,
  INSTANCE,
  inProject,
  openDatabase,
} from './platform/db/index.ts'
import { createEgressOf } from './platform/egress.ts'
import { serveConsole } from './platform/http/console.ts'
import { createCursors } from './platform/http/cursor.ts'
import { serveDocs } from './platform/http/docs.ts'
import { type Mounting, mount } from './platform/http/mount.ts'
import { createGate, createHttpServer } from './platform/http/server.ts'
import { serveMetrics, serveSystem } from './platform/http/system.ts'
import { lockDataDir } from './platform/lock.ts'
import type { Logger } from './platform/log.ts'
import { createMetrics, whileThere } from './platform/metrics.ts'
import { noTracing, openTracing } from './platform/tracing.ts'
import { artifactHandlers, findTraces, runHandlers } from './runs/index.ts'
import { type Scheduler, scheduleHandlers } from './schedules/index.ts'
import { assetHandlers, countPending, ticketHandlers } from './tickets/index.ts'
import { version } from './version.ts'

export { auditFolders, databaseSettings, sealedColumns } from './app-stores.ts'

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
  readonly retention: TaskRetention
  readonly db: Database
  readonly databaseSettings: DatabaseSettings
}

/** Where `packages/console/build.ts` puts the bundle. */
const CONSOLE = fileURLToPath(new URL('../../console/dist', import.meta.url))
const LEASE_MS = 30_000
/** What a process without the role `api` answers. */
const OPERATIONAL: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics', '/ping'])
/** How often, and how long apart, it is looked whether the log has caught up before something is refused for it. */
const LOG_LOOKS = 8
const LOG_LOOK_MS = 250
const POLL_MS = 200
/** How long, once requests are refused, work is still begun for those that are under way. */
const ANSWER_MS = 2_000

/** The composition root: the only file that knows every feature. Opens all, listens to nothing yet. */
export async function openApp(on: {
  config: Config
  log: Logger
  /** What may change while it runs; as `config` says when left out. */
  live?: { readonly settings: LiveSettings }
  clock?: Clock
  passwordCost?: PasswordCost
  /** Of PostgreSQL: connections for requests and loops together. */
  poolSize?: number
  /** How long a lease lasts that is not extended; half a minute unless a test has no time for that. */
  leaseMs?: number
  /** See `HttpSettings`. */
  leaveMs?: number
  /** Handlers of tests, whose names begin with `test.`; a server that has them is none for people. */
  testHandlers?: readonly Handler[]
}): Promise<App> {
  const { config, log, clock = systemClock, live = { settings: liveIn(config) } } = on
  const has = (role: Config['roles'][number]) => config.roles.includes(role)
  const unfinished = await loadUnfinishedRestore(config.dataDir)
  if (unfinished) throw new RestoreUnfinished(config.dataDir, unfinished)
  const metrics = createMetrics()
  await setUpRedaction(config, metrics.redactions)
  const policy = config.witnessPolicy === undefined ? undefined : await loadWitnessPolicy(config.witnessPolicy)
  const lock = config.database.kind === 'sqlite' ? lockDataDir(config.dataDir) : null
  const settings = { ...databaseSettings(config), ...(on.poolSize ? { poolSize: on.poolSize } : {}) }
  const db = await openDatabase(settings, clock, (servers) =>
    log.warn({ servers }, 'waiting for servers of an older version to stop, to migrate the database'),
  )
  const folders = auditFolders(config)
  // Before anything is written: a database that was put back must not grow a second history.
  const [ahead] = await findLogsAhead(db, folders)
  if (ahead) {
    await db.close()
    lock?.release()
    throw new LogAheadOfDatabase(ahead.project, ahead.published, ahead.stored)
  }
  const shared = config.database.kind === 'sqlite' ? [] : await sharedSettings(config)
  const schema = await holdSchema(settings, shared).catch(async (error: unknown) => {
    await db.close()
    throw error
  })
  const keys = await openKeys(folders.keys, clock.now())
  const attest = createAttest(keys)
  const party = relyingPartyOf(config.publicUrl)
  const basePath = basePathOf(config.publicUrl)
  const blobs = await openBlobs(config.blobs)
  const tracing =
    config.otlpUrl === undefined
      ? noTracing
      : await openTracing({
          url: config.otlpUrl,
          headers: headersOf(config.otlpHeaders?.reveal() ?? ''),
          serviceName: config.otelServiceName,
          version,
          share: config.tracesShare,
          log: log.child({ part: 'tracing' }),
        })
  const idling = new AbortController()
  const stopping = new AbortController()

  const identity = await openIdentity({
    db,
    clock,
    log: log.child({ part: 'identity' }),
    settings: config,
    tracing,
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

  const secretKeys = await loadSecretKey(config)
  const strange = await strangeSeals(db, config, secretKeys)
  if (strange !== null) log.warn({}, strange)
  const seals = createSealRenewal({
    db,
    clock,
    log: log.child({ part: 'seals' }),
    keys: secretKeys,
    columns: sealedColumns,
  })
  metrics.gauge(
    'writ_sealed_under_other_keys',
    'Sealed values that need SECRET_KEY_PREVIOUS, or open no more.',
    () => seals.left,
  )
  metrics.gaugeBy(
    'writ_approvals_pending',
    'What waits for somebody else to decide, by what it is.',
    'subject',
    async () => (await whileThere(countPending(db))) ?? {},
  )
  const egressOf = createEgressOf({ allow: config.egressAllow, loopback: isLoopback(config.host) }, (project) =>
    slugOf(db, project),
  )
  const engine = await openEngine({
    config,
    log,
    clock,
    db,
    blobs,
    egressOf,
    secretKeys,
    metrics,
    tracing,
    attest,
    notBefore: witnesses.newestRoot,
    leaseMs: on.leaseMs ?? LEASE_MS,
    testHandlers: on.testHandlers,
  })
  const { kinds, waiting, queue, feishu, scripts, payloads, tasks, workers, worker, scheduler, counter } = engine

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
      get allowedIps() {
        return live.settings.allowedIps
      },
      trustedProxies: config.trustedProxies,
      corsOrigins: config.corsOrigins,
      rateLimit: config.apiRateLimit,
      bodyLimit: 1024 * 1024,
      basePath,
      leaveMs: on.leaveMs ?? 0,
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
  const { accessLog, serverLogLevel: least = 'info' } = config.dispatch
  const logsRequests = accessLog && ['info', 'debug', 'trace'].includes(least)
  const noteAnswers = (app: FastifyInstance) =>
    app.addHook('onResponse', (request, reply, done) => {
      const route = request.routeOptions.config.id ?? 'other'
      if (logsRequests) httpOn.log.info(accessOf(request, reply), 'request')
      // Probes and scrapes come every few seconds, and would be most of what is collected.
      if (!OPERATIONAL.has(request.routeOptions.url ?? ''))
        tracing.record(() => spanOfRequest(request, reply, clock.now(), tracing.samples))
      metrics.requests.answered(route, request.method, reply.statusCode, reply.elapsedTime / 1_000)
      done()
    })
  noteAnswers(http)

  // What the outside is told: one reader of the logs, one sender, and those who watch.
  const sealed = createSealed(createSeal(secretKeys, 'webhooks'))
  const callbacks = createCallbacks({
    db,
    egressOf,
    sealed,
    keys: secretKeys.filter((key) => key !== undefined).map((key) => deriveKey(key, 'callbacks')),
  })
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
    egressOf,
    mail,
    sealed,
    timeoutMs: config.webhookTimeoutSeconds * 1_000,
    pollMs: POLL_MS,
    alone: lock !== null,
    dispatchBody: (tx, runId) => dispatchBody(tasks, tx, runId),
    tracesOf: findTraces,
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
    whileThere(inProject(INSTANCE, () => db.read(countQueued))),
  )
  const streams = new AbortController()
  const open = new Set<Promise<void>>()

  const mayConnect = createGate(httpOn.settings)
  const watching = {
    db,
    clock,
    log: log.child({ part: 'events' }),
    feed: createFeed({ db, pollMs: 100, sourceOf }),
    stopping: streams.signal,
    heartbeatMs: config.streamHeartbeatSeconds * 1_000,
    publicUrl: config.publicUrl,
    async recheck(request: FastifyRequest) {
      if (!mayConnect(request.clientIp)) throw new AppError('IP_NOT_ALLOWED')
      // Set by `mount` for each of its routes.
      const { id, endpoint } = request.routeOptions.config as { id: string; endpoint: Endpoint }
      const caller = await identity.authenticate(id, endpoint, request)
      authorize(id, endpoint, caller)
      return caller
    },
  }

  async function authenticateWithLog(id: string, e: Endpoint, request: FastifyRequest): Promise<Caller> {
    const caller = await identity.authenticate(id, e, request)
    authorize(id, e, caller)
    for (let look = 1; ; look++) {
      try {
        await inProject(caller.project ?? INSTANCE, () => db.read((tx) => requireLog(tx, clock.now())))
        return caller
      } catch (error) {
        // A clock that was just set ahead makes old what was committed a moment ago, and is about to be published.
        if (look === LOG_LOOKS || !(error instanceof AppError)) throw error
        await sleep(LOG_LOOK_MS)
      }
    }
  }

  const mounting: Mounting<Caller> = {
    db,
    clock,
    prefix: config.apiPrefix,
    cursors: createCursors(identity.cursorSecret),
    authenticate: (id, e, request) =>
      e.needsLog ? authenticateWithLog(id, e, request) : identity.authenticate(id, e, request),
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
    tasks: { start: submitTask.bind(undefined, dispatching), contract: tasks.contract },
    db,
    queue,
    blobs,
    clock,
    kinds,
    attest,
    waiting,
    stopping: streams.signal,
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
  mount(http, 'rules', api.rules, rulesHandlers({ judges: engine.judges, clock }), mounting)
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
      streams: watching,
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
    webhookHandlers({ egressOf, sealed, hasMail: mail !== null, wake: deliverer.wake }),
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
    clock,
    version,
    basePath,
    feishu,
    scripts,
    log: log.child({ part: 'http' }),
    recognise: recogniseStores,
    refused,
    settings: {
      get rateLimit() {
        return live.settings.rateLimit
      },
      retryMax: config.dispatch.retryMax ?? 0,
      logDir: config.dispatch.logDir,
    },
  }
  const door = createDispatchDoor(dispatchOn, mounting)
  await door.serve(http)
  const doorHttp = config.dispatch.port === undefined ? null : await createHttpServer(httpOn)
  if (doorHttp) {
    noteAnswers(doorHttp)
    await door.serve(doorHttp)
    serveMetrics(doorHttp, metrics)
  }
  mount(http, 'insight', api.insight, insightHandlers(), mounting)
  mount(http, 'schedules', api.schedules, scheduleHandlers({ ...dispatching, payloads }), mounting)
  await serveApprovePage(http, { basePath, prefix: config.apiPrefix, passkeyHost: party.id })
  await serveConsole(http, {
    folder: CONSOLE,
    basePath,
    prefix: config.apiPrefix,
    name: config.projectName,
    identityProvider: config.oidcIssuer !== undefined,
    passkeyHost: party.id,
  })
  mount(http, 'privacy', api.privacy, privacyHandlers({ db, sequencer }), mounting)
  mount(http, 'keys', api.keys, keysHandlers({ db, folders, keys }), mounting)
  await serveDocs(
    http,
    () => openapi(api, { title: `${config.projectName} API`, version, server: basePath, prefix: config.apiPrefix }),
    basePath,
    config.apiPrefix,
    config.projectName,
  )
  serveSystem(http, {
    name: config.projectName,
    version,
    docs: `${basePath}${config.apiPrefix}/docs`,
    metrics,
    ready: readiness({ db, blobs, sequencer }),
    degraded: () => ({
      ...Object.fromEntries(witnesses.health.witnesses.flatMap(witnessLine)),
      ...engine.degraded(),
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

  // What begins work: over before the rest, so that what ends within its grace is in the log.
  const work = [
    ...(has('worker') ? [worker, fanOut, deliverer].map((one) => one.run(idling.signal)) : []),
    ...(has('scheduler') ? [scheduler, counter].map((one) => one.run(idling.signal)) : []),
  ]
  const chores = [
    ...work,
    schema.run(stopping.signal),
    ...(has('sequencer') ? [sequencer.run(stopping.signal), witnesses.run(stopping.signal)] : []),
    ...(has('sequencer') && config.selfCheckMinutes > 0 ? [selfChecker.run(stopping.signal)] : []),
    // A process that only accepts tasks knows the contracts too.
    ...(engine.folder ? [engine.folder.run(stopping.signal)] : []),
    ...runChores(
      {
        config,
        log,
        db,
        blobs,
        clock,
        identity,
        sequencer: has('sequencer') ? sequencer : undefined,
        seals,
        retention: engine.retention,
        refreshHandlers: engine.refresh,
      },
      stopping.signal,
    ),
  ]
  const failed = Promise.race([Promise.all(chores).then(() => new Promise<never>(() => {})), db.lost])
  failed.catch(() => {})

  return {
    created,
    keys,
    notes: [...db.notes, ...engine.notes, ...(strange === null ? [] : [strange])],
    failed,
    audit: sequencer,
    tasks,
    scheduler,
    counter,
    retention: engine.retention,
    db,
    databaseSettings: settings,
    async listen() {
      // An older database under a longer log is refused before anybody is served. Beside another leader nothing is ours to
      // check; and what cannot be checked for long, with a database that is away, is not worth waiting for.
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
      // Whoever has not said goodbye by now, a laptop that sleeps, would be waited for half a minute.
      for (const socket of http.websocketServer.clients) socket.terminate()
      const cut = setTimeout(
        () => {
          log.warn('requests that were not over within the grace are cut off')
          for (const { server } of [http, ...(doorHttp ? [doorHttp] : [])]) server.closeAllConnections()
        },
        // Even without one, what is about to be answered is.
        Math.max(1_000, config.shutdownGraceSeconds * 1_000),
      )
      const answered = Promise.all([http.close(), doorHttp?.close()])
      // Somebody may wait for the answer of a task that nobody has begun yet. A client that takes its time must not keep us claiming.
      await Promise.race([answered, sleep(ANSWER_MS, undefined, { ref: false })])
      idling.abort()
      await Promise.all([answered, Promise.allSettled(work)]).finally(() => clearTimeout(cut))
      await identity.close()
      stopping.abort()
      await Promise.allSettled(chores)
      await engine.closeQueues()
      await tracing.stop()
      await engine.judges.close()
      await doors.close()
      await blobs.close()
      await db.close()
      lock?.release()
    },
  }
}
