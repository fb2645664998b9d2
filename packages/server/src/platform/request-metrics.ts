import type { Registry } from 'prom-client'
import { plainCounter, plainHistogram } from './plain-metrics.ts'

/** Counts requests and their durations. */
export function createRequestMetrics(registry: Registry) {
  const answered = plainCounter(registry, {
    name: 'writ_http_requests_total',
    help: 'Requests answered.',
    labelNames: ['route', 'method', 'status'],
  })
  const took = plainHistogram(registry, {
    name: 'writ_http_request_duration_seconds',
    help: 'Time to answer.',
    labelNames: ['route'],
    buckets: [0.002, 0.01, 0.05, 0.2, 1, 5, 30],
  })
  return {
    /** Notes one answer. `route` is the operation's id, so that no path of a client becomes a label. */
    answered(route: string, method: string, status: number, seconds: number): void {
      answered(route, method, String(status))
      took(seconds, route)
    },
  }
}
