import { type Attest, append, SYSTEM } from '../audit/index.ts'
import type { Blobs } from '../platform/blobs/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, inProject, type Tx } from '../platform/db/index.ts'
import type { Logger } from '../platform/log.ts'
import { redactor } from '../platform/redact/index.ts'
import type { Lease, Queue } from '../queue/index.ts'
import type { Outcome, RunKind } from './kind.ts'
import { isFinal, requireMove } from './run.ts'
import { type Ending, endingOf, type StoredReport, settleRun } from './settle.ts'
import * as store from './store.ts'
import type { Waiting } from './waiting.ts'

export interface Executing {
  readonly db: Database
  readonly queue: Queue
  readonly blobs: Blobs
  readonly clock: Clock
  readonly log: Logger
  readonly kinds: ReadonlyMap<string, RunKind>
  readonly attest: Attest
  readonly leaseMs: number
  readonly timeoutSeconds: number
  /** A run that was claimed this often without ever settling is failed: it takes its workers down. */
  readonly maxDeliveries: number
  /** Root of the newest checkpoint that witnesses cosigned, if there is one: no run began before it. */
  notBefore?(): string | undefined
  /** After the commit: who waits hears of it. */
  readonly settled: Waiting['settled']
}

type Begun = {
  run: store.RunRow
  kind: RunKind
  evidence: store.ArtifactRow[]
  earlier: Record<string, unknown> | null
}

/**
 * The life of one claimed run, as a pipeline: begin, do the work under its lease and time limit, keep the report, settle.
 *
 * Stopped after `begin`: the lease runs out, another worker finds the run running, takes it back to pending and goes on.
 * Stopped after the report was stored: a blob that nothing names. Stopped after `settle`: settled; whoever waits polls.
 */
export async function executeRun(on: Executing, claim: Lease, stop: AbortSignal): Promise<void> {
  await inProject(claim.project, async () => {
    const begun = await on.db.write((tx) => begin(tx, on, claim))
    if (!begun) return
    const { ending, outcome, lost } = await work(on, claim, begun, stop)
    if (lost) return on.log.warn({ run: claim.runId, fence: claim.fence }, 'lease lost, nothing settled')
    if (!ending) {
      await on.db.write((tx) => handBack(tx, on, claim, begun.run))
      return
    }
    const report =
      outcome?.type === 'completed' && outcome.report ? await keepReport(on, claim.project, outcome.report) : null
    const done = await on.db.write((tx) => settle(tx, on, claim, ending, outcome, report))
    if (!done) return on.log.warn({ run: claim.runId, fence: claim.fence }, 'lease lost, nothing settled')
    on.log.info(
      { run: claim.runId, kind: begun.run.kind, state: ending.state, verdict: ending.verdict ?? null },
      'run settled',
    )
  })
}

async function begin(tx: Tx, on: Executing, claim: Lease): Promise<Begun | null> {
  const now = on.clock.now()
  const run = await store.lockRun(tx, claim.runId)
  const kind = run && on.kinds.get(run.kind)
  if (!run || !kind || isFinal(run.state)) {
    await done(tx, on, claim)
    return null
  }
  if ((await store.countUploads(tx, run.id, now)) > 0) {
    await giveBack(tx, on, claim, now + 500)
    return null
  }
  if (run.state === 'running') await requeue(tx, run, now, 'its worker was lost')
  if (claim.attempt > on.maxDeliveries) {
    await start(tx, on, run, claim.attempt, now)
    await done(tx, on, claim)
    await settleRun(
      tx,
      on,
      { ...run, state: 'running' },
      SYSTEM,
      { state: 'failed', summary: 'Run failed: its workers were lost too often', errorCode: 'DELIVERIES_EXHAUSTED' },
      now,
    )
    return null
  }
  const started = await start(tx, on, run, claim.attempt, now)
  const evidence = await store.listEvidence(tx, run.id)
  const before = run.verifies_run_id === null ? undefined : await store.findRun(tx, run.verifies_run_id)
  const earlier = before?.outputs_manifest ? (JSON.parse(before.outputs_manifest) as Record<string, unknown>) : null
  return { run: started, kind, evidence, earlier }
}

async function start(tx: Tx, on: Executing, run: store.RunRow, attempt: number, now: number): Promise<store.RunRow> {
  requireMove('pending', 'running')
  const change = {
    state: 'running',
    waiting_for: null,
    attempt,
    started_at: run.started_at ?? now,
    // Until now that was the end of the wait for evidence.
    timeout_at: now + on.timeoutSeconds * 1_000,
    updated_at: now,
  } as const
  await store.updateRun(tx, run.id, change)
  await append(tx, now, SYSTEM, {
    type: 'run.started',
    resource: { type: 'run', id: run.id, number: run.number },
    action: 'Run status updated to running',
    details: { ticket_id: run.ticket_id, exit_code: null, attempt },
    ckpt: on.notBefore?.(),
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
  })
  return { ...run, ...change }
}

async function requeue(tx: Tx, run: store.RunRow, now: number, why: string): Promise<void> {
  requireMove('running', 'pending')
  await store.updateRun(tx, run.id, { state: 'pending', updated_at: now })
  await append(tx, now, SYSTEM, {
    type: 'run.requeued',
    resource: { type: 'run', id: run.id, number: run.number },
    action: `Run put back: ${why}`,
    details: { ticket_id: run.ticket_id, attempt: run.attempt },
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
  })
}

