/** Doors: the documented paths of the systems that Writ replaces, on its own engine. */
export { type DispatchOn, dispatchBody, serveDispatch } from './dispatch.ts'
export { createDispatchMetrics } from './dispatch-metrics.ts'
