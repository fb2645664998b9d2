import { randomUUID } from 'node:crypto'
import { equalBytes } from '@writ/tlog'
import { S3_ANSWER_MS, S3_HANDLER, s3Reason, statusOf } from '../platform/blobs/index.ts'
import { eachParallel } from './durable-file.ts'
import { LogError, LogStoreUnavailable } from './log-error.ts'
import { CHECKPOINT, isLogPath, type LogStore } from './log-store.ts'

/** An S3-compatible store for tiles. Plain strings, because it also goes to the verification thread; never printed. */
export interface TileStoreSettings {
  /** Left out: Amazon's own for the region. Buckets are addressed by path. */
  readonly endpoint?: string | undefined
  readonly region: string
  readonly bucket: string
  /** Left out, both: the provider chain of the SDK. */
  readonly accessKey?: string | undefined
  readonly secretKey?: string | undefined
  /** How long the store may take to begin its answer to a question, in milliseconds; see `S3_ANSWER_MS`. */
  readonly answerMs?: number | undefined
}

const PARALLEL = 16

/**
 * The files of a log below `prefix` in a bucket. Tiles are put with If-None-Match, the checkpoint with If-Match on the one
 * that was read at the start: a leader that lost its place and goes on is refused by the store itself (LOG_FORK).
 *
 * An object that was acknowledged is durable, and each put is whole or nothing, so the crash points are those of the disk.
 */
export async function openS3LogStore(settings: TileStoreSettings, prefix: string): Promise<LogStore> {
  const reader = await openS3LogReader(settings, prefix)
  const { s3, client, fetchObject } = reader
  const Bucket = settings.bucket
  // Undefined until the checkpoint was looked for; null if there was none. Only what this store saw first or wrote itself
  // counts: reading a rival's checkpoint later must not make it ours to replace.
  let etag: string | null | undefined
  // How this store wants an ETag in If-Match; set before the store is handed out.
  let matching: ((etag: string) => string) | undefined

  async function read(path: string): Promise<Uint8Array | null> {
    if (path !== CHECKPOINT) return reader.read(path)
    const found = await fetchObject(path)
    if (etag === undefined) etag = found?.etag ?? null
    return found?.bytes ?? null
  }

  async function add(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await eachParallel(files, PARALLEL, async ([path, bytes]) => {
      for (let tries = 1; ; tries++) {
        const taken = await put(path, bytes, { IfNoneMatch: '*' }).then(
          () => false,
          (error: unknown) => isConflict(error) || Promise.reject(error),
        )
        if (!taken) return
        const there = await reader.read(path)
        if (there && equalBytes(there, bytes)) return
        if (there) throw new LogError('LOG_FORK', `${path} exists with other bytes`)
        // Refused for a rival's put that came to nothing: the place is free after all.
        if (tries === 3) throw new Error(`${path} can neither be written nor read`)
      }
    })
  }

  async function replace(path: string, given: Uint8Array | string): Promise<void> {
    const bytes = typeof given === 'string' ? Buffer.from(given) : given
    if (path !== CHECKPOINT) {
      await put(path, bytes, {})
      return
    }
    if (etag === undefined) await read(CHECKPOINT)
    try {
      etag = await put(path, bytes, etag == null ? { IfNoneMatch: '*' } : { IfMatch: matching!(etag) })
    } catch (error) {
      if (!isConflict(error)) throw error
      // Our own put may have arrived while its answer was lost, and a repetition was refused.
      const there = await fetchObject(path)
      if (!there || !equalBytes(there.bytes, bytes))
        throw new LogError('LOG_FORK', 'another leader has published a checkpoint meanwhile', { cause: error })
      etag = there.etag
    }
  }

  async function put(path: string, Body: Uint8Array, condition: { IfNoneMatch?: string; IfMatch?: string }) {
    const { ETag } = await client
      .send(new s3.PutObjectCommand({ Bucket, Key: prefix + path, Body, ...condition }))
      .catch(refuse)
    return ETag ?? null
  }

  const dropPartials = (fullTiles: readonly string[]) =>
    eachParallel(fullTiles, PARALLEL, (tile) => dropBelow(`${prefix}${tile}.p/`))

  // A page at a time, and always the first: what was deleted is not listed again.
  async function dropBelow(Prefix: string): Promise<void> {
    for (;;) {
      const { Contents = [] } = await client.send(new s3.ListObjectsV2Command({ Bucket, Prefix })).catch(refuse)
      if (Contents.length === 0) return
      await eachParallel(Contents, PARALLEL, async ({ Key }) => {
        await client.send(new s3.DeleteObjectCommand({ Bucket, Key })).catch(refuse)
      })
    }
  }

  /**
   * Tries the conditions on an object of no meaning: a store that ignores them would let two leaders overwrite each other,
   * and better no start than that. RFC 9110 quotes an ETag in If-Match; some releases of Ceph compare it as it stands, with
   * the quotes, to their own without.
   */
  async function tryConditions(): Promise<void> {
    const probe = `.probe/${randomUUID()}`
    const tag = (await put(probe, Buffer.from('1'), { IfNoneMatch: '*' })) ?? ''
    const passes = (condition: { IfNoneMatch?: string; IfMatch?: string }) =>
      put(probe, Buffer.from('1'), condition).then(
        () => true,
        (error: unknown) => (isConflict(error) ? false : Promise.reject(error)),
      )
    if (await passes({ IfMatch: tag })) matching = (etag) => etag
    else if (await passes({ IfMatch: unquoted(tag) })) matching = unquoted
    const overwrites = (await passes({ IfNoneMatch: '*' })) || (await passes({ IfMatch: '"0"' }))
    await client.send(new s3.DeleteObjectCommand({ Bucket, Key: prefix + probe })).catch(refuse)
    if (overwrites || !matching)
      throw new LogError('LOG_STORE_UNFIT', `the store of bucket ${Bucket} does not honour If-None-Match and If-Match`)
  }

  try {
    await tryConditions()
  } catch (error) {
    await reader.close()
    throw error
  }
  return { read, add, replace, dropPartials, dropTiles: () => dropBelow(`${prefix}tile/`), close: reader.close }
}

