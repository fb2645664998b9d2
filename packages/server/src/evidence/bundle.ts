import { readFile } from 'node:fs/promises'
import {
  BUNDLE_FORMAT,
  type BundleDescription,
  type Checkpoint,
  type Envelope,
  formatEnvelope,
  formatLogProof,
  formatPem,
  formatSshKey,
  fromBase64,
  fromBase64Url,
  fromUtf8,
  meetsQuorum,
  openCheckpoint,
  type Policy,
  parseCheckpoint,
  parseEnvelope,
  parseNote,
  parsePem,
  parseTaskJournal,
  parseVkey,
  preAuthEncoding,
  proveConsistency,
  proveInclusion,
  STATEMENT_TYPE,
  spkiOf,
  statementBytes,
  taskStatement,
  toBase64,
  toHex,
  toUtf8,
  type VerifierKey,
  verifyEnvelope,
} from '@writ/tlog'
import {
  type AuditFolders,
  allowedSigners,
  findAnchored,
  type Keys,
  keepTiles,
  type Log,
  type LogReader,
  listEvents,
  listLogs,
  listProvenById,
  openLogReader,
  type ProvenEvent,
  type PublicKeyRecord,
  readLine,
  readLogFile,
  tilesOf as readTilesOf,
  sha256,
  tilePaths,
  verifyEd25519,
  verifySignature,
  vkeysOf,
} from '../audit/index.ts'
import type { SigningKeyRow } from '../identity/index.ts'
import type { TaskRecord } from '../kinds/task/index.ts'
import type { Blobs } from '../platform/blobs/index.ts'
import { rfc3339 } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { ticketPromise } from '../tickets/index.ts'
import { type Collected, isErased } from './collect.ts'

export interface BundleOn {
  readonly db: Database
  readonly blobs: Blobs
  readonly folders: AuditFolders
  readonly keys: Keys
  /** The witnesses whose cosignatures count, if there are any. */
  readonly policy?: Policy | undefined
}

/** One file of a bundle; bytes of evidence as a stream, which is opened when its turn comes. */
export interface BundleFile {
  readonly path: string
  readonly body: Uint8Array | (() => Promise<AsyncIterable<Uint8Array>>)
  readonly executable?: true
}

/** A log as it was published when the bundle was begun; everything is proven against this one checkpoint. */
interface PublishedLog {
  readonly name: string
  readonly role: 'project' | 'instance'
  readonly row: Log
  readonly reader: LogReader
  readonly readTile: ReturnType<typeof readTilesOf>
  /** What was computed of its tree for the proofs before. */
  readonly nodes: Map<string, Uint8Array>
  readonly note: string
  readonly checkpoint: Checkpoint
  /** What witnesses signed last, of this checkpoint or of an earlier one. */
  readonly cosigned: Uint8Array | null
}

/**
 * The files of a bundle, one by one, without its manifest. Reads log files and blobs as they come, so that memory does not
 * grow with the evidence. A bundle is put together from what is published: entries beyond the checkpoint are not in it.
 */
export async function* bundleFiles(
  on: BundleOn,
  project: { readonly id: string; readonly slug: string },
  all: Collected,
  now: number,
): AsyncGenerator<BundleFile> {
  const collected = all.drop ? { ...all, events: [...all.events, all.drop] } : all
  const logs = await publishedLogs(on, project.id, 'project', collected.events, collected.sizes !== null)
  const records = await findRecords(on, project.id, logs)
  const instance = await publishedLogs(
    on,
    INSTANCE,
    'instance',
    records.map(({ event }) => event),
  )
  try {
    yield* filesOf(on, project, collected, now, { logs, records, instance })
  } finally {
    // Also when the reader of the bundle has gone: then this generator is ended where it stands.
    await Promise.all([...logs, ...instance].map((log) => log.reader.close()))
  }
}

