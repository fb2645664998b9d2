import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import {
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { missingS3, type S3Server, startS3 } from '../../../../../test/servers/ceph-rgw.ts'
import { startFaulty } from '../../../../../test/servers/faulty-server.ts'
import { freePort } from '../../../../../test/servers/free-port.ts'
import { missingBackend } from '../../../../../test/servers/missing-backend.ts'
import { startSilent } from '../../../../../test/servers/silent-server.ts'
import { openS3LogReader } from '../../audit/s3-log-store.ts'
import { Secret } from '../secret.ts'
import { BlobStoreUnavailable, blobPath } from './blobs.ts'
import { exerciseBlobs } from './conformance.ts'
import { openBlobs } from './open.ts'
import { S3_ANSWER_MS } from './s3-patience.ts'

const MIB = 1024 * 1024
const skip = missingBackend('S3', missingS3())
let server: S3Server

before(async () => {
  if (!skip) server = await startS3()
})
after(async () => {
  await server?.stop()
})

function settings(bucket: string) {
  const { endpoint, region, accessKey, secretKey } = server
  return {
    type: 'minio',
    endpoint,
    region,
    accessKey: new Secret(accessKey),
    secretKey: new Secret(secretKey),
    bucket,
  } as const
}

// Small limits, so that 13 MB already go through a multipart upload and a copy in parts; 5 MiB is the least that S3 allows for a part.
const SMALL = { partBytes: 5 * MIB, singleCopyBytes: 6 * MIB }

exerciseBlobs(
  's3',
  async () => {
    const bucket = `writ-${randomUUID()}`
    const { endpoint, region, accessKey, secretKey } = server
    const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
    const client = new S3Client({
      endpoint,
      region,
      forcePathStyle: true,
      credentials,
      requestChecksumCalculation: 'WHEN_REQUIRED',
    })
    const Bucket = bucket
    const blobs = await openBlobs({ ...settings(bucket), ...SMALL, prefix: 'writ/' })
    const keys = async () =>
      ((await client.send(new ListObjectsV2Command({ Bucket }))).Contents ?? []).map((object) => object.Key ?? '')
    return {
      blobs,
      async tamper(project, sha256, Body) {
        await client.send(new PutObjectCommand({ Bucket, Key: `writ/${blobPath(project, sha256)}`, Body }))
      },
      async leftovers() {
        const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
        const temporary = (await keys()).filter((key) => key.startsWith('writ/tmp/'))
        return [...temporary, ...Uploads.map((upload) => `upload of ${upload.Key}`)]
      },
      async leaveHalf() {
        const Key = 'writ/tmp/half'
        await client.send(new PutObjectCommand({ Bucket, Key: 'writ/tmp/whole', Body: 'whole' }))
        const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
        await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'half' }))
      },
      reopen: () => openBlobs({ ...settings(bucket), prefix: 'writ/', sweepAfterMs: 0 }),
      async end() {
        await blobs.close()
        for (const Key of await keys()) await client.send(new DeleteObjectCommand({ Bucket, Key }))
        await client.send(new DeleteBucketCommand({ Bucket }))
        client.destroy()
      },
    }
  },
  skip,
)

test('s3: a missing bucket is refused by name, and is no empty store', { skip }, async () => {
  await assert.rejects(openBlobs({ ...settings('not-there'), type: 's3' }), {
    name: 'BlobStoreUnavailable',
    reason: 'there is no bucket not-there',
  })
})

test('s3: wrong credentials are refused at open', { skip }, async () => {
  await assert.rejects(
    openBlobs({ ...settings(`writ-${randomUUID()}`), secretKey: new Secret('wrong') }),
    BlobStoreUnavailable,
  )
})

test('s3: a store that does not answer is unavailable', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  await assert.rejects(
    openBlobs({
      type: 's3',
      endpoint,
      region: 'r',
      bucket: 'b',
      accessKey: new Secret('a'),
      secretKey: new Secret('s'),
    }),
    { name: 'BlobStoreUnavailable', reason: 'ECONNREFUSED' },
  )
})

