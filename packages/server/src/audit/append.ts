import { type AuditEventType, auditEvents } from '@writ/api'
import { commitment, encodeEntry } from '@writ/tlog'
import { rfc3339 } from '../platform/clock.ts'
import { INSTANCE, type Tx } from '../platform/db/index.ts'
import { drawBytes, uuidv7 } from '../platform/ids.ts'
import { redactor } from '../platform/redact/index.ts'
import { sha256 } from './node-crypto.ts'
import { recentRows } from './recent.ts'
import { RUN_ENDS } from './store.ts'

/** Who acts, and from where. `system` acts for nobody: timers, recovery, and callers who are not known yet. */
export interface Actor {
  readonly kind: 'user' | 'token' | 'agent' | 'system'
  /** The opaque id that goes into the leaf: a user's, a token's; null for the system. */
  readonly id: string | null
  readonly number: number | null
  readonly username: string | null
  readonly ip: string | null
  readonly userAgent: string | null
}

export const SYSTEM: Actor = { kind: 'system', id: null, number: null, username: null, ip: null, userAgent: null }

export interface NewEvent {
  readonly type: AuditEventType
  readonly resource?: { readonly type: string; readonly id: string; readonly number?: number | null }
  /** A sentence for people, in the documented words where there are any. */
  readonly action: string
  readonly details?: Record<string, unknown> | null
  readonly success?: boolean
  readonly error?: string
  /** Root of the newest cosigned checkpoint, base64: proves that the run did not start before it. Only for `run.started`. */
  readonly ckpt?: string | undefined
  /** Its texts are of our making: ids, numbers, and names that were checked. Nothing is looked for in them. */
  readonly plain?: boolean
  /** The run whose dense sequence this event continues. */
  readonly run?: { readonly id: string; readonly seq: number }
  /** Digests of attestations made with it, `sha256:<hex>`, as `Attest` answers them. */
  readonly att?: readonly string[]
}

export interface Appended {
  readonly at: number
  readonly by: Actor
  readonly event: NewEvent
}

/**
 * Appends events to the audit log in the transaction of the change that they tell of: no event, no change. The payload
 * (the twelve documented keys) stays in the row; the leaf holds opaque ids and a salted commitment to it, so a payload
 * can be erased later and every proof still holds (docs/trust.md). The sequencer places the leaf after the commit.
 */
export const append = (tx: Tx, at: number, by: Actor, ...events: readonly NewEvent[]): Promise<void> =>
  appendAll(
    tx,
    events.map((event) => ({ at, by, event })),
  )

/**
 * As `append`, outside the fences: for what must be one transaction with changes of the log itself. Only the sequencer's
 * role may, and only for events of the log.
 */
export async function appendUnfenced(tx: Tx, project: string, at: number, by: Actor, event: NewEvent): Promise<void> {
  await appendIn(tx, project, [{ at, by, event }])
}

const FEW = 4

/** As `append`, for events of many actors: one statement a table, however many. */
export const appendAll = (tx: Tx, all: readonly Appended[]): Promise<void> => appendIn(tx, tx.project, all)

/** An event that was made before its transaction knew the number of what it tells of. */
export type Draft = ReturnType<typeof rowOf>

/** Makes events ahead of `appendDrafts`, in the time in which the database is asked for what they do not tell. */
export function draftEvents(project: string, all: readonly Appended[]): readonly Draft[] {
  if (all.length === 0) return []
  return all.map((one) => rowOf(project, one))
}

/** As `appendAll`, of events that were drafted for this project; `numbers` are those of their resources, one each. */
export async function appendDrafts(tx: Tx, drafts: readonly Draft[], numbers: readonly number[]): Promise<void> {
  if (drafts.length === 0) return
  await insertEvents(
    tx,
    tx.project,
    drafts.map((draft, i) => ({ ...draft, resource_number: numbers[i]! })),
  )
}

async function appendIn(tx: Tx, project: string, all: readonly Appended[]): Promise<void> {
  if (all.length === 0) return
  // The change itself can be worked on over there while its events are made here. A few are made sooner than they were sent.
  if (all.length > FEW) tx.flush()
  await insertEvents(
    tx,
    project,
    all.map((one) => rowOf(project, one)),
  )
}

