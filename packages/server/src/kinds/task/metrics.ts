import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { createLabels, whileThere } from '../../platform/metrics.ts'
import { plainCounter } from '../../platform/plain-metrics.ts'
import type { Depth, Step } from '../../queue/index.ts'
import type { Backlog } from './backlog.ts'

/**
 * The engine's own metrics. Gauges are read at the scrape, from the database of all servers, and have no value while that is away;
 * counters are of this process.
 */
export function createTaskMetrics(
  registry: Registry,
  on: { now(): number; redis: boolean; backlog(): Promise<Backlog> },
): {
  ended(outcome: 'completed' | 'failed' | 'timeout' | 'cancelled'): void
  leaseLost(): void
  batch(step: Step, count: number): void
  /** Redis answered with this error, where it keeps the order of what waits. */
  redisRefused(code: string): void
} {
  const registers = [registry]
  const { backlog } = on
  const labelOf = createLabels()
  const gauge = (name: string, help: string, read: (depth: Depth) => number, merge: (a: number, b: number) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['queue'],
      registers,
      async collect() {
        const values = new Map<string, number>()
        for (const depth of (await whileThere(backlog()))?.queues ?? []) {
          const label = labelOf(depth.queue)
          const before = values.get(label)
          values.set(label, before === undefined ? read(depth) : merge(before, read(depth)))
        }
        this.reset()
        for (const [queue, value] of values) this.set({ queue }, value)
      },
    })
  const sum = (a: number, b: number) => a + b
  gauge('writ_queue_waiting', 'Tasks that could start now.', ({ waiting }) => waiting, sum)
  gauge('writ_queue_delayed', 'Tasks that wait for their time.', ({ delayed }) => delayed, sum)
  gauge('writ_queue_in_flight', 'Tasks under a lease.', ({ claimed }) => claimed, sum)
  gauge(
    'writ_queue_oldest_age_seconds',
    'How long the longest waiting task could have been started; 0 when none waits.',
    ({ oldest }) => (oldest === null ? 0 : Math.max(0, on.now() - oldest) / 1_000),
    Math.max,
  )
  new Gauge({
    name: 'writ_dead_letters',
    help: 'Dead letters that were neither replayed nor purged.',
    registers,
    async collect() {
      const there = await whileThere(backlog())
      if (there === undefined) this.remove()
      else this.set(there.deadLetters)
    },
  })
  const attempts = plainCounter(registry, {
    name: 'writ_task_attempts_total',
    help: 'Attempts that ended, by outcome.',
    labelNames: ['outcome'],
    known: [['completed'], ['failed'], ['timeout'], ['cancelled']],
  })
  const lost = new Counter({
    name: 'writ_task_leases_lost_total',
    help: 'Leases that were lost while their work ran.',
    registers,
  })
  const batches = new Histogram({
    name: 'writ_queue_batch_size',
    help: 'Entries that were put into queues, claimed or settled at once.',
    labelNames: ['step'],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
    registers,
  })
  const redisRefusals = new Counter({
    name: 'writ_queue_redis_refusals_total',
    help: 'Calls of the queue that Redis answered with an error, by its code: OOM when it is full, READONLY.',
    labelNames: ['code'],
    registers,
  })
  // There from the start, so that the first refusal is seen to be one more.
  if (on.redis) for (const code of ['OOM', 'READONLY']) redisRefusals.inc({ code }, 0)
  return {
    redisRefused: (code) => redisRefusals.inc({ code }),
    batch: (step, count) => batches.observe({ step }, count),
    ended: attempts,
    leaseLost: () => lost.inc(),
  }
}
