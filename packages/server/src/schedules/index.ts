/** Times that start tasks. */
export { scheduleHandlers } from './routes.ts'
export { sealedOfSchedules } from './schedule.ts'
export { createScheduler, forgetOldFires, type Scheduler } from './scheduler.ts'
