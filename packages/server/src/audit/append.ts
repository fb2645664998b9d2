import { randomFillSync } from 'node:crypto'
import { type AuditEventType, auditEvents } from '@writ/api'
import { commitment, encodeEntry, toUtf8 } from '@writ/tlog'
import { rfc3339 } from '../platform/clock.ts'
import { INSTANCE, type Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { redactor } from '../platform/redact/index.ts'
import { sha256 } from './node-crypto.ts'

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
  await appendAll({ ...tx, project }, [{ at, by, event }])
}

/** As `append`, for events of many actors: one statement a table, however many. */
export async function appendAll(tx: Tx, all: readonly Appended[]): Promise<void> {
  if (all.length === 0) return
  const salts = randomFillSync(Buffer.allocUnsafe(32 * all.length))
  const rows = all.map((one, i) => rowOf(tx.project, one, salts.subarray(32 * i, 32 * i + 32)))
  const places = rows.map((row) => ({ project_id: tx.project, event_id: row.id }))
  await Promise.all([tx.insert('audit_events', rows), tx.insert('audit_index', places)])
}

/** As `append` for one event, and answers its id: for what another row has to name. */
export async function appendOne(tx: Tx, at: number, by: Actor, event: NewEvent): Promise<string> {
  const row = rowOf(tx.project, { at, by, event }, randomFillSync(Buffer.alloc(32)))
  await tx.insert('audit_events', [row])
  await tx.insert('audit_index', [{ project_id: tx.project, event_id: row.id }])
  return row.id
}

function rowOf(project: string, { at, by, event }: Appended, salt: Buffer) {
  const home = auditEvents[event.type]
  if (home !== 'both' && (home === 'instance') !== (project === INSTANCE))
    throw new Error(`${event.type} belongs to the ${home} log`)
  const id = uuidv7(at)
  // Before the commitment: a secret that was committed to would still be one.
  const line = redactor.json(eventLine(at, by, event))
  const payload = toUtf8(line)
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

/** The line of a day file: exactly the twelve documented keys, in their order. These bytes are what the leaf commits to. */
function eventLine(at: number, by: Actor, event: NewEvent): string {
  return JSON.stringify({
    event_type: event.type,
    timestamp: rfc3339(at),
    actor_id: by.id,
    actor_username: by.username,
    resource_type: event.resource?.type ?? null,
    resource_id: event.resource?.id ?? null,
    action: event.action,
    details: event.details ?? null,
    ip_address: by.ip,
    user_agent: by.userAgent,
    success: event.success !== false,
    error_message: event.error ?? null,
  })
}
