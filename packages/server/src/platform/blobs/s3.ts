/**
 * Blobs in any S3-compatible store.
 *
 * A key under `<project>/sha256/` is only ever written whole, by a conditional put (small) or a server-side copy (large), after its bytes
 * were hashed. Large uploads go to a temporary key first, because the digest, and so the name, is known only after the last byte.
 * Stopped in between: temporary keys and unfinished multipart uploads are left, and a later open sweeps those that are a day old.
 */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Secret } from '../secret.ts'
import {
  BlobMissing,
  type BlobRange,
  type BlobRef,
  BlobStoreUnavailable,
  type Blobs,
  blobPath,
  type PutOptions,
  projectFolder,
  resolveRange,
} from './blobs.ts'
import { S3_ANSWER_MS, S3_HANDLER } from './s3-patience.ts'
import { s3Reason, statusOf } from './s3-reason.ts'
import { giveOut, takeIn } from './streams.ts'

export type S3Settings = {
  /** For example http://127.0.0.1:9000; left out: Amazon's own for the region. Buckets are addressed by path. */
  endpoint?: string
  region: string
  bucket: string
  /** Left out, both: the provider chain of the SDK (environment, instance role). */
  accessKey?: Secret<string>
  secretKey?: Secret<string>
  /** Prepended to every key, for a bucket that is shared: `writ/`. */
  prefix?: string
  /** Make the bucket if it is not there (a MinIO of one's own); otherwise a missing bucket is refused at open. */
  createBucket?: boolean
  /** Size of one part of an upload; at most four are in memory. Default 8 MiB; grows by itself for very large `maxBytes`. */
  partBytes?: number
  /** The largest object that one copy request may copy. S3's own limit, 5 GiB, unless a test needs less. */
  singleCopyBytes?: number
  /** How long a store may take to begin its answer to a question, in milliseconds; see `S3_ANSWER_MS`. */
  answerMs?: number
  /** How old a leftover must be, in milliseconds, before open removes it. Default: a day. */
  sweepAfterMs?: number
}

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const DAY_MS = 86_400_000
const MAX_PARTS = 10_000

