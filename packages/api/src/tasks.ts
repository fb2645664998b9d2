import { type Static, Type } from 'typebox'
import { HANDLER_NAME, HTTP_URL, KEY, meaning, PRINTABLE } from './patterns.ts'
import { command, Id, lineThatSays, nullable, Ref, RunState, Sha256, Time, text, textThatSays } from './shapes.ts'

/** A name of a handler: dotted words, as `system.ping`. */
export const HandlerName = Type.String({ pattern: HANDLER_NAME })
export const QueueName = Type.String({
  pattern: meaning('1 to 64 of a-z, 0-9, _, . and -, a letter or digit first', '^[a-z0-9][a-z0-9_.-]{0,63}$'),
})
const anyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })
const anyValue = Type.Unsafe<unknown>({})
export const Key = Type.String({ minLength: 1, maxLength: 200, pattern: KEY })
export const Tag = Type.String({ minLength: 1, maxLength: 60, pattern: lineThatSays })
const Tags = Type.Array(Tag, { maxItems: 20, uniqueItems: true })

const Count = Type.Integer({ minimum: 1, maximum: 10_000 })

/** What a handler allows under each concurrency key of its tasks; null is any number. */
export const KeyLimits = Type.Object(
  {
    concurrency: Type.Optional(
      Type.Unsafe<number | null>({ anyOf: [Count, { type: 'null' }], description: 'tasks at once' }),
    ),
    rate: Type.Optional(
      Type.Unsafe<{ limit: number; period_ms: number } | null>({
        anyOf: [
          Type.Object(
            {
              limit: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
              period_ms: Type.Integer({ minimum: 1, maximum: 86_400_000 }),
            },
            { additionalProperties: false },
          ),
          { type: 'null' },
        ],
        description: 'so many starts in so long, as a bucket of tokens that fills evenly',
      }),
    ),
  },
  { additionalProperties: false },
)
export type KeyLimits = Static<typeof KeyLimits>

/** What is asked for when a task is dispatched. What is left out is the handler's. */
export const NewTask = command({
  handler: HandlerName,
  /** Stays as it is given: what is secret in it is sealed before it is stored, and never shown. */
  input: Type.Optional(Type.Unsafe<unknown>({ writeOnly: true })),
  queue: Type.Optional(QueueName),
  priority: Type.Optional(Type.Integer({ minimum: -100, maximum: 100, description: 'higher first; 0 unless said' })),
  run_at: Type.Optional(Time),
  max_attempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  timeout_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000, description: 'of each attempt' })),
  deadline_at: Type.Optional(Time),
  ttl_ms: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 31_536_000_000,
      description:
        'has to end so long after it was due, which is now or `run_at`; beside `deadline_at` the earlier time counts',
    }),
  ),
  unique_key: Type.Optional(Key),
  unique_policy: Type.Optional(
    Type.Unsafe<'return' | 'reject' | 'replace'>({
      type: 'string',
      enum: ['return', 'reject', 'replace'],
      description:
        'when a task with this unique key lives: answer it (unless said otherwise), refuse, or take its place',
    }),
  ),
  debounce: Type.Optional(
    Type.Object(
      {
        wait_ms: Type.Integer({ minimum: 1, maximum: 86_400_000 }),
        max_wait_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 604_800_000 })),
      },
      {
        additionalProperties: false,
        description:
          'starts `wait_ms` after the last dispatch with this unique key, with its input; at most `max_wait_ms` after the first',
      },
    ),
  ),
  concurrency_key: Type.Optional(Key),
  depends_on: Type.Optional(
    Type.Array(Type.Union([Type.String({ minLength: 1, maxLength: 64 }), Type.Integer({ minimum: 1 })]), {
      minItems: 1,
      maxItems: 100,
      uniqueItems: true,
      description:
        'tasks that have to end first, by id or number; in a batch `batch:0` is the first task of the same batch, and so on',
    }),
  ),
  depends_on_policy: Type.Optional(
    Type.Unsafe<'cancel' | 'run'>({
      type: 'string',
      enum: ['cancel', 'run'],
      description: 'when one of them does not complete: be cancelled too (unless said otherwise), or run all the same',
    }),
  ),
  tags: Type.Optional(Tags),
  metadata: Type.Optional(anyObject),
  callback: Type.Optional(
    Type.Object(
      { url: Type.String({ format: 'uri', maxLength: 2000 }) },
      { additionalProperties: false, writeOnly: true },
    ),
  ),
})
export type NewTask = Static<typeof NewTask>

