/** The audit log: appending in the caller's transaction, sequencing into a Merkle log, querying, verifying. */
// What the log commits to is written in this form; whoever binds a digest of a document uses the same.
export { canonicalize, type Json } from '@writ/tlog'
export { type Actor, type Appended, append, appendAll, type NewEvent, SYSTEM } from './append.ts'
export type { Attest } from './attest.ts'
export { type Continuation, openNote } from './continuation.ts'
export { type ContinuedLog, continueLog, findLogsAhead, type LogAhead, rebuildDayFiles } from './continue-log.ts'
export { replaceFile, syncDirectory, writeSynced } from './durable-file.ts'
export { dropOldestLog, erasePayload, isErasable } from './erase.ts'
export {
  type AttestationKey,
  allowedSigners,
  type KeyPurpose,
  type Keys,
  MANIFEST_PRINCIPAL,
  type ManifestKey,
  openKeys,
  type PublicKeyRecord,
} from './keys.ts'
export { LogError } from './log-error.ts'
export { type LogSnapshot, snapshotBeside, snapshotLog } from './log-snapshot.ts'
export { sha256, sha512, verifyEd25519, verifySignature } from './node-crypto.ts'
export { type SelfChecked, type SelfCheckOptions, selfCheck } from './self-check.ts'
export {
  type AuditFolders,
  createSequencer,
  dayFolder,
  EMPTY_ROOT,
  LogAheadOfDatabase,
  LogBusy,
  logFolder,
  newOrigin,
  type Sequencer,
  signerStateFile,
} from './sequencer.ts'
export {
  countEvents,
  countPending,
  type EventFilter,
  type EventRow,
  erasureState,
  findEvent,
  findOpenLog,
  insertLog,
  type Log,
  listAllLogs,
  listEvents,
  listEventsForward,
  listEventsOfPerson,
  listLogs,
  listOpenLogs,
  listProvenEvents,
  type ProvenEvent,
} from './store.ts'
export { readTileFile, type VerifyOptions, verifyProjectLog } from './verify.ts'
