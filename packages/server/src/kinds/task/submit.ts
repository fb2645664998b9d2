import type { NewTask, Submitted } from '@writ/api'
import type { Caller } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import { type Command, type RequestKey, remember, type Tx, takeNumbers } from '../../platform/db/index.ts'
import { answerOf } from '../../platform/http/mount.ts'
import { uuidv7 } from '../../platform/ids.ts'
import { type Queue, remotePlace } from '../../queue/index.ts'
import { faultsOf, type Handler, type Handlers } from './handler.ts'
import { INLINE_BYTES, keepJson } from './payload.ts'
import type { Payloads } from './sealed.ts'
import * as store from './store.ts'

/** A task that was examined and may be submitted. Made by `prepareTask` or from a dead letter, and by nobody else. */
export interface PreparedTask {
  readonly handler: string
  readonly queue: string
  /** Workers outside of the servers do it. */
  readonly remote: boolean
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
  /** The exact input, where what stands in the open is redacted. */
  readonly inputSealed: string | null
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
  /** The schedule that asked; null: a person did. */
  readonly schedule?: string | null
  /** The answer that goes under the key; status 201 with what was submitted unless said otherwise. */
  readonly answer?: { readonly status: number; body(submitted: readonly Submitted[]): unknown }
}

const MAX_INPUT_BYTES = 512 * 1024

const timeOf = (text: string | undefined): number | null => (text === undefined ? null : Date.parse(text))
const jsonOf = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))

/** See `Tasks.prepare`. */
export async function prepareTask(
  on: {
    handlers: Handlers
    blobs: Blobs
    payloads: Payloads
    findRemote(project: string, name: string): Promise<Handler | undefined>
  },
  caller: Caller,
  asked: NewTask,
  door: 'dispatch' | null,
): Promise<PreparedTask> {
  const handler = on.handlers.find(asked.handler) ?? (await on.findRemote(caller.project!, asked.handler))
  if (!handler) throw new AppError('TASK_UNKNOWN_HANDLER', { handler: asked.handler })
  if (handler.enabled === false) throw new AppError('HANDLER_DISABLED', { handler: handler.name })
  const value = asked.input ?? {}
  const fields = faultsOf(handler.input, value, 'body.input')
  if (fields.length > 0) throw new AppError('TASK_INPUT_INVALID', { handler: handler.name }, { fields })
  const runAt = timeOf(asked.run_at)
  const deadlineAt = timeOf(asked.deadline_at)
  if (deadlineAt !== null && deadlineAt <= Math.max(caller.at, runAt ?? 0)) throw new AppError('TASK_TIMES_INVALID')
  const given = JSON.stringify(value)
  // A long one is redacted and sealed at length, so it is refused before.
  if (given.length > INLINE_BYTES && Buffer.byteLength(given) > MAX_INPUT_BYTES)
    throw new AppError('TASK_INPUT_TOO_LARGE', { limit: MAX_INPUT_BYTES })
  const { shown: text, sha256: inputSha256, sealed: inputSealed } = on.payloads.hide(caller.project!, given)
  const prepared = {
    handler: handler.name,
    queue: asked.queue ?? handler.queue,
    remote: handler.source === 'worker',
    priority: asked.priority ?? 0,
    runAt,
    maxAttempts: asked.max_attempts ?? handler.maxAttempts,
    timeoutMs: asked.timeout_ms ?? handler.timeoutMs,
    deadlineAt,
    uniqueKey: asked.unique_key ?? null,
    inputSha256,
    inputSealed,
    tags: jsonOf(asked.tags),
    metadata: jsonOf(asked.metadata),
    callback: jsonOf(asked.callback),
    door,
  }
  if (text.length <= INLINE_BYTES) return { ...prepared, input: text }
  await keepJson(on.blobs, caller.project!, Buffer.from(text))
  return { ...prepared, input: null }
}

/** What is accepted, by whom, and of which dead letter it is the replay. */
export interface Accepted {
  readonly caller: Caller
  readonly task: PreparedTask
  readonly replays?: { readonly id: string; readonly root: string }
  readonly schedule?: string | null
}

/**
 * Accepts tasks: row, queue entry, unique key and idempotency record in one transaction, however many callers share it.
 * Stopped before its commit: nothing was accepted and nobody answered. Stopped after it: every task is in the queue.
 */
