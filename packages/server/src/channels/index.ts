/** Channels: what a project tells the outside of itself, by webhooks and to whoever watches. */
export { createDeliverer } from './deliver.ts'
export { createFanOut, forgetOldDeliveries } from './fan-out.ts'
export { createFeed } from './feed.ts'
export { createMail } from './mail.ts'
export { acceptSocket, eventHandlers } from './routes-events.ts'
export { webhookHandlers } from './routes-webhooks.ts'
export { createSealed } from './sealed.ts'
export { countQueued } from './store.ts'
