import type { NewTask, Queue, RunState, Submitted, Task, TaskDetail } from '@writ/api'
import type { Caller } from '../../identity/index.ts'
import type { Command, RequestKey, Tx } from '../../platform/db/index.ts'
import type { Ref } from '../../tickets/index.ts'
import type { Handlers } from './handler.ts'
import type { TaskRow } from './store.ts'

/** Who asks, and how the project is read: `Ask` of the routes is one. */
export interface Asked {
  readonly caller: Caller
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

/** A task that was examined and may be submitted. Made by `prepare`, and by nobody else. */
export interface PreparedTask {
  readonly handler: string
  readonly queue: string
  readonly priority: number
  /** Null: at once. */
  readonly runAt: number | null
  readonly maxAttempts: number
  readonly timeoutMs: number
  readonly deadlineAt: number | null
  readonly uniqueKey: string | null
  /** JSON text; null when it is so large that it is in the blob store under `inputSha256`. */
  readonly input: string | null
  readonly inputSha256: string
  readonly tags: string | null
  readonly metadata: string | null
  readonly callback: string | null
  readonly door: 'dispatch' | null
}

export interface SubmitTasks {
  readonly caller: Caller
  readonly tasks: readonly PreparedTask[]
  /** The Idempotency-Key, as `ask.submit` hands it in; null without one. */
  readonly remember: RequestKey | null
  /** The body of the answer that goes under the key, and its status; what was submitted and 201 unless said otherwise. */
  readonly answer?: { readonly status: number; body(submitted: readonly Submitted[]): unknown }
}

export interface TaskFilter {
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  /** `running` is a task whose lease is held. */
  readonly state?: RunState | undefined
  readonly error_code?: string | undefined
  readonly tag?: string | undefined
  readonly unique_key?: string | undefined
  readonly created_after?: number | undefined
  readonly created_before?: number | undefined
}

/** Which dead letters. One that was replayed or purged is none any more. */
export interface DeadFilter {
  readonly ids?: readonly Ref[] | undefined
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  readonly error_code?: string | undefined
  readonly died_after?: number | undefined
  readonly died_before?: number | undefined
}

/** `before`: the number of the last row of the page before, newest first. */
export interface TaskPage {
  readonly limit: number
  readonly skip: number
  readonly before?: number | undefined
}

/**
 * What the routes call. Everything with `tx` belongs inside `ask.change` or `ask.read`. Who may see: ops, auditors and admins
 * every task of the project, others those that they dispatched.
 */
export interface Tasks {
  readonly handlers: Handlers

  /**
   * Examines one dispatch; stores a large input. Writes no row: call it before the transaction.
   * Throws TASK_UNKNOWN_HANDLER, TASK_INPUT_INVALID (with fields below `body.input`), TASK_INPUT_TOO_LARGE, TASK_TIMES_INVALID.
   */
  prepare(caller: Caller, asked: NewTask, more?: { door?: 'dispatch' }): Promise<PreparedTask>
  /**
   * Accepts tasks: `ask.submit(tasks.submit, { caller, tasks: [prepared] })`. Joined with everybody else's by group commit;
   * answers after the commit, in order, and the worker has heard of them.
   */
  readonly submit: Command<SubmitTasks, readonly Submitted[]>

  /** The whole of a task. Throws TASK_NOT_FOUND, TASK_VIEW_DENIED. */
  find(asked: Asked, ref: Ref): Promise<TaskDetail>
  /** As `find`, once it is settled, or as it is after `ms`, or when `gone` aborts. */
  wait(asked: Asked, ref: Ref, ms: number, gone: AbortSignal): Promise<TaskDetail>
  /** Rows for `ask.page`, newest first; `show` makes items of them, `key` is the number. */
  list(tx: Tx, caller: Caller, filter: TaskFilter, page: TaskPage): Promise<TaskRow[]>
  count(tx: Tx, caller: Caller, filter: TaskFilter): Promise<number>
  show(row: TaskRow): Task

  /**
   * Cancels what waits at once; of what runs it asks the worker to stop, and the answer has `cancel_requested_at`.
   * Throws TASK_NOT_FOUND, TASK_VIEW_DENIED, TASK_NOT_CANCELLABLE.
   */
  cancel(tx: Tx, caller: Caller, ref: Ref, reason: string | null): Promise<Task>

  /** Dead letters for `ask.page`, newest first. */
  listDead(tx: Tx, filter: DeadFilter, page: TaskPage): Promise<TaskRow[]>
  countDead(tx: Tx, filter: DeadFilter): Promise<number>
  /** Throws DEAD_LETTERS_UNFILTERED for a filter that would take all. */
  requireDeadFilter(filter: DeadFilter): void
  /** The whole of a dead letter. Throws TASK_NOT_FOUND, TASK_NOT_DEAD. */
  findDead(asked: Asked, ref: Ref): Promise<TaskDetail>
  /** The same work as a new task that names the old one, which leaves the dead letters. Throws TASK_NOT_FOUND, TASK_NOT_DEAD, TASK_UNKNOWN_HANDLER. */
  replay(tx: Tx, caller: Caller, ref: Ref): Promise<Submitted>
  /** As `replay` for up to `limit` of those that the filter takes, oldest first. Throws DEAD_LETTERS_UNFILTERED. */
  replayMany(
    tx: Tx,
    caller: Caller,
    filter: DeadFilter,
    limit: number,
  ): Promise<{ replayed: (Submitted & { replays_run_id: string })[]; left: number }>
  /** Takes those off the list; their runs stay. Throws DEAD_LETTERS_UNFILTERED. */
  purge(tx: Tx, caller: Caller, filter: DeadFilter): Promise<{ purged: number }>

  /** The queues of the project, by name. */
  listQueues(tx: Tx): Promise<Queue[]>
  /** No task of this queue is claimed any more; those that run go on. Throws QUEUE_UNKNOWN. Twice is once. */
  pauseQueue(tx: Tx, caller: Caller, name: string): Promise<Queue>
  resumeQueue(tx: Tx, caller: Caller, name: string): Promise<Queue>
  /** Cancels up to `limit` of what waits, delayed ones included; those that run go on. Throws QUEUE_UNKNOWN. */
  drainQueue(tx: Tx, caller: Caller, name: string, limit: number): Promise<{ cancelled: number; left: number }>
}