/** As `append` for one event, and answers its id: for what another row has to name. */
export async function appendOne(tx: Tx, at: number, by: Actor, event: NewEvent): Promise<string> {
  const row = rowOf(tx.project, { at, by, event })
  await insertEvents(tx, tx.project, [row])
  return row.id
}

/**
 * What is appended together is one append: one place to give, however many events. Their ids follow each other, because
 * they were made in one turn.
 */
async function insertEvents(tx: Tx, project: string, events: readonly Draft[]): Promise<void> {
  const first = events[0]!.id
  if (recentRows.wanted) tx.afterCommit(() => recentRows.keep(first, events))
  const together = {
    project_id: project,
    first_id: first,
    last_id: events.at(-1)!.id,
    entries: events.length,
    ends: events.reduce((sum, event) => sum + (RUN_ENDS.has(event.event_type) ? 1 : 0), 0),
  }
  if (tx.dialect === 'postgres') {
    // The column's default is the append that this session inserted last, so neither has to be waited for: the commit may follow.
    tx.behind(tx.insert('audit_appends', [together]))
    tx.behind(
      tx.insert(
        'audit_events',
        events.map((event, place) => ({ ...event, place })),
      ),
    )
    return
  }
  const [made] = await tx.sql<{ seq: number }>(
    'insert into audit_appends (project_id, first_id, last_id, entries, ends) values (?1, ?2, ?3, ?4, ?5) returning seq',
    [together.project_id, together.first_id, together.last_id, together.entries, together.ends],
  )
  await tx.insert(
    'audit_events',
    events.map((event, place) => ({ ...event, place, append: made!.seq })),
  )
}

function rowOf(project: string, { at, by, event }: Appended) {
  const home = auditEvents[event.type]
  if (home !== 'both' && (home === 'instance') !== (project === INSTANCE))
    throw new Error(`${event.type} belongs to the ${home} log`)
  const id = uuidv7(at)
  // Before the commitment: a secret that was committed to would still be one.
  const line = eventLine(at, by, event)
  const payload = Buffer.from(line)
  const salt = drawBytes(32)
  const entry = encodeEntry({
    v: 1,
    id,
    t: rfc3339(at),
    seq: event.run?.seq ?? 0,
    run: event.run?.id,
    actor: { kind: by.kind, id: by.id ?? INSTANCE },
    act: event.type,
    res: event.resource?.id,
    att: event.att,
    ckpt: event.ckpt,
    pl: [{ n: 'event', c: commitment(payload, salt, sha256), len: payload.length }],
  })
  return {
    project_id: project,
    id,
    event_type: event.type,
    timestamp: at,
    actor_kind: by.kind,
    actor_id: by.id,
    actor_number: by.number,
    actor_username: by.username,
    resource_type: event.resource?.type ?? null,
    resource_id: event.resource?.id ?? null,
    resource_number: event.resource?.number ?? null,
    run_id: event.run?.id ?? null,
    success: event.success === false ? 0 : 1,
    event: line,
    salt,
    entry,
  }
}

/**
 * The line of a day file: exactly the twelve documented keys, in their order, without secrets. These bytes are what the
 * leaf commits to. Only what was given from outside is searched: ids, times and names of ours hold no secret.
 */
function eventLine(at: number, by: Actor, event: NewEvent): string {
  const action = quote(event.action)
  const details = event.details ? JSON.stringify(event.details) : 'null'
  const username = quoteOrNull(by.username)
  const resource = quoteOrNull(event.resource?.id)
  const userAgent = quoteOrNull(by.userAgent)
  const error = quoteOrNull(event.error)
  const line = `{"event_type":"${event.type}","timestamp":"${rfc3339(at)}","actor_id":${quoteOrNull(by.id)},"actor_username":${username},"resource_type":${quoteOrNull(event.resource?.type)},"resource_id":${resource},"action":${action},"details":${details},"ip_address":${quoteOrNull(by.ip)},"user_agent":${userAgent},"success":${event.success !== false},"error_message":${error}}`
  // Who asks comes again, and is known by then.
  const suspect =
    (!event.plain && redactor.suspects(`${action} ${details} ${resource} ${error}`)) ||
    redactor.suspects(username) ||
    redactor.suspects(userAgent)
  return suspect ? redactor.json(line) : line
}

const quote = (text: string): string => JSON.stringify(text)
const quoteOrNull = (text: string | null | undefined): string => (text == null ? 'null' : quote(text))
