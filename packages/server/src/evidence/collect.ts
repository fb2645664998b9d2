import { decodeEntry, toHex, toUtf8 } from '@writ/tlog'
import {
  listEvents,
  listEventsAbout,
  listLogs,
  listProvenById,
  listProvenEvents,
  type ProvenEvent,
  readLine,
  sha256,
} from '../audit/index.ts'
import { findSigningKey, type SigningKeyRow } from '../identity/index.ts'
import { loadTaskRecord, type TaskRecord } from '../kinds/task/index.ts'
import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import {
  type ArtifactRow,
  findRun,
  isTask,
  listFilesOfRuns,
  listRunsOfTicket,
  missingTask,
  type RunRow,
} from '../runs/index.ts'
import { findTicket, type Ref, type TicketRow } from '../tickets/index.ts'
import * as store from './store.ts'

/** What a bundle is about. */
export interface Asked {
  readonly subject: 'ticket' | 'run'
  readonly ref: Ref
  /** Also files in which secrets were found. */
  readonly flagged: boolean
  /** Also every entry of the logs, from the first on that tells of it. */
  readonly whole: boolean
}

/** Everything that belongs to a ticket or a run, as it stood in one snapshot. */
export interface Collected {
  readonly subject: { readonly type: 'ticket' | 'run'; readonly id: string; readonly number: number }
  /** Null for a task, which is of no ticket. */
  readonly ticket: TicketRow | null
  readonly task: TaskRecord | null
  readonly runs: readonly RunRow[]
  readonly files: readonly CollectedFile[]
  readonly events: readonly ProvenEvent[]
  readonly attestations: readonly store.AttestationRow[]
  readonly signatures: Awaited<ReturnType<typeof store.listApprovalSignatures>>
  readonly keys: readonly SigningKeyRow[]
  /** The newest entry that tells of dropped logs: it explains what of all this nothing proves any more. */
  readonly drop: ProvenEvent | undefined
  /** How many entries each log had in that snapshot, by its shard; null unless the whole logs are asked for. */
  readonly sizes: ReadonlyMap<number, number> | null
}

export interface CollectedFile {
  readonly row: ArtifactRow
  /** Why its bytes are not in the bundle; its record, digest and entries are. */
  readonly leftOut: 'deleted' | 'flagged' | 'erased' | 'dropped' | null
}

interface Found {
  readonly subject: Collected['subject']
  readonly ticket: TicketRow | null
  readonly run: RunRow | undefined
  readonly task: TaskRecord | null
}

/** What is asked for. Throws TICKET_NOT_FOUND, RUN_NOT_FOUND, TASK_DROPPED, TASK_NOT_SETTLED. */
export async function findSubject(tx: Tx, asked: Asked): Promise<Found> {
  const run = asked.subject === 'run' ? await findRun(tx, asked.ref) : undefined
  if (asked.subject === 'run' && !run) {
    // A run that belongs to no ticket is a task; they share their numbers.
    if (!(await isTask(tx, asked.ref))) throw await missingTask(tx, asked.ref, 'RUN_NOT_FOUND')
    const task = await loadTaskRecord(tx, asked.ref)
    return { subject: { type: 'run', id: task.id, number: task.number }, ticket: null, run: undefined, task }
  }
  const ticket = await findTicket(tx, run ? run.ticket_id : asked.ref)
  if (!ticket) throw new AppError('TICKET_NOT_FOUND')
  const { id, number } = run ?? ticket
  return { subject: { type: asked.subject, id, number }, ticket, run, task: null }
}