/** Ends the lease and the entry with it. False if the lease was lost: then nothing may be settled. */
const done = async (tx: Tx, on: Executing, claim: Lease): Promise<boolean> =>
  (await on.queue.settle(tx, [{ runId: claim.runId, fence: claim.fence, next: 'done' }]))[0]!

/** Hands a claimed run back, uncounted, to be claimed at `runAt`. */
const giveBack = async (tx: Tx, on: Executing, claim: Lease, runAt: number): Promise<boolean> =>
  (await on.queue.settle(tx, [{ runId: claim.runId, fence: claim.fence, next: 'back', runAt }]))[0]!

async function handBack(tx: Tx, on: Executing, claim: Lease, run: store.RunRow): Promise<void> {
  const now = on.clock.now()
  if (await giveBack(tx, on, claim, now)) await requeue(tx, run, now, 'the server is stopping')
}

/** Runs the kind under its limit, with the lease kept alive. No ending: the server stops, and the run goes back. */
async function work(
  on: Executing,
  claim: Lease,
  begun: Begun,
  stop: AbortSignal,
): Promise<{ ending: Ending | null; outcome: Outcome | null; lost: boolean }> {
  const limit = new AbortController()
  const lease = new AbortController()
  const timer = setTimeout(() => limit.abort(), on.timeoutSeconds * 1_000)
  let safeFrom = performance.now()
  const beat = setInterval(() => {
    const began = performance.now()
    // Not extended for as long as it lasts, it is somebody else's, whether the store says so or nothing at all.
    if (began - safeFrom >= on.leaseMs) lease.abort()
    on.queue
      .extend([claim], on.clock.now() + on.leaseMs)
      .then(({ lost }) => {
        if (lost.length > 0) lease.abort()
        else safeFrom = began
      })
      .catch((err) => on.log.warn({ err, run: claim.runId }, 'lease could not be extended'))
  }, on.leaseMs / 3)
  const signal = AbortSignal.any([limit.signal, lease.signal, stop])
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  aborted.catch(() => {})
  try {
    const working = begun.kind.execute({
      run: begun.run,
      ticketNumber: begun.run.ticket_number,
      evidence: begun.evidence,
      earlier: begun.earlier,
      signal,
    })
    const outcome = await Promise.race([working, aborted])
    return { ending: endingOf(outcome), outcome, lost: lease.signal.aborted }
  } catch (error) {
    if (lease.signal.aborted) return { ending: null, outcome: null, lost: true }
    if (limit.signal.aborted) {
      const stderr = `Execution exceeded timeout of ${on.timeoutSeconds} seconds`
      return {
        ending: { state: 'timeout', summary: 'Run execution timed out', stderr, errorCode: 'RUN_TIMEOUT' },
        outcome: null,
        lost: false,
      }
    }
    if (stop.aborted) return { ending: null, outcome: null, lost: false }
    on.log.error({ err: error, run: claim.runId }, 'run crashed')
    const message = error instanceof Error ? error.message : String(error)
    return {
      ending: { state: 'failed', summary: `Run failed: ${message}`, stderr: message, errorCode: 'RUN_CRASHED' },
      outcome: null,
      lost: false,
    }
  } finally {
    clearTimeout(timer)
    clearInterval(beat)
  }
}

/** Names its run and its time: no other bytes are the same, so nobody removes them. */
async function keepReport(
  on: Executing,
  project: string,
  report: { filename: string; contentType: string; bytes: Uint8Array },
): Promise<StoredReport> {
  const bytes = redactedReport(report)
  const one = async function* () {
    yield bytes
  }
  const { sha256, size } = await on.blobs.put(project, one(), { maxBytes: bytes.length })
  return { filename: report.filename, contentType: report.contentType, sha256, size }
}

/** A report is written by us, so what it quotes is redacted; evidence itself never is. */
function redactedReport(report: { contentType: string; bytes: Uint8Array }): Uint8Array {
  const text = Buffer.from(report.bytes).toString('utf8')
  if (redactor.find(text).length === 0) return report.bytes
  if (report.contentType !== 'application/json') return Buffer.from(redactor.text(text))
  return Buffer.from(`${JSON.stringify(redactor.value(JSON.parse(text)), null, 2)}\n`)
}

async function settle(
  tx: Tx,
  on: Executing,
  claim: Lease,
  ending: Ending,
  outcome: Outcome | null,
  report: StoredReport | null,
): Promise<boolean> {
  if (!(await done(tx, on, claim))) return false
  const now = on.clock.now()
  const run = await store.lockRun(tx, claim.runId)
  if (run?.state !== 'running') throw new Error(`leased run ${claim.runId} is ${run?.state ?? 'gone'}`)
  for (const file of outcome?.type === 'completed' ? outcome.verified : []) {
    await append(tx, now, SYSTEM, {
      type: 'artifact.verified',
      resource: { type: 'artifact', id: file.artifactId, number: file.number },
      action: `Artifact verification: ${file.passed ? 'passed' : 'failed'}`,
      details: { expected_hash: file.expected, computed_hash: file.computed },
      success: file.passed,
      run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
    })
  }
  await settleRun(tx, on, run, SYSTEM, ending, now, report)
  return true
}
