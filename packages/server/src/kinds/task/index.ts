/** Tasks: runs of a named function, taken from a queue. */
export { createHandlers, type Handler, type Handlers, type TaskContext, TaskError } from './handler.ts'
export { createTaskLane } from './lane.ts'
export { type Asked, createTasks, type DeadFilter, type TaskFilter, type TaskPage, type Tasks } from './service.ts'
export type { TaskRow } from './store.ts'
export type { PreparedTask, SubmitTasks } from './submit.ts'
