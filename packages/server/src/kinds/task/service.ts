import type { NewTask, RunContract, Submitted, Task, TaskDetail, TaskLog } from '@writ/api'
import { SYSTEM } from '../../audit/index.ts'
import type { Caller } from '../../identity/index.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import { coalesceIn } from '../../platform/coalesce.ts'
import { type Command, type Database, inProject, type Tx } from '../../platform/db/index.ts'
import { createLooks } from '../../platform/looks.ts'
import type { Queue as RunQueue } from '../../queue/index.ts'
import { isFinal, searchFloor, type Waiting } from '../../runs/index.ts'
import type { Ref } from '../../tickets/index.ts'
import { type Batches, createBatches } from './batches.ts'
import { type Cancelling, createCancelling } from './cancel.ts'
import { type Children, createChildren } from './child.ts'
import { createDeadLetters, type DeadLetters } from './dead-letters.ts'
import type { Eager } from './eager.ts'
import type { Asked, TaskFilter, TaskPage } from './filter.ts'
import type { Handler, Handlers } from './handler.ts'
import { admitDue } from './hold.ts'
import type { HttpHandlers } from './http/http-handlers.ts'
import type { Switches } from './http/switches.ts'
import { keepSpans } from './keep-spans.ts'
import { createKeys, type Keys } from './keys.ts'
import { type LogPlace, readLog } from './log.ts'
import { readJson, readResult } from './payload.ts'
import { createQueues, type Queues } from './queues.ts'
import type { RemoteHandlers } from './remote/registry.ts'
import type { Payloads } from './sealed.ts'
import { mine, see } from './see.ts'
import { type Ending, endDependents, settleWaiting } from './settle.ts'
import { showAttempts, showCost, showStep, showTask, showTaskContract } from './show.ts'
import * as store from './store.ts'
import { listCosts } from './store-cost.ts'
import { createSubmit, type PreparedTask, prepareTask, type SubmitTasks } from './submit.ts'

type TaskRow = store.TaskRow

/**
 * What the routes call. Everything with `tx` belongs inside `ask.change` or `ask.read`. Who may see: ops, auditors and admins
 * every task of the project, others those that they dispatched.
 */
export interface Tasks extends Cancelling, DeadLetters, Queues, Batches, Keys {
  readonly handlers: Handlers
  /** Those that workers registered in the project. */
  readonly remote: RemoteHandlers
  /** Those of the project that are addresses. */
  readonly http: HttpHandlers
  /** Which of the servers' own and of those are disabled. */
  readonly switches: Switches

  /**
   * Examines one dispatch; stores a large input. Writes no row: call it before the transaction.
   * Throws TASK_UNKNOWN_HANDLER, TASK_INPUT_INVALID (with fields below `body.input`), TASK_INPUT_TOO_LARGE, TASK_TIMES_INVALID,
   * TASK_UNIQUE_INVALID, TASK_DEPENDENCY_INVALID.
   */
  prepare(caller: Caller, asked: NewTask, more?: { door?: 'dispatch' }): Promise<PreparedTask>
  /**
   * Accepts tasks: `ask.submit(tasks.submit, { caller, tasks: [prepared] })`. Joined with everybody else's by group commit;
   * answers after the commit, in order, and the worker has heard of them.
   */
  readonly submit: Command<SubmitTasks, readonly Submitted[]>

