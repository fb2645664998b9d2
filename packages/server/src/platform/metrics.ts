import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { plainCounter } from './plain-metrics.ts'
import { createRequestMetrics } from './request-metrics.ts'

/** Names that get a label of their own. */
const MOST_LABELS = 100

/** Labels for names that callers choose, because a label is for ever: after the first hundred the others share one. */
export function createLabels(): (name: string) => string {
  const known = new Set<string>()
  return (name) => {
    if (known.size < MOST_LABELS) known.add(name)
    return known.has(name) ? name : 'other'
  }
}

/** The server's metrics: Prometheus names, base units, few labels, never an id or a message in a label. */
export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'writ_' })
  const registers = [registry]
  return {
    registry,
    requests: createRequestMetrics(registry),
    refusals: new Counter({
      name: 'writ_refusals_total',
      help: 'Requests refused, by code.',
      labelNames: ['code'],
      registers,
    }),
    runsSettled: plainCounter(registry, {
      name: 'writ_runs_settled_total',
      help: 'Runs settled, by kind and outcome.',
      labelNames: ['kind', 'outcome'],
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
    deliveries: new Counter({
      name: 'writ_webhook_deliveries_total',
      help: 'Attempts to deliver to webhooks, by outcome.',
      labelNames: ['outcome'],
      registers,
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