/** @throws BlobStoreUnavailable if the bucket cannot be reached, written, or is not there */
export async function openS3Blobs(settings: S3Settings): Promise<Blobs> {
  // Loaded here and not above: a server with a local store never pays for the SDK.
  const s3 = await import('@aws-sdk/client-s3')
  const { Upload } = await import('@aws-sdk/lib-storage')
  const Bucket = settings.bucket
  const prefix = settings.prefix ?? ''
  const singleCopyBytes = settings.singleCopyBytes ?? 5 * GIB
  const client = new s3.S3Client({
    region: settings.region,
    endpoint: settings.endpoint,
    forcePathStyle: true,
    credentials:
      settings.accessKey && settings.secretKey
        ? { accessKeyId: settings.accessKey.reveal(), secretAccessKey: settings.secretKey.reveal() }
        : undefined,
    // The SDK's default checksums in trailers are refused or ignored by many stores that are not Amazon's.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { ...S3_HANDLER, socketTimeout: 60_000 },
    maxAttempts: 3,
  })

  const soon = { requestTimeout: settings.answerMs ?? S3_ANSWER_MS }

  const keyOf = (project: string, sha256: string) => prefix + blobPath(project, sha256)
  const temporaryKey = () => `${prefix}tmp/${randomUUID()}`
  const system = <T>(call: Promise<T>) => call.catch((error) => Promise.reject(unavailable(error)))
  const deleteKey = (Key: string, patience = {}) => client.send(new s3.DeleteObjectCommand({ Bucket, Key }), patience)

  async function put(project: string, stream: AsyncIterable<Uint8Array>, options: PutOptions): Promise<BlobRef> {
    projectFolder(project)
    const intake = takeIn(stream, options)
    const partBytes = Math.max(
      settings.partBytes ?? 8 * MIB,
      Math.ceil(Math.min(options.maxBytes, 5 * 1024 * GIB) / MAX_PARTS),
    )
    const chunks = intake.chunks[Symbol.asyncIterator]()
    const head: Uint8Array[] = []
    let bytes = 0
    try {
      while (bytes <= partBytes) {
        const next = await chunks.next()
        if (next.done) {
          const ref = intake.ref()
          await options.coming?.(ref)
          await system(putSmall(keyOf(project, ref.sha256), Buffer.concat(head), ref))
          return ref
        }
        head.push(next.value)
        bytes += next.value.length
      }
      return await putLarge(project, head, chunks, partBytes, async () => {
        const ref = intake.ref()
        await options.coming?.(ref)
        return ref
      })
    } finally {
      // Not awaited: after a failure of the store the source may still be silent, and it answers only when it speaks.
      chunks.return?.().catch(() => {})
    }
  }

  /** One request, straight to its name: the digest is known before the first byte goes out. */
  async function putSmall(Key: string, Body: Uint8Array, ref: BlobRef): Promise<void> {
    try {
      await client.send(new s3.PutObjectCommand({ Bucket, Key, Body, IfNoneMatch: '*' }))
    } catch (error) {
      const taken = statusOf(error) === 412 || statusOf(error) === 409
      if (!taken) throw error
      if (!(await holds(Key, ref))) await client.send(new s3.PutObjectCommand({ Bucket, Key, Body }))
    }
  }

  async function putLarge(
    project: string,
    head: Uint8Array[],
    rest: AsyncIterator<Uint8Array>,
    partSize: number,
    measured: () => Promise<BlobRef>,
  ): Promise<BlobRef> {
    const temporary = temporaryKey()
    let failure: { error: unknown } | undefined
    async function* body() {
      while (head.length > 0) yield head.shift()!
      try {
        for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
      } catch (error) {
        failure = { error } // the source's own error, which the SDK may wrap
        throw error
      }
    }
    const upload = new Upload({
      client,
      partSize,
      queueSize: 3, // and one part that is being filled: four in memory
      params: { Bucket, Key: temporary, Body: Readable.from(body()) },
      leavePartsOnError: true, // taken away below, with less patience than is due to bytes
    })
    try {
      try {
        await upload.done()
      } catch (error) {
        if (upload.uploadId !== undefined) await abort(temporary, upload.uploadId)
        throw failure ? failure.error : unavailable(error)
      }
      const ref = await measured()
      const Key = keyOf(project, ref.sha256)
      await system(holds(Key, ref).then((there) => (there ? undefined : copy(temporary, Key, ref.size))))
      return ref
    } finally {
      await deleteKey(temporary, soon).catch(() => {}) // unreachable now; swept by a later open
    }
  }

  /** Takes parts away. Where that cannot be done now they are swept by a later open: who uploaded waits no longer than for a question. */
  async function abort(Key: string, UploadId: string): Promise<void> {
    await client.send(new s3.AbortMultipartUploadCommand({ Bucket, Key, UploadId }), soon).catch(() => {})
  }

  /** Copies inside the store. Over the limit of one request, in parts. */
  async function copy(from: string, Key: string, size: number): Promise<void> {
    const CopySource = `${Bucket}/${encodeURIComponent(from)}`
    if (size <= singleCopyBytes) {
      await client.send(new s3.CopyObjectCommand({ Bucket, Key, CopySource }))
      return
    }
    const { UploadId } = await client.send(new s3.CreateMultipartUploadCommand({ Bucket, Key }))
    try {
      const step = Math.min(GIB, singleCopyBytes)
      const Parts: { PartNumber: number; ETag?: string }[] = []
      for (let at = 0; at < size; at += step) {
        const PartNumber = Parts.length + 1
        const CopySourceRange = `bytes=${at}-${Math.min(at + step, size) - 1}`
        const done = await client.send(
          new s3.UploadPartCopyCommand({ Bucket, Key, UploadId, PartNumber, CopySource, CopySourceRange }),
        )
        Parts.push({ PartNumber, ETag: done.CopyPartResult?.ETag })
      }
      await client.send(new s3.CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
    } catch (error) {
      if (UploadId !== undefined) await abort(Key, UploadId)
      throw error
    }
  }

  /** True if what is stored under this key is exactly this blob; reads it. */
  async function holds(Key: string, ref: BlobRef): Promise<boolean> {
    const size = await sizeOf(Key)
    if (size !== ref.size) return false
    const { Body } = await client.send(new s3.GetObjectCommand({ Bucket, Key }), soon)
    const intake = takeIn(streamOf(Body), { maxBytes: ref.size })
    for await (const _ of intake.chunks);
    return intake.ref().sha256 === ref.sha256
  }

  async function sizeOf(Key: string): Promise<number | undefined> {
    try {
      return (await client.send(new s3.HeadObjectCommand({ Bucket, Key }), soon)).ContentLength ?? 0
    } catch (error) {
      // A HEAD has no body to name the reason: a bucket that is gone says 404 like a key that is not there.
      if (statusOf(error) !== 404) throw error
      await client.send(new s3.HeadBucketCommand({ Bucket }), soon)
      return undefined
    }
  }

  async function open(project: string, sha256: string, range: BlobRange = {}) {
    const Key = keyOf(project, sha256)
    try {
      if (range.start === undefined && range.end === undefined) {
        const whole = await client.send(new s3.GetObjectCommand({ Bucket, Key }), soon)
        return giveOut(streamOf(whole.Body), sha256, whole.ContentLength ?? 0, unavailable)
      }
      const size = await sizeOf(Key)
      if (size === undefined) throw new BlobMissing(sha256)
      const { start, end, whole } = resolveRange(range, size)
      const Range = whole ? undefined : `bytes=${start}-${end}`
      const part = await client.send(new s3.GetObjectCommand({ Bucket, Key, Range }), soon)
      return giveOut(streamOf(part.Body), whole ? sha256 : undefined, end - start + 1, unavailable)
    } catch (error) {
      if (error instanceof RangeError || error instanceof BlobMissing) throw error
      if (error instanceof s3.NoSuchKey) throw new BlobMissing(sha256)
      throw unavailable(error)
    }
  }

  async function stat(project: string, sha256: string): Promise<BlobRef | undefined> {
    const size = await system(sizeOf(keyOf(project, sha256)))
    return size === undefined ? undefined : { sha256, size }
  }

  async function remove(project: string, sha256: string): Promise<boolean> {
    const Key = keyOf(project, sha256)
    if ((await system(sizeOf(Key))) === undefined) return false
    await system(deleteKey(Key)) // a versioned bucket keeps the old version: its own lifecycle rules decide about that
    return true
  }

  async function* list(project: string): AsyncGenerator<BlobRef> {
    const Prefix = `${prefix}${projectFolder(project)}/`
    for await (const object of objects(Prefix)) yield { sha256: object.Key.slice(-64), size: object.Size }
  }

  async function* objects(Prefix: string) {
    let ContinuationToken: string | undefined
    do {
      const page = await system(client.send(new s3.ListObjectsV2Command({ Bucket, Prefix, ContinuationToken })))
      for (const { Key, Size, LastModified } of page.Contents ?? [])
        if (Key) yield { Key, Size: Size ?? 0, LastModified }
      ContinuationToken = page.NextContinuationToken
    } while (ContinuationToken)
  }

  async function check(): Promise<void> {
    const Key = temporaryKey()
    await system(client.send(new s3.PutObjectCommand({ Bucket, Key, Body: 'probe' }), soon))
    await system(deleteKey(Key))
  }

  /** Other servers use the bucket too, so only age tells a leftover; by the store's clock, read off an object written now. */
  async function sweep(olderThanMs: number): Promise<void> {
    const probe = temporaryKey()
    await client.send(new s3.PutObjectCommand({ Bucket, Key: probe, Body: 'probe' }))
    // Listed and not asked for by HEAD, whose dates have no milliseconds.
    const { Contents } = await client.send(new s3.ListObjectsV2Command({ Bucket, Prefix: probe }))
    await deleteKey(probe)
    const limit = (Contents?.[0]?.LastModified?.getTime() ?? 0) - olderThanMs
    const isStale = (at?: Date) => at !== undefined && at.getTime() <= limit
    for await (const object of objects(`${prefix}tmp/`)) if (isStale(object.LastModified)) await deleteKey(object.Key)
    let page: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}
    while (page) {
      const found: import('@aws-sdk/client-s3').ListMultipartUploadsCommandOutput = await client.send(
        new s3.ListMultipartUploadsCommand({ Bucket, Prefix: prefix || undefined, ...page }),
      )
      for (const { Key, UploadId, Initiated } of found.Uploads ?? []) {
        if (!isStale(Initiated)) continue
        await client.send(new s3.AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch((error) => {
          if (statusOf(error) !== 404) throw error // another server swept it first
        })
      }
      page = found.IsTruncated
        ? { KeyMarker: found.NextKeyMarker, UploadIdMarker: found.NextUploadIdMarker }
        : undefined
    }
  }

  try {
    await client.send(new s3.HeadBucketCommand({ Bucket }), soon).catch(async (error) => {
      if (statusOf(error) !== 404) throw error
      if (!settings.createBucket) throw new BlobStoreUnavailable(`there is no bucket ${Bucket}`, error)
      await client.send(new s3.CreateBucketCommand({ Bucket })).catch((again) => {
        // Two servers starting at once: the bucket is there, which is all that was wanted.
        if (!(again instanceof s3.BucketAlreadyOwnedByYou)) throw again
      })
    })
    await sweep(settings.sweepAfterMs ?? DAY_MS)
  } catch (error) {
    client.destroy()
    throw unavailable(error)
  }
  return { put, open, stat, remove, list, check, close: async () => client.destroy() }
}

/** In Node the SDK answers with Node's own streams; its type allows for browsers. */
function streamOf(body: unknown): Readable {
  if (body instanceof Readable) return body
  throw new BlobStoreUnavailable('the answer has no body')
}

/** A refusal, a timeout or a broken connection: to the caller they are one thing, and the reason is for the operator. */
function unavailable(error: unknown): Error {
  if (error instanceof BlobStoreUnavailable) return error
  return new BlobStoreUnavailable(s3Reason(error), error)
}
