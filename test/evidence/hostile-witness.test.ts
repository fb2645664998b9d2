// Witnesses that answer as no witness should. Written here, because they are not ours: whatever comes back, the log goes on, nothing
// of it counts as anchored that is not, somebody is told, and it ends when the witness behaves.
import assert from 'node:assert/strict'
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { createGzip } from 'node:zlib'
import type { LogInfo, Seal } from '@writ/api'
import { parseNote, parsePolicy } from '@writ/tlog'
import { makeKey, sha256 } from '../../packages/tlog/test/memory-log.ts'
import { backends } from '../backends.ts'
import { TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { type Answering, cosigned, openForeign } from './foreign-witness.ts'
import { exportBundle, unpack, verifySh, verifyZipFile } from './scene.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-hostile-witness-'))
after(() => rm(folder, { recursive: true, force: true }))

test('whatever a witness answers, the log goes on, and only what it signed of it counts', async (t) => {
  const witness = await openForeign('w1')
  t.after(() => witness.close())
  const policy = path.join(folder, 'policy')
  await writeFile(policy, `witness W1 ${witness.key.witnessVkey} ${witness.url}\nquorum W1\n`)
  await using system = await TestSystem.start({
    fakeClock: true,
    env: { WRIT_WITNESS_POLICY: policy, WRIT_WITNESS_INTERVAL_MS: '20' },
  })
  const seconds = () => Math.floor(system.now() / 1_000)
  /** What it signed last: an answer may be under way while a case begins. */
  let stands = ''
  const good: Answering = async ({ text, reply }) => {
    stands = text
    reply.end(await cosigned(witness.key, text, seconds()))
  }
  const alarm = async () => {
    const { status, degraded } = (await (await fetch(`${system.base}/readyz`)).json()) as {
      status: string
      degraded?: Record<string, string>
    }
    assert.equal(status, 'ready')
    return degraded?.['witness W1']
  }
  const metrics = async () => (await fetch(`${system.base}/metrics`)).text()
  const anchoredNote = () =>
    readFile(path.join(system.folder, 'data/log/_instance/0/checkpoint.cosigned'), 'utf8').catch(() => '')
  const later = async () => {
    // The attempts that wait for each other do so by this clock: by up to five minutes and a quarter more.
    system.advance(376_000)
    await system.settle()
  }
  const goesOn = async () => ok(await system.admin.post('/tickets', { title: 'the log goes on' }))
  /** It behaves: the newest state is anchored, and nothing is wrong any more. */
  const isWell = async () => {
    witness.answer = good
    await goesOn()
    await until('the witness stands for the newest state', async () => {
      await later()
      const told = await alarm()
      // Time went by while its answer was under way; the next answer shows that the clocks agree.
      if (told?.startsWith('its clock')) await goesOn()
      return told === undefined && /writ_audit_unanchored_entries 0\n/.test(await metrics())
    })
  }
  await isWell()

  const elsewhere = await openForeign('elsewhere')
  t.after(() => elsewhere.close())
  const stranger = makeKey('witness.example/w1')
  const says =
    (status: number, body = '', headers: Record<string, string> = {}): Answering =>
    ({ reply }) =>
      reply.writeHead(status, headers).end(body)
  const conflict = (body: string) => says(409, body, { 'content-type': 'text/x.tlog.size' })
  const to = (location: string) => says(302, '', { location })
  const pump = async (reply: NodeJS.WritableStream & { destroyed?: boolean }, bytes: number) => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    for (let sent = 0; sent < bytes && !reply.destroyed; sent += chunk.length)
      if (!reply.write(chunk))
        await new Promise<void>((goOn) => {
          const drained = () => {
            reply.off('drain', drained).off('close', drained)
            goOn()
          }
          reply.on('drain', drained).on('close', drained)
        })
  }
  const cases: readonly [string, RegExp, Answering][] = [
    ['a redirect to another host', /^refused: 302 for/, to(`${elsewhere.url}/add-checkpoint`)],
    ['a redirect to a file', /^refused: 302 for/, to('file:///etc/passwd')],
    ['a redirect that keeps the method', /^refused: 307 for/, says(307, '', { location: elsewhere.url })],
    ['no content', /^refused: 204 for/, says(204)],
    ['a size that is none', /^refused: 409 for .*without the size/, conflict('<html>\n')],
    ['a size without an end', /^refused: 409 for .*without the size/, conflict('1')],
    ['a negative size', /^refused: 409 for .*without the size/, conflict('-1\n')],
    ['a size of thirty digits', /^refused: 409 for .*without the size/, conflict(`${'9'.repeat(30)}\n`)],
    [
      'a size that is no integer any more',
      /^refused: 409 for .*has cosigned 9{16} entries/,
      conflict(`${'9'.repeat(16)}\n`),
    ],
    ['a size that is larger', /^refused: 409 for .*it has cosigned 1000000 entries/, conflict('1000000\n')],
    ['always another size', /^refused: 409 for/, ({ size, reply }) => reply.writeHead(409).end(`${size - 1}\n`)],
    ['the size that was shown', /^refused: 409 for/, ({ size, reply }) => reply.writeHead(409).end(`${size}\n`)],
    ['a size of none', /^refused: 409 for/, conflict('0\n')],
    ['an error with much to say', /^refused: 422 for .{1,300}$/, says(422, `${'no '.repeat(10_000)}\u001b[31m`)],
    ['nothing at all', /^away: /, says(200)],
    ['words', /^away: /, says(200, 'yes, of course\n')],
    [
      'half a line',
      /^away: /,
      ({ text, reply }) => cosigned(witness.key, text, seconds()).then((line) => reply.end(line.slice(0, -9))),
    ],
    [
      'a signature by another key of its name',
      /^away: .*no good signature/,
      async ({ text, reply }) => reply.end(await cosigned(stranger, text, seconds())),
    ],
    [
      'a signature of another log',
      /^away: .*no good signature/,
      async ({ text, reply }) =>
        reply.end(await cosigned(witness.key, text.replace(/^.*/, 'writ.log/other'), seconds())),
    ],
    [
      'a signature of another size',
      /^away: .*no good signature/,
      async ({ text, size, reply }) =>
        reply.end(await cosigned(witness.key, text.replace(`\n${size}\n`, `\n${size - 1}\n`), seconds())),
    ],
    [
      'a time in milliseconds',
      /^away: .*no good signature/,
      async ({ text, reply }) => reply.end(await cosigned(witness.key, text, system.now())),
    ],
    [
      'a bad signature before the good one',
      /^away: .*no good signature/,
      async ({ text, reply }) =>
        reply.end(
          `${await cosigned(witness.key, `${text}x\n`, seconds())}${await cosigned(witness.key, text, seconds())}`,
        ),
    ],
    ['ten megabytes', /^away: .*longer than any/, ({ reply }) => pump(reply, 10 << 20).then(() => reply.end())],
    ['a body without end', /^away: .*longer than any/, ({ reply }) => pump(reply, Infinity)],
    [
      'little that becomes much',
      /^away: .*longer than any/,
      ({ reply }) => {
        reply.writeHead(200, { 'content-encoding': 'gzip' })
        const gzip = createGzip()
        gzip.pipe(reply)
        reply.on('close', () => gzip.destroy())
        return pump(gzip, 4 * 2 ** 30).then(() => gzip.end())
      },
    ],
    ['what says that it is compressed and is not', /^away: /, says(200, 'no', { 'content-encoding': 'gzip' })],
    [
      'half of what it announced',
      /^away: /,
      ({ reply }) => reply.writeHead(200, { 'content-length': '900' }).write('— witness', () => reply.destroy()),
    ],
    ['no answer', /^away: /, ({ request }) => request.socket.destroy()],
    ['no HTTP', /^away: /, ({ request }) => request.socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    [
      'that it is busy',
      /^away: it answered 429 and wants 86400 s; it is asked again after 3600 s$/,
      says(429, '', { 'retry-after': '86400' }),
    ],
    ['that it is broken', /^away: it answered 503/, says(503, 'x'.repeat(100_000))],
  ]
  const before = process.memoryUsage.rss()
  for (const [title, told, answer] of cases)
    await t.test(title, async () => {
      const asked = witness.asked
      witness.answer = answer
      await goesOn()
      await until('it is told of', async () => {
        await later()
        return told.test((await alarm()) ?? '')
      })
      assert.match(await metrics(), /writ_witness_up\{witness="W1"\} 0\n/)
      const anchored = await anchoredNote()
      assert.ok(anchored.startsWith(stands) && stands !== '', `${stands}\n${anchored}`)
      assert.doesNotMatch(await metrics(), /writ_audit_unanchored_entries 0\n/)
      // It is asked again less and less often, three times at once at the most.
      assert.ok(witness.asked - asked < 60, String(witness.asked - asked))
      await isWell()
    })
  assert.equal(elsewhere.asked, 0)
  assert.ok(process.memoryUsage.rss() - before < 300 << 20, String(process.memoryUsage.rss() - before))

  await t.test('a cosignature of any time counts, and the clock is told of', async () => {
    for (const time of [0, 253_402_300_799]) {
      witness.answer = async ({ text, reply }) => reply.end(await cosigned(witness.key, text, time))
      await goesOn()
      await until('the clock is told of', async () => {
        await later()
        return /^its clock is \d+ s (behind|ahead of)/.test((await alarm()) ?? '')
      })
      await until('it stands for the newest state', async () => /unanchored_entries 0\n/.test(await metrics()))
      await isWell()
    }
  })

  await t.test('lines of strangers beside its own are not kept', async () => {
    witness.answer = async ({ text, reply }) =>
      reply.end(
        `${await cosigned(makeKey('stranger'), text, 1)}${await cosigned(witness.key, text, seconds())}${await cosigned(witness.key, text, seconds() - 9)}`,
      )
    await goesOn()
    await later()
    await until('it stands for the newest state', async () => /unanchored_entries 0\n/.test(await metrics()))
    const names = parseNote(await anchoredNote()).signatures.map(({ name }) => name)
    assert.deepEqual(names.slice(1), ['witness.example/w1'])
  })

  await t.test('each alarm began and ended once, in the log of the instance too', async () => {
    const text = system.log()
    const count = (said: string) => text.split(said).length - 1
    assert.equal(count('"msg":"a witness is away"') + count('"msg":"a witness refuses to sign"'), cases.length)
    assert.equal(count('"msg":"a witness is back"'), cases.length)
  })
  await system.check()
})

