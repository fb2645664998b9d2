/** Evidence in an S3 store, and its way between stores. */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { Policy, Problem, Project, Submitted } from '@writ/api'
import { moveArtifacts } from '@writ/server/ops'
import { loadConfig } from '../packages/server/src/config.ts'
import { openBlobs } from '../packages/server/src/platform/blobs/index.ts'
import { Secret } from '../packages/server/src/platform/secret.ts'
import { backends } from './backends.ts'
import { missingS3, type S3Server, startS3 } from './servers/ceph-rgw.ts'
import { missingBackend } from './servers/missing-backend.ts'
import { startProxy } from './servers/proxy.ts'
import { handlerOf } from './tasks/dispatch.ts'
import { TestSystem, until } from './test-system.ts'

const run = promisify(execFile)
const HOUR = 3_600_000
const DAY = 24 * HOUR
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
/** A look into a store, as whoever has its keys takes it. */
async function openStore(folder: string, type: 'local' | 'minio', bucket: string) {
  const { region, accessKey, secretKey } = server
  const keys = { accessKey: new Secret(accessKey), secretKey: new Secret(secretKey) }
  return openBlobs(
    type === 'local'
      ? { type, dir: path.join(folder, 'data/blobs') }
      : { type, endpoint: server.endpoint, region, bucket, ...keys },
  )
}

/** Asks a server in another process, and does nothing else until it has answered. */
function askAtOnce(url: string, token: string, request: string): void {
  const headers = JSON.stringify({ authorization: `Bearer ${token}` })
  const line = `const r = await fetch(${JSON.stringify(url)}, { method: 'POST', headers: { ...${headers}, ...extra }, body }); if (r.status !== 200) throw new Error(r.status + await r.text())`
  execFileSync(process.execPath, ['--input-type=module', '-e', `${request}; ${line}`])
}

for (const backend of backends())
  test(`what is erased, or dropped with its task, between two steps of a move is in neither store (${backend.name})`, {
    skip: skip || backend.skip,
  }, async () => {
    const bucket = `gone-${backend.name}`
    await using system = await backend.start({
      env: minio(bucket),
      fakeClock: true,
      testHandlers: [handlerOf('test.long', async () => null)],
    })
    const { folder, admin } = system
    const { url, migrationUrl } = system.app.databaseSettings
    const place = {
      WRIT_DATA_DIR: path.join(folder, 'data'),
      ...(url.startsWith('sqlite:') ? {} : { DATABASE_URL: url, WRIT_MIGRATION_URL: migrationUrl }),
      ...minio(bucket),
    }
    const move = (ARTIFACT_STORAGE_TYPE: string, deleteSource = false) => {
      const { config } = loadConfig({ argv: [], env: { ...place, ARTIFACT_STORAGE_TYPE }, cwd: folder })
      return moveArtifacts({ config: config!, from: 'local', to: 'minio', deleteSource })
    }
    const project = (await admin.get<Project[]>('/projects')).body[0]!.id
    const has = async (type: 'local' | 'minio', texts: readonly string[]) => {
      const blobs = await openStore(folder, type, bucket)
      const found = await Promise.all(texts.map((text) => blobs.stat(project, digestOf(text))))
      await blobs.close()
      return found.map((one) => one !== undefined)
    }
    const files = ['{"a":1}', '{"b":2}', '{"c":3}'] as const
    const artifacts: number[] = []
    for (const bytes of files) artifacts.push(await prove(system, 'sw.json', bytes))
    const erase = async (artifact: number) => {
      const answer = await admin.post(`/artifacts/${artifact}/erase`, { ground: 'GDPR Art. 17' })
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
    }
    /** A task whose input is too long for its row. */
    const dispatch = async (input: string) => {
      const { status, body } = await admin.post<Submitted>('/tasks', { handler: 'test.long', input })
      assert.equal(status, 201, JSON.stringify(body))
      await admin.get(`/tasks/${body.id}/wait?timeout=20`)
    }
    const { body: policy } = await admin.get<Policy>('/policy')
    await admin.put('/policy', { ...policy, completed_task_days: 1 })
    /** After which records of tasks are dropped, and their payloads. */
    const twoDays = async () => {
      system.advance(2 * DAY)
      await system.app.db.prepareMonths(system.now())
      await system.settle()
      await system.app.counter.round()
      await system.app.retention.round(project)
      system.advance(2 * HOUR)
      await system.app.retention.round(project)
    }
    const inputs = ['first ', 'second ', 'third '].map((word) => word.repeat(2_000))
    const payloads = inputs.map((input) => JSON.stringify(input))

    await dispatch(inputs[0]!)
    // While the server runs; then something goes, and the command is given once more.
    assert.equal((await move('local')).ok, true)
    assert.deepEqual(await has('minio', [files[0], payloads[0]!]), [true, true])
    await erase(artifacts[0]!)
    await twoDays()
    await dispatch(inputs[1]!)
    assert.deepEqual(await has('local', [files[0], ...payloads]), [false, false, true, false])
    await system.stop()
    const second = await move('local')
    assert.deepEqual([second.ok, second.removed], [true, 2])
    assert.deepEqual(await has('minio', [...files, ...payloads]), [false, true, true, false, true, false])

    // The originals are still there, and what goes now goes from the new store.
    await system.restart({ env: { ARTIFACT_STORAGE_TYPE: 'minio' } })
    await erase(artifacts[1]!)
    await twoDays()
    await dispatch(inputs[2]!)
    const last = await move('minio', true)
    assert.deepEqual([last.ok, last.problems], [true, []])
    assert.deepEqual(await has('local', [...files, ...payloads]), [false, false, false, false, false, false])
    assert.deepEqual(await has('minio', [...files, ...payloads]), [false, false, true, false, false, true])
    assert.equal(await download(system, artifacts[2]!), files[2])
    await system.check()
  })