async function* filesOf(
  on: BundleOn,
  project: { readonly id: string; readonly slug: string },
  collected: Collected,
  now: number,
  { logs, records, instance }: { logs: PublishedLog[]; records: Record[]; instance: PublishedLog[] },
): AsyncGenerator<BundleFile> {
  const text = (path: string, content: string): BundleFile => ({ path, body: toUtf8(content) })
  yield { path: 'verify.sh', body: await readFile(new URL('./verify.sh', import.meta.url)), executable: true }
  yield { path: 'README.txt', body: await readFile(new URL('./bundle-readme.txt', import.meta.url)) }
  yield text('bundle.json', `${JSON.stringify(describe(project, collected, [...logs, ...instance], now), null, 2)}\n`)
  yield text('policy', policyOf([...logs, ...instance], on.policy))
  yield text('keys/allowed_signers', allowedSigners(on.keys.list()))
  const task = collected.task
    ? await Array.fromAsync(taskFiles(on, project.id, collected.task, collected.events, logs))
    : []
  const envelopes = collected.attestations.map(({ envelope }) => envelope)
  for (const { path, body } of task)
    if (path.endsWith('.dsse.json') && body instanceof Uint8Array) envelopes.push(fromUtf8(body))
  for (const key of await signersOf(envelopes, on.keys)) yield text(`keys/attestation-${key.keyid}.pem`, key.public_pem)

  for (const log of [...logs, ...instance]) {
    yield text(`logs/${log.name}/checkpoint`, log.note)
    yield text(`logs/${log.name}/log.pem`, formatPem(spkiOf(signerOf(log).publicKey)))
    const events = log.role === 'project' ? collected.events : records.map(({ event }) => event)
    for (const event of events)
      if (event.shard === log.row.shard && event.log_index < log.checkpoint.size)
        yield* entryFiles(log, event, collected.events)
    if (collected.sizes && log.role === 'project') yield* wholeLog(log)
  }
  const earlier = new Map(records.map(({ log, size }) => [`${log.name}/${size}`, { log, size }]))
  for (const log of [...logs, ...instance]) {
    const { cosigned } = log
    if (!cosigned) continue
    yield { path: `logs/${log.name}/checkpoint.cosigned`, body: cosigned }
    const { size } = parseCheckpoint(parseNote(cosigned).text)
    earlier.set(`${log.name}/${size}`, { log, size })
  }
  for (const { log, size } of earlier.values()) {
    const proof = await proveConsistency({ from: size, to: log.checkpoint.size, ...tilesOf(log) })
    const path = `logs/${log.name}/consistency/${size}-${log.checkpoint.size}.txt`
    yield text(path, proof.map((hash) => `${toBase64(hash)}\n`).join(''))
  }
  yield* contentFiles(on, project.id, collected)
  yield* task
}

/** The keys that signed these, in the order in which they came into use: with any other, nothing here was signed. */
async function signersOf(envelopes: readonly string[], keys: Keys): Promise<PublicKeyRecord[]> {
  const all = keys.list().filter(({ purpose }) => purpose === 'attestation')
  const spkis = all.map(({ public_pem }) => parsePem(public_pem))
  const used = new Set<number>()
  for (const text of envelopes) {
    const envelope = envelopeIn(text)
    if (envelope) used.add(await verifyEnvelope(envelope, spkis, verifySignature))
  }
  return all.filter((_, i) => used.has(i))
}

/** Null where the database was tampered with: that is in the bundle as it is, for verifiers to find. */
function envelopeIn(text: string): Envelope | null {
  try {
    return parseEnvelope(text)
  } catch {
    return null
  }
}

/**
 * The newest key of a log that signed the checkpoint of this bundle. Right after a rotation, before the log was published again, that is
 * not the newest key.
 */
function signerOf({ row, note }: PublishedLog): VerifierKey {
  const keys = vkeysOf(row).map((vkey) => parseVkey(vkey, sha256))
  const { signatures } = parseNote(note)
  return keys.findLast((key) => signatures.some((line) => line.name === key.name && line.keyId === key.keyId))!
}

