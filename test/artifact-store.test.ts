/** Evidence in an S3 store, and its way between stores. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { Problem } from '@writ/api'
import { moveArtifacts } from '@writ/server/ops'
import { loadConfig } from '../packages/server/src/config.ts'
import { openBlobs } from '../packages/server/src/platform/blobs/index.ts'
import { Secret } from '../packages/server/src/platform/secret.ts'
import { missingS3, type S3Server, startS3 } from './servers/ceph-rgw.ts'
import { missingBackend } from './servers/missing-backend.ts'
import { startProxy } from './servers/proxy.ts'
import { TestSystem, until } from './test-system.ts'

const run = promisify(execFile)
const skip = missingBackend('S3', missingS3())
let server: S3Server
before(async () => {
  if (!skip) server = await startS3()
})
after(() => server?.stop())

const minio = (bucket: string, endpoint = server.endpoint) => ({
  MINIO_ENDPOINT: endpoint,
  MINIO_ACCESS_KEY: server.accessKey,
  MINIO_SECRET_KEY: server.secretKey,
  MINIO_BUCKET: bucket,
  MINIO_REGION: server.region,
})

/** A way to the store that can be cut. */
async function openWire() {
  const proxy = await startProxy(Number(new URL(server.endpoint).port))
  return { ...proxy, endpoint: `http://127.0.0.1:${proxy.port}` }
}

/** A ticket with one proof on this file, judged. Answers the number of the artifact. */
async function prove(system: TestSystem, name: string, bytes: string): Promise<number> {
  const ticket = await system.employee.post<{ number: number }>('/tickets', { title: name })
  assert.equal(ticket.status, 200, JSON.stringify(ticket.body))
  const run = await system.employee.post<{ number: number }>('/runs', {
    run_type: 'proof',
    ticket_id: ticket.body.number,
    expect: [{ name }],
  })
  const uploaded = await system.employee.upload(run.body.number, name, bytes)
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body))
  assert.equal((await system.waitFor(run.body.number)).verdict, 'passed')
  return uploaded.body.artifact.number
}

async function download(system: TestSystem, artifact: number): Promise<string> {
  const answer = await system.employee.download(`/artifacts/${artifact}/download`)
  assert.equal(answer.status, 200, answer.body.toString())
  return answer.body.toString()
}

const configuration = '{"hostname":"sw1"}'

test('the main job works on an S3 store; while the store is gone the answer is 503, and afterwards it works again', {
  skip,
}, async () => {
  const wire = await openWire()
  await using system = await TestSystem.start({
    env: { ARTIFACT_STORAGE_TYPE: 'minio', ...minio('main-job', wire.endpoint) },
    afterwards: wire.refuse,
  })
  const artifact = await prove(system, 'sw1.json', configuration)
  assert.equal(await download(system, artifact), configuration)

  const ticket = await system.employee.post<{ number: number }>('/tickets', { title: 'second' })
  const run = await system.employee.post<{ number: number }>('/runs', {
    run_type: 'proof',
    ticket_id: ticket.body.number,
    expect: [{ name: 'sw2.json' }],
  })
  await wire.refuse()
  const refused = [
    await system.employee.get<Problem>(`/artifacts/${artifact}/download`),
    await system.employee.upload(run.body.number, 'sw2.json', configuration),
  ]
  for (const answer of refused) {
    assert.equal(answer.status, 503)
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
    const { code, retryable } = answer.body as Problem // a refusal has this body whatever was asked
    assert.deepEqual({ code, retryable }, { code: 'STORAGE_UNAVAILABLE', retryable: true })
    assert.equal(answer.headers.get('retry-after'), '1')
  }
  assert.equal((await system.anonymous.get('//readyz')).status, 503)

  await wire.mend()
  assert.equal(await download(system, artifact), configuration)
  const again = await system.employee.upload(run.body.number, 'sw2.json', configuration)
  assert.equal(again.status, 200, JSON.stringify(again.body))
  assert.equal((await system.waitFor(run.body.number)).verdict, 'passed')
  await system.check()
})

