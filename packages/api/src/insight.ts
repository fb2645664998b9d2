import { Type } from 'typebox'
import { endpoint } from './endpoint.ts'
import { nullable, Time } from './shapes.ts'
import { HandlerName, QueueName } from './tasks.ts'

const Lengths = nullable(
  Type.Object({ p50: Type.Integer(), p95: Type.Integer(), p99: Type.Integer() }, { description: 'milliseconds' }),
)

/** How runs ended. `ended` counts all; `failed` those that failed or ran out of time. Lengths are within 5 %, sums of costs are exact. */
const counts = {
  ended: Type.Integer(),
  failed: Type.Integer(),
  cancelled: Type.Integer(),
  cost_usd: Type.Number({ description: 'US dollars, what the work of those that ended said that it cost' }),
  ran_ms: Lengths,
  waited_ms: Lengths,
  error_codes: Type.Array(Type.Object({ code: Type.String(), count: Type.Integer() })),
} as const
export interface InsightCounts {
  readonly ended: number
  readonly failed: number
  readonly cancelled: number
  readonly cost_usd: number
  readonly ran_ms: { p50: number; p95: number; p99: number } | null
  readonly waited_ms: { p50: number; p95: number; p99: number } | null
  readonly error_codes: { code: string; count: number }[]
}

export const Insight = Type.Object({
  from: Time,
  to: Time,
  step: Type.Unsafe<'minute' | 'hour' | 'day'>({ type: 'string', enum: ['minute', 'hour', 'day'] }),
  behind: Type.Boolean({ description: 'entries of the log are not counted yet' }),
  total: Type.Object(counts),
  buckets: Type.Array(Type.Object({ at: Time, ...counts })),
  handlers: Type.Array(Type.Object({ handler: Type.String(), ...counts })),
  queues: Type.Array(Type.Object({ queue: Type.String(), ...counts })),
})

export const insightApi = {
  get: endpoint({
    method: 'GET',
    path: '/insight',
    access: 'member',
    tag: 'insight',
    status: 200,
    errors: ['INSIGHT_PERIOD_INVALID', 'INSIGHT_TOO_LARGE'],
    summary: 'Count how runs ended',
    description:
      'Over time, by handler and by queue, from the log: a run is counted some seconds after its end. Up to 6 hours of the last two days by minute, up to 31 days of the last hundred by hour, up to 400 days by day; steps without an end are left out. Lengths are within 5 %; costs are the sum of `cost_usd` of those that ended.',
    query: Type.Object(
      {
        from: Time,
        to: Type.Optional(Time),
        handler: Type.Optional(HandlerName),
        queue: Type.Optional(QueueName),
      },
      { additionalProperties: false },
    ),
    reply: Insight,
  }),
} as const