/** What a dispatch answers: `duplicate` says that a live task with this unique key was there, and this is it. */
export const Submitted = Type.Object({
  id: Id,
  number: Type.Integer(),
  duplicate: Type.Boolean(),
  batch_id: Type.Optional(Type.String({ format: 'uuid', description: 'of a dispatch of many' })),
})
export type Submitted = Static<typeof Submitted>

export const TaskAttempt = Type.Object({
  attempt: Type.Integer(),
  outcome: Type.Unsafe<'running' | 'completed' | 'failed' | 'timeout' | 'cancelled' | 'lost'>({
    type: 'string',
    enum: ['running', 'completed', 'failed', 'timeout', 'cancelled', 'lost'],
  }),
  started_at: nullable(Time),
  ended_at: nullable(Time),
  error_code: nullable(Type.String()),
  error: nullable(Type.String()),
  worker: nullable(Type.String()),
  next_run_at: nullable(Time),
  cost_usd: nullable(Type.Number({ description: 'US dollars, as its work said; null if it said nothing' })),
})
export type TaskAttempt = Static<typeof TaskAttempt>

/** A part of the work that was done once, whichever attempt did it. */
export const TaskStep = Type.Object({
  name: Type.String(),
  attempt: Type.Integer(),
  started_at: Time,
  ended_at: Time,
  result: anyValue,
})
export type TaskStep = Static<typeof TaskStep>

/** What one attempt paid for one thing. */
export const TaskCost = Type.Object({
  attempt: Type.Integer(),
  what: nullable(Type.String({ description: 'null: nobody said' })),
  cost_usd: Type.Number(),
})
export type TaskCost = Static<typeof TaskCost>

/** A task as lists show it. */
export const Task = Type.Object({
  id: Id,
  number: Type.Integer(),
  kind: Type.Literal('task'),
  handler: Type.String(),
  queue: Type.String(),
  priority: Type.Integer(),
  state: RunState,
  /** The documented word: processing is running, dead is failed for good after the last attempt. */
  status: Type.Unsafe<'pending' | 'processing' | 'completed' | 'failed' | 'dead' | 'cancelled' | 'timeout'>({
    type: 'string',
    enum: ['pending', 'processing', 'completed', 'failed', 'dead', 'cancelled', 'timeout'],
  }),
  attempt: Type.Integer({ description: 'how often it was started' }),
  max_attempts: Type.Integer(),
  timeout_ms: Type.Integer(),
  run_at: Time,
  deadline_at: nullable(Time),
  unique_key: nullable(Type.String()),
  concurrency_key: nullable(Type.String()),
  depends_on: Type.Array(Id),
  depends_on_policy: nullable(Type.Unsafe<'cancel' | 'run'>({ type: 'string', enum: ['cancel', 'run'] })),
  parent_run_id: nullable(Id),
  waiting_for: nullable(
    Type.Unsafe<'dependencies' | 'time' | 'concurrency_key' | 'queue' | 'handler'>({
      type: 'string',
      enum: ['dependencies', 'time', 'concurrency_key', 'queue', 'handler'],
      description:
        'what it waits for first: the end of other tasks, its time (`run_at`), a place under its key, its paused queue, its disabled handler; null when a worker has it or may take it',
    }),
  ),
  tags: Type.Array(Type.String()),
  metadata: anyObject,
  callback: nullable(Type.Object({ url: Type.String() })),
  door: nullable(Type.Literal('dispatch')),
  executed_by_id: nullable(Id),
  executed_by_username: nullable(Type.String()),
  replays_run_id: nullable(Id),
  trace_id: Type.String(),
  input_sha256: nullable(Sha256),
  output_sha256: nullable(Sha256),
  journal_sha256: nullable(Sha256),
  cost_usd: nullable(
    Type.Number({
      description: 'US dollars, of all attempts that have ended and all steps; null if none said anything',
    }),
  ),
  error_code: nullable(Type.String()),
  error: nullable(Type.String()),
  worker: nullable(Type.String()),
  cancel_requested_at: nullable(Time),
  cancel_reason: nullable(Type.String({ description: 'why what ran was asked to stop, if somebody said so' })),
  dead_at: nullable(Time),
  purged_at: nullable(Time),
  created_at: Time,
  updated_at: Time,
  started_at: nullable(Time),
  completed_at: nullable(Time),
})
export type Task = Static<typeof Task>

