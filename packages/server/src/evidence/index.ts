/** What an outsider gets: the log's files, exports, verification. Bundles and attestations come here. */
export { type KeysOn, keysHandlers, recordKeys } from './keys-routes.ts'
export { createLogDoors, doorOf, type LogDoors } from './log-doors.ts'
export { auditHandlers, type LogOn } from './log-routes.ts'