  /** The whole of a task. Throws TASK_NOT_FOUND, TASK_VIEW_DENIED. */
  find(asked: Asked, ref: Ref): Promise<TaskDetail>
  /** Its projection onto the run contract. Throws TASK_NOT_FOUND, TASK_VIEW_DENIED. */
  contract(asked: Asked, ref: Ref): Promise<RunContract>
  /** As `find`, once it is settled, or as it is after `ms`, or when `gone` aborts. */
  wait(asked: Asked, ref: Ref, ms: number, gone: AbortSignal): Promise<TaskDetail>
  /** What an attempt printed, as far as it is kept. Throws TASK_NOT_FOUND, TASK_VIEW_DENIED, ATTEMPT_NOT_FOUND. */
  log(asked: Asked, ref: Ref, place: LogPlace): Promise<TaskLog>
  /**
   * As `log`, as soon as there is a line behind the place, or the attempt is over; as it is when `until` aborts. Those who wait at the
   * same place share one look at the database.
   */
  nextLog(asked: Asked, ref: Ref, place: LogPlace, until: AbortSignal): Promise<TaskLog>
  /** What a settled task came to, exactly: for whoever dispatched it and waits, and for callbacks. Undefined if it is gone. */
  outcome(tx: Tx, ref: Ref): Promise<{ row: TaskRow; result: unknown } | undefined>
  /** Rows for `ask.page`, newest first; `show` makes items of them, `key` is the number. */
  list(tx: Tx, caller: Caller, filter: TaskFilter, page: TaskPage): Promise<TaskRow[]>
  count(tx: Tx, caller: Caller, filter: TaskFilter): Promise<number>
  totals(tx: Tx, caller: Caller, filter: TaskFilter): Promise<store.StateTotal[]>
  show(row: TaskRow): Task

  /** Starts what may start under keys by time alone, in all projects. Called again and again. */
  admitDue(): Promise<void>
  /** Somebody set the clock: what waits for a span, and not for a time that somebody named, waits for no longer. See `keepSpans`. */
  clockSet(change: { readonly from: number; readonly to: number }): Promise<void>
  /** What running work may ask for. */
  readonly children: Children

  /**
   * `expire`: the deadline of a task passed while it waited; settles it, unless a worker has it, who knows the deadline too. One that
   * has ended is over for those that wait for it. `cancel_children`: what it dispatched is to end, too.
   */
  fireTimer(tx: Tx, timer: { readonly run_id: string; readonly what: string }): Promise<void>
}

export interface TasksOn {
  readonly queue: RunQueue
  readonly blobs: Blobs
  readonly clock: Clock
  readonly handlers: Handlers
  readonly waiting: Waiting
  readonly payloads: Payloads
  readonly db: Database
  readonly remote: RemoteHandlers
  readonly http: HttpHandlers
  readonly switches: Switches
  /** Hears of each task after it was accepted. */
  readonly accepted?: (queue: string, handler: string) => void
  /** Where this process works on tasks, once it does. */
  eager?(): Eager | undefined
}

const EXPIRED: Ending = {
  state: 'timeout',
  result: null,
  outputSha256: null,
  errorCode: 'DEADLINE_EXCEEDED',
  error: 'The deadline passed while it waited',
}