/** One task, whole: with input, result, log and every attempt. */
export const TaskDetail = Type.Object({
  ...Task.properties,
  depends_on_numbers: Type.Array(nullable(Type.Integer()), {
    description: 'of the tasks in `depends_on`, in their order; null: its record is no more',
  }),
  parent_run_number: nullable(Type.Integer()),
  replays_run_number: nullable(Type.Integer()),
  input: anyValue,
  result: anyValue,
  log: nullable(Type.String()),
  attempts: Type.Array(TaskAttempt),
  steps: Type.Array(TaskStep),
  costs: Type.Array(TaskCost),
})
export type TaskDetail = Static<typeof TaskDetail>

/** Lines that were kept together. A line's number counts what the attempt printed; a gap before `first_line` is of lines that were not kept. */
export const LogChunk = Type.Object({
  first_line: Type.Integer({ minimum: 1 }),
  lines: Type.Array(Type.String()),
  kept_at: Time,
})
export type LogChunk = Static<typeof LogChunk>

/** Some lines of what one attempt of a task printed. */
export const TaskLog = Type.Object({
  run_id: Id,
  number: Type.Integer(),
  attempt: Type.Integer(),
  attempts: Type.Integer({ description: 'so many have begun' }),
  outcome: nullable(Type.String({ description: 'of this attempt, as in the attempts of the task; null: not begun' })),
  chunks: Type.Array(LogChunk),
  last_line: Type.Integer({ description: 'up to here: `after` of what follows' }),
  more: Type.Boolean({ description: 'lines behind it are there already' }),
  complete: Type.Boolean({ description: 'the attempt is over: no line is still to come' }),
  final: Type.Boolean({ description: 'the task has ended: no attempt is still to come' }),
})
export type TaskLog = Static<typeof TaskLog>

export const Queue = Type.Object({
  name: Type.String(),
  paused_at: nullable(Time),
  paused_by_id: nullable(Id),
  paused_reason: nullable(Type.String()),
  concurrency: nullable(Type.Integer({ description: 'run at once, over all servers and workers' })),
  waiting: Type.Integer({ description: 'could start now' }),
  delayed: Type.Integer({ description: 'wait for their time' }),
  in_flight: Type.Integer(),
  oldest_waiting_at: nullable(Time),
})
export type Queue = Static<typeof Queue>

export const NewTasks = command({ tasks: Type.Array(NewTask, { minItems: 1, maxItems: 500, writeOnly: true }) })

/** What was dispatched together, and how far it is. */
export const Batch = Type.Object({
  id: Id,
  executed_by_id: nullable(Id),
  created_at: Time,
  total: Type.Integer({ description: 'without those whose unique key had a live task already' }),
  pending: Type.Integer(),
  running: Type.Integer(),
  completed: Type.Integer(),
  failed: Type.Integer(),
  timeout: Type.Integer(),
  cancelled: Type.Integer(),
  done: Type.Boolean({ description: 'whether all of them have ended' }),
})
export type Batch = Static<typeof Batch>

/** What operators allow under a key, in place of what handlers say. */
const KeyLimit = Type.Object({
  handler: nullable(Type.String({ description: 'null: of every handler' })),
  concurrency: Type.Optional(
    Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      description: 'tasks at once; left out: as the handler says',
    }),
  ),
  rate: Type.Optional(
    Type.Unsafe<{ limit: number; period_ms: number } | null>({
      type: ['object', 'null'],
      properties: { limit: { type: 'integer' }, period_ms: { type: 'integer' } },
      required: ['limit', 'period_ms'],
      description: 'left out: as the handler says',
    }),
  ),
  until: nullable(Time),
  reason: Type.String(),
  set_by_id: nullable(Type.String()),
  set_at: Time,
})

