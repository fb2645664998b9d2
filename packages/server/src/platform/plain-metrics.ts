import type { Metric, MetricType, MetricValue, Registry } from 'prom-client'

// prom-client hashes the labels anew for every observation, which is more than all the rest of a short request's bookkeeping. What is
// counted for each request or task adds to plain numbers here, and labels are made when somebody scrapes.

/** What a metric is called, and which labels tell its values apart, in the order in which their values are given. */
export interface Described {
  readonly name: string
  readonly help: string
  readonly labelNames: readonly string[]
}

interface Labelled {
  readonly labels: Readonly<Record<string, string>>
}

/**
 * A counter of up to three labels. Their values are for ever: never an id, or a text that callers make up. What is `known`
 * is there from the start: what appears with a 1 is no increase for Prometheus.
 */
export function plainCounter(
  registry: Registry,
  described: Described & { readonly known?: readonly (readonly [first: string, second?: string, third?: string])[] },
): (first: string, second?: string, third?: string) => void {
  const at = cells(described, (): { value: number } => ({ value: 0 }))
  for (const values of described.known ?? []) at.of(...values)
  register(registry, described, 'counter', () => [...at.all()].map(({ labels, value }) => ({ labels, value })))
  return (first, second, third) => {
    at.of(first, second, third).value++
  }
}

interface Observed {
  /** Of each bucket alone, not cumulated; the last is +Inf. */
  readonly counts: number[]
  sum: number
  count: number
}

/** A histogram of up to two labels. `buckets` are upper bounds, rising; above the last there is +Inf. */
export function plainHistogram(
  registry: Registry,
  described: Described & { readonly buckets: readonly number[] },
): (value: number, first: string, second?: string) => void {
  const { name, buckets } = described
  const at = cells(
    described,
    (): Observed => ({ counts: Array.from({ length: buckets.length + 1 }, () => 0), sum: 0, count: 0 }),
  )
  register(registry, described, 'histogram', () =>
    [...at.all()].flatMap(({ labels, counts, sum, count }) => {
      let under = 0
      return [
        ...counts.map((n, i) => {
          under += n
          return { value: under, labels: { le: buckets[i] ?? '+Inf', ...labels }, metricName: `${name}_bucket` }
        }),
        { value: sum, labels, metricName: `${name}_sum` },
        { value: count, labels, metricName: `${name}_count` },
      ]
    }),
  )
  return (value, first, second) => {
    const cell = at.of(first, second)
    let bucket = 0
    while (bucket < buckets.length && value > buckets[bucket]!) bucket++
    cell.counts[bucket]!++
    cell.sum += value
    cell.count++
  }
}

/** One value for each combination of labels that was seen. */
function cells<Cell extends object>({ labelNames }: Described, make: () => Cell) {
  // By one label after the other: a key of them all would be a text made for every observation.
  const known = new Map<string, Map<string, Map<string, Cell & Labelled>>>()
  function add(first: string, second: string, third: string): Cell & Labelled {
    const values = [first, second, third]
    const cell = { ...make(), labels: Object.fromEntries(labelNames.map((name, i) => [name, values[i]!])) }
    const seconds = known.get(first) ?? new Map<string, Map<string, Cell & Labelled>>()
    const thirds = seconds.get(second) ?? new Map<string, Cell & Labelled>()
    known.set(first, seconds.set(second, thirds.set(third, cell)))
    return cell
  }

  return {
    of(first: string, second = '', third = ''): Cell & Labelled {
      return known.get(first)?.get(second)?.get(third) ?? add(first, second, third)
    },
    *all(): Generator<Cell & Labelled> {
      for (const seconds of known.values()) for (const thirds of seconds.values()) yield* thirds.values()
    },
  }
}

function register(
  registry: Registry,
  { name, help }: Described,
  type: 'counter' | 'histogram',
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
