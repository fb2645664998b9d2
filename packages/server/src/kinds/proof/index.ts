/**
 * Proof runs: the kind, its judging threads, and the routes of rule sets. Validators and their parsers are not loaded here:
 * an idle server does not need them, and what judges is another thread.
 */
export { createJudgeThread } from './judge-thread.ts'
export { createProofKind } from './kind.ts'
export { rulesHandlers } from './routes.ts'
