export {
  BlobAbandoned,
  BlobCorrupt,
  BlobMissing,
  type BlobRef,
  BlobStoreUnavailable,
  type Blobs,
  BlobTooLarge,
} from './blobs.ts'
export { type BlobSettings, openBlobs } from './open.ts'
export { S3_ANSWER_MS, S3_HANDLER } from './s3-patience.ts'
export { s3Reason, statusOf } from './s3-reason.ts'
export { endComing, expectBytes, removeBytes, touchComing, untilNotGoing } from './store-marks.ts'