export function createTasks(on: TasksOn): Tasks {
  const { queue, handlers, remote, http, switches, waiting } = on
  const { cancelWaiting, cancelAll, cancelChildren, cancelOtherChildren, settled, ...cancelling } = createCancelling(on)
  const { accept, submit } = createSubmit(queue, { ...on, cancelChildren, settled })
  const looks = createLooks(LOG_POLL_MS)

  // Those of a batch, and of requests that come together, are mostly of one handler.
  const findRemote = coalesceIn<Handler>(
    on.db,
    async (tx, names) => new Map<string, Handler>([...(await remote.find(tx, names)), ...(await http.find(tx, names))]),
  )

  const prepare: Tasks['prepare'] = (caller, asked, more) =>
    prepareTask({ ...on, findRemote, isOff: switches.isOff }, caller, asked, more?.door ?? null)

  /** The filter as this caller may use it; a search has a floor, so that it costs the same however many runs there are. */
  async function bounded(tx: Tx, caller: Caller, filter: TaskFilter): Promise<store.Wanted> {
    const above = filter.q === undefined ? undefined : await searchFloor(tx, filter.created_before)
    const { batch, parent, ...rest } = filter
    return {
      ...rest,
      of: mine(caller),
      above,
      // What is no task has dispatched nothing; no id is empty.
      parent: parent === undefined ? undefined : ((await store.findIds(tx, [parent], undefined))(parent) ?? ''),
      numbers: batch === undefined ? undefined : await numbersOf(tx, batch),
    }
  }

  // There are no tasks of a batch that is none.
  async function numbersOf(tx: Tx, batch: string): Promise<[number, number]> {
    const row = await store.findBatch(tx, batch)
    return row ? [row.first_number, row.last_number] : [0, -1]
  }

  async function detail(asked: Asked, row: TaskRow): Promise<TaskDetail> {
    const task = showTask(row, on.clock.now())
    const { depends_on, parent_run_id, replays_run_id } = task
    const [kept, steps, costs, numbers] = await asked.read(async (tx) => [
      await store.listAttempts(tx, [row.id]),
      await store.listSteps(tx, row.id),
      row.cost_usd === null ? [] : await listCosts(tx, [row.id]),
      await store.findNumbers(
        tx,
        [...depends_on, parent_run_id, replays_run_id].filter((id) => id !== null),
      ),
    ])
    const numberOf = (id: string | null) => (id === null ? null : (numbers.get(id) ?? null))
    // The fence of the caller's project held when the row was read.
    const [input, result] = await Promise.all([
      readJson(on.blobs, row.project_id, row.input, row.input_sha256),
      readJson(on.blobs, row.project_id, row.result, row.output_sha256),
    ])
    return {
      ...task,
      depends_on_numbers: depends_on.map(numberOf),
      parent_run_number: numberOf(parent_run_id),
      replays_run_number: numberOf(replays_run_id),
      input: input ?? null,
      result: result ?? null,
      log: row.stdout_log,
      attempts: showAttempts(row, kept, costs),
      steps: steps.map(showStep),
      costs: costs.map(showCost),
    }
  }

  const deadLetters = createDeadLetters({ ...on, accept, detail })

  return {
    handlers,
    remote,
    http,
    switches,
    prepare,
    submit,

    find: async (asked, ref) => detail(asked, await asked.read((tx) => see(tx, asked.caller, ref))),
    contract: async (asked, ref) =>
      showTaskContract(await asked.read((tx) => see(tx, asked.caller, ref)), asked.caller.projectSlug!),
    async wait(asked, ref, ms, gone) {
      const read = () => asked.read((tx) => see(tx, asked.caller, ref))
      const first = await read()
      return detail(asked, await waiting.until(first.id, read, ms, gone))
    },
    log: (asked, ref, place) => asked.read(async (tx) => readLog(tx, await see(tx, asked.caller, ref), place)),
    nextLog: (asked, ref, place, until) =>
      looks.until(
        JSON.stringify([asked.caller.project, mine(asked.caller), ref, place]),
        () => asked.read(async (tx) => readLog(tx, await see(tx, asked.caller, ref), place)),
        ({ chunks, complete }) => chunks.length > 0 || complete,
        until,
      ),
    async outcome(tx, ref) {
      const row = await store.findTask(tx, ref)
      if (!row) return undefined
      return { row, result: (await readResult(on, row.project_id, row)) ?? null }
    },
    list: async (tx, caller, filter, page) => store.listTasks(tx, await bounded(tx, caller, filter), page),
    count: async (tx, caller, filter) => store.countTasks(tx, await bounded(tx, caller, filter)),
    totals: async (tx, caller, filter) => store.totalTasks(tx, await bounded(tx, caller, filter)),
    show: (row) => showTask(row, on.clock.now()),

    ...cancelling,
    ...deadLetters,
    ...createQueues({ queue, cancelWaiting, cancelChildren }),
    ...createBatches({ cancelAll }),
    ...createKeys(on),
    admitDue: () =>
      admitDue(
        { db: on.db, queue, change: (project, work) => inProject(project, () => on.db.write(work)) },
        on.clock.now(),
      ),
    clockSet: (change) => keepSpans(on, change),
    children: createChildren({ ...on, prepare, accept }),

    async fireTimer(tx, { run_id: runId, what }) {
      const now = on.clock.now()
      if (what === 'cancel_children') return cancelOtherChildren(tx, runId, now)
      const rows = [...(await store.loadWork(tx, [runId])).values()]
      const over = rows.filter(({ state }) => isFinal(state))
      // Of a task that has ended there was no room for those that wait for it.
      if (over.length > 0) settled(tx, await endDependents(tx, queue, over, now))
      else settled(tx, await settleWaiting(tx, queue, rows, EXPIRED, SYSTEM, now))
    },
  }
}

const LOG_POLL_MS = 250
