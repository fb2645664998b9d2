import type { Queue } from './queue.ts'

/** What goes through a queue at a time: how many are put in, claimed or settled in one call. */
export type Step = 'enqueue' | 'claim' | 'settle'

/** The queue, with somebody who hears how many went through it at once; of a claim that found nothing nobody hears. */
export const observed = (queue: Queue, heard: (step: Step, count: number) => void): Queue => ({
  ...queue,
  async enqueue(tx, entries, now) {
    await queue.enqueue(tx, entries, now)
    if (entries.length > 0) heard('enqueue', entries.length)
  },
  enqueueHeld(tx, entries, holder) {
    const leases = queue.enqueueHeld(tx, entries, holder)
    for (const step of ['enqueue', 'claim'] as const) heard(step, leases.length)
    return leases
  },
  async claim(tx, ask) {
    const leases = await queue.claim(tx, ask)
    if (leases.length > 0) heard('claim', leases.length)
    return leases
  },
  async settle(tx, settlements) {
    const held = await queue.settle(tx, settlements)
    if (settlements.length > 0) heard('settle', settlements.length)
    return held
  },
})
