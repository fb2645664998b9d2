import { spanOfAttempt, spanOfTask } from './app-spans.ts'
import type { Attest } from './audit/index.ts'
import type { Config } from './config.ts'
import { createDispatchMetrics } from './doors/index.ts'
import { createSeal, deriveKey, type loadSecretKey } from './identity/index.ts'
import { countedUntil, createCounter } from './insight/index.ts'
import { createJudgeThread, createProofKind } from './kinds/proof/index.ts'
import {
  builtinHandlers,
  createBacklog,
  createEager,
  createEndStopped,
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
  createTaskRetention,
  createTasks,
  createWorkers,
  type Eager,
  type Ending,
  type Handler,
  openHandlerFolder,
  openSandbox,
} from './kinds/task/index.ts'
import type { Blobs } from './platform/blobs/index.ts'
import type { Clock } from './platform/clock.ts'
import type { Database } from './platform/db/index.ts'
import type { EgressOf } from './platform/egress.ts'
import type { Logger } from './platform/log.ts'
import type { Metrics } from './platform/metrics.ts'
import type { Tracing } from './platform/tracing.ts'
import { observed, openQueue } from './queue/index.ts'
import { createCheckLane, createWaiting, createWorker, fireTimers, type Worker } from './runs/index.ts'
import { createScheduler } from './schedules/index.ts'

const POLL_MS = 200
/** How often what has ended is counted for insight. */
const COUNT_MS = 5_000
/** How often the workers of a task may be lost. */
const MAX_LOST = 10
/** How long work that was told to stop is waited for. */
const PATIENCE_MS = 1_000

/** Opens what accepts, keeps, claims, does and settles runs and tasks. Starts nothing yet. */
export async function openEngine(on: {
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly db: Database
  readonly blobs: Blobs
  readonly egressOf: EgressOf
  readonly secretKeys: Awaited<ReturnType<typeof loadSecretKey>>
  readonly metrics: Metrics
  readonly tracing: Tracing
  readonly attest: Attest
  readonly notBefore: () => string | undefined
  readonly leaseMs: number
  readonly testHandlers: readonly Handler[] | undefined
}) {
  const { config, log, clock, db, blobs, egressOf, secretKeys, metrics, tracing, attest, leaseMs } = on
  const judges = createJudgeThread()
  const kinds = new Map([createProofKind({ blobs, clock, judges })].map((kind) => [kind.name, kind]))
  const waiting = createWaiting(metrics.runsSettled)
  let trouble: string | null = null
  const ours = createTaskMetrics(metrics.registry, {
    now: clock.now,
    redis: config.queueBackend === 'redis',
    backlog: () => backlog(),
  })
  const opened = await openQueue(db, {
    backend: config.queueBackend,
    redisUrl: config.redisUrl,
    clock,
    log: log.child({ part: 'queue' }),
    health: (reason) => {
      trouble = reason
    },
    refused: ours.redisRefused,
  })
  const backlog = createBacklog(db, opened)
  const queue = observed(opened, ours.batch)
  const executing = {
    db,
    queue,
    blobs,
    clock,
    log: log.child({ part: 'worker' }),
    kinds,
    attest,
    leaseMs,
    timeoutSeconds: config.runTimeoutSeconds,
    maxDeliveries: 10,
    notBefore: on.notBefore,
    settled: waiting.settled,
  }
  const feishu = createFeishu({
    db,
    clock,
    egressOf,
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
  const { scriptsDir, scriptsNetwork, scriptsSandbox } = config.dispatch
  const sandbox = scriptsDir === undefined ? null : await openSandbox(scriptsSandbox)
  const scripts =
    scriptsDir === undefined || sandbox === null
      ? null
      : createScripts({ ...scriptLimits, dir: scriptsDir, network: scriptsNetwork }, sandbox)
  const handlers = createHandlers(
    [...builtinHandlers({ clock, egressOf, feishu, scripts, scriptLimits }), ...(on.testHandlers ?? [])],
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
  const addresses = createHttpHandlers({ egressOf, seal: createSeal(secretKeys, 'http handlers'), clock })
  const switches = createSwitches(db)
  // Before anything is claimed.
  await switches.refresh()
  let eager: Eager | undefined
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
    eager: () => eager,
  })
  const settledTask = (runId: string, state: Ending['state']) => waiting.settled(runId, 'task', state)
  const taskLog = log.child({ part: 'tasks' })
  const observe: NonNullable<Parameters<typeof createTaskLane>[0]['observe']> = {
    started: documented.started,
    ended(done) {
      const { row, startedAt, endedAt, ending } = done
      documented.ended(row.queue, row.handler, (endedAt - startedAt) / 1_000, ending.errorCode)
      ours.ended(ending.state)
      tracing.record(() => spanOfAttempt(done))
    },
    settled(row, ending, at) {
      tracing.record(() => spanOfTask(row, ending, at))
      // Somebody has to look at it, and may have no more than the log. What ended well is counted.
      if (ending.state === 'failed' || ending.state === 'timeout')
        taskLog.info(
          {
            run: row.id,
            number: row.number,
            handler: row.handler,
            queue: row.queue,
            state: ending.state,
            code: ending.errorCode,
            trace: row.trace_id,
          },
          'task is a dead letter',
        )
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
    tracing,
    pollMs: POLL_MS,
  })
  const counter = createCounter({ db, clock, log: log.child({ part: 'insight' }), pollMs: COUNT_MS })
  const taskLane = createTaskLane({
    ...executing,
    log: taskLog,
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
  })
  const worker: Worker = createWorker({
    db,
    queue,
    clock,
    log: executing.log,
    lanes: [createCheckLane(executing, 4, () => worker.wake()), taskLane],
    elsewhere: workers.wake,
    endStopped: createEndStopped({ db, queue, clock, log: taskLog, settled: settledTask, observe }),
    async timers() {
      await fireTimers(executing, tasks.fireTimer)
      await tasks.admitDue()
    },
    clockSet: tasks.clockSet,
    leaseMs,
    pollMs: POLL_MS,
    graceMs: config.shutdownGraceSeconds * 1_000,
  })
  if (config.roles.includes('worker')) eager = createEager({ queue, worker, lane: taskLane })

  return {
    // Who asked for a tier knows what it holds; nobody asked for the lesser one.
    notes: sandbox?.tier === 'process' && scriptsSandbox === undefined ? [sandbox.note] : [],
    kinds,
    waiting,
    queue,
    feishu,
    scripts,
    payloads,
    tasks,
    workers,
    worker,
    scheduler,
    counter,
    retention: createTaskRetention({ db, blobs, clock, countedUntil }),
    folder,
    refresh: switches.refresh,
    /** Why the queue is slower than it could be, if it is. */
    degraded: (): Record<string, string> => (trouble === null ? {} : { queue: trouble }),
    async closeQueues() {
      await pool?.close()
      await queue.close()
    },
    judges,
  }
}
