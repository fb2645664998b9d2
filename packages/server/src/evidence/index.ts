/** What an outsider gets: the log's files, public keys, exports, attestations, bundles. */
export { serveApprovePage } from './approve-page.ts'
export { createAttest } from './attest.ts'
export { type EvidenceOn, evidenceHandlers } from './export-routes.ts'
export { type KeysOn, keysHandlers, recordKeys } from './keys-routes.ts'
export { createLogDoors, doorOf, type LogDoors } from './log-doors.ts'
export { auditHandlers, type LogOn } from './log-routes.ts'
export { privacyHandlers } from './privacy-routes.ts'
export { createSelfChecker, type SelfChecker } from './self-checker.ts'
