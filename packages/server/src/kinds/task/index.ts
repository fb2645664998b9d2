/** Tasks: runs of a named function, taken from a queue. */

export { createBacklog } from './backlog.ts'
export { builtinHandlers } from './builtin/index.ts'
export { createEager, type Eager } from './eager.ts'
export { createFeishu, type Feishu, sealedOfApps } from './feishu/feishu.ts'
export { openHandlerFolder } from './folder/folder.ts'
export { createHandlerPool } from './folder/pool.ts'
export { createHandlers, type Handler, TaskError } from './handler.ts'
export { createHttpHandlers, sealedOfHandlers } from './http/http-handlers.ts'
export { createSwitches } from './http/switches.ts'
export { type AttemptEnded, attemptSpanId, createTaskLane } from './lane.ts'
export { createTaskMetrics } from './metrics.ts'
export { loadTaskRecord, type TaskRecord } from './record.ts'
export { createLeaseTexts } from './remote/lease-text.ts'
export { createRemoteHandlers } from './remote/registry.ts'
export { createWorkers } from './remote/workers.ts'
export { createTaskRetention, type TaskRetention } from './retention.ts'
export {
  concurrencyKeyHandlers,
  type Dispatching,
  deadLetterHandlers,
  handlerHandlers,
  prepareDispatch,
  queueHandlers,
  submitTask,
  taskHandlers,
  workerHandlers,
} from './routes.ts'
export { openSandbox } from './script/sandbox.ts'
export { createScripts, type Scripts } from './script/scripts.ts'
export { createPayloads, type Payloads, sealedOfTasks, sealedPayloads } from './sealed.ts'
export {
  createTasks,
  type Tasks,
} from './service.ts'
export type { Ending } from './settle.ts'
export { createEndStopped } from './stopped.ts'
export type { TaskRow, WorkRow } from './store.ts'
export type { PreparedTask, SubmitTasks } from './submit.ts'