test('what is erased while the store is away is erased; the bytes go when it is back', { skip }, async () => {
  const wire = await openWire()
  await using system = await TestSystem.start({
    env: { ARTIFACT_STORAGE_TYPE: 'minio', ...minio('erased', wire.endpoint) },
    afterwards: wire.refuse,
  })
  const artifact = await prove(system, 'sw1.json', configuration)
  const [project] = (await system.admin.get<{ id: string }[]>('/projects')).body
  const { region, accessKey, secretKey } = server
  const keys = { accessKey: new Secret(accessKey), secretKey: new Secret(secretKey) }
  const blobs = await openBlobs({ type: 'minio', endpoint: server.endpoint, region, bucket: 'erased', ...keys })
  const inStore = async () => (await blobs.stat(project!.id, digestOf(configuration))) !== undefined
  try {
    assert.equal(await inStore(), true)
    await wire.refuse()
    const erased = await system.admin.post(`/artifacts/${artifact}/erase`, { ground: 'GDPR Art. 17' })
    assert.equal(erased.status, 200, JSON.stringify(erased.body))
    assert.equal((await system.admin.get(`/artifacts/${artifact}/download`)).status, 410)
    await wire.mend()
    await system.restart()
    await until('the bytes are gone', async () => !(await inStore()))
    await system.settle()
  } finally {
    await blobs.close()
  }
})

const files = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => /[0-9a-f]{64}$/.test(name) && statSync(path.join(folder, name)).isFile(),
  )

test('all artifacts go to S3 and back, stopped on the way, with nothing lost and nothing served wrong', {
  skip,
}, async () => {
  await using system = await TestSystem.start({ env: minio('moved') })
  const artifacts = [await prove(system, 'sw1.json', configuration), await prove(system, 'sw2.json', '{"vlan":[1,2]}')]
  assert.equal((await system.admin.post('/projects', { slug: 'other', name: 'Other' })).status, 201)
  await system.stop()
  const blobs = path.join(system.folder, 'data/blobs')
  const kept = files(blobs)
  assert.equal(kept.length, 4, 'two files and two reports')
  const configured = (ARTIFACT_STORAGE_TYPE: string) => {
    const env = { WRIT_DATA_DIR: path.join(system.folder, 'data'), ARTIFACT_STORAGE_TYPE, ...minio('moved') }
    const { config, problems } = loadConfig({ argv: [], env, cwd: system.folder })
    assert.deepEqual(problems, undefined)
    return config
  }

  // Stopped at the first byte that arrived, and begun again.
  const stop = new AbortController()
  const stopped = moveArtifacts({
    config: configured('local'),
    to: 'minio',
    signal: stop.signal,
    onProgress: ({ done }) => done > 0 && stop.abort(new Error('enough')),
  })
  await assert.rejects(stopped, { message: 'enough' })
  const there = await moveArtifacts({ config: configured('local'), to: 'minio' })
  assert.deepEqual({ ok: there.ok, blobs: there.blobs, deleted: there.deleted }, { ok: true, blobs: 4, deleted: 0 })
  assert.ok(there.skipped >= 1, 'what had arrived is not copied again')
  assert.equal(there.copied + there.skipped, 4)
  assert.match(there.advice, /set ARTIFACT_STORAGE_TYPE=minio in place of local/)
  assert.deepEqual(files(blobs), kept, 'the source is as it was')

  await system.restart({ env: { ARTIFACT_STORAGE_TYPE: 'minio' } })
  assert.equal(await download(system, artifacts[0]!), configuration)
  const added = await prove(system, 'sw3.json', '[]')
  await system.check()
  const running = moveArtifacts({ config: configured('minio'), to: 'local', deleteSource: true })
  await assert.rejects(running, /^Error: Another Writ server uses the data directory/)
  await system.stop()

  // One file has rotted at its old place: it is read back, found and replaced before anything is deleted.
  const rotten = path.join(blobs, kept.find((name) => name.endsWith(digestOf(configuration)))!)
  chmodSync(rotten, 0o640)
  writeFileSync(rotten, '{"hostname":"sw9"}')
  const back = await moveArtifacts({ config: configured('minio'), to: 'local', deleteSource: true })
  assert.deepEqual(
    { ok: back.ok, copied: back.copied, skipped: back.skipped, deleted: back.deleted, problems: back.problems },
    { ok: true, copied: 2, skipped: 4, deleted: 6, problems: [] },
  )
  assert.match(back.advice, /^Set ARTIFACT_STORAGE_TYPE=local in place of minio before you start/)
  const again = await moveArtifacts({ config: configured('local'), from: 'minio', to: 'local' })
  assert.deepEqual({ ok: again.ok, blobs: again.blobs }, { ok: true, blobs: 0 })

  await system.restart({ env: { ARTIFACT_STORAGE_TYPE: 'local' } })
  assert.equal(await download(system, artifacts[0]!), configuration)
  assert.equal(await download(system, added), '[]')
  await system.check()
})

