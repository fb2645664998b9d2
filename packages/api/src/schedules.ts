import { type Static, Type } from 'typebox'
import { meaning } from './patterns.ts'
import { command, Id, nullable, Time } from './shapes.ts'
import { HandlerName, Key, QueueName, Tag } from './tasks.ts'

const oneOf = <const T extends readonly string[]>(words: T, description?: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: words, ...(description ? { description } : {}) })
const anyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })
const anyValue = Type.Unsafe<unknown>({})
/** Reaches the handler as it is; what is secret in it is stored sealed. */
const Input = Type.Optional(Type.Unsafe<unknown>({ writeOnly: true }))
const NAME = meaning('1 to 100 of a-z, 0-9, _, . and -, a letter or digit first', '^[a-z0-9][a-z0-9_.-]{0,99}$')
const Name = Type.String({ pattern: NAME })
/** In a path. Every id looks like a name, and goes before one. */
export const ScheduleRef = Type.String({ pattern: NAME, description: 'id or name' })

export const DstGap = oneOf(['skip', 'after'], 'a local time that does not exist: not at all, or when the gap ends')
export const DstOverlap = oneOf(['first', 'both'], 'a local time that comes twice')
export const CatchUp = oneOf(['none', 'last', 'all'], 'times that were missed by more than a minute')
export const WhenRunning = oneOf(['allow', 'skip'], 'while the last run is open')

/** When: exactly one of `cron`, `every_seconds` and `at`. */
const timing = {
  cron: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: 'five fields, or six with seconds first' }),
  ),
  every_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000 })),
  at: Type.Optional(Time),
  zone: Type.Optional(
    Type.String({
      pattern: meaning('the IANA name of a time zone, such as Europe/Zurich', '^[A-Za-z][A-Za-z0-9_+/-]{0,63}$'),
      description: 'IANA name; UTC unless said',
    }),
  ),
  dst_gap: Type.Optional(DstGap),
  dst_overlap: Type.Optional(DstOverlap),
  starts_at: Type.Optional(Time),
  ends_at: Type.Optional(Time),
} as const

/** What a dispatch may say besides the handler and its input. */
const options = {
  queue: Type.Optional(QueueName),
  priority: Type.Optional(Type.Integer({ minimum: -100, maximum: 100 })),
  max_attempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  timeout_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
  concurrency_key: Type.Optional(Key),
  ttl_ms: Type.Optional(
    Type.Integer({
      minimum: 1_000,
      maximum: 31_536_000_000,
      description:
        'each task has to end so long after the time that it was due; what was missed for longer is not started',
    }),
  ),
  tags: Type.Optional(Type.Array(Tag, { maxItems: 20, uniqueItems: true })),
  metadata: Type.Optional(anyObject),
} as const

const callback = Type.Object(
  { url: Type.String({ format: 'uri', maxLength: 2000 }) },
  { additionalProperties: false, writeOnly: true, description: 'told how each of its tasks ended' },
)

const policies = {
  catch_up: Type.Optional(CatchUp),
  catch_up_limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description: 'of `all`; 10 unless said' })),
  when_running: Type.Optional(WhenRunning),
} as const

export const ScheduleOptions = command(options)
export type ScheduleOptions = Static<typeof ScheduleOptions>

export const NewSchedule = command({
  name: Name,
  handler: HandlerName,
  input: Input,
  options: Type.Optional(ScheduleOptions),
  callback: Type.Optional(callback),
  ...timing,
  ...policies,
})
export type NewSchedule = Static<typeof NewSchedule>

/** Each option by itself: what is given is set, null drops it. */
const changedOptions = command({
  queue: Type.Optional(nullable(options.queue)),
  priority: Type.Optional(nullable(options.priority)),
  max_attempts: Type.Optional(nullable(options.max_attempts)),
  timeout_ms: Type.Optional(nullable(options.timeout_ms)),
  concurrency_key: Type.Optional(nullable(options.concurrency_key)),
  ttl_ms: Type.Optional(nullable(options.ttl_ms)),
  tags: Type.Optional(nullable(options.tags)),
  metadata: Type.Optional(nullable(options.metadata)),
})

/** What is given is set; a new `cron`, `every_seconds` or `at` takes the place of the old. */
export const ChangeSchedule = command({
  name: Type.Optional(Name),
  handler: Type.Optional(HandlerName),
  input: Input,
  options: Type.Optional(nullable(changedOptions)),
  /** Null: nobody is told any more. */
  callback: Type.Optional(nullable(callback)),
  ...timing,
  /** Null: no bound any more. */
  starts_at: Type.Optional(nullable(Time)),
  ends_at: Type.Optional(nullable(Time)),
  ...policies,
})
export type ChangeSchedule = Static<typeof ChangeSchedule>

export const PreviewSchedule = command({
  ...timing,
  after: Type.Optional(Time),
  count: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description: '10 unless said' })),
})
export type PreviewSchedule = Static<typeof PreviewSchedule>

export const DueTimes = Type.Object({ zone: Type.String(), next: Type.Array(Time) })
export type DueTimes = Static<typeof DueTimes>

export const ScheduleFire = Type.Object({
  due_at: Time,
  fired_at: Time,
  outcome: oneOf(['started', 'skipped', 'refused']),
  run_id: nullable(Id),
  error_code: nullable(Type.String()),
})
export type ScheduleFire = Static<typeof ScheduleFire>

/** Why the server paused a schedule by itself. */
export const PauseCause = Type.Object({
  code: oneOf(['owner_denied', 'refused']),
  refusals: nullable(Type.Integer()),
  error_code: nullable(Type.String()),
})
export type PauseCause = Static<typeof PauseCause>

export const Schedule = Type.Object({
  id: Id,
  name: Type.String(),
  handler: Type.String(),
  state: oneOf(['active', 'paused', 'ended']),
  paused_at: nullable(Time),
  paused_by_id: nullable(Id),
  paused_reason: nullable(Type.String({ description: 'what the person said who paused it, or the server in English' })),
  paused_cause: nullable(
    Type.Object(PauseCause.properties, {
      description:
        'why the server paused it by itself: `owner_denied`, its owner may not dispatch tasks here any more; `refused`, it started nothing `refusals` times in a row, the last time with `error_code`',
    }),
  ),
  cron: nullable(Type.String()),
  every_seconds: nullable(Type.Integer()),
  at: nullable(Time),
  zone: Type.String(),
  dst_gap: DstGap,
  dst_overlap: DstOverlap,
  catch_up: CatchUp,
  catch_up_limit: Type.Integer(),
  when_running: WhenRunning,
  starts_at: nullable(Time),
  ends_at: nullable(Time),
  options: anyObject,
  callback: nullable(Type.Object({ url: Type.String() })),
  next_at: nullable(Time),
  last_due_at: nullable(Time),
  last_run_id: nullable(Id),
  version: Type.Integer(),
  owner_id: Id,
  created_by_id: Id,
  created_at: Time,
  updated_at: Time,
})
export type Schedule = Static<typeof Schedule>

/** One schedule, whole: with its input, its next ten times and what became of the last twenty. */
export const ScheduleDetail = Type.Object({
  ...Schedule.properties,
  input: anyValue,
  next: Type.Array(Time),
  fires: Type.Array(ScheduleFire),
})
export type ScheduleDetail = Static<typeof ScheduleDetail>
