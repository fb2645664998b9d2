/** The audit log: appending in the caller's transaction, sequencing into a Merkle log, querying, verifying. */
// What the log commits to is written in this form; whoever binds a digest of a document uses the same.
export { canonicalize, type Json, keyChangePath } from '@writ/tlog'
export { findAnchored, keepTiles, loadAnchorEvidence, tilesOf } from './anchored.ts'
export {
  type Actor,
  type Appended,
  append,
  appendAll,
  appendDrafts,
  appendOne,
  draftEvents,
  type NewEvent,
  SYSTEM,
} from './append.ts'
export type { Attest } from './attest.ts'
export { openNote, sizeOfNote } from './continuation.ts'
export { type ContinuedLog, continueLog, findLogsAhead, rebuildDayFiles } from './continue-log.ts'
export { placeOfErasure } from './day-file.ts'
export { replaceFile, syncDirectory, writeSynced } from './durable-file.ts'
export { dropOldestLog, erasePayload, isErasable } from './erase.ts'
export { type EventLine, OVERWRITTEN, readLine } from './event-line.ts'
export { faultOfPatterns, requireEventPatterns, requireEventType } from './event-types.ts'
export {
  type AuditFolders,
  dayFolder,
  type LogReader,
  logFolder,
  logPlace,
  openLogReader,
  readLogText,
} from './folders.ts'
export {
  allowedSigners,
  type Keys,
  openKeys,
  type PublicKeyRecord,
} from './keys.ts'
export { isLogStoreUnavailable, LogError } from './log-error.ts'
export { type Behind, type LogSnapshot, readKeyChanges, snapshotBeside, snapshotLog } from './log-snapshot.ts'
export { isLogPath, readLogFile, tilePaths } from './log-store.ts'
export { sha256, sha512, verifyEd25519, verifySignature } from './node-crypto.ts'
export { putBackLog, sizeInStore } from './put-back-log.ts'
export { requireLog } from './require-log.ts'
export { loadLogKeys, rotateLogKey } from './rotate-log-key.ts'
export { type SelfChecked, selfCheck } from './self-check.ts'
export {
  createSequencer,
  EMPTY_ROOT,
  LogAheadOfDatabase,
  LogBusy,
  newOrigin,
  type Sequencer,
} from './sequencer.ts'
export { createSlices } from './slice.ts'
export {
  comparePositions,
  countEvents,
  countLogs,
  countPending,
  countPlaced,
  type EventFilter,
  type EventRow,
  endOfLog,
  findOpenLog,
  findPlacedEvents,
  insertLog,
  type Log,
  listEndsBehind,
  listEvents,
  listEventsAbout,
  listEventsBehind,
  listEventsForward,
  listLogs,
  listLogsPart,
  listProvenById,
  listProvenEvents,
  oldestBehind,
  type PlacedEvent,
  type Position,
  type ProvenEvent,
  RUN_ENDS,
} from './store.ts'
export { erasureState, findEvent, listEventsOfPerson } from './store-erasure.ts'
export { findLogByOrigin, listAllLogs, listOpenLogs, vkeysOf } from './store-logs.ts'
export { loadUnfinishedRestore, RestoreUnfinished, UNFINISHED_RESTORE } from './unfinished-restore.ts'
export { type VerifyProgress, verifyProjectLog } from './verify.ts'
export { createWitnesses, loadWitnessPolicy, type Witnesses, type WitnessHealth } from './witnesses.ts'
