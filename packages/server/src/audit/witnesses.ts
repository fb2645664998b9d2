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
  parseCheckpoint,
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

// Witnesses are asked in the background, after a checkpoint was published: a witness that is away holds up nothing. What
// they signed is kept beside `checkpoint`, so that a reader never waits for them either.

/** How it stands with a witness. */
export interface WitnessHealth {
  readonly name: string
  /** `away`: it does not answer; `refused`: it answered that it will not sign. */
  readonly state: 'ok' | 'away' | 'refused'
  readonly reason: string | null
  /** By how many milliseconds the time of its last cosignature is ahead of ours; null if the clocks agree. */
  readonly ahead: number | null
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

const TIMEOUT_MS = 10_000
const MAX_ANSWER = 64 * 1024
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

/** Failures in a row, and when it is worth another try. */
interface Patience {
  failures: number
  retryAt: number
}

interface Asked extends PolicyWitness, Patience {
  state: WitnessHealth['state']
  reason: string | null
  ahead: number | null
  /** What it cosigned last of each log, as far as it told us. */
  readonly last: Map<string, number>
  /** Logs of which it will not sign the newest state, by origin. They wait by themselves: it may know the others. */
  readonly refusals: Map<string, Patience & { reason: string }>
}

/** A log's newest checkpoint as far as it was cosigned, and what of it is kept. */
interface Progress {
  note: string
  text: string
  /** Names of the witnesses that have signed `note`. */
  readonly signed: Set<string>
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
      last: new Map(),
      refusals: new Map(),
    }))
  const progress = new Map<string, Progress>()
  /** Origins of the logs that are open. */
  let open = new Set<string>()
  let newest: string | undefined
  let unanchored = policy ? 0 : -1

  /** Asks every witness that is due about every log that moved, once. */
  async function round(by: Policy): Promise<void> {
    const logs = await db.sequence(async (tx) => [
      ...(await logRows.listOpenLogs(tx)),
      ...(await logRows.listHalfCosigned(tx)),
    ])
    open = new Set(logs.filter(({ closed_at }) => closed_at === null).map(({ origin }) => origin))
    await forgetBut(new Set(logs.map(({ origin }) => origin)))
    for (const row of logs) if (row.project_id === INSTANCE || options.projects) await witness(row, by)
    await refresh()
  }

  /** What was refused of a log that has been closed since is no alarm any more, and nothing is kept of one that is not asked about. */
  async function forgetBut(shown: ReadonlySet<string>): Promise<void> {
    for (const kept of [progress, ...asked.flatMap(({ last, refusals }) => [last, refusals])])
      for (const origin of kept.keys()) if (!shown.has(origin)) kept.delete(origin)
    for (const one of asked) if (one.state === 'refused') await tellRefusals(one)
  }

  /** Brings one log before the witnesses that have not signed its newest checkpoint. */
  async function witness(row: store.Log, by: Policy): Promise<void> {
    const reader = await openLogReader(folders, row.project_id, row.shard)
    try {
      const checkpoint = Buffer.from((await reader.read(CHECKPOINT)) ?? '').toString()
      const at = openNote(checkpoint)
      if (!at || at.size === 0) return
      const { text } = parseNote(checkpoint)
      const known = progress.get(row.origin) ?? (await recall(row, reader))
      // A state that was cosigned in part goes on collecting; a newer one begins anew.
      const now: Progress = known?.text === text ? known : { note: checkpoint, text, signed: new Set() }
      progress.set(row.origin, now)
      const moment = clock.now()
      const due = asked.filter(
        (one) =>
          !now.signed.has(one.name) && one.retryAt <= moment && (one.refusals.get(row.origin)?.retryAt ?? 0) <= moment,
      )
      const lines = await Promise.all(due.map((one) => ask(one, row, checkpoint, tilesOf(reader))))
      const good = lines.flat()
      if (good.length === 0) return
      now.note = addSignatures(now.note, good)
      for (const [i, some] of lines.entries()) if (some.length > 0) now.signed.add(due[i]!.name)
      const verified = await verifyNote(parseNote(now.note), trustOf(by))
      if (!verified.ok || !meetsQuorum(by, verified.signers)) return
      // File first: it is what outsiders read. Stopped in between, the next start finds the row behind and fills it in.
      await keepBeside(folders, row, COSIGNED_CHECKPOINT, now.note)
      await db.sequence((tx) => logRows.setCosigned(tx, row, now.note, at.size))
    } finally {
      await reader.close()
    }
  }

  /** What an earlier process left: the cosigned checkpoint, which may be newer than the row says. */
  async function recall(
    row: store.Log,
    reader: { read(path: string): Promise<Uint8Array | null> },
  ): Promise<Progress | undefined> {
    const note = Buffer.from((await reader.read(COSIGNED_CHECKPOINT)) ?? '').toString()
    const at = openNote(note)
    if (!at || !policy) return undefined
    const verified = await verifyNote(parseNote(note), trustOf(policy))
    if (!verified.ok) return undefined
    if (at.size > row.cosigned_size && meetsQuorum(policy, verified.signers))
      await db.sequence((tx) => logRows.setCosigned(tx, row, note, at.size))
    const names = cosignersOf(policy, verified.signers).map(({ name }) => name)
    for (const one of asked) if (names.includes(one.name)) one.last.set(row.origin, at.size)
    return { note, text: parseNote(note).text, signed: new Set(names) }
  }

  /** Asks one witness for its cosignature of a checkpoint. Empty if there is none to be had now; the reason is noted. */
  async function ask(
    one: Asked,
    row: store.Log,
    checkpoint: string,
    readTile: ReturnType<typeof tilesOf>,
  ): Promise<NoteSignature[]> {
    const { origin } = row
    const { size } = parseCheckpoint(parseNote(checkpoint).text)
    try {
      // The second try is for a witness that remembers another size than we believed, the third for one that moved meanwhile.
      for (let tries = 1; ; tries++) {
        const old = one.last.get(origin) ?? 0
        const proof =
          old === 0 || old === size ? [] : await proveConsistency({ from: old, to: size, readTile, hash: sha256 })
        const { status, body } = await post(one.url!, formatSubmission({ old, proof, checkpoint }))
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
      await failed(one, error instanceof Error ? reasonOf(error) : String(error))
      return []
    }
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

  async function failed(one: Asked, reason: string): Promise<void> {
    Object.assign(one, later(one))
    if (one.failures === 1) log.warn({ witness: one.name, reason }, 'a witness did not answer')
    if (one.failures >= AWAY_AFTER) await setState(one, 'away', reason)
  }

  function later(before: Patience): Patience {
    const failures = before.failures + 1
    const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** before.failures)
    return { failures, retryAt: clock.now() + delay * (0.75 + Math.random() / 2) }
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
    progress.clear()
    const trouble = createTrouble(log, { stopped: 'witnesses are not asked', again: 'witnesses are asked again' })
    try {
      while (!stop.aborted) {
        await round(by).then(trouble.over, trouble.met)
        await sleep(options.intervalMs, undefined, { signal: stop }).catch(() => {})
      }
    } finally {
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
        return asked.map(({ name, state, reason, ahead }) => ({ name, state, reason, ahead }))
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

/** One request of the protocol (c2sp.org/tlog-witness). Redirects are not followed: the address was configured. */
async function post(prefix: string, body: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`${prefix.replace(/\/+$/, '')}/add-checkpoint`, {
    method: 'POST',
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  if (response.status >= 500 || response.status === 429) {
    // What a proxy shows for it may be long, and says less than the status. Broken off, the connection is free.
    await response.body?.cancel().catch(() => {})
    throw new Error(`it answered ${response.status}`)
  }
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > MAX_ANSWER) throw new Error('the answer is longer than any that the protocol knows')
  }
  return { status: response.status, body: text }
}

const reasonOf = (error: Error): string =>
  error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : error.message
