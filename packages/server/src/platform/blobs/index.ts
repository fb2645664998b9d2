export {
  BlobAbandoned,
  BlobCorrupt,
  BlobMissing,
  type BlobRange,
  type BlobRef,
  BlobStoreUnavailable,
  type Blobs,
  BlobTooLarge,
  type PutOptions,
} from './blobs.ts'
export { type BlobSettings, openBlobs } from './open.ts'
export { S3_ANSWER_MS, S3_HANDLER } from './s3-patience.ts'
