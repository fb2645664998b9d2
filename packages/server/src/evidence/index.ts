/** What an outsider gets: the log's files, public keys, exports, attestations, bundles. */
export { serveApprovePage } from './approve-page.ts'
export { createAttest } from './attest.ts'
export { evidenceHandlers } from './export-routes.ts'
export { keysHandlers, recordKeys } from './keys-routes.ts'
export { createLogDoors } from './log-doors.ts'
export { auditHandlers } from './log-routes.ts'
export { privacyHandlers } from './privacy-routes.ts'
export { createSelfChecker } from './self-checker.ts'