const sqlite = backends()[0]!

/** A server whose witness does as `witness.answer` says, and what each of these tests does with it. */
async function withForeign(
  name: string,
  env: Record<string, string> = {},
  start: (typeof sqlite)['start'] = sqlite.start,
) {
  const witness = await openForeign(name)
  const file = path.join(folder, `${name}.policy`)
  await writeFile(file, `witness W1 ${witness.key.witnessVkey} ${witness.url}\nquorum W1\n`)
  const policy = parsePolicy(await readFile(file, 'utf8'), sha256)
  const system = await start({
    fakeClock: true,
    env: { WRIT_WITNESS_POLICY: file, WRIT_WITNESS_INTERVAL_MS: '20', ...env },
  })
  const good: Answering = async ({ text, reply }) =>
    reply.end(await cosigned(witness.key, text, Math.floor(system.now() / 1_000)))
  witness.answer = good
  return {
    witness,
    system,
    good,
    readyz: async () => {
      const { degraded } = (await (await fetch(`${system.base}/readyz`)).json()) as {
        degraded?: Record<string, string>
      }
      return degraded?.['witness W1']
    },
    /** So that all that is due by the clock is done, and the log of the project moves. */
    async later() {
      system.advance(301_000)
      ok(await system.admin.post('/tickets', { title: 'the log goes on' }))
      await system.settle()
    },
    /** Verifies a bundle of ticket 1 under the policy: entries for which the quorum stands, and those after it. */
    async quorumOf(ticket: number): Promise<{ fault: string | undefined; stands: unknown; after: unknown }> {
      const zip = path.join(folder, `${name}.zip`)
      await exportBundle(system, zip, { subject: 'ticket', id: ticket })
      await unpack(zip, path.join(folder, name))
      const script = await verifySh(path.join(folder, name))
      assert.equal(script.code, 0, script.err)
      const { checks, fault } = await verifyZipFile(zip, { policy })
      const count = (code: string) => checks.find((check) => check.code === code)?.values?.count
      return { fault: fault?.code, stands: count('quorum'), after: count('after_quorum') }
    },
    async [Symbol.asyncDispose]() {
      await system[Symbol.asyncDispose]()
      await witness.close()
    },
  }
}