/** A concurrency key that is in use, paused or limited. */
export const ConcurrencyKey = Type.Object({
  key: Type.String(),
  active: Type.Integer({ description: 'have their place: they run, or are next in their queue' }),
  waiting: Type.Integer({ description: 'wait for a place, for their time or for other tasks' }),
  paused_until: nullable(Time),
  paused_at: nullable(Time),
  paused_by_id: nullable(Id),
  paused_by_run_id: nullable(
    Type.Unsafe<string>({ ...Id, description: 'the task that was told to wait, and paused it' }),
  ),
  paused_reason: nullable(Type.String()),
  limits: Type.Array(KeyLimit, { description: 'what operators allow in place of what handlers say' }),
})
export type ConcurrencyKey = Static<typeof ConcurrencyKey>
export const PauseKey = command({ key: Key, until: Time, reason: Type.Optional(text(2000)) })
export const ResumeKey = command({ key: Key })
export const LimitKey = command({
  key: Key,
  handler: Type.Optional(HandlerName),
  ...KeyLimits.properties,
  until: Type.Optional(Time),
  reason: Type.String({ minLength: 1, maxLength: 500, pattern: textThatSays }),
})
export const LiftKeyLimit = command({ key: Key, handler: Type.Optional(HandlerName) })

/** The other form of `POST /runs`. */
export const StartTask = command({ kind: Type.Literal('task'), ...NewTask.properties })
export type StartTask = Static<typeof StartTask>

export const CancelBatch = Type.Union([
  command({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, default: 1_000 })) }),
  Type.Null(),
])

const createsQueue = Type.Optional(
  Type.Boolean({
    description:
      'the queue is made if no task was put on it yet; without it such a name is refused, for it may be misspelt',
  }),
)

export const PauseQueue = Type.Union([
  command({ create: createsQueue, reason: Type.Optional(text(2000)) }),
  Type.Null(),
])

export const LimitQueue = command({
  create: createsQueue,
  concurrency: Type.Unsafe<number | null>({ anyOf: [Count, { type: 'null' }], description: 'null: any number' }),
})

export const DrainQueue = Type.Union([
  command({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, default: 1_000 })) }),
  Type.Null(),
])

/** Which dead letters, as a query and as a body have it. */
export const deadFilter = {
  queue: Type.Optional(QueueName),
  handler: Type.Optional(HandlerName),
  error_code: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
  died_after: Type.Optional(Time),
  died_before: Type.Optional(Time),
}
const deadChoice = { ids: Type.Optional(Type.Array(Ref, { minItems: 1, maxItems: 1_000 })), ...deadFilter }
export const DeadFilter = command(deadChoice)
export type DeadFilter = Static<typeof DeadFilter>
export const ReplayDead = command({
  ...deadChoice,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 100 })),
})
export type ReplayDead = Static<typeof ReplayDead>

/** Tasks that a filter took and that were not replayed, or would not be. */
export const NotReplayed = Type.Object({
  error_code: Type.Unsafe<'HANDLER_DISABLED' | 'TASK_UNKNOWN_HANDLER' | 'TASK_DUPLICATE'>({
    type: 'string',
    enum: ['HANDLER_DISABLED', 'TASK_UNKNOWN_HANDLER', 'TASK_DUPLICATE'],
    description: 'why: as the replay of each would have been refused',
  }),
  handler: nullable(Type.String({ description: 'that is disabled or gone; null: it is not about one handler' })),
  count: Type.Integer({
    description:
      'of a handler, all that the filter takes; of unique keys that others have, those that were passed over on the way',
  }),
  first: Type.Array(Type.Object({ id: Id, number: Type.Integer() }), { description: 'the oldest, up to 10' }),
})
export type NotReplayed = Static<typeof NotReplayed>

const choiceOf = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: values })

export const CostMin = Type.Number({
  minimum: 0,
  maximum: 1_000_000,
  description: 'US dollars: those whose work said that it cost so much or more; 0 takes all that said something',
})

export const ExecutedBy = {
  ...Ref,
  description: 'those that this person dispatched, by number or id, also by a token, a schedule or another task',
}

