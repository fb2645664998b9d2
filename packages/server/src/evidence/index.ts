/** What an outsider gets: the log's files, exports, verification. Bundles and attestations come here. */
export { auditHandlers, type LogOn } from './log-routes.ts'
export { privacyHandlers } from './privacy-routes.ts'
export { createSelfChecker, type SelfChecker } from './self-checker.ts'