test('what a witness refused of a log is no alarm any more when that log is closed', async () => {
  await using one = await withForeign('closed', { WRIT_WITNESS_PROJECTS: 'true' })
  const { origin } = ok(await one.system.admin.get<{ origin: string }>('/audit/log'))
  one.witness.answer = (on) =>
    on.text.startsWith(`${origin}\n`) ? on.reply.writeHead(404).end('no such log\n') : one.good(on)
  await until('it refuses', async () => {
    await one.later()
    return /^refused: 404 for/.test((await one.readyz()) ?? '')
  })
  ok(await one.system.admin.post('/audit/logs/rotate', { reason: 'end of the year' }))
  await until('nothing is wrong with a log that is open', async () => {
    await one.later()
    return (await one.readyz()) === undefined
  })
})

for (const backend of backends())
  test(`what a log ended with is anchored, although another continues it (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using one = await withForeign(`ended-${backend.name}`, {}, backend.start)
    const { system } = one
    ok(await system.admin.post('/tickets', { title: 'begun early' }))
    await until('it is anchored', async () => {
      await one.later()
      return ok(await system.admin.get<LogInfo>('/audit/log')).anchored !== null
    })
    // In the same minute as the end: the instance log had recorded it before, and will not again.
    const last = ok(
      await system.admin.post<{ number: number }>('/tickets', { title: 'the last of the old log' }),
    ).number
    ok(await system.admin.post('/audit/logs/rotate', { reason: 'end of the year' }))
    const sealed = async () => ok(await system.admin.get<Seal[]>(`/evidence/seals?subject=ticket&ids=1,${last}`))
    await until('both are anchored', async () => {
      await one.later()
      return (await sealed()).every(({ anchored }) => anchored)
    })
    for (const ticket of [1, last])
      assert.deepEqual(await one.quorumOf(ticket), { fault: undefined, stands: 1, after: 1 })
    await system.check()
  })

test('a log of the instance that is closed leaves no project unanchored, however quiet', async () => {
  await using one = await withForeign('instance')
  const { system } = one
  const anchored = async () => ok(await system.admin.get<LogInfo>('/audit/log')).anchored
  const quiet = ok(await system.admin.post<{ number: number }>('/tickets', { title: 'quiet' })).number
  await system.settle()
  await until('it is anchored', async () => {
    system.advance(61_000)
    await system.settle()
    return (await anchored()) !== null
  })
  const { size, anchored: before } = ok(await system.admin.get<LogInfo>('/audit/log'))
  assert.equal(before!.size, size)
  // As the policy of rotation does it, which knows no project.
  await system.restart({ env: { WRIT_LOG_ROTATE_ENTRIES: '3' } })
  await until('the log of the instance was closed', () =>
    access(path.join(system.folder, 'data/log/_instance/1/checkpoint')).then(
      () => true,
      () => false,
    ),
  )
  await system.restart({ env: { WRIT_LOG_ROTATE_ENTRIES: '0' } })
  await until('it is anchored still, or again', async () => {
    system.advance(61_000)
    await system.settle()
    return (await anchored()) !== null
  })
  assert.deepEqual((await one.quorumOf(quiet)).fault, undefined)
  await until('the closed log is cosigned to its end', async () => {
    system.advance(61_000)
    await system.settle()
    const sizeIn = async (name: string) =>
      Number((await readFile(path.join(system.folder, 'data/log/_instance/0', name), 'utf8')).split('\n')[1])
    return (await sizeIn('checkpoint.cosigned')) === (await sizeIn('checkpoint'))
  })
  await system.check()
})

for (const backend of backends())
  test(`what a witness stood for before it went away a bundle shows, however long it is away (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using one = await withForeign(`away-${backend.name}`, {}, backend.start)
    const { system, witness } = one
    ok(await system.admin.post('/tickets', { title: 'while it was there' }))
    await system.settle()
    const { size } = ok(await system.admin.get<LogInfo>('/audit/log'))
    await until('it is anchored', async () => {
      await one.later()
      const { anchored } = ok(await system.admin.get<LogInfo>('/audit/log'))
      return anchored !== null && anchored.size >= size
    })
    witness.answer = ({ reply }) => reply.writeHead(503).end()
    for (let minutes = 0; minutes < 3; minutes++) {
      await one.later()
      // What was recorded is placed, and published.
      await system.settle()
    }
    assert.deepEqual(await one.quorumOf(1), { fault: undefined, stands: 1, after: 1 })
    await system.check()
  })