async function publishedLogs(
  on: BundleOn,
  project: string,
  role: PublishedLog['role'],
  events: readonly ProvenEvent[],
  whole = false,
): Promise<PublishedLog[]> {
  const rows = await inProject(project, () => on.db.read(listLogs))
  const found: PublishedLog[] = []
  for (const row of rows) {
    const proven = events.filter(({ shard }) => shard === row.shard)
    // With the whole logs also those that came later: that they tell nothing of it shows only in them.
    const isLater = row.dropped_at === null && events.some(({ shard }) => shard < row.shard)
    if (proven.length === 0 && !(whole && isLater)) continue
    const reader = await openLogReader(on.folders, project, row.shard)
    // Before the checkpoint: read after it, it could be of a log that has grown, which nothing here would prove.
    const cosigned = await reader.read('checkpoint.cosigned')
    const newest = Buffer.from((await reader.read('checkpoint')) ?? []).toString()
    // A log with placed rows and no checkpoint is about to get its first; its entries are not proven yet.
    if (newest === '' || row.vkey === null) {
      await reader.close()
      continue
    }
    const note = (await witnessed(on.policy, row, cosigned, proven)) ?? newest
    const checkpoint = parseCheckpoint(parseNote(note).text)
    const readTile = keepTiles(readTilesOf(reader))
    found.push({
      name: `${role}-${row.shard}`,
      role,
      row,
      reader,
      readTile,
      nodes: new Map(),
      note,
      checkpoint,
      cosigned,
    })
  }
  return found
}

/**
 * The cosigned checkpoint, if all that is to be proven is below it: then each proof carries what witnesses signed, and meets the policy by
 * itself, before any verifier of tlog-proof. Null if it is older, or not signed with the key of `log.pem`. Exports are left out for its
 * sake: this one's own event is always the newest, and waiting for witnesses would be waiting for strangers.
 */
async function witnessed(
  policy: Policy | undefined,
  row: Log,
  cosigned: Uint8Array | null,
  proven: readonly ProvenEvent[],
): Promise<string | null> {
  if (!policy || !cosigned) return null
  const vkeys = [vkeysOf(row).at(-1)!, ...policy.witnesses.map(({ vkey }) => vkey)]
  const opened = await openCheckpoint(cosigned, { vkeys, origin: row.origin, hash: sha256, verify: verifyEd25519 })
  if (!opened.ok || !meetsQuorum(policy, opened.signers)) return null
  const needed = proven.filter(({ event_type }) => event_type !== 'evidence.exported')
  const all = needed.every(({ log_index }) => log_index < opened.checkpoint.size)
  return all && needed.length > 0 ? opened.note : null
}

interface Record {
  readonly log: PublishedLog
  readonly size: number
  readonly event: ProvenEvent
}

/**
 * The newest entry of the instance log that records each log as it is proven here or as it was before, if there is one: of one
 * that has grown since its checkpoint was read, a newer state may be recorded. And the newest that witnesses have signed, where they are
 * behind: while they are away the log is recorded on, and what they stood for before they still stand for.
 */
async function findRecords(on: BundleOn, project: string, logs: readonly PublishedLog[]): Promise<Record[]> {
  const found: Record[] = []
  for (const log of logs) {
    // Of a log that was closed long ago: behind what was recorded since of the one that continues it.
    const until = log.row.closed_at === null ? {} : { until: log.row.closed_at + 1 }
    const about = { event_type: 'project.checkpoint', resource: project, ...until }
    const newest = await inProject(INSTANCE, () =>
      on.db.read(async (tx) => {
        const row = (await listEvents(tx, about, { limit: 1_000 })).find(
          (one) => one.log_index !== null && isBegin(log, one.event),
        )
        return row ? await listProvenById(tx, [row.id]) : []
      }),
    )
    const { recorded } = (await findAnchored(on.db, log.row)) ?? {}
    const signed = recorded && { ...recorded.row, shard: recorded.instance.shard }
    const all = signed && isBegin(log, signed.event) && signed.id !== newest[0]?.id ? [...newest, signed] : newest
    found.push(...all.map((event) => ({ log, event, size: recordedIn(event.event)?.size ?? 0 })))
  }
  return found
}

const isBegin = (log: PublishedLog, event: string): boolean => {
  const recorded = recordedIn(event)
  return recorded?.origin === log.row.origin && recorded.size <= log.checkpoint.size
}

/** What the sequencer recorded; undefined where somebody wrote over it. */
const recordedIn = (event: string) => readLine(event)?.details as { origin: string; size: number } | null | undefined

const tilesOf = ({ readTile, nodes }: PublishedLog) => ({ hash: sha256, readTile, nodes })

