import type { ErrorCode, ExpectedFile, Run, StartRun } from '@writ/api'
import { append, canonicalize, type Json } from '../audit/index.ts'
import { type Caller, loadPolicy, personOf, seesAll } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Tx, takeNumbers } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import type { Queue } from '../queue/index.ts'
import { beginWork, lockTicket, mayWorkOn, type Ref, seeTicket, type TicketRow } from '../tickets/index.ts'
import { digestOf } from './artifact.ts'
import type { RunKind } from './kind.ts'
import { enqueueCheck } from './lane.ts'
import { isFinal } from './run.ts'
import { showRun } from './show.ts'
import * as store from './store.ts'

const HOUR = 3_600_000

/**
 * Opens a run on a ticket. A proof run waits for evidence: pending, not queued, with an end and a reminder. The ticket
 * moves to running in the same transaction. Throws the documented refusals of action runs, and KIND_NOT_AVAILABLE.
 */
export async function startRun(
  tx: Tx,
  caller: Caller,
  kinds: ReadonlyMap<string, RunKind>,
  body: StartRun,
): Promise<Run> {
  const ticket = await lockTicket(tx, body.ticket_id)
  if (!ticket) throw new AppError('TICKET_NOT_FOUND')
  if (body.run_type === 'action') refuseAction(ticket, caller)
  if (!mayWorkOn(caller, ticket)) throw new AppError('RUN_TICKET_DENIED')
  const kind = kinds.get(body.run_type)
  if (!kind) throw new AppError('KIND_NOT_AVAILABLE', { kind: body.run_type })
  const context = body.execution_context ?? null
  const prepared = await kind.prepare(tx, { scriptId: body.script_id ?? null, context })
  await beginWork(tx, ticket, caller.at)
  const id = uuidv7(caller.at)
  await insert(tx, caller, {
    id,
    ticket,
    kind: kind.name,
    root: id,
    verifies: null,
    expect: body.expect ?? null,
    finalize: body.finalize ?? 'auto',
    context,
    prepared,
    waits: true,
  })
  return showRun((await store.findRun(tx, id))!)
}

// The documented order: status before role; then this server has no such kind yet.
function refuseAction(ticket: TicketRow, caller: Caller): never {
  if (ticket.status !== 'approved') throw new AppError('ACTION_NEEDS_APPROVAL')
  if (caller.role !== 'admin') throw new AppError('ACTION_ADMIN_ONLY')
  throw new AppError('KIND_NOT_AVAILABLE', { kind: 'action' })
}

/**
 * Opens a run that checks the evidence of a settled one again, under the same rules. It starts at once, or waits for
 * more files when the caller says so. It never moves the ticket.
 */
export async function verifyAgain(
  tx: Tx,
  queue: Queue,
  caller: Caller,
  ref: Ref,
  body: { expect?: ExpectedFile[]; finalize?: 'auto' | 'manual' } | null,
): Promise<Run> {
  const before = await runToWorkOn(tx, caller, ref, 'RUN_TICKET_DENIED')
  if (!isFinal(before.state) || before.state === 'cancelled')
    throw new AppError('RUN_NOT_SETTLED', { state: before.state })
  const ticket = await seeTicket(tx, caller, before.ticket_id)
  const evidence = await store.listEvidence(tx, before.id)
  const id = uuidv7(caller.at)
  const waits = body?.expect !== undefined || body?.finalize !== undefined
  await insert(tx, caller, {
    id,
    ticket,
    kind: before.kind,
    root: before.root_run_id,
    verifies: before.id,
    expect: body?.expect ?? null,
    finalize: body?.finalize ?? 'auto',
    context:
      before.execution_context === null
        ? null
        : withoutServer(JSON.parse(before.execution_context) as Record<string, unknown>),
    prepared: {
      handler: before.handler,
      scriptId: before.script_id,
      version: before.validator_version ?? '',
      rulesVersion: before.rules_version,
      rules: before.rules ?? '{}',
    },
    waits,
  })
  if (evidence.length > 0)
    await store.addEvidence(
      tx,
      id,
      evidence.map((one) => one.id),
    )
  if (!waits) await enqueueCheck(queue, tx, id, caller.at, caller.at)
  return showRun((await store.findRun(tx, id))!)
}

const withoutServer = ({ server, ...rest }: Record<string, unknown>) => rest

interface NewRun {
  readonly id: string
  readonly ticket: TicketRow
  readonly kind: string
  readonly root: string
  readonly verifies: string | null
  readonly expect: ExpectedFile[] | null
  readonly finalize: 'auto' | 'manual'
  readonly context: Record<string, unknown> | null
  readonly prepared: Awaited<ReturnType<RunKind['prepare']>>
  readonly waits: boolean
}