/** All that belongs to it. A run comes with its ticket and the approvals of that. Throws as `findSubject`. */
export async function collect(tx: Tx, asked: Asked): Promise<Collected> {
  const { subject, ticket, run, task } = await findSubject(tx, asked)
  const sizes = asked.whole ? new Map((await listLogs(tx)).map(({ shard, size }) => [shard, size])) : null
  if (ticket === null) return { ...(await ofTask(tx, subject, task)), sizes }
  const runs = run ? [run] : await listRunsOfTicket(tx, ticket.id)
  const files = await listFilesOfRuns(
    tx,
    runs.map(({ id }) => id),
  )
  const all = await store.listApprovalSignatures(tx, ticket.id)
  const drop = await findDrop(tx)
  const keyIds = [...new Set(all.map((one) => one.signing_key_id))]
  const rules = await policyChangesOf(tx, ticket.id)
  const about = [ticket.id, ...runs.map(({ id }) => id), ...files.map(({ id }) => id), ...keyIds, ...rules]
  const { events, attestations } = await eventsAbout(tx, about)
  // With a log goes what it proved: its files are no evidence any more, and approvals in it are not those of a log.
  const recorded = new Set(events.filter((one) => one.event_type === 'artifact.uploaded').map((one) => one.resource_id))
  const attested = new Set(attestations.map(({ digest }) => digest))
  const signatures = drop ? all.filter(({ statement }) => attested.has(toHex(sha256(toUtf8(statement))))) : all
  const keys: SigningKeyRow[] = []
  for (const id of new Set(signatures.map((one) => one.signing_key_id))) keys.push((await findSigningKey(tx, id))!)
  return {
    subject,
    ticket,
    task,
    runs,
    files: files.map((row) => ({
      row,
      leftOut: drop && !recorded.has(row.id) ? ('dropped' as const) : whyLeftOut(row, asked.flagged),
    })),
    events,
    attestations,
    signatures,
    keys,
    drop,
    sizes,
  }
}

/** The changes that made the policies under which a ticket was approved. */
async function policyChangesOf(tx: Tx, ticket: string): Promise<string[]> {
  const approved = await listEventsAbout(tx, ticket, ['ticket.approved'])
  const ids = approved.map(({ event }) => readLine(event)?.details?.policy_change_id)
  return [...new Set(ids.filter((id) => typeof id === 'string'))]
}

async function ofTask(
  tx: Tx,
  subject: Collected['subject'],
  task: TaskRecord | null,
): Promise<Omit<Collected, 'sizes'>> {
  const { events, attestations } = await eventsAbout(tx, [subject.id])
  const drop = await findDrop(tx)
  return { subject, ticket: null, task, runs: [], files: [], events, attestations, signatures: [], keys: [], drop }
}

/** Most projects have dropped nothing, so this is one look into an index. */
async function findDrop(tx: Tx): Promise<ProvenEvent | undefined> {
  const [newest] = await listEvents(tx, { event_type: 'log.dropped' }, { limit: 1 })
  return newest && (await listProvenById(tx, [newest.id]))[0]
}

/** What the log holds about these things, and the statements that its entries name. */
export async function eventsAbout(
  tx: Tx,
  about: readonly string[],
): Promise<Pick<Collected, 'events' | 'attestations'>> {
  const found = await listProvenEvents(tx, about)
  // An erased payload leaves an empty text; the entry that tells of it names the event, and comes along.
  const erased = found.filter(isErased).map(({ id }) => id)
  const erasures = erased.length === 0 ? [] : await listProvenEvents(tx, erased)
  const events = [...found, ...erasures]
  const digests = events.flatMap(({ entry }) => decodeEntry(entry).att ?? []).map((one) => one.replace('sha256:', ''))
  return { events, attestations: await store.listAttestations(tx, digests) }
}

/** Whether a payload was erased on demand. */
export const isErased = (event: Pick<ProvenEvent, 'event'>): boolean => event.event === ''

// The log still holds the digest of a file that is left out, so whoever has it from elsewhere can compare.
function whyLeftOut(row: ArtifactRow, flagged: boolean): CollectedFile['leftOut'] {
  if (row.erased_at !== null) return 'erased'
  if (row.is_deleted === 1) return 'deleted'
  const found = row.findings === null ? [] : (JSON.parse(row.findings) as unknown[])
  return found.length > 0 && !flagged ? 'flagged' : null
}