test('an artifact that no store has is named, and nothing is deleted', { skip }, async () => {
  await using system = await TestSystem.start({ env: minio('lost') })
  await prove(system, 'sw1.json', configuration)
  await system.stop()
  const env = { WRIT_DATA_DIR: path.join(system.folder, 'data'), ...minio('lost') }
  const { config } = loadConfig({ argv: [], env, cwd: system.folder })
  const blobs = path.join(system.folder, 'data/blobs')
  rmSync(path.join(blobs, files(blobs).find((name) => name.endsWith(digestOf(configuration)))!))
  const moved = await moveArtifacts({ config, to: 'minio', deleteSource: true })
  assert.deepEqual(
    { ok: moved.ok, deleted: moved.deleted, problems: moved.problems.length },
    { ok: false, deleted: 0, problems: 1 },
  )
  assert.match(moved.problems[0]!, new RegExp(`^${digestOf(configuration)} of project .* in neither store`))
})

test('writ artifact move does it from the command line and says what comes next', { skip }, async () => {
  await using system = await TestSystem.start({ env: minio('by-command') })
  await prove(system, 'sw1.json', configuration)
  await system.stop()
  const program = path.join(import.meta.dirname, '../packages/cli/src/main.ts')
  const env = { PATH: process.env.PATH, WRIT_DATA_DIR: path.join(system.folder, 'data'), ...minio('by-command') }
  const line = ['--disable-warning=ExperimentalWarning', program, 'artifact', 'move', '--to', 'minio', '-o', 'json']
  const { stdout } = await run(process.execPath, line, { cwd: system.folder, env })
  // One answer of the command line: what moveArtifacts reports.
  const report = JSON.parse(stdout) as { ok: boolean; copied: number; advice: string }
  assert.deepEqual({ ok: report.ok, copied: report.copied }, { ok: true, copied: 2 })
  assert.match(report.advice, /set ARTIFACT_STORAGE_TYPE=minio/)
  const refused = run(process.execPath, [...line.slice(0, 5), 'local'], { cwd: system.folder, env })
  await assert.rejects(refused, { code: 1, stderr: /^writ: The artifacts are in the local store already/ })
})

test('a move that cannot be meant or cannot work is refused with a sentence', async () => {
  const { config } = loadConfig({ argv: [], env: { WRIT_DATA_DIR: '/nowhere' }, cwd: import.meta.dirname })
  await assert.rejects(moveArtifacts({ config, to: 'local' }), {
    name: 'OperationRefused',
    message: 'The artifacts are in the local store already; name another one as the source or the target.',
  })
  await assert.rejects(moveArtifacts({ config, to: 's3' }), {
    name: 'OperationRefused',
    message: 'S3_BUCKET: has to be set because artifacts are moved to s3',
  })
})

function digestOf(bytes: string): string {
  return createHash('sha256').update(bytes).digest('hex')
}
