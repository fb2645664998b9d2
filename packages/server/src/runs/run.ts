import type { RunState, RunStatus, Verdict } from '@writ/api'

/**
 * What may follow what, for runs of every kind (the run contract, `runtime_run_state`). Everything that changes a state
 * goes through `requireMove`; the diagram in docs/lifecycles.md is tested against this table. A paused debugger, a
 * verdict, an unread result are properties of a run, not states.
 */
export const moves = {
  pending: ['running', 'waiting_approval', 'cancelled', 'timeout'],
  waiting_approval: ['pending', 'running', 'cancelled', 'timeout'],
  running: ['completed', 'failed', 'cancelled', 'timeout', 'pending', 'waiting_approval', 'waiting_tool'],
  waiting_tool: ['running', 'pending', 'failed', 'cancelled', 'timeout'],
  completed: [],
  failed: [],
  cancelled: [],
  timeout: [],
} as const satisfies Record<RunState, readonly RunState[]>

export const isFinal = (state: RunState): boolean => moves[state].length === 0

/** Throws on a move that the table does not have: a bug, not a refusal. Callers refuse before they come here. */
export function requireMove(from: RunState, to: RunState): void {
  if (!(moves[from] as readonly RunState[]).includes(to)) throw new Error(`a run cannot go from ${from} to ${to}`)
}

/**
 * The documented word for a proof or action run. Bad evidence is a check that ran (`completed`) and found against it:
 * the documented word for that is `failed`. A verdict is never retried.
 */
export function statusOf(run: { state: RunState; verdict: Verdict | null }): RunStatus {
  switch (run.state) {
    case 'completed':
      return run.verdict === 'failed' ? 'failed' : 'success'
    case 'waiting_approval':
      return 'pending'
    case 'waiting_tool':
      return 'running'
    default:
      return run.state
  }
}

/** The audit event of a settled run: `run.failed` covers bad evidence too. */
export function settledEvent(run: {
  state: RunState
  verdict: Verdict | null
}): 'run.completed' | 'run.failed' | 'run.timeout' | 'run.cancelled' {
  if (run.state === 'timeout') return 'run.timeout'
  if (run.state === 'cancelled') return 'run.cancelled'
  return statusOf(run) === 'success' ? 'run.completed' : 'run.failed'
}
