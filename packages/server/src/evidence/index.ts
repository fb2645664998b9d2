/** What an outsider gets: the log's files, exports, verification. Bundles and attestations come here. */

export { createAttest } from './attest.ts'
export { auditHandlers, type LogOn } from './log-routes.ts'
