/** What waits for workers: references with times, priorities and leases. */
export { leaveLineToOthers } from './line-store.ts'
export { observed, type Step } from './observed.ts'
export { openQueue } from './open.ts'
export {
  type Ask,
  type Depth,
  type Entry,
  HELD_AT,
  type Holder,
  isFirstClaim,
  type Lease,
  PROOFS,
  type Queue,
  queueOfPlace,
  type Runnable,
  remotePlace,
} from './queue.ts'
export { IS_HELD } from './rows.ts'
