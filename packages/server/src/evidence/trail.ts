import type { evidenceApi, Trail } from '@writ/api'
import { decodeEntry, parseCheckpoint, parseNote, proveInclusion, type ReadTile, toBase64, toHex } from '@writ/tlog'
import {
  countPlaced,
  findAnchored,
  type Log,
  listLogs,
  openLogReader,
  type ProvenEvent,
  sha256,
  tilesOf,
  vkeysOf,
  type Witnesses,
} from '../audit/index.ts'
import type { Caller } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import type { Ask } from '../platform/http/mount.ts'
import { runToSee, taskToSee, wasRun } from '../runs/index.ts'
import { seeTicket } from '../tickets/index.ts'
import type { BundleOn } from './bundle.ts'
import { type Collected, collect, eventsAbout, isErased } from './collect.ts'

export interface TrailOn extends Pick<BundleOn, 'db' | 'folders' | 'keys'> {
  readonly witnesses: Pick<Witnesses, 'cosignersOf'>
}

const MAX_ENTRIES = 1_000

/**
 * What proves a ticket or a run, for a page to verify: everything is shown under the newest published checkpoint of its
 * log. Whoever may see the ticket gets it; payloads and salts, with addresses and other people's clients in them, only
 * those who may read the log. Reads log files; nothing is recorded, since a page asks for it whenever it is looked at.
 */
export async function trailOf(on: TrailOn, ask: Ask<typeof evidenceApi.trail, Caller>): Promise<Trail> {
  const { caller, query } = ask
  const { all, logs, pending } = await ask.read(async (tx) => {
    const found = await shownOf(tx, caller, query)
    const placed = await countPlaced(tx, found.about)
    const waiting = placed.filter(({ shard }) => shard === null).reduce((sum, { events }) => sum + events, 0)
    return { all: found, logs: await listLogs(tx), pending: waiting }
  })
  const open = caller.role === 'admin' || caller.role === 'auditor'
  const events = all.events.slice(0, MAX_ENTRIES)
  const shown = logs.filter(({ shard }) => events.some((event) => event.shard === shard))
  const proven = await Promise.all(shown.map((log) => proveEvents(on, log, events, open)))
  return {
    subject: all.subject,
    pending,
    more: all.events.length > events.length,
    logs: proven.map(({ log }) => log),
    entries: proven.flatMap(({ entries }) => entries),
    attestations: all.attestations.map(({ digest, envelope }) => ({ digest, envelope })),
    keys: on.keys
      .list()
      .filter(({ purpose }) => purpose === 'attestation')
      .map(({ keyid, public_pem }) => ({ keyid, public_pem })),
    signatures: all.signatures.map((one) => showSignature(one, all)),
  }
}

type Shown = Pick<Collected, 'subject' | 'events' | 'attestations' | 'signatures' | 'keys'> & {
  /** Whose events count as pending. */
  readonly about: readonly string[]
}

/** What there is about a ticket, a run or a task, which has no ticket and nobody's signature. Throws if it is not to be seen. */
async function shownOf(
  tx: Tx,
  caller: Caller,
  { subject, id: ref }: { subject: 'ticket' | 'run'; id: string | number },
): Promise<Shown> {
  const task = subject === 'run' ? await taskToSee(tx, caller, ref) : undefined
  if (task) {
    const { id, number } = task
    return {
      subject: { type: subject, id, number },
      ...(await eventsAbout(tx, [id])),
      signatures: [],
      keys: [],
      about: [id],
    }
  }
  if (subject === 'run') {
    if (await wasRun(tx, ref)) throw new AppError('TASK_DROPPED')
    await runToSee(tx, caller, ref)
  } else await seeTicket(tx, caller, ref)
  const all = await collect(tx, { subject, ref, flagged: false, whole: false })
  return {
    ...all,
    about: [
      ...(all.ticket ? [all.ticket.id] : []),
      ...all.runs.map(({ id }) => id),
      ...all.files.map(({ row }) => row.id),
    ],
  }
}

/** Proofs of a log's events under its published checkpoint, which is read once. */
async function proveEvents(
  on: TrailOn,
  row: Log,
  events: readonly ProvenEvent[],
  open: boolean,
): Promise<{ log: Trail['logs'][number]; entries: Trail['entries'] }> {
  const reader = await openLogReader(on.folders, row.project_id, row.shard)
  try {
    // Empty before the first checkpoint.
    const text = Buffer.from((await reader.read('checkpoint')) ?? []).toString()
    const note = text === '' ? null : text
    const size = note === null ? 0 : parseCheckpoint(parseNote(note).text).size
    const readTile = eachOnce(tilesOf(reader))
    const entries: Trail['entries'] = []
    for (const event of events) {
      if (event.shard !== row.shard) continue
      const { log_index: index } = event
      const hashes = index < size ? await proveInclusion({ size, index, readTile, hash: sha256 }) : null
      const erased = isErased(event)
      entries.push({
        event_id: event.id,
        event_type: event.event_type,
        resource_id: event.resource_id,
        shard: event.shard,
        log_index: index,
        entry: toBase64(event.entry),
        hashes: hashes === null ? null : hashes.map(toBase64),
        erased,
        payload: open && !erased ? event.event : null,
        salt: open && !erased ? toHex(event.salt) : null,
        attestations: (decodeEntry(event.entry).att ?? []).map((one) => one.replace('sha256:', '')),
      })
    }
    const anchored = await findAnchored(on.db, row)
    const { origin, shard } = row
    return {
      log: {
        shard,
        closed: row.closed_at !== null,
        origin,
        vkeys: [...vkeysOf(row)],
        checkpoint: note,
        anchored: anchored && {
          size: anchored.size,
          via: anchored.via,
          witnesses: await on.witnesses.cosignersOf(anchored.note),
        },
      },
      entries,
    }
  } finally {
    await reader.close()
  }
}

/** Proofs of neighbours share their tiles. */
function eachOnce(read: ReadTile): ReadTile {
  const tiles = new Map<string, Promise<Uint8Array>>()
  return (level, index, width) => {
    const key = `${level}/${index}/${width}`
    const reading = tiles.get(key) ?? read(level, index, width)
    tiles.set(key, reading)
    return reading
  }
}

function showSignature(
  one: Collected['signatures'][number],
  all: Pick<Collected, 'keys'>,
): Trail['signatures'][number] {
  const key = all.keys.find(({ id }) => id === one.signing_key_id)!
  const { type, public_key, fingerprint, rp_id, user_id } = key
  const { approval_id, statement, signature } = one
  return { approval_id, statement, signature, type, public_key, fingerprint, rp_id, user_id }
}
