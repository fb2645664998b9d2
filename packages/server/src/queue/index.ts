/** What waits for workers: references with times, priorities and leases. */
export { observed, type Step } from './observed.ts'
export { openQueue, type QueueSettings } from './open.ts'
export {
  type Ask,
  type Depth,
  type Entry,
  HELD_AT,
  type Holder,
  type Lease,
  type Listener,
  type Next,
  PROOFS,
  type Queue,
  queueOfPlace,
  type Runnable,
  remotePlace,
  type Settlement,
} from './queue.ts'
