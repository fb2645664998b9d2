import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditEventType } from '@writ/api'
import {
  addSignatures,
  cosignersOf,
  formatSubmission,
  meetsQuorum,
  type NoteSignature,
  type Policy,
  type PolicyWitness,
  parseNote,
  parsePolicy,
  parseSignatures,
  proveConsistency,
  SIGNATURE_COSIGNATURE,
  type Signer,
  toBase64,
  verifyNote,
} from '@writ/tlog'
import { type Clock, rfc3339 } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import type { Logger } from '../platform/log.ts'
import { createTrouble } from '../platform/trouble.ts'
import { tilesOf } from './anchored.ts'
import { append, SYSTEM } from './append.ts'
import { openNote } from './continuation.ts'
import { type AuditFolders, keepBeside, openLogReader } from './folders.ts'
import { CHECKPOINT, COSIGNED_CHECKPOINT } from './log-store.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import type * as store from './store.ts'
import * as logRows from './store-logs.ts'
import { submitTo, WitnessFailed } from './witness-client.ts'

// Witnesses are asked in the background, after a checkpoint was published: a witness that is away holds up nothing. What
// they signed is kept beside `checkpoint`, so that a reader never waits for them either. Each is asked about each log by itself: one
// that takes its time holds up neither the others nor what it is asked of other logs.

/** How it stands with a witness. */
export interface WitnessHealth {
  readonly name: string
  /** `away`: it does not answer; `refused`: it answered that it will not sign. */
  readonly state: 'ok' | 'away' | 'refused'
  readonly reason: string | null
  /** By how many milliseconds the time of its last cosignature is ahead of ours; null if the clocks agree. */
  readonly ahead: number | null
  /** Milliseconds that it took for its last answer, if those were many. */
  readonly took: number | null
}

export interface Witnesses {
  /** Asks until stopped; one process in the world does. */
  run(signal: AbortSignal): Promise<void>
  readonly health: { readonly witnesses: readonly WitnessHealth[]; readonly unanchored: number }
  /** Root of the newest cosigned checkpoint of the instance log, base64; undefined while there is none. */
  newestRoot(): string | undefined
  /** The policy's witnesses who signed a note that was kept here; empty without a policy. */
  cosignersOf(note: string): Promise<{ name: string; time: string }[]>
}

/** A witness that takes longer for an answer is told of. */
const SLOW_MS = 3_000
/** One that was slow, or whose clock differed, is asked once more after so long although nothing is new: it may be well by now. */
const DOUBTED_MS = 60_000
/** Logs that one witness is asked about at the same time. */
const AT_ONCE = 8
const FIRST_DELAY_MS = 1_000
const LONGEST_DELAY_MS = 300_000
/** Clocks that differ by more say so. A cosignature of whatever time counts: which of the two is wrong is not known. */
const TOLERATED_MS = 5 * 60_000
/** Failures in a row after which a witness counts as away. */
const AWAY_AFTER = 3

