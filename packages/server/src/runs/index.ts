/** Runs: what the system did, in what parts, with what evidence. */
export { belongingOf, removeErasedBytes } from './artifact.ts'
export type { Outcome, Prepared, RunKind, RunningRun } from './kind.ts'
export { createCheckLane, type EagerLane } from './lane.ts'
export { artifactHandlers, runHandlers } from './routes.ts'
export { isFinal, requireMove, settledEvent } from './run.ts'
export { showContract } from './show.ts'
export { missingTask, runToSee, taskToSee } from './start.ts'
export {
  type ArtifactRow,
  findRun,
  findTraces,
  isTask,
  listFilesOfRuns,
  listRunsOfTicket,
  listServedDigests,
  lookForErasedAgain,
  type RunRow,
  searchFloor,
  wasRun,
} from './store.ts'
export { findUntoldEnd } from './store-untold.ts'
export { createWaiting, type Waiting } from './waiting.ts'
export { createWorker, fireTimers, type Worker } from './worker.ts'