test('where a store or a proxy before it says nothing but a status, that is the reason', async () => {
  await using faulty = await startFaulty('http://127.0.0.1:9')
  faulty.fault = () => ({ status: 502 })
  const settings = { endpoint: faulty.endpoint, region: 'r', bucket: 'b' }
  const keys = { accessKey: 'a', secretKey: 's' }
  await assert.rejects(openBlobs({ ...settings, type: 's3', accessKey: new Secret('a'), secretKey: new Secret('s') }), {
    name: 'BlobStoreUnavailable',
    reason: 'HTTP 502',
  })
  const reader = await openS3LogReader({ ...settings, ...keys }, 'log/')
  await assert.rejects(reader.read('checkpoint'), { message: /cannot be reached now \(HTTP 502\)/ })
  await reader.close()
})

test('a store that takes connections and never answers is away after some seconds, not minutes', async () => {
  await using silent = await startSilent()
  const nobody = { region: 'r', bucket: 'b', accessKey: new Secret('a'), secretKey: new Secret('s') }
  await assert.rejects(openBlobs({ ...nobody, type: 's3', endpoint: silent.endpoint, answerMs: 50 }), {
    name: 'BlobStoreUnavailable',
    reason: 'ETIMEDOUT',
  })
  // Each of three attempts.
  assert.equal(silent.unanswered.length, 3)
  assert.ok(S3_ANSWER_MS <= 5_000)
})

test('questions to a store that fell silent end; an upload that takes longer than they may goes on', {
  skip,
}, async () => {
  const bucket = `writ-${randomUUID()}`
  const released = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  let isSilent = false
  await using silent = await startSilent(server.endpoint, ({ method, headers }) => {
    if (!isSilent) return Promise.resolve()
    if (method !== 'PUT' || headers['content-length'] !== '7') return undefined
    arrived.resolve()
    return released.promise
  })
  const blobs = await openBlobs({ ...settings(bucket), endpoint: silent.endpoint, answerMs: 1_000 })
  const { sha256 } = await blobs.put(randomUUID(), streamOf('before'), { maxBytes: MIB })
  isSilent = true
  const project = randomUUID()
  const slow = blobs.put(project, streamOf('through'), { maxBytes: MIB })
  await arrived.promise
  const asked = [blobs.stat(project, sha256), blobs.open(project, sha256), blobs.check()]
  for (const { status, reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[])
    assert.deepEqual([status, reason.name, reason.reason], ['rejected', 'BlobStoreUnavailable', 'ETIMEDOUT'])
  isSilent = false
  released.resolve()
  const kept = await slow
  assert.equal((await blobs.stat(project, kept.sha256))?.size, 7)
  await blobs.close()
})

test('an upload that failed is answered although the store no longer says anything', {
  skip,
  timeout: 30_000,
}, async () => {
  const bucket = `writ-${randomUUID()}`
  let isSilent = false
  await using silent = await startSilent(server.endpoint, ({ method }) =>
    isSilent && method === 'DELETE' ? undefined : Promise.resolve(),
  )
  const parts = { ...settings(bucket), partBytes: 5 * MIB }
  const blobs = await openBlobs({ ...parts, endpoint: silent.endpoint, answerMs: 100 })
  const gone = new Error('who sent it is gone')
  async function* source() {
    for (let sent = 0; sent < 12; sent++) yield Buffer.alloc(MIB, sent)
    isSilent = true
    throw gone
  }
  await assert.rejects(blobs.put(randomUUID(), source(), { maxBytes: 64 * MIB }), gone)
  const forgotten = silent.unanswered.map((asked) => asked.includes('uploadId='))
  assert.deepEqual(forgotten, [true, true, true, false, false, false])
  await blobs.close()
})

async function* streamOf(text: string) {
  yield Buffer.from(text)
}