/** Which tasks, as a query and as a body have it. */
export const taskFilter = {
  queue: Type.Optional(QueueName),
  handler: Type.Optional(HandlerName),
  error_code: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
  tag: Type.Optional(Type.String({ minLength: 1, maxLength: 60 })),
  cost_min: Type.Optional(CostMin),
  concurrency_key: Type.Optional(Key),
  executed_by_id: Type.Optional(ExecutedBy),
  created_after: Type.Optional(Time),
  created_before: Type.Optional(Time),
}
const openChoice = { ...taskFilter, state: Type.Optional(choiceOf(['pending', 'running'])) }
export const CancelTasks = command({
  ...openChoice,
  reason: Type.Optional(text(2_000)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 100 })),
})
export type CancelTasks = Static<typeof CancelTasks>
const endedChoice = { ...taskFilter, state: choiceOf(['completed', 'failed', 'timeout', 'cancelled']) }
export const ReplayTasks = command({
  ...endedChoice,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 100 })),
})
export type ReplayTasks = Static<typeof ReplayTasks>
export const CountTasks = command({
  ...taskFilter,
  state: Type.Optional(RunState),
  open: Type.Optional(Type.Boolean()),
})
export type CountTasks = Static<typeof CountTasks>

/** A handler and its contract; `input` and `output` are JSON Schema, null where anything goes. */
export const HandlerInfo = Type.Object({
  name: Type.String(),
  title: Type.String(),
  source: Type.Unsafe<'builtin' | 'folder' | 'http' | 'worker'>({
    type: 'string',
    enum: ['builtin', 'folder', 'http', 'worker'],
  }),
  input: nullable(anyObject),
  output: nullable(anyObject),
  queue: Type.String(),
  timeout_ms: Type.Integer(),
  max_attempts: Type.Integer(),
  concurrency: nullable(Type.Integer()),
  side_effect: Type.Unsafe<'none' | 'reversible' | 'irreversible'>({
    type: 'string',
    enum: ['none', 'reversible', 'irreversible'],
  }),
  url: nullable(Type.String({ description: 'of a handler that is called over HTTP' })),
  ttl_ms: nullable(Type.Integer({ description: 'its tasks have to end so long after they were due' })),
  per_key: nullable(
    Type.Object({
      concurrency: nullable(Type.Integer()),
      rate: nullable(Type.Object({ limit: Type.Integer(), period_ms: Type.Integer() })),
    }),
  ),
  enabled: Type.Boolean({ description: 'whether tasks may name it' }),
  disabled_at: nullable(Time),
  disabled_by_id: nullable(Id),
  disabled_reason: nullable(Type.String()),
  last_seen_at: nullable(Time),
  fault: nullable(
    Type.String({
      description: 'why the newest version of its file cannot be used; the one before goes on, if there is one',
    }),
  ),
})
export type HandlerInfo = Static<typeof HandlerInfo>

// ---- workers outside of the server

const WorkerName = Type.String({ minLength: 1, maxLength: 100, pattern: PRINTABLE })
const anySchema = Type.Unsafe<Record<string, unknown> | null>({
  anyOf: [{ type: 'object', additionalProperties: true }, { type: 'null' }],
})

/** What a worker says of a handler that it has. */
export const WorkerHandler = Type.Object(
  {
    name: HandlerName,
    title: Type.Optional(Type.String({ maxLength: 500 })),
    input: Type.Optional(anySchema),
    output: Type.Optional(anySchema),
    queue: Type.Optional(QueueName),
    timeout_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
    max_attempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    ttl_ms: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 31_536_000_000,
        description:
          'its tasks have to end so long after they were due, unless a dispatch says `ttl_ms` or `deadline_at`',
      }),
    ),
    side_effect: Type.Optional(
      Type.Unsafe<'none' | 'reversible' | 'irreversible'>({
        type: 'string',
        enum: ['none', 'reversible', 'irreversible'],
      }),
    ),
    per_key: Type.Optional(KeyLimits),
  },
  { additionalProperties: false },
)
export type WorkerHandler = Static<typeof WorkerHandler>

/** A handler that is an address: each attempt is a signed POST, what it answers is the result. */
export const AddHandler = command({
  ...WorkerHandler.properties,
  url: Type.String({ format: 'uri', maxLength: 2000, pattern: HTTP_URL }),
})
export type AddHandler = Static<typeof AddHandler>
export const AddedHandler = Type.Intersect([
  HandlerInfo,
  Type.Object({ secret: Type.String({ description: 'whsec_..., with which each call is signed; shown once' }) }),
])

export const ClaimTasks = command({
  worker: WorkerName,
  queues: Type.Array(QueueName, { minItems: 1, maxItems: 20, uniqueItems: true }),
  handlers: Type.Array(WorkerHandler, { minItems: 1, maxItems: 100 }),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 1 })),
  wait_seconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 30, default: 0 })),
})
export type ClaimTasks = Static<typeof ClaimTasks>

