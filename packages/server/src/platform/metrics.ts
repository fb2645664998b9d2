import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** The server's metrics: Prometheus names, base units, few labels, never an id or a message in a label. */
export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'writ_' })
  const registers = [registry]
  return {
    registry,
    requests: new Counter({
      name: 'writ_http_requests_total',
      help: 'Requests answered.',
      labelNames: ['route', 'method', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'writ_http_request_duration_seconds',
      help: 'Time to answer.',
      labelNames: ['route'],
      buckets: [0.002, 0.01, 0.05, 0.2, 1, 5, 30],
      registers,
    }),
    refusals: new Counter({
      name: 'writ_refusals_total',
      help: 'Requests refused, by code.',
      labelNames: ['code'],
      registers,
    }),
    runsSettled: new Counter({
      name: 'writ_runs_settled_total',
      help: 'Runs settled, by kind and outcome.',
      labelNames: ['kind', 'outcome'],
      registers,
    }),
    /** A gauge with one label; `collect` answers its values by that label. */
    gaugeBy: (name: string, help: string, label: string, collect: () => Record<string, number>) =>
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          this.reset()
          for (const [value, n] of Object.entries(collect())) this.set({ [label]: value }, n)
        },
      }),
    gauge: (name: string, help: string, collect: () => number | Promise<number>) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set(await collect())
        },
      }),
  }
}
export type Metrics = ReturnType<typeof createMetrics>
