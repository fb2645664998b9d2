import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SelfCheckReport } from '@writ/api'
import {
  type AuditFolders,
  append,
  erasureState,
  findOpenLog,
  replaceFile,
  type Sequencer,
  SYSTEM,
  snapshotLog,
  type VerifyProgress,
} from '../audit/index.ts'
import { listProjects } from '../identity/index.ts'
import { type Clock, rfc3339 } from '../platform/clock.ts'
import { type Database, type DatabaseSettings, INSTANCE, inProject } from '../platform/db/index.ts'
import type { Logger } from '../platform/log.ts'
import { openVerifyProcess, type VerifyProcess } from './verify-process.ts'

const MONTH_MS = 30 * 86_400_000
const SHARE = 0.01

/**
 * How far each project's log is checked, when all of it was last, and what was found wrong and not found right since. Beside the log, not
 * in the database it checks.
 */
type Memory = Record<string, { shard: number; index: number; full_at: number; alarm?: string }>

interface How {
  readonly full: boolean
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: VerifyProgress) => void) | undefined
}

export interface SelfChecker {
  /** Works until stopped: everything new and a hundredth of the old each time, everything once a month. */
  run(signal: AbortSignal): Promise<void>
  /** Checks one project now, when the check under way is done. Rejects when the signal ends it: then nothing was found. */
  check(project: { id: string; slug: string }, how: How): Promise<SelfCheckReport>
  /** What was found wrong and not found right since, by project: for readiness and metrics. */
  readonly alarms: ReadonlyMap<string, string>
  readonly totals: { readonly entries: number; readonly failures: number; readonly finishedAt: number }
}

/**
 * Compares rows, entries, commitments and day files with each other, again and again, in a process of its own. A finding is
 * an event in the log it is about, a line of level error, a metric, and a line in /readyz. It stops nothing: an attacker
 * who edits a row must not be able to end the service by it, and the log is the more needed then.
 */