async function insert(tx: Tx, caller: Caller, run: NewRun): Promise<void> {
  const { evidence_ttl_hours } = await loadPolicy(tx)
  const number = await takeNumbers(tx, 'runs', 1)
  const until = caller.at + evidence_ttl_hours * HOUR
  const input = {
    handler: run.prepared.handler,
    rules: JSON.parse(run.prepared.rules) as Json,
    context: run.context as Json,
    expect: run.expect as Json,
  }
  // Who, from where, with what: kept with the run, and in the report.
  const context = {
    ...run.context,
    server: {
      asked_by: caller.username,
      asked_by_id: caller.userId,
      via: caller.kind,
      ip_address: caller.ip,
      user_agent: caller.userAgent,
      request_id: caller.requestId,
      node: process.version,
    },
  }
  await store.insertRun(tx, {
    id: run.id,
    number,
    kind: run.kind,
    handler: run.prepared.handler,
    run_type: run.kind === 'action' ? 'action' : 'proof',
    script_id: run.prepared.scriptId,
    state: 'pending',
    verdict: null,
    waiting_for: run.waits ? 'evidence' : null,
    ticket_id: run.ticket.id,
    executed_by_id: personOf(caller),
    parent_run_id: null,
    verifies_run_id: run.verifies,
    root_run_id: run.root,
    expect: run.expect === null ? null : JSON.stringify(run.expect),
    finalize: run.finalize,
    trigger: JSON.stringify({ trigger_type: 'api', triggered_by: personOf(caller) }),
    trace_id: caller.traceId,
    traceparent: caller.traceparent,
    tracestate: caller.tracestate,
    execution_context: JSON.stringify(context),
    validator_version: run.prepared.version,
    rules_version: run.prepared.rulesVersion,
    rules: run.prepared.rules,
    input_sha256: digestOf(canonicalize(input)),
    event_count: 0,
    created_at: caller.at,
    updated_at: caller.at,
    timeout_at: run.waits ? until : null,
  })
  if (run.waits) {
    await store.setTimer(tx, run.id, 'expire', until)
    await store.setTimer(tx, run.id, 'remind', caller.at + (evidence_ttl_hours * HOUR) / 2)
  }
  await append(tx, caller.at, caller, {
    type: 'run.created',
    resource: { type: 'run', id: run.id, number },
    action: `Created ${run.kind} run for ticket ${run.ticket.number}`,
    details: {
      number,
      run_type: run.kind,
      ticket_id: run.ticket.id,
      script_id: run.prepared.scriptId,
      // Whoever is given the others of this ticket sees which one they were not given. Numbers of runs are taken one after the other.
      run_of_ticket: await store.countRunsOfTicket(tx, run.ticket.id),
      ...(run.verifies ? { verifies_run_id: run.verifies } : {}),
    },
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
  })
}

/** The run, locked, if the caller may work on its ticket. Throws RUN_NOT_FOUND or `denied`. */
export async function runToWorkOn(tx: Tx, caller: Caller, ref: Ref, denied: ErrorCode): Promise<store.RunRow> {
  const run = await store.lockRun(tx, ref)
  if (!run) throw new AppError('RUN_NOT_FOUND')
  const ticket = await seeTicket(tx, caller, run.ticket_id, denied)
  if (!mayWorkOn(caller, ticket)) throw new AppError(denied)
  return run
}

/** The run, if the caller may see its ticket. */
export async function runToSee(
  tx: Tx,
  caller: Caller,
  ref: Ref,
  denied: ErrorCode = 'RUN_VIEW_DENIED',
): Promise<store.RunRow> {
  const run = await store.findRun(tx, ref)
  if (!run) throw new AppError('RUN_NOT_FOUND')
  await seeTicket(tx, caller, run.ticket_id, denied)
  return run
}

/** What to answer where there is no such task: what was dropped by retention is told from what never was. */
export const missingTask = async (tx: Tx, ref: Ref, otherwise: 'TASK_NOT_FOUND' | 'RUN_NOT_FOUND'): Promise<AppError> =>
  new AppError((await store.wasRun(tx, ref)) ? 'TASK_DROPPED' : otherwise)

/** The task of this id or number, if there is one: who dispatched it sees it, and who sees all. Throws RUN_VIEW_DENIED. */
export async function taskToSee(
  tx: Tx,
  caller: Caller,
  ref: Ref,
): Promise<{ readonly id: string; readonly number: number } | undefined> {
  const task = await store.findTask(tx, ref)
  if (task && !seesAll(caller) && task.executed_by_id !== personOf(caller)) throw new AppError('RUN_VIEW_DENIED')
  return task
}
