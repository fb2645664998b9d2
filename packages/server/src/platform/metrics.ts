import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { DatabaseUnavailable } from './db/index.ts'
import { inTime } from './in-time.ts'
import { plainCounter } from './plain-metrics.ts'
import { redactionKinds } from './redact/index.ts'
import { createRequestMetrics } from './request-metrics.ts'

/** What is read of the database for a scrape waits no longer: Prometheus gives up after ten seconds, and then has nothing at all. */
const PATIENCE_MS = 5_000

/** What a scrape reads of the database. undefined when that is away or does not answer: the rest is told all the same. */
export async function whileThere<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await inTime(reading, PATIENCE_MS, undefined)
  } catch (error) {
    if (error instanceof DatabaseUnavailable) return undefined
    throw error
  }
}

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
  const deliveries = new Counter({
    name: 'writ_webhook_deliveries_total',
    help: 'Attempts to deliver to webhooks, by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  // There from the start: what appears with a 1 is no increase for Prometheus.
  for (const outcome of ['delivered', 'retried', 'failed']) deliveries.inc({ outcome }, 0)
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
      known: ['proof', 'task'].flatMap((kind) =>
        ['completed', 'failed', 'timeout', 'cancelled'].map((outcome) => [kind, outcome] as const),
      ),
    }),
    redactions: plainCounter(registry, {
      name: 'writ_redactions_total',
      help: 'Secrets and personal data replaced in what was to be written, by kind.',
      labelNames: ['kind'],
      known: redactionKinds.map((kind) => [kind] as const),
    }),
    /** A gauge with one label; `collect` answers its values by that label. */
    gaugeBy: (
      name: string,
      help: string,
      label: string,
      collect: () => Record<string, number> | Promise<Record<string, number>>,
    ) =>
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        async collect() {
          const values = await collect()
          this.reset()
          for (const [value, n] of Object.entries(values)) this.set({ [label]: value }, n)
        },
      }),
    deliveries,
    /** A gauge without labels; it has no value while `collect` answers undefined. */
    gauge: (name: string, help: string, collect: () => number | undefined | Promise<number | undefined>) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          const value = await collect()
          // Reset would set it to 0, and so would be a fall and a rise that there were not.
          if (value === undefined) this.remove()
          else this.set(value)
        },
      }),
  }
}
export type Metrics = ReturnType<typeof createMetrics>