export function createSelfChecker(on: {
  db: Database
  database: DatabaseSettings
  folders: AuditFolders
  sequencer: Sequencer
  clock: Clock
  log: Logger
  memoryFile: string
  everyMs: number
}): SelfChecker {
  const { db, clock, log, sequencer } = on
  const alarms = new Map<string, string>()
  const totals = { entries: 0, failures: 0, finishedAt: 0 }
  /** A stop does not wait for a million entries: the process is ended, and the next start checks again. */
  let stopping: AbortSignal | undefined
  let working: Promise<unknown> = Promise.resolve()

  async function check(
    project: { id: string; slug: string },
    { full: asked, onProgress }: How,
    verifier: VerifyProcess,
  ): Promise<SelfCheckReport> {
    // Anew: another process may have checked since.
    const before = (await load(on.memoryFile))[project.id] ?? { shard: 0, index: 0, full_at: 0 }
    // A check that does not look where the fault was would pass, and end an alarm of which nothing is repaired.
    const full = asked || before.alarm !== undefined
    const slug = project.id === INSTANCE ? undefined : project.slug
    const look = async () => {
      await sequencer.settle()
      const { shard, checkpoint: recorded } = (await inProject(project.id, () => db.read(findOpenLog)))!
      const snapshot = await sequencer.hold(async () => ({
        ...(await snapshotLog(on.folders, project.id, shard, slug)),
        recorded,
      }))
      const job = { database: on.database, folders: on.folders, project: project.id, slug, snapshot }
      if (full) {
        const report = await verifier.run({ ...job, kind: 'verify', kept: undefined }, onProgress)
        const fault = report.ok ? null : { ...report, code: report.code ?? '', reason: report.reason ?? '' }
        return { fault, origin: report.origin, entries: report.checked.rows, upTo: { shard, index: report.size } }
      }
      return verifier.run({ ...job, kind: 'self-check', since: before, share: SHARE }, onProgress)
    }
    const state = () => inProject(project.id, () => db.read(erasureState))
    let seen = await state()
    let found = await look()
    // What an erasure changed under our hands is right the next time.
    for (let again = 0; found.fault && again < 3; again++) {
      const now = await state()
      if (now === seen) break
      seen = now
      found = await look()
    }
    totals.entries += found.entries
    totals.finishedAt = clock.now()
    const alarm = await judge(project, found, before.alarm)
    const after = alarm
      ? { ...before, alarm }
      : { ...found.upTo, full_at: full ? clock.now() : before.full_at || clock.now() }
    await mkdir(dirname(on.memoryFile), { recursive: true, mode: 0o700 })
    await replaceFile(on.memoryFile, `${JSON.stringify({ ...(await load(on.memoryFile)), [project.id]: after })}\n`)
    return {
      ok: found.fault === null,
      code: found.fault?.code ?? null,
      reason: found.fault?.reason ?? null,
      index: found.fault?.index ?? null,
      path: found.fault?.path ?? null,
      origin: found.origin,
      project: project.slug,
      full,
      entries: found.entries,
      checked_at: rfc3339(clock.now()),
    }
  }

  async function judge(
    project: { id: string; slug: string },
    {
      fault,
      origin,
    }: {
      fault: { code: string; reason: string; index?: number | null; path?: string | null } | null
      origin: string
    },
    before: string | undefined,
  ): Promise<string | undefined> {
    if (!fault) {
      alarms.delete(project.slug)
      return undefined
    }
    totals.failures++
    const index = fault.index ?? null
    const alarm = `${fault.code}${index === null ? '' : ` at entry ${index}`} of ${origin}: ${fault.reason}`
    log.error(
      { project: project.slug, origin, code: fault.code, index, path: fault.path ?? null },
      'the audit log does not fit its rows or files',
    )
    // One event for one finding; the alarm itself stays until a check passes.
    alarms.set(project.slug, alarm)
    if (before === alarm) return alarm
    await inProject(project.id, () =>
      db.write((tx) =>
        append(tx, clock.now(), SYSTEM, {
          type: 'selfcheck.failed',
          resource: { type: 'log', id: project.id },
          action: `Self-check failed: ${fault.reason}`,
          details: { origin, code: fault.code, index, path: fault.path ?? null },
          success: false,
          error: fault.reason,
        }),
      ),
    )
    return alarm
  }

  /** One after the other: a check by hand waits for the one under way. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    const done = working.then(work, work)
    working = done.catch(() => {})
    return done
  }

  return {
    alarms,
    totals,
    check: (project, how) =>
      alone(async () => {
        // Whoever left while it waited needs no process.
        how.signal?.throwIfAborted()
        const ends = [stopping, how.signal].filter((signal) => signal !== undefined)
        const verifier = openVerifyProcess(AbortSignal.any(ends))
        try {
          return await check(project, how, verifier)
        } finally {
          await verifier.close()
        }
      }),
    async run(signal) {
      stopping = signal
      // The first soon after the start: what was changed while nobody was there is found before an hour is over.
      let wait = Math.min(1_000, on.everyMs)
      while (!signal.aborted) {
        await sleep(wait, undefined, { signal, ref: false }).catch(() => {})
        // Beside another leader the files are not ours to read at rest; that one checks.
        if (signal.aborted) return
        if (!sequencer.health.leading) {
          alarms.clear()
          wait = Math.min(10_000, on.everyMs)
          continue
        }
        wait = on.everyMs
        const verifier = openVerifyProcess(signal)
        const projects = [{ id: INSTANCE, slug: '_instance' }, ...(await listProjects(db).catch(() => []))]
        const memory = await load(on.memoryFile)
        // What was found before this process began, or began to lead, until it is found right.
        for (const { id, slug } of projects) if (memory[id]?.alarm) alarms.set(slug, memory[id].alarm)
        for (const project of projects) {
          if (signal.aborted) break
          const full = clock.now() - (memory[project.id]?.full_at ?? clock.now()) > MONTH_MS
          await alone(() => check(project, { full }, verifier)).catch((err) => {
            if (!signal.aborted)
              log.warn({ err, project: project.slug }, 'a self-check could not be finished and will be tried again')
          })
        }
        await verifier.close()
      }
    },
  }
}

/** Lost or damaged, everything counts as new. */
async function load(file: string): Promise<Memory> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Memory
  } catch {
    return {}
  }
}
