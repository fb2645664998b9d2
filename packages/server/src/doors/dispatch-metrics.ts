import { Gauge, type Registry } from 'prom-client'
import { createLabels, whileThere } from '../platform/metrics.ts'
import { plainCounter, plainHistogram } from '../platform/plain-metrics.ts'

/** What the engine tells of tasks as they go. */
export interface TaskObserver {
  accepted(queue: string, handler: string): void
  started(queue: string, handler: string): void
  /** An attempt ended. `error` is the code of its failure, null if it went well. */
  ended(queue: string, handler: string, seconds: number, error: string | null): void
}

/**
 * The documented metrics of the task gateway, under their names. `queue_size` is what could be claimed now, at the moment
 * of the scrape. Counters are of this process.
 */
export function createDispatchMetrics(
  registry: Registry,
  sizes: () => Promise<Readonly<Record<string, number>>>,
): TaskObserver {
  const labelNames = ['queue', 'task_name']
  const labelOf = createLabels()
  const counter = (name: string, help: string, more: string[] = []) =>
    plainCounter(registry, { name, help, labelNames: [...labelNames, ...more] })
  const enqueued = counter('procurator_task_enqueued_total', 'Tasks accepted.')
  const started = counter('procurator_task_started_total', 'Attempts begun.')
  const finished = counter('procurator_task_finished_total', 'Attempts that went well.')
  const failed = counter('procurator_task_failed_total', 'Attempts that failed, by error code.', ['error_type'])
  const seconds = plainHistogram(registry, {
    name: 'procurator_task_execution_seconds',
    help: 'How long attempts took.',
    labelNames,
    buckets: [1, 5, 10, 30, 60, 120, 300, 600],
  })
  new Gauge({
    name: 'procurator_task_queue_size',
    help: 'Tasks that wait and could start now.',
    labelNames: ['queue'],
    registers: [registry],
    async collect() {
      const now = (await whileThere(sizes())) ?? {}
      this.reset()
      for (const [queue, size] of Object.entries(now)) this.inc({ queue: labelOf(queue) }, size)
    },
  })
  return {
    accepted: (queue, handler) => enqueued(labelOf(queue), handler),
    started: (queue, handler) => started(labelOf(queue), handler),
    ended(queue, handler, took, error) {
      seconds(took, labelOf(queue), handler)
      if (error === null) finished(labelOf(queue), handler)
      else failed(labelOf(queue), handler, error)
    },
  }
}
