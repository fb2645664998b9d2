/** Doors: the documented paths of the systems that Writ replaces, on its own engine. */
export { createDispatchDoor, dispatchBody } from './dispatch.ts'
export { createDispatchMetrics } from './dispatch-metrics.ts'
