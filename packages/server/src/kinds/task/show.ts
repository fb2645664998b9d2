import type { Queue, RunContract, Task, TaskAttempt, TaskCost, TaskStep } from '@writ/api'
import { totalUsd, usdOf } from '@writ/api/costs'
import { rfc3339, rfc3339OrNull } from '../../platform/clock.ts'
import type { Depth } from '../../queue/index.ts'
import { isFinal, showContract } from '../../runs/index.ts'
import type { AttemptRow, QueueRow, StepRow, TaskRow } from './store.ts'
import type { CostRow } from './store-cost.ts'

const parsed = <T>(json: string | null): T | null => (json === null ? null : (JSON.parse(json) as T))

/** What runs is told from its lease: in its row it is pending until it is settled. */
const stateOf = (row: TaskRow): Task['state'] =>
  row.state === 'pending' && row.lease_until !== null ? 'running' : row.state

function statusOf(row: TaskRow): Task['status'] {
  const state = stateOf(row)
  if (row.dead_at !== null) return 'dead'
  if (state === 'running') return 'processing'
  return state === 'waiting_approval' || state === 'waiting_tool' ? 'pending' : state
}

/**
 * The first of what it waits for: a place under its key is given to nobody whose time has not come, and the end of a pause is no
 * help to whom nobody may do.
 */
function waitingFor(row: TaskRow, now: number): Task['waiting_for'] {
  if (row.state !== 'pending' || row.lease_until !== null) return null
  if (row.waits_for !== null && row.waits_for > 0) return 'dependencies'
  if (row.run_at > now) return 'time'
  if (row.waits_for !== null && row.admitted !== 1) return 'concurrency_key'
  if (row.handler_off === 1) return 'handler'
  return row.queue_paused_at === null ? null : 'queue'
}

export function showTask(row: TaskRow, now: number): Task {
  const dependsOn = parsed<{ ids: string[]; policy: 'cancel' | 'run' }>(row.depends_on)
  return {
    id: row.id,
    number: row.number,
    kind: 'task',
    handler: row.handler,
    queue: row.queue,
    priority: row.priority,
    state: stateOf(row),
    status: statusOf(row),
    attempt: row.deliveries ?? row.attempt,
    max_attempts: row.max_attempts,
    timeout_ms: row.timeout_ms,
    run_at: rfc3339(row.run_at),
    deadline_at: rfc3339OrNull(row.deadline_at),
    unique_key: row.unique_key,
    concurrency_key: row.concurrency_key,
    depends_on: dependsOn?.ids ?? [],
    depends_on_policy: dependsOn?.policy ?? null,
    parent_run_id: row.parent_run_id,
    waiting_for: waitingFor(row, now),
    tags: parsed<string[]>(row.tags) ?? [],
    metadata: parsed<Record<string, unknown>>(row.metadata) ?? {},
    callback: parsed<{ url: string }>(row.callback),
    door: row.door,
    executed_by_id: row.executed_by_id,
    executed_by_username: row.executed_by_username,
    replays_run_id: row.replays_run_id,
    trace_id: row.trace_id,
    input_sha256: row.input_sha256,
    output_sha256: row.output_sha256,
    journal_sha256: row.journal_sha256,
    cost_usd: row.cost_usd,
    error_code: row.error_code,
    error: row.error,
    worker: row.worker,
    cancel_requested_at: rfc3339OrNull(row.cancel_requested_at),
    cancel_reason: row.cancel_reason,
    dead_at: rfc3339OrNull(row.dead_at),
    purged_at: rfc3339OrNull(row.purged_at),
    created_at: rfc3339(row.created_at),
    updated_at: rfc3339(row.updated_at),
    started_at: rfc3339OrNull(row.started_at ?? row.claimed_at),
    completed_at: rfc3339OrNull(row.completed_at),
  }
}

/** The run contract of a task: its state as its lease tells it, and when it is over at the latest, as far as that is known. */
export function showTaskContract(row: TaskRow, slug: string): RunContract {
  const startedAt = row.started_at ?? row.claimed_at
  const ends = [row.deadline_at, row.claimed_at === null ? null : row.claimed_at + row.timeout_ms]
  const timeoutAt = Math.min(...ends.filter((time) => time !== null))
  return {
    ...showContract({ ...row, state: stateOf(row) }, slug),
    started_at: rfc3339OrNull(startedAt),
    timeout_at: rfc3339OrNull(Number.isFinite(timeoutAt) ? timeoutAt : null),
  }
}

/** Every attempt from the first on. One that left no trace was lost with its worker; the one under a lease runs. */
export function showAttempts(row: TaskRow, kept: readonly AttemptRow[], costs: readonly CostRow[] = []): TaskAttempt[] {
  const count = Math.max(row.deliveries ?? 0, row.attempt, ...kept.map((one) => one.attempt))
  return Array.from({ length: count }, (_, i) => {
    const attempt = i + 1
    const stored = kept.find((one) => one.attempt === attempt)
    const own = costs.filter((one) => one.attempt === attempt)
    const cost_usd = own.length === 0 ? null : totalUsd(own)
    const empty = {
      attempt,
      started_at: null,
      ended_at: null,
      error_code: null,
      error: null,
      worker: null,
      next_run_at: null,
      cost_usd,
    }
    if (stored)
      return {
        attempt,
        outcome: stored.outcome,
        started_at: rfc3339OrNull(stored.started_at),
        ended_at: rfc3339(stored.ended_at),
        error_code: stored.error_code,
        error: stored.error,
        worker: stored.worker,
        next_run_at: rfc3339OrNull(stored.next_run_at),
        cost_usd,
      }
    if (attempt === row.attempt && isFinal(row.state))
      return {
        ...empty,
        // A final state of the four that a task can have.
        outcome: row.state as 'completed' | 'failed' | 'timeout' | 'cancelled',
        started_at: rfc3339OrNull(row.started_at),
        ended_at: rfc3339OrNull(row.completed_at),
        error_code: row.error_code,
        error: row.error,
        worker: row.worker,
      }
    if (attempt === count && row.lease_until !== null)
      return { ...empty, outcome: 'running', started_at: rfc3339OrNull(row.claimed_at) }
    return { ...empty, outcome: 'lost' }
  })
}

export const showStep = (row: StepRow): TaskStep => ({
  name: row.name,
  attempt: row.attempt,
  started_at: rfc3339(row.started_at),
  ended_at: rfc3339(row.ended_at),
  result: JSON.parse(row.result) as unknown,
})

export const showCost = ({ attempt, what, nanos }: CostRow): TaskCost => ({
  attempt,
  what: what === '' ? null : what,
  cost_usd: usdOf(nanos),
})

export const showQueue = (row: QueueRow, depth: Depth | undefined): Queue => ({
  name: row.name,
  paused_at: rfc3339OrNull(row.paused_at),
  paused_by_id: row.paused_by_id,
  paused_reason: row.paused_reason,
  concurrency: row.concurrency,
  waiting: depth?.waiting ?? 0,
  delayed: depth?.delayed ?? 0,
  in_flight: depth?.claimed ?? 0,
  oldest_waiting_at: rfc3339OrNull(depth?.oldest ?? null),
})