/** The same files, to be read. */
export async function openS3LogReader(settings: TileStoreSettings, prefix: string) {
  // Loaded here and not above: a server with a local store never pays for the SDK.
  const s3 = await import('@aws-sdk/client-s3')
  const { endpoint, region, bucket: Bucket, accessKey, secretKey } = settings
  const client = new s3.S3Client({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    forcePathStyle: true,
    ...(accessKey && secretKey ? { credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } } : {}),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { ...S3_HANDLER, socketTimeout: 30_000 },
    maxAttempts: 3,
  })

  const soon = { requestTimeout: settings.answerMs ?? S3_ANSWER_MS }

  async function fetchObject(path: string): Promise<{ bytes: Uint8Array; etag: string | null } | null> {
    try {
      const { Body, ETag } = await client.send(new s3.GetObjectCommand({ Bucket, Key: prefix + path }), soon)
      return { bytes: (await Body?.transformToByteArray()) ?? new Uint8Array(), etag: ETag ?? null }
    } catch (error) {
      if (error instanceof s3.NoSuchKey) return null
      return refuse(error)
    }
  }

  return {
    s3,
    client,
    fetchObject,
    read: async (path: string): Promise<Uint8Array | null> =>
      isLogPath(path) ? ((await fetchObject(path))?.bytes ?? null) : null,
    close: async () => client.destroy(),
  }
}

/** Puts one object, whatever is there. */
export async function putS3Object(settings: TileStoreSettings, key: string, text: string): Promise<void> {
  const { s3, client, close } = await openS3LogReader(settings, '')
  try {
    await client.send(new s3.PutObjectCommand({ Bucket: settings.bucket, Key: key, Body: text })).catch(refuse)
  } finally {
    await close()
  }
}

const unquoted = (etag: string): string => etag.replace(/^"(.*)"$/, '$1')

/** What the store said to a condition stays as it is; whatever else went wrong is one thing to the caller, and a reason for the operator. */
function refuse(error: unknown): never {
  if (isConflict(error)) throw error
  throw new LogStoreUnavailable(s3Reason(error), error)
}

/** 412: the condition does not hold; 409: it was being decided for somebody else at the same moment. */
function isConflict(error: unknown): boolean {
  const status = statusOf(error)
  return status === 412 || status === 409
}