/** Loads the witness policy of a file. Throws a sentence for whoever configured it. */
export async function loadWitnessPolicy(file: string): Promise<Policy> {
  let policy: Policy
  try {
    policy = parsePolicy(await readFile(file, 'utf8'), sha256)
  } catch (cause) {
    throw new Error(`WRIT_WITNESS_POLICY ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  const reachable = policy.witnesses.filter((witness) => witness.url !== undefined)
  for (const { name, url } of reachable)
    if (!URL.canParse(url!) || !/^https?:/.test(url!))
      throw new Error(`WRIT_WITNESS_POLICY ${file}: the address of ${name} is not an http(s) URL`)
  const signers = reachable.map(({ keyName, keyId }): Signer => ({ name: keyName, keyId, type: SIGNATURE_COSIGNATURE }))
  if (!meetsQuorum(policy, signers))
    throw new Error(`WRIT_WITNESS_POLICY ${file}: its quorum needs witnesses that it gives no address for`)
  return policy
}

/** Failures in a row, and when it is worth another try: by the steady clock, or one that is set back would silence a witness. */
interface Patience {
  failures: number
  retryAt: number
}

interface Asked extends PolicyWitness, Patience {
  state: WitnessHealth['state']
  reason: string | null
  ahead: number | null
  took: number | null
  /** When its newest answer came, by the steady clock. */
  answeredAt: number
  /** When the newest failure was counted: what was asked before it failed with it. */
  failedAt: number
  /** Logs about which it is to be asked, by origin, the longest waiting first; and those about which it is being asked. */
  readonly waiting: Set<string>
  readonly asking: Set<string>
  /** What it cosigned last of each log, as far as it told us. */
  readonly last: Map<string, number>
  /** Logs of which it will not sign the newest state, by origin. They wait by themselves: it may know the others. */
  readonly refusals: Map<string, Patience & { reason: string }>
}

/** A state of a log that is shown to witnesses, and what of its cosignatures is here. */
interface Target {
  readonly row: store.Log
  readonly checkpoint: string
  readonly text: string
  readonly size: number
  note: string
  /** Names of the witnesses that have signed it. */
  readonly signed: Set<string>
  /** Whether that is enough for the policy. */
  met: boolean
}

export function createWitnesses(options: {
  db: Database
  clock: Clock
  log: Logger
  folders: AuditFolders
  policy: Policy | undefined
  /** Whether the logs of projects are shown to witnesses too. */
  projects: boolean
  intervalMs: number
}): Witnesses {
  const { db, clock, log, folders, policy } = options
  const asked: Asked[] = (policy?.witnesses ?? [])
    .filter((witness) => witness.url !== undefined)
    .map((witness) => ({
      ...witness,
      failures: 0,
      retryAt: 0,
      state: 'ok',
      reason: null,
      ahead: null,
      took: null,
      answeredAt: 0,
      failedAt: 0,
      waiting: new Set(),
      asking: new Set(),
      last: new Map(),
      refusals: new Map(),
    }))
  /** By origin. */
  const targets = new Map<string, Target>()
  /**
   * Entries of each log, by origin, for which the kept file has the quorum's signatures. Not forgotten with its log: who was asked
   * about an older state may still answer.
   */
  const kept = new Map<string, number>()
  /** What is being kept of each log, one after the other: a slow witness may come with a state that is no longer the newest. */
  const keeping = new Map<string, Promise<unknown>>()
  /** What is under way, and what went wrong in it: the round after it tells. */
  const underway = new Set<Promise<void>>()
  let broken: unknown[] = []
  let rounds = 0
  /** Origins of the logs that are open. */
  let open = new Set<string>()
  let newest: string | undefined
  let unanchored = policy ? 0 : -1

  /** Sees that every witness that is due is asked about every log that moved, and waits for none. */
  async function round(by: Policy, signal: AbortSignal): Promise<void> {
    const logs = await db.sequence(async (tx) => [
      ...(await logRows.listOpenLogs(tx)),
      ...(await logRows.listHalfCosigned(tx)),
    ])
    open = new Set(logs.filter(({ closed_at }) => closed_at === null).map(({ origin }) => origin))
    await forgetBut(new Set(logs.map(({ origin }) => origin)))
    const shown = logs.filter((row) => row.project_id === INSTANCE || options.projects)
    // Another one first each time: where eight are never answered, the ninth has its turn.
    const first = rounds++ % Math.max(1, shown.length)
    for (const row of [...shown.slice(first), ...shown.slice(0, first)])
      await show(row, by).catch((error) => broken.push(error))
    for (const one of asked) {
      if (isDoubted(one)) askAgain(one)
      askOn(one, by, signal)
    }
    await refresh()
    const [trouble] = broken
    broken = []
    if (trouble !== undefined) throw trouble
  }

  /** What was refused of a log that has been closed since is no alarm any more, and nothing is kept of one that is not asked about. */
  async function forgetBut(shown: ReadonlySet<string>): Promise<void> {
    for (const map of [targets, ...asked.flatMap(({ last, refusals, waiting }) => [last, refusals, waiting])])
      for (const origin of map.keys()) if (!shown.has(origin)) map.delete(origin)
    for (const one of asked) if (one.state === 'refused') await tellRefusals(one)
  }

  /** Takes up the newest checkpoint of a log, and puts it before the witnesses that have not signed it and are due. */
  async function show(row: store.Log, by: Policy): Promise<void> {
    const reader = await openLogReader(folders, row.project_id, row.shard)
    try {
      const checkpoint = Buffer.from((await reader.read(CHECKPOINT)) ?? '').toString()
      const at = openNote(checkpoint)
      if (!at || at.size === 0) return
      const { text } = parseNote(checkpoint)
      const known = targets.get(row.origin) ?? (await recall(row, reader, by))
      const target =
        known?.text === text || (known && isCollecting(known))
          ? known
          : { row, checkpoint, text, size: at.size, note: checkpoint, signed: new Set<string>(), met: false }
      targets.set(row.origin, target)
      for (const one of asked) if (!target.signed.has(one.name) && isDue(one, row.origin)) one.waiting.add(row.origin)
    } finally {
      await reader.close()
    }
  }

  const isDue = (one: Asked, origin: string): boolean =>
    one.retryAt <= clock.steady() && (one.refusals.get(origin)?.retryAt ?? 0) <= clock.steady()

  /** Whether something is told of it that only its next answer can end. */
  const isDoubted = (one: Asked): boolean =>
    (one.ahead !== null || one.took !== null) && one.answeredAt + DOUBTED_MS <= clock.steady()

  /** About one log that it has signed; if it has anything to sign, that will tell as much. */
  function askAgain(one: Asked): void {
    if (one.waiting.size + one.asking.size > 0) return
    for (const [origin, { signed }] of targets)
      if (signed.has(one.name) && open.has(origin)) return void one.waiting.add(origin)
  }

  /**
   * Whether a state goes on collecting although there is a newer one: some have signed it or are about to, and with others it may be
   * enough. Were each shown what is newest when it has time, slow ones would never sign the same.
   */
  const isCollecting = ({ row: { origin }, signed, met }: Target): boolean =>
    !met &&
    (asked.some((one) => one.asking.has(origin)) ||
      (signed.size > 0 && asked.some((one) => !signed.has(one.name) && isDue(one, origin))))

  /** What an earlier process left: the cosigned checkpoint, which may be newer than the row says. */
  async function recall(
    row: store.Log,
    reader: { read(path: string): Promise<Uint8Array | null> },
    by: Policy,
  ): Promise<Target | undefined> {
    const note = Buffer.from((await reader.read(COSIGNED_CHECKPOINT)) ?? '').toString()
    const at = openNote(note)
    if (!at) return undefined
    const verified = await verifyNote(parseNote(note), trustOf(by))
    if (!verified.ok) return undefined
    const met = meetsQuorum(by, verified.signers)
    if (at.size > row.cosigned_size && met) await db.sequence((tx) => logRows.setCosigned(tx, row, note, at.size))
    if (met) kept.set(row.origin, at.size)
    const names = cosignersOf(by, verified.signers).map(({ name }) => name)
    for (const one of asked) if (names.includes(one.name)) one.last.set(row.origin, at.size)
    const { text } = parseNote(note)
    return { row, checkpoint: note, text, size: at.size, note, signed: new Set(names), met }
  }

  /** Asks a witness about the logs that wait for it, as many at once as it is to be trusted with. */
  function askOn(one: Asked, by: Policy, signal: AbortSignal): void {
    for (const origin of one.waiting) {
      if (signal.aborted || one.asking.size >= AT_ONCE) return
      if (one.asking.has(origin)) continue
      one.waiting.delete(origin)
      const target = targets.get(origin)
      if (!target || (target.signed.has(one.name) && !isDoubted(one)) || !isDue(one, origin)) continue
      one.asking.add(origin)
      const work = collect(one, target, by, signal)
        .catch((error) => void (signal.aborted || broken.push(error)))
        .finally(() => {
          one.asking.delete(origin)
          underway.delete(work)
          askOn(one, by, signal)
        })
      underway.add(work)
    }
  }

  /** Asks one witness about one state, and keeps its cosignature with those of the others. */
  async function collect(one: Asked, target: Target, by: Policy, signal: AbortSignal): Promise<void> {
    const { row } = target
    const reader = await openLogReader(folders, row.project_id, row.shard)
    const lines = await ask(one, target, tilesOf(reader), signal).finally(() => reader.close())
    // Asked once more, it has signed before: the earlier time says more.
    if (lines.length === 0 || signal.aborted || target.signed.has(one.name)) return
    target.note = addSignatures(target.note, lines)
    target.signed.add(one.name)
    const before = keeping.get(row.origin) ?? Promise.resolve()
    const now = before.then(() => keep(target, by, signal))
    const settled = now.catch(() => {}).finally(() => keeping.get(row.origin) === settled && keeping.delete(row.origin))
    keeping.set(row.origin, settled)
    await now
  }

  async function keep(target: Target, by: Policy, signal: AbortSignal): Promise<void> {
    const { row, note, size } = target
    if (signal.aborted || size < (kept.get(row.origin) ?? 0)) return
    const verified = await verifyNote(parseNote(note), trustOf(by))
    if (!verified.ok || !meetsQuorum(by, verified.signers)) return
    target.met = true
    kept.set(row.origin, size)
    // File first: it is what outsiders read. Stopped in between, the next start finds the row behind and fills it in.
    await keepBeside(folders, row, COSIGNED_CHECKPOINT, note)
    await db.sequence((tx) => logRows.setCosigned(tx, row, note, size))
  }

  /** Asks one witness for its cosignature of a checkpoint. Empty if there is none to be had now; the reason is noted. */
  async function ask(
    one: Asked,
    { row, checkpoint, size }: Target,
    readTile: ReturnType<typeof tilesOf>,
    signal: AbortSignal,
  ): Promise<NoteSignature[]> {
    const { origin } = row
    const began = clock.steady()
    try {
      // The second try is for a witness that remembers another size than we believed, the third for one that moved meanwhile.
      for (let tries = 1; ; tries++) {
        const old = one.last.get(origin) ?? 0
        const proof =
          old === 0 || old === size ? [] : await proveConsistency({ from: old, to: size, readTile, hash: sha256 })
        const submission = formatSubmission({ old, proof, checkpoint })
        const { status, body, took } = await submitTo(one.url!, submission, { signal, now: clock.now })
        one.answeredAt = clock.steady()
        compareTimes(one, took)
        if (status === 200) {
          const lines = await goodLines(one, checkpoint, body)
          one.last.set(origin, size)
          one.refusals.delete(origin)
          await answered(one)
          return lines
        }
        if (status !== 409 || tries === 3) return await refused(one, row, status, body)
        const theirs = /^(0|[1-9]\d{0,15})\n$/.exec(body)
        if (!theirs) return await refused(one, row, status, 'without the size that it cosigned last')
        if (Number(theirs[1]) > size)
          return await refused(one, row, status, `it has cosigned ${theirs[1]} entries, this log has ${size}`)
        one.last.set(origin, Number(theirs[1]))
      }
    } catch (error) {
      // We are to stop, and it is not to blame.
      if (!signal.aborted) await failed(one, error, began)
      return []
    }
  }

  function compareTimes(one: Asked, took: number): void {
    const before = one.took
    one.took = took > SLOW_MS ? took : null
    if (before === null && one.took !== null)
      log.warn({ witness: one.name, seconds: Math.round(took / 1_000) }, 'a witness is slow')
  }

  async function goodLines(one: Asked, checkpoint: string, body: string): Promise<NoteSignature[]> {
    const { text } = parseNote(checkpoint)
    const ours = parseSignatures(body).filter((line) => line.name === one.keyName && line.keyId === one.keyId)
    const trust = { vkeys: [one.vkey], hash: sha256, verify: verifyEd25519 }
    const verified = ours.length === 0 ? null : await verifyNote({ text, signatures: ours }, trust)
    if (!verified?.ok) throw new Error('its answer holds no good signature by its key')
    compareClocks(one, verified.signers[0]!.time! * 1_000)
    return ours.slice(0, 1)
  }

  function compareClocks(one: Asked, time: number): void {
    const ahead = time - clock.now()
    const before = one.ahead
    one.ahead = Math.abs(ahead) > TOLERATED_MS ? ahead : null
    if ((before === null) === (one.ahead === null)) return
    const facts = { witness: one.name, seconds_ahead: Math.round(ahead / 1_000) }
    if (one.ahead === null) log.info(facts, 'the clocks of a witness and of this server agree again')
    else log.warn(facts, 'the clocks of a witness and of this server differ')
  }

  async function refused(one: Asked, row: store.Log, status: number, body: string): Promise<NoteSignature[]> {
    const before = one.refusals.get(row.origin) ?? { failures: 0, retryAt: 0 }
    one.refusals.set(row.origin, {
      ...later(before),
      reason: `${status} for ${row.origin}: ${body.trim().slice(0, 200)}`,
    })
    await answered(one)
    return []
  }

  /** It is there. A log that it refuses is an alarm as long as it does, whatever it signs of others. */
  async function answered(one: Asked): Promise<void> {
    one.failures = 0
    one.retryAt = 0
    await tellRefusals(one)
  }

  /** Of the logs that are open: nobody will make a witness know one that is closed. */
  async function tellRefusals(one: Asked): Promise<void> {
    const reasons = [...one.refusals].filter(([origin]) => open.has(origin)).map(([, { reason }]) => reason)
    await setState(one, reasons.length > 0 ? 'refused' : 'ok', reasons.slice(0, 3).join('; ') || null)
  }

  async function failed(one: Asked, error: unknown, began: number): Promise<void> {
    // Of what was asked at the same time one failure counts.
    if (one.failures > 0 && began <= one.failedAt) return
    const reason = error instanceof Error ? error.message : String(error)
    const askedMs = error instanceof WitnessFailed ? error.askedMs : 0
    Object.assign(one, later(one))
    one.failedAt = clock.steady()
    one.retryAt = Math.max(one.retryAt, one.failedAt + askedMs)
    if (one.failures === 1) log.warn({ witness: one.name, reason }, 'a witness did not answer')
    // It will be gone for longer than one that says nothing: nobody has to find that out three times.
    if (one.failures >= AWAY_AFTER || askedMs > LONGEST_DELAY_MS) await setState(one, 'away', reason)
  }

  function later(before: Patience): Patience {
    const failures = before.failures + 1
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** before.failures)
    return { failures, retryAt: clock.steady() + delay * (0.75 + Math.random() / 4) }
  }

  /** Alarms when a witness is lost, and says when it is back: once each, in the log of the instance too. */
  async function setState(one: Asked, state: WitnessHealth['state'], reason: string | null): Promise<void> {
    const before = one.state
    one.state = state
    one.reason = reason
    if (state === before) return
    const facts = { witness: one.name, url: one.url, reason }
    if (state === 'ok') log.info(facts, 'a witness is back')
    else log.error(facts, state === 'away' ? 'a witness is away' : 'a witness refuses to sign')
    const type: AuditEventType = state === 'ok' ? 'witness.back' : state === 'away' ? 'witness.away' : 'witness.refused'
    await inProject(INSTANCE, () =>
      db.write((tx) =>
        append(tx, clock.now(), SYSTEM, {
          type,
          resource: { type: 'witness', id: one.vkey },
          action: `Witness ${one.name}: ${state}`,
          details: { name: one.name, url: one.url ?? null, reason },
          success: state === 'ok',
          ...(reason === null ? {} : { error: reason }),
        }),
      ),
    )
  }

  /** What this process answers with, also when another one does the asking. */
  async function refresh(): Promise<void> {
    const instance = await db.sequence((tx) => logRows.findOpenLogOf(tx, INSTANCE))
    if (!instance) return
    const at = instance.cosigned === null ? undefined : openNote(instance.cosigned)
    newest = at && toBase64(at.root)
    unanchored = instance.size - (at?.size ?? 0)
  }

  async function lead(by: Policy, signal: AbortSignal): Promise<void> {
    const leadership = await db.lead('witnesses', signal)
    const stop = AbortSignal.any([signal, leadership.lost])
    for (const map of [targets, kept, keeping, ...asked.map(({ waiting }) => waiting)]) map.clear()
    const trouble = createTrouble(log, { stopped: 'witnesses are not asked', again: 'witnesses are asked again' })
    try {
      while (!stop.aborted) {
        await round(by, stop).then(trouble.over, trouble.met)
        await sleep(options.intervalMs, undefined, { signal: stop }).catch(() => {})
      }
    } finally {
      await Promise.allSettled(underway)
      await leadership.release()
    }
  }

  return {
    async run(signal) {
      if (!policy || asked.length === 0) return
      const trouble = createTrouble(log, {
        stopped: 'the newest cosigned checkpoint is not read',
        again: 'the newest cosigned checkpoint is read again',
      })
      const following = (async () => {
        while (!signal.aborted) {
          await refresh().then(trouble.over, trouble.met)
          await sleep(options.intervalMs, undefined, { signal }).catch(() => {})
        }
      })()
      while (!signal.aborted)
        await lead(policy, signal).catch((err) => signal.aborted || log.warn({ err }, 'lost the witnesses'))
      await following
    },
    health: {
      get witnesses() {
        return asked.map(({ name, state, reason, ahead, took }) => ({ name, state, reason, ahead, took }))
      },
      get unanchored() {
        return unanchored
      },
    },
    newestRoot: () => newest,
    async cosignersOf(note) {
      if (!policy) return []
      const verified = await verifyNote(parseNote(note), trustOf(policy))
      if (!verified.ok) return []
      return cosignersOf(policy, verified.signers).map(({ name, time }) => ({ name, time: rfc3339(time * 1_000) }))
    },
  }
}

const trustOf = (policy: Policy) => ({
  vkeys: policy.witnesses.map((witness) => witness.vkey),
  hash: sha256,
  verify: verifyEd25519,
})
