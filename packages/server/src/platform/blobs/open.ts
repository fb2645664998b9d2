/** The one place that knows which blob stores there are. */
import type { Blobs } from './blobs.ts'
import { type LocalSettings, openLocalBlobs } from './local.ts'
import { openS3Blobs, type S3Settings } from './s3.ts'

export type BlobSettings = ({ type: 'local' } & LocalSettings) | ({ type: 'minio' | 's3' } & S3Settings)

/** Opens the configured store. `minio` makes its bucket when it is missing; `s3` refuses. Close it when done. @throws BlobStoreUnavailable */
export async function openBlobs(settings: BlobSettings): Promise<Blobs> {
  if (settings.type === 'local') return await openLocalBlobs(settings)
  return await openS3Blobs({ createBucket: settings.type === 'minio', ...settings })
}
