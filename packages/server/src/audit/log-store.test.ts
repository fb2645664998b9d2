import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { missingS3, type S3Server, startS3 } from '../../../../test/servers/ceph-rgw.ts'
import { freePort } from '../../../../test/servers/free-port.ts'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { startSilent } from '../../../../test/servers/silent-server.ts'
import { openDiskStore } from './disk-store.ts'
import { exerciseLogStore } from './log-store-conformance.ts'
import { openS3LogReader, openS3LogStore, type TileStoreSettings } from './s3-log-store.ts'

const skip = missingBackend('S3', missingS3())
let server: S3Server
let settings: TileStoreSettings

before(async () => {
  if (skip) return
  server = await startS3()
  const { endpoint, region, accessKey, secretKey } = server
  settings = { endpoint, region, accessKey, secretKey, bucket: `writ-${randomUUID()}` }
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials })
  await client.send(new CreateBucketCommand({ Bucket: settings.bucket }))
  client.destroy()
})
after(async () => {
  await server?.stop()
})

exerciseLogStore('disk', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'log-store-'))
  return {
    open: () => openDiskStore(join(folder, 'log')),
    keysDir: join(folder, 'keys'),
    end: () => rm(folder, { recursive: true }),
  }
})

exerciseLogStore(
  's3',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'log-store-'))
    const prefix = `log/${randomUUID()}/0/`
    return {
      open: () => openS3LogStore(settings, prefix),
      keysDir: join(folder, 'keys'),
      end: () => rm(folder, { recursive: true }),
    }
  },
  skip,
)

test('s3: a store that does not answer is no store for a log', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const nowhere = { endpoint, region: 'r', bucket: 'b', accessKey: 'a', secretKey: 's' }
  await assert.rejects(openS3LogStore(nowhere, 'log/'), /ECONNREFUSED/)
})

test('s3: what a store that fell silent is asked for is unavailable after some seconds, not minutes', async () => {
  await using silent = await startSilent()
  const nowhere = { endpoint: silent.endpoint, region: 'r', bucket: 'b', accessKey: 'a', secretKey: 's', answerMs: 50 }
  const { read, close } = await openS3LogReader(nowhere, 'log/')
  await assert.rejects(read('checkpoint'), { code: 'LOG_UNAVAILABLE', message: /ETIMEDOUT/ })
  assert.equal(silent.unanswered.length, 3)
  await close()
})
