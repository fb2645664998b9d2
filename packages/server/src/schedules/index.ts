/** Times that start tasks. */
export { scheduleHandlers } from './routes.ts'
export { createScheduler, type Scheduler } from './scheduler.ts'