export const ClaimedTask = Type.Object({
  run_id: Id,
  project_id: Id,
  number: Type.Integer(),
  handler: Type.String(),
  queue: Type.String(),
  input: anyValue,
  attempt: Type.Integer({ description: 'from 1 on; lost attempts count' }),
  claims: Type.Integer({
    description:
      'how often it was claimed, this time included; before the first no step and no child of it can be there',
  }),
  lease: Type.String({ description: 'says that the task is yours; hand it back to extend and to settle' }),
  ends_in_ms: Type.Integer({ description: 'until the attempt is out of time' }),
  concurrency_key: nullable(Type.String()),
  traceparent: Type.String({ description: 'the trace that this attempt is part of (W3C Trace Context)' }),
  tracestate: Type.Optional(
    Type.String({
      description: 'what the tracing systems of whoever dispatched it keep in that trace, to be sent beside it',
    }),
  ),
})
export type ClaimedTask = Static<typeof ClaimedTask>

export const ClaimedTasks = Type.Object({
  tasks: Type.Array(ClaimedTask),
  lease_ms: Type.Integer({ description: 'how long a lease holds from the moment when it was asked for' }),
})
export type ClaimedTasks = Static<typeof ClaimedTasks>

const Lease = Type.String({ minLength: 1, maxLength: 2_000, writeOnly: true })

export const ExtendLeases = command({ leases: Type.Array(Lease, { minItems: 1, maxItems: 500 }) })
export const ExtendedLease = Type.Object({
  run_id: Id,
  state: Type.Unsafe<'held' | 'stop' | 'lost'>({ type: 'string', enum: ['held', 'stop', 'lost'] }),
  reason: nullable(Type.String({ description: 'why it is to stop: cancelled, timeout, deadline' })),
})
export type ExtendedLease = Static<typeof ExtendedLease>
export const ExtendedLeases = Type.Object({ leases: Type.Array(ExtendedLease), lease_ms: Type.Integer() })

/** What work cost since it last said so, in US dollars, to a billionth. */
const Costs = Type.Array(
  Type.Object(
    {
      usd: Type.Number({ minimum: 0, maximum: 10_000 }),
      what: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'what was paid for' })),
    },
    { additionalProperties: false },
  ),
  { minItems: 1, maxItems: 50 },
)

/** A step of a claimed task: without `result` it is asked for, with it it is kept. */
export const WorkerStep = command({
  lease: Lease,
  name: Type.String({ minLength: 1, maxLength: 100 }),
  result: Type.Optional(Type.Unsafe<unknown>({ writeOnly: true })),
  took_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400_000 })),
  costs: Type.Optional(Costs),
})
export type WorkerStep = Static<typeof WorkerStep>
export const WorkedStep = Type.Object({
  done: Type.Boolean({ description: 'false: do it, and say what came of it' }),
  result: anyValue,
})
export type WorkedStep = Static<typeof WorkedStep>

/** A child of a claimed task, dispatched once for each name. */
export const WorkerDispatch = command({
  lease: Lease,
  name: Type.String({ minLength: 1, maxLength: 100 }),
  task: NewTask,
})
export type WorkerDispatch = Static<typeof WorkerDispatch>
export const WorkerDispatched = Type.Object({ id: Id, number: Type.Integer(), duplicate: Type.Boolean() })
export type WorkerDispatched = Static<typeof WorkerDispatched>

/** A child of a claimed task that is asked for. `outcome` is null while it has not ended: then the claimed task is settled as `wait`. */
export const WorkerWait = command({ lease: Lease, child: Id })
export type WorkerWait = Static<typeof WorkerWait>
export const WaitedFor = Type.Object({
  outcome: nullable(
    Type.Object({
      id: Id,
      state: Type.Unsafe<'completed' | 'failed' | 'timeout' | 'cancelled'>({
        type: 'string',
        enum: ['completed', 'failed', 'timeout', 'cancelled'],
      }),
      result: anyValue,
      error_code: nullable(Type.String()),
      error: nullable(Type.String()),
    }),
  ),
})
export type WaitedFor = Static<typeof WaitedFor>

