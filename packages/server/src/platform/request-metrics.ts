import type { Metric, MetricType, MetricValue, Registry } from 'prom-client'

/** Upper bounds of the buckets, in seconds; above the last there is +Inf. */
const BUCKETS = [0.002, 0.01, 0.05, 0.2, 1, 5, 30]

interface Durations {
  /** Requests a bucket alone, not cumulated. */
  readonly counts: number[]
  sum: number
  count: number
}

/**
 * Counts requests and their durations. prom-client hashes the labels anew for every observation, which is more than all
 * the rest of a short request's bookkeeping; here a request adds to plain numbers, and labels are made when somebody scrapes.
 */
export function createRequestMetrics(registry: Registry) {
  const routes = new Map<string, { durations: Durations; answers: Map<string, number> }>()

  register(registry, 'writ_http_requests_total', 'counter', 'Requests answered.', () =>
    [...routes].flatMap(([route, { answers }]) =>
      [...answers].map(([answer, value]) => {
        const [method, status] = answer.split(' ') as [string, string]
        return { value, labels: { route, method, status } }
      }),
    ),
  )
  register(registry, NAME, 'histogram', 'Time to answer.', () =>
    [...routes].flatMap(([route, { durations }]) => {
      let under = 0
      return [
        ...durations.counts.map((count, i) => {
          under += count
          return { value: under, labels: { route, le: BUCKETS[i] ?? '+Inf' }, metricName: `${NAME}_bucket` }
        }),
        { value: durations.sum, labels: { route }, metricName: `${NAME}_sum` },
        { value: durations.count, labels: { route }, metricName: `${NAME}_count` },
      ]
    }),
  )

  return {
    /** Notes one answer. `route` is the operation's id, so that no path of a client becomes a label. */
    answered(route: string, method: string, status: number, seconds: number): void {
      let known = routes.get(route)
      if (!known) {
        known = {
          durations: { counts: Array.from({ length: BUCKETS.length + 1 }, () => 0), sum: 0, count: 0 },
          answers: new Map(),
        }
        routes.set(route, known)
      }
      const answer = `${method} ${status}`
      known.answers.set(answer, (known.answers.get(answer) ?? 0) + 1)
      const { durations } = known
      let bucket = 0
      while (bucket < BUCKETS.length && seconds > BUCKETS[bucket]!) bucket++
      durations.counts[bucket]!++
      durations.sum += seconds
      durations.count++
    },
  }
}

const NAME = 'writ_http_request_duration_seconds'

function register(
  registry: Registry,
  name: string,
  type: 'counter' | 'histogram',
  help: string,
  values: () => (MetricValue<string> & { metricName?: string })[],
): void {
  const metric = {
    name,
    help,
    type: type as unknown as MetricType,
    aggregator: 'sum',
    get: async () => ({ name, help, type, aggregator: 'sum', values: values() }),
    reset: () => {},
  }
  // The registry asks of a metric its name, `get` and `reset`, and no more.
  registry.registerMetric(metric as unknown as Metric)
}