/** Every entry of a log, in the files in which it is published. */
async function* wholeLog({ name, reader, checkpoint: { size } }: PublishedLog): AsyncGenerator<BundleFile> {
  for (const path of tilePaths(size)) {
    if (!path.startsWith('tile/entries/')) continue
    const body = await readLogFile(reader, path)
    if (body === null) throw new Error(`${path} is missing`)
    yield { path: `logs/${name}/${path}`, body }
  }
}

async function* entryFiles(
  log: PublishedLog,
  event: ProvenEvent,
  all: readonly ProvenEvent[],
): AsyncGenerator<BundleFile> {
  const { log_index: index } = event
  const hashes = await proveInclusion({ size: log.checkpoint.size, index, ...tilesOf(log) })
  const base = `logs/${log.name}`
  yield { path: `${base}/entries/${index}.json`, body: event.entry }
  yield {
    path: `${base}/entries/${index}.tlog-proof`,
    body: toUtf8(formatLogProof({ index, hashes, checkpoint: log.note })),
  }
  if (isErased(event)) {
    const by = all.find((one) => one.event_type === 'payload.erased' && one.resource_id === event.id)
    if (!by) throw new Error(`the payload of entry ${index} of ${log.row.origin} is gone, and no entry says why`)
    const see = by.shard === event.shard ? by.log_index : `${log.role}-${by.shard}/${by.log_index}`
    return yield { path: `${base}/payloads/${index}.erased`, body: toUtf8(`erased, see ${see}\n`) }
  }
  yield { path: `${base}/payloads/${index}.json`, body: toUtf8(event.event) }
  yield { path: `${base}/payloads/${index}.salt`, body: toUtf8(`${toHex(event.salt)}\n`) }
}

/** A tlog-policy (C2SP): which keys are the logs', and which witnesses are asked for, as this instance is configured. */
function policyOf(logs: readonly PublishedLog[], policy: Policy | undefined): string {
  const lines = logs.flatMap(({ row }) => vkeysOf(row).map((vkey) => `log ${vkey}`))
  for (const { name, vkey, url } of policy?.witnesses ?? [])
    lines.push(`witness ${name} ${vkey}${url ? ` ${url}` : ''}`)
  for (const { name, threshold, members } of policy?.groups ?? [])
    lines.push(`group ${name} ${threshold} ${members.join(' ')}`)
  return `${[...lines, `quorum ${policy?.quorum ?? 'none'}`].join('\n')}\n`
}

function describe(
  project: { readonly id: string; readonly slug: string },
  { subject, files, sizes }: Collected,
  logs: readonly PublishedLog[],
  now: number,
): BundleDescription & { project: object } {
  return {
    format: BUNDLE_FORMAT,
    version: 1,
    subject,
    project,
    exported_at: rfc3339(now),
    logs: logs.map(({ name, role, row, checkpoint }) => ({
      name,
      role,
      origin: row.origin,
      vkeys: [...vkeysOf(row)],
      whole_to: sizes && role === 'project' ? Math.min(checkpoint.size, sizes.get(row.shard) ?? 0) : undefined,
    })),
    artifacts: files.map(({ row, leftOut }) => ({
      id: row.id,
      number: row.number,
      sha256: row.sha256,
      size: row.size_bytes,
      path: leftOut === null ? pathOf(row) : null,
      left_out: leftOut,
    })),
  }
}

/** Names of files come from outside: in a bundle they are plain, and the number makes them different. */
const pathOf = (row: { number: number; filename: string }): string =>
  `artifacts/${row.number}-${row.filename.replace(/[^A-Za-z0-9._-]/g, '_').slice(-80)}`

