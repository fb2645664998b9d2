/** What an outsider gets: the log's files, exports, attestations, bundles. */
export { serveApprovePage } from './approve-page.ts'
export { createAttest } from './attest.ts'
export { type EvidenceOn, evidenceHandlers } from './export-routes.ts'
export { type KeysOn, keysHandlers, recordKeys } from './keys-routes.ts'
export { createLogDoors, doorOf, type LogDoors } from './log-doors.ts'
export { auditHandlers, type LogOn } from './log-routes.ts'
