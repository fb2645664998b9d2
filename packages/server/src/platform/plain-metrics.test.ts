import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Histogram, Registry } from 'prom-client'
import { plainCounter, plainHistogram } from './plain-metrics.ts'

test('plain metrics tell a scrape what those of prom-client do', async () => {
  const [ours, theirs] = [new Registry(), new Registry()]
  const named = { name: 'tasks_total', help: 'Tasks.', labelNames: ['queue', 'handler', 'code'] }
  const timed = { name: 'seconds', help: 'Took.', labelNames: ['queue', 'handler'], buckets: [0.5, 1, 10] }
  const count = plainCounter(ours, named)
  const observe = plainHistogram(ours, timed)
  const counter = new Counter({ ...named, registers: [theirs] })
  const histogram = new Histogram({ ...timed, registers: [theirs] })
  assert.equal(await ours.metrics(), await theirs.metrics(), 'before anything was seen')

  for (const [queue, handler, code] of [
    ['api', 'a', 'X'],
    ['api', 'b', 'X'],
    ['api', 'a', 'X'],
    ['mail "quoted"\n', 'a', 'Y'],
  ] as const) {
    count(queue, handler, code)
    counter.inc({ queue, handler, code })
    for (const value of [0, 0.5, 0.6, 9, 11]) {
      observe(value, queue, handler)
      histogram.observe({ queue, handler }, value)
    }
  }
  const lines = (text: string) => text.split('\n').toSorted()
  assert.deepEqual(lines(await ours.metrics()), lines(await theirs.metrics()))
})

test('values that are known are there before they are seen', async () => {
  const registry = new Registry()
  const count = plainCounter(registry, {
    name: 'ends_total',
    help: 'Ends.',
    labelNames: ['outcome'],
    known: [['a'], ['b']],
  })
  count('b')
  const lines = (await registry.metrics()).split('\n').filter((line) => line.startsWith('ends_total'))
  assert.deepEqual(lines, ['ends_total{outcome="a"} 0', 'ends_total{outcome="b"} 1'])
})
