/** Tasks: runs of a named function, taken from a queue. */
export { createHandlers, type Handler, type Handlers, type TaskContext, TaskError } from './handler.ts'
export type { Asked, DeadFilter, PreparedTask, SubmitTasks, TaskFilter, TaskPage, Tasks } from './service.ts'
export type { TaskRow } from './store.ts'
