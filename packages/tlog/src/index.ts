// Transparency log of Writ: hashes, tiles, proofs, notes, entries, verification. Pure: no I/O, runs in a browser.

export {
  type Anchor,
  type AnchorVerdict,
  PROJECT_CHECKPOINT_ACT,
  parseRecordedState,
  type RecordedState,
  verifyAnchor,
  verifyAnchoredEntry,
} from './anchor.ts'
export {
  BUNDLE_FORMAT,
  BUNDLE_NAMESPACE,
  type BundleCheck,
  type BundleDescription,
  type BundleFault,
  type BundleFiles,
  type BundlePrimitives,
  type BundleProgress,
  type BundleReport,
  type BundleTrust,
  bundleCheckCodes,
  bundleRestCodes,
  MANIFEST_SIGNER,
  readDescription,
} from './bundle.ts'
export { type BundleReason, bundleReasonCodes, bundleReasons } from './bundle-reasons.ts'
export { equalBytes, fromBase64, fromHex, fromUtf8, toBase64, toHex, toUtf8 } from './bytes.ts'
export { canonicalize, type Json } from './canonical.ts'
export {
  type Checkpoint,
  type CheckpointRefusal,
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from './checkpoint.ts'
export {
  type Envelope,
  formatEnvelope,
  parseEnvelope,
  preAuthEncoding,
  STATEMENT_TYPE,
  verifyEnvelope,
} from './dsse.ts'
export {
  commitment,
  decodeEntry,
  type Entry,
  type EntryActor,
  type EntryKey,
  type EntryPayload,
  encodeEntry,
  formatCommitment,
  MAX_ENTRY_BYTES,
} from './entry.ts'
export {
  type FollowedKeys,
  followKeyChanges,
  formatKeyChange,
  KEY_CHANGE_ACT,
  type KeyChange,
  keyChangePath,
  signedByNewestKey,
} from './key-change.ts'
export { formatLogProof, type LogProof, type LogProofVerdict, parseLogProof, verifyLogProof } from './log-proof.ts'
export {
  type CompactRange,
  createCompactRange,
  createTreeHasher,
  decodeCompactRange,
  encodeCompactRange,
  HASH_BYTES,
  type Hash,
  type OnNode,
  rangeCoordinates,
  type TreeHasher,
} from './merkle.ts'
export {
  addSignatures,
  cosignText,
  formatNote,
  formatSignatures,
  formatVkey,
  keyId,
  type Note,
  type NoteSignature,
  parseNote,
  parseSignatures,
  parseVkey,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ED25519,
  type SignEd25519,
  type Signer,
  signText,
  type VerifierKey,
  type VerifyEd25519,
  verifyNote,
} from './note.ts'
export {
  fromBase64Url,
  type PasskeyAssertion,
  type PasskeyVerdict,
  toBase64Url,
  verifyPasskey,
} from './passkey.ts'
export {
  cosignersOf,
  meetsQuorum,
  openUnderPolicy,
  type Policy,
  type PolicyGroup,
  type PolicyVerdict,
  type PolicyWitness,
  parsePolicy,
} from './policy.ts'
export {
  loadCompactRange,
  proveConsistency,
  proveInclusion,
  type ReadTile,
  verifyConsistency,
  verifyInclusion,
} from './proof.ts'
export {
  algorithmOf,
  createSubtleVerify,
  ecdsaFromDer,
  ecdsaToDer,
  formatPem,
  type KeyAlgorithm,
  parsePem,
  rawKeyOf,
  type SubtleVerify,
  spkiOf,
  type VerifySignature,
} from './public-key.ts'
export { createRunSequences, gapText, type RunSequences, type SequenceGap } from './run-sequence.ts'
export {
  formatSshKey,
  formatSshSignature,
  parseSshKey,
  parseSshSignature,
  type SshHashes,
  type SshSignature,
  sshFingerprint,
  sshSigned,
  verifySshSignature,
} from './sshsig.ts'
export {
  APPROVAL_NAMESPACE,
  type ApprovalClaim,
  type ApprovalSubject,
  approvalStatement,
  BUILD_TYPE_RUN,
  PREDICATE_APPROVAL,
  PREDICATE_PROVENANCE,
  PREDICATE_SIGNING_KEY,
  PREDICATE_TEST_RESULT,
  type ProvenanceClaim,
  parseApproval,
  parseSigningKey,
  parseStatement,
  provenanceStatement,
  type Resource,
  SIGNING_KEY_NAMESPACE,
  type SigningKeyClaim,
  type Statement,
  type Subject,
  signingKeyStatement,
  statementBytes,
  type TestResultClaim,
  testResultStatement,
} from './statement.ts'
export { SUCCESSOR_ACT, type Successor, successorOf } from './successor.ts'
export { isOfTask, parseTaskJournal, type TaskJournal, taskStatement } from './task-record.ts'
export {
  changedTiles,
  decodeBundle,
  encodeBundle,
  levelCount,
  MAX_BUNDLE_ENTRY_BYTES,
  parseTilePath,
  splitBundle,
  TILE_WIDTH,
  type Tile,
  tilePath,
  tileWidth,
} from './tile.ts'
export { verifyBundle, verifyZip } from './verify-bundle.ts'
export { type LogFault, type LogVerdict, type VerifyLogOptions, verifyLog } from './verify-log.ts'
export {
  formatSubmission,
  judgeSubmission,
  parseSubmission,
  type Submission,
  type Witnessed,
  type WitnessVerdict,
} from './witness.ts'
export { type CreateSha256, type Inflate, openZip, type ZipBytes, ZipError } from './zip.ts'