/** What handlers ask at once, of one task or of several. Each says one thing. */
export const WorkerAsks = command({
  asks: Type.Array(
    Type.Object(
      {
        step: Type.Optional(WorkerStep),
        dispatch: Type.Optional(WorkerDispatch),
        wait: Type.Optional(WorkerWait),
      },
      { additionalProperties: false, minProperties: 1, maxProperties: 1 },
    ),
    { minItems: 1, maxItems: 100 },
  ),
})
export type WorkerAsks = Static<typeof WorkerAsks>
export const WorkerAnswers = Type.Object({
  answers: Type.Array(
    nullable(
      Type.Object({
        step: Type.Optional(WorkedStep),
        dispatch: Type.Optional(WorkerDispatched),
        wait: Type.Optional(WaitedFor),
      }),
    ),
    { description: 'in the order of the questions; null for one that was refused: asked by itself, it is told why' },
  ),
})
export type WorkerAnswers = Static<typeof WorkerAnswers>

/** Nothing more is started under a key before then; a longer pause stays. */
export const WorkerPause = command({
  lease: Lease,
  key: Key,
  until: Type.String({ format: 'date-time' }),
})
export type WorkerPause = Static<typeof WorkerPause>

/** What claimed tasks printed, while they run. */
export const WorkerLines = Type.Object(
  {
    lease: Lease,
    lines: Type.Array(Type.String({ maxLength: 65_536 }), { minItems: 1, maxItems: 10_000 }),
    left_out: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'so many lines before these were printed and are gone; 0 when left out',
      }),
    ),
    first: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2 ** 48,
        description:
          'the number of the first of these lines among all that were printed under this lease, those that are gone included, from 1 on; lines that are sent again are then kept once',
      }),
    ),
  },
  { additionalProperties: false },
)
export type WorkerLines = Static<typeof WorkerLines>
export const KeepLines = command({ logs: Type.Array(WorkerLines, { minItems: 1, maxItems: 100 }) })
export const KeptLines = Type.Object({
  logs: Type.Array(
    Type.Object({
      run_id: Id,
      kept: Type.Integer({
        description:
          'so many of the lines, from the first on: a last one that may be half of a secret is to be sent again with what follows; 0 too where the lease was lost',
      }),
    }),
  ),
})
export type KeptLines = Static<typeof KeptLines>

/**
 * What became of a claimed task. `back`: it was not begun, or the worker stops; it comes again at once and uncounted. `wait`: it comes again,
 * uncounted, when these children have ended.
 */
export const WorkResult = Type.Object(
  {
    lease: Lease,
    outcome: Type.Unsafe<'completed' | 'failed' | 'timeout' | 'cancelled' | 'back' | 'wait'>({
      type: 'string',
      enum: ['completed', 'failed', 'timeout', 'cancelled', 'back', 'wait'],
    }),
    children: Type.Optional(
      Type.Array(Id, { minItems: 1, maxItems: 10_000, description: 'with `wait`: those that have to end first' }),
    ),
    result: Type.Optional(Type.Unsafe<unknown>({ writeOnly: true })),
    error_code: Type.Optional(
      Type.String({ pattern: meaning('a code of A-Z, 0-9 and _, a letter first', '^[A-Z][A-Z0-9_]{0,99}$') }),
    ),
    error: Type.Optional(Type.String({ maxLength: 10_000 })),
    retryable: Type.Optional(Type.Boolean()),
    log: Type.Optional(Type.String({ maxLength: 65_536, description: 'the newest lines that it printed' })),
    log_rest: Type.Optional(
      Type.Object(
        {
          lines: Type.Integer({ minimum: 0 }),
          left_out: Type.Integer({ minimum: 0 }),
          first: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 48 })),
        },
        {
          additionalProperties: false,
          description:
            'when lines were sent before: so many of `log`, the newest, were not, and so many before them are gone. `first` is the number of the first of them, as in `POST /workers/log`: to be said when an answer was lost, so that none stands twice',
        },
      ),
    ),
    costs: Type.Optional(Costs),
  },
  { additionalProperties: false },
)
export type WorkResult = Static<typeof WorkResult>
export const SettleTasks = command({ results: Type.Array(WorkResult, { minItems: 1, maxItems: 100 }) })
export const SettledTask = Type.Object({
  run_id: Id,
  settled: Type.Boolean({ description: 'false: the lease was lost, and nothing was written' }),
})
export const SettledTasks = Type.Object({ results: Type.Array(SettledTask) })