async function* contentFiles(on: BundleOn, project: string, all: Collected): AsyncGenerator<BundleFile> {
  const text = (path: string, content: string): BundleFile => ({ path, body: toUtf8(content) })
  for (const { digest, envelope } of all.attestations) yield text(`attestations/${digest}.dsse.json`, envelope)
  for (const { approval_id, signing_key_id, statement, signature } of all.signatures) {
    const folder = `approvals/${approval_id}`
    const { type } = all.keys.find(({ id }) => id === signing_key_id)!
    yield text(`${folder}/approval.json`, `${JSON.stringify({ id: approval_id, key_id: signing_key_id, type })}\n`)
    yield* signatureFiles(folder, statement, signature, type)
  }
  for (const key of all.keys) yield* keyFiles(key)
  // Records that something vouches for. What was imported, or settled by a version before this one, has no such thing.
  const { ticket } = all
  if (ticket && all.events.some(({ event }) => event.includes(ticket.digest)))
    yield text(`tickets/${ticket.id}.json`, ticketPromise({ ...ticket, project }))
  for (const run of all.runs) {
    if (!all.attestations.some(({ subject_id }) => subject_id === run.id)) continue
    if (run.rules !== null) yield text(`runs/${run.id}/rules.json`, run.rules)
    if (run.outputs_manifest !== null) yield text(`runs/${run.id}/outputs.json`, run.outputs_manifest)
  }
  for (const { row, leftOut } of all.files)
    if (leftOut === null) yield { path: pathOf(row), body: () => on.blobs.open(project, row.sha256) }
}

/**
 * A task's journal, what it names, and where the result came from: signed now, because it follows from the journal. Nothing of it where the
 * entry of the task's end was erased or dropped: then nothing commits to the journal any more.
 */
async function* taskFiles(
  on: BundleOn,
  project: string,
  task: TaskRecord,
  events: readonly ProvenEvent[],
  logs: readonly PublishedLog[],
): AsyncGenerator<BundleFile> {
  const journal = toUtf8(task.journal)
  const journalSha256 = toHex(sha256(journal))
  const end = events.find(({ event }) => event.includes(journalSha256))
  const log = logs.find(({ row, checkpoint }) => row.shard === end?.shard && end.log_index < checkpoint.size)
  if (!end || !log) return
  const folder = `tasks/${task.id}`
  yield { path: `${folder}/journal.json`, body: journal }
  for (const [name, kept] of [
    ['input', task.input],
    ['result', task.result],
  ] as const) {
    if (!kept) continue
    const { text, sha256: digest } = kept
    yield { path: `${folder}/${name}.json`, body: text === null ? () => on.blobs.open(project, digest) : toUtf8(text) }
  }
  const { origin } = log.row
  const statement = taskStatement(parseTaskJournal(journal), { journalSha256, project, origin })
  if (!statement) return
  const payload = statementBytes(statement)
  const sig = on.keys.attestation.sign(preAuthEncoding(STATEMENT_TYPE, payload))
  const envelope = formatEnvelope({ payloadType: STATEMENT_TYPE, payload, signatures: [{ keyid: '', sig }] })
  yield { path: `${folder}/provenance.dsse.json`, body: toUtf8(envelope) }
}

function* signatureFiles(
  folder: string,
  statement: string,
  signature: string,
  type: 'passkey' | 'ssh',
): Generator<BundleFile> {
  yield { path: `${folder}/statement.json`, body: toUtf8(statement) }
  if (type === 'ssh') return yield { path: `${folder}/statement.json.sig`, body: toUtf8(signature) }
  // As `keptForm` wrote it.
  const kept = JSON.parse(signature) as { authenticator_data: string; client_data_json: string; signature: string }
  yield { path: `${folder}/clientData.json`, body: fromBase64Url(kept.client_data_json) }
  yield { path: `${folder}/authData.bin`, body: fromBase64Url(kept.authenticator_data) }
  yield { path: `${folder}/sig.der`, body: fromBase64Url(kept.signature) }
}

function* keyFiles(key: SigningKeyRow): Generator<BundleFile> {
  const { id, user_id, type, algorithm, fingerprint, rp_id } = key
  const folder = `people/${id}`
  const spki = fromBase64(key.public_key)
  const about = { id, user_id, type, algorithm, fingerprint, rp_id }
  yield { path: `${folder}/key.json`, body: toUtf8(`${JSON.stringify(about)}\n`) }
  yield { path: `${folder}/key.pem`, body: toUtf8(formatPem(spki)) }
  if (type === 'ssh') yield { path: `${folder}/key.pub`, body: toUtf8(`${formatSshKey(spki)}\n`) }
  yield* signatureFiles(folder, key.statement, key.signature, type)
}
