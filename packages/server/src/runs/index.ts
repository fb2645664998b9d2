/** Runs: what the system did, in what parts, with what evidence. */
export { belongingOf, removeErasedBytes } from './artifact.ts'
export { type Executing, executeRun } from './execute.ts'
export type { Outcome, Prepared, RunKind, RunningRun } from './kind.ts'
export { createCheckLane, type EagerLane, type Lane } from './lane.ts'
export { artifactHandlers, runHandlers } from './routes.ts'
export { isFinal, moves as runMoves, requireMove, settledEvent } from './run.ts'
export { showContract } from './show.ts'
export { runToSee, taskToSee } from './start.ts'
export {
  type ArtifactRow,
  findRun,
  findTraceId,
  findUntoldEnd,
  isTask,
  listFilesOfRuns,
  listRunsOfTicket,
  listServedDigests,
  type RunRow,
  searchFloor,
} from './store.ts'
export { createWaiting, type Waiting } from './waiting.ts'
export { createWorker, fireTimers, type SetAside, type Worker } from './worker.ts'