test('what comes in, and what goes, while everything is moved is no problem of the move', { skip }, async () => {
  await using system = await TestSystem.start({ env: minio('meanwhile'), process: true })
  const artifact = await prove(system, 'sw1.json', configuration)
  assert.equal((await system.admin.post('/projects', { slug: 'other', name: 'Other' })).status, 201)
  const other = { headers: { 'x-project': 'other' } }
  const opened = async (more = {}) => {
    const ticket = (await system.admin.post<{ number: number }>('/tickets', { title: 'one more' }, more)).body
    const asked = { run_type: 'proof', ticket_id: ticket.number, finalize: 'manual' }
    const { status, body } = await system.admin.post<{ number: number }>('/runs', asked, more)
    assert.equal(status, 200, JSON.stringify(body))
    return body.number
  }
  assert.equal((await system.admin.upload(await opened(other), 'last.json', '[1]', {}, other)).status, 200)
  const open = await opened()
  const project = (await system.admin.get<Project[]>('/projects')).body.find(({ slug }) => slug === 'default')!.id
  const has = async (type: 'local' | 'minio', text: string) => {
    const blobs = await openStore(system.folder, type, 'meanwhile')
    return (await blobs.stat(project, digestOf(text)).finally(() => blobs.close())) !== undefined
  }
  const token = await system.admin.token()
  const env = { WRIT_DATA_DIR: path.join(system.folder, 'data'), ...minio('meanwhile') }
  const configured = (ARTIFACT_STORAGE_TYPE: string) =>
    loadConfig({ argv: [], env: { ...env, ARTIFACT_STORAGE_TYPE }, cwd: system.folder }).config!

  // The files of the first project have been listed when the last one of the other is copied.
  let came = false
  const there = await moveArtifacts({
    config: configured('local'),
    to: 'minio',
    onProgress({ done, size, what }) {
      if (came || what !== 'Copying' || done < size) return
      came = true
      const file = `const extra = {}; const body = new FormData(); body.append('file', new Blob(['{"late":true}']), 'late.json')`
      askAtOnce(`${system.base}/api/v1/artifacts?run_id=${open}`, token, file)
    },
  })
  assert.deepEqual([came, there.ok, there.problems], [true, true, []])
  assert.equal(await has('minio', '{"late":true}'), true)

  await system.restart({ env: { ARTIFACT_STORAGE_TYPE: 'minio' } })
  let went = false
  const back = await moveArtifacts({
    config: configured('minio'),
    from: 'local',
    to: 'minio',
    deleteSource: true,
    onProgress({ what }) {
      if (went || what !== 'Reading back') return
      went = true
      const ground = `const extra = { 'content-type': 'application/json' }; const body = '{"ground":"GDPR Art. 17"}'`
      askAtOnce(`${system.base}/api/v1/artifacts/${artifact}/erase`, token, ground)
    },
  })
  assert.deepEqual([went, back.ok, back.problems], [true, true, []])
  assert.deepEqual([await has('local', configuration), await has('minio', configuration)], [false, false])
})

function digestOf(bytes: string): string {
  return createHash('sha256').update(bytes).digest('hex')
}