export function createSubmit(queue: Queue, accepted?: (queue: string, handler: string) => void) {
  /** Queues that are known to be there, by project: a row is written once. */
  const known = new Set<string>()

  async function accept(tx: Tx, all: readonly Accepted[]): Promise<Submitted[]> {
    const ids = all.map(({ caller }) => uuidv7(caller.at))
    const keyed = all.flatMap(({ task }, i) =>
      task.uniqueKey === null ? [] : [{ key: task.uniqueKey, runId: ids[i]! }],
    )
    const owners = keyed.length > 0 ? await store.takeKeys(tx, keyed) : undefined
    const ownerOf = (i: number) => {
      const key = all[i]!.task.uniqueKey
      return key === null ? undefined : owners?.get(key)
    }
    const fresh = all
      .map((one, i) => ({ ...one, id: ids[i]! }))
      .filter((one, i) => (ownerOf(i)?.id ?? one.id) === one.id)
    const queues = new Set(fresh.map(({ task }) => task.queue))
    const unknown = [...queues].filter((name) => !known.has(`${tx.project}\n${name}`))
    const [last] = await Promise.all([
      fresh.length > 0 ? takeNumbers(tx, 'runs', fresh.length) : 0,
      fresh.length > 0 ? takeNumbers(tx, 'tasks', fresh.length) : 0,
      store.addQueues(tx, unknown, all[0]?.caller.at ?? 0),
    ])
    const rows = fresh.map((one, i) => rowOf(one, last - fresh.length + 1 + i))
    await Promise.all([
      store.insertTasks(tx, rows),
      queue.enqueue(
        tx,
        rows.map((row, i) => ({
          runId: row.id,
          queue: fresh[i]!.task.remote ? remotePlace(row.queue!, row.handler) : row.queue!,
          handler: row.handler,
          priority: row.priority!,
          runAt: row.run_at!,
        })),
        all[0]?.caller.at ?? 0,
      ),
      store.setDeadlines(
        tx,
        rows.flatMap(({ id, deadline_at }) => (deadline_at === null ? [] : [{ id, deadline_at }])),
      ),
    ])
    tx.afterCommit(() => {
      if (accepted) for (const row of rows) accepted(row.queue!, row.handler)
      for (const name of unknown) known.add(`${tx.project}\n${name}`)
    })
    const numbers = new Map(rows.map((row) => [row.id, row.number]))
    return ids.map((id, i) => {
      const owner = ownerOf(i)?.id ?? id
      // Of another transaction, or of an earlier task of this one.
      return { id: owner, number: numbers.get(owner) ?? ownerOf(i)!.number!, duplicate: owner !== id }
    })
  }

  const submit: Command<SubmitTasks, readonly Submitted[]> = {
    name: 'submitTasks',
    async run(tx, inputs) {
      const all = inputs.flatMap(({ caller, tasks, schedule = null }) =>
        tasks.map((task) => ({ caller, task, schedule })),
      )
      const submitted = await accept(tx, all)
      let taken = 0
      const outputs = inputs.map(({ tasks }) => {
        taken += tasks.length
        return submitted.slice(taken - tasks.length, taken)
      })
      const keyed = inputs.flatMap((input, i) => {
        const { status, body } = input.answer ?? { status: 201, body: (done: readonly Submitted[]) => done }
        return input.remember ? [{ ...input.remember, ...answerOf({ status }, body(outputs[i]!)) }] : []
      })
      if (keyed.length > 0) await remember(tx, inputs[0]!.caller.at, keyed)
      return outputs
    },
  }
  return { accept, submit }
}

function rowOf({ caller, task, id, replays, schedule }: Accepted & { id: string }, number: number): store.NewTaskRow {
  return {
    id,
    number,
    handler: task.handler,
    executed_by_id: caller.userId,
    root_run_id: replays?.root ?? id,
    trigger: JSON.stringify({
      ...(schedule ? { trigger_type: 'schedule', schedule_id: schedule } : { trigger_type: 'api' }),
      triggered_by: caller.userId,
    }),
    trace_id: caller.traceId,
    queue: task.queue,
    priority: task.priority,
    run_at: task.runAt ?? caller.at,
    max_attempts: task.maxAttempts,
    timeout_ms: task.timeoutMs,
    deadline_at: task.deadlineAt,
    unique_key: task.uniqueKey,
    input: task.input,
    input_sha256: task.inputSha256,
    input_sealed: task.inputSealed,
    replays_run_id: replays?.id ?? null,
    door: task.door,
    callback: task.callback,
    tags: task.tags,
    metadata: task.metadata,
    created_at: caller.at,
    updated_at: caller.at,
  }
}
