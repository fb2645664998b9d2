/** How runs went, counted from the log. */
export { type Counter, countedUntil, createCounter } from './count.ts'
export { insightHandlers } from './routes.ts'
