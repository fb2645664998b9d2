// Witnesses that take their time, or ask for it: they hold up nobody else, and whoever runs the server is told which and why.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import type { LogInfo } from '@writ/api'
import { formatSubmission, parseNote } from '@writ/tlog'
import { missingBackend } from '../servers/missing-backend.ts'
import { fill, missingSmallDisk, mountSmall } from '../servers/small-disk.ts'
import { TestSystem, until } from '../test-system.ts'
import { ok } from '../verifies.ts'
import { type Answering, cosigned, type Foreign, openForeign } from './foreign-witness.ts'
import { makeWitness } from './witness-process.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-slow-witness-'))
after(() => rm(folder, { recursive: true, force: true }))
const run = promisify(execFile)

/** A server with witnesses W1, W2, ... of which `quorum` have to sign. */
async function start(name: string, witnesses: readonly Foreign[], quorum: string, env: Record<string, string> = {}) {
  const file = path.join(folder, `${name}.policy`)
  const names = witnesses.map((_, i) => `W${i + 1}`)
  const lines = witnesses.map(({ key, url }, i) => `witness ${names[i]} ${key.witnessVkey} ${url}\n`)
  await writeFile(file, `${lines.join('')}group g ${quorum} ${names.join(' ')}\nquorum g\n`)
  const system = await TestSystem.start({
    fakeClock: true,
    env: { WRIT_WITNESS_POLICY: file, WRIT_WITNESS_INTERVAL_MS: '20', ...env },
  })
  const seconds = () => Math.floor(system.now() / 1_000)
  let projects = 0
  return {
    system,
    good:
      ({ key }: Foreign): Answering =>
      async ({ text, reply }) =>
        reply.end(await cosigned(key, text, seconds())),
    /** One that answers nothing until `release`. */
    held({ key }: Foreign) {
      const gate = Promise.withResolvers<void>()
      const seen: string[] = []
      const answer: Answering = async ({ text, reply }) => {
        seen.push(text)
        await gate.promise
        reply.end(await cosigned(key, text, seconds()))
      }
      return { answer, seen, release: gate.resolve }
    },
    async grow() {
      assert.equal((await system.admin.post('/projects', { slug: `p${++projects}`, name: 'One more' })).status, 201)
      await system.settle()
    },
    published: () => readFile(path.join(system.folder, 'data/log/_instance/0/checkpoint'), 'utf8'),
    anchored: () =>
      readFile(path.join(system.folder, 'data/log/_instance/0/checkpoint.cosigned'), 'utf8').catch(() => ''),
    /** Whether they stand for the newest state: that of now, for whenever a minute has passed there is an entry more. */
    async isAnchored() {
      return textOf(await this.anchored()) === textOf(await this.published())
    },
    degraded: async () =>
      ((await (await fetch(`${system.base}/readyz`)).json()) as { degraded?: Record<string, string> }).degraded ?? {},
  }
}

const textOf = (note: string) => (note === '' ? '' : parseNote(note).text)

test('a witness that does not answer holds up neither the others nor other logs', async (t) => {
  const [fast, slow] = [await openForeign('fast'), await openForeign('slow')]
  t.after(() => Promise.all([fast.close(), slow.close()]))
  const on = await start('one-of-two', [fast, slow], 'any', { WRIT_WITNESS_PROJECTS: 'true' })
  await using system = on.system
  fast.answer = on.good(fast)
  const held = on.held(slow)
  const origins = new Set<string>()
  slow.answer = async (asked) => {
    const [origin = ''] = asked.text.split('\n')
    origins.add(origin)
    // It has trouble with the log of the instance alone.
    return origin === instance ? held.answer(asked) : on.good(slow)(asked)
  }
  const instance = textOf(await on.published()).split('\n')[0]!
  // Until here both failed.
  system.advance(301_000)
  await until('the slow one is asked', async () => held.seen.length > 0)
  for (let i = 0; i < 3; i++) {
    await on.grow()
    await until('the fast one stands for what is newest', () => on.isAnchored())
  }
  assert.equal(held.seen.length, 1, 'it is asked once at a time about one log')
  ok(await system.admin.post('/tickets', { title: 'In another log' }))
  await system.settle()
  await until('it signs another log meanwhile', async () => {
    const { anchored } = ok(await system.admin.get<LogInfo>('/audit/log'))
    return (anchored?.witnesses ?? []).some(({ name }) => name === 'W2')
  })
  assert.ok(origins.size > 1)
  // What it signed late is of a state that is behind: it takes the place of nothing newer.
  const newest = textOf(await on.anchored())
  held.release()
  await until('it is asked about the newest', async () => held.seen.includes(newest))
  await until('both stand for it', async () => {
    const note = parseNote(await on.anchored())
    return note.text === newest && note.signatures.length === 3
  })
  await system.check()
})

test('two that are slow, and both needed, sign the same state although the log goes on', async (t) => {
  const both = [await openForeign('one'), await openForeign('other')]
  t.after(() => Promise.all(both.map((one) => one.close())))
  const on = await start('two-of-two', both, 'all')
  await using system = on.system
  const [one, other] = both as [Foreign, Foreign]
  const held = on.held(one)
  one.answer = held.answer
  other.answer = on.good(other)
  system.advance(301_000)
  await until('both are asked', async () => held.seen.length > 0)
  for (let i = 0; i < 3; i++) await on.grow()
  const again = on.held(other)
  other.answer = again.answer
  held.release()
  await until('both stand for the first state', async () => textOf(await on.anchored()) === held.seen[0])
  // The next state is collected from where both are free.
  await until('both are asked about the same', async () => again.seen.length > 0 && held.seen.includes(again.seen[0]!))
  again.release()
  await until('and stand for it', async () => textOf(await on.anchored()) === again.seen[0])
  await until('and for what is newest', () => on.isAnchored())
  await system.check()
})

test('one that asks for time is given it, up to an hour, and that is told at once', async (t) => {
  const witness = await openForeign('busy')
  t.after(() => witness.close())
  const on = await start('busy', [witness], 'any')
  await using system = on.system
  witness.answer = on.good(witness)
  // Until here it failed.
  system.advance(301_000)
  await until('it signs', () => on.isAnchored())
  for (const [wants, said, granted] of [
    ['86400', /^away: it answered 503 and wants 86400 s; it is asked again after 3600 s$/, 3_600],
    ['1800', /^away: it answered 503 and wants 1800 s$/, 1_800],
    [() => new Date(system.now() + 900_000).toUTCString(), /^away: it answered 503 and wants (900|89\d) s$/, 900],
  ] as const) {
    // No time passes until it is told of: a date is so far off as when it was said.
    const at = system.now()
    witness.answer = ({ reply }) => {
      reply.writeHead(503, { 'retry-after': typeof wants === 'string' ? wants : wants() }).end()
    }
    await on.grow()
    await until('it is told of', async () => said.test((await on.degraded())['witness W1'] ?? ''))
    const { asked } = witness
    system.advance(at + (granted - 60) * 1_000 - system.now())
    for (let i = 0; i < 3; i++) await on.grow()
    assert.equal(witness.asked, asked, 'it was left alone')
    witness.answer = on.good(witness)
    system.advance(120_000)
    await until('it is asked again, and signs', () => on.isAnchored())
    await until('nothing is wrong any more', async () => (await on.degraded())['witness W1'] === undefined)
  }
  await system.check()
})

test('one that takes seconds for an answer is told of, and signs', async (t) => {
  const witness = await openForeign('slow')
  t.after(() => witness.close())
  const on = await start('slow', [witness], 'any')
  await using system = on.system
  witness.answer = async (asked) => void setTimeout(() => void on.good(witness)(asked), 3_100)
  system.advance(61_000)
  await until('it is told of', async () =>
    /^slow: it took [34] s to answer$/.test((await on.degraded())['witness W1'] ?? ''),
  )
  assert.match(await (await fetch(`${system.base}/metrics`)).text(), /writ_witness_up\{witness="W1"\} 1\n/)
  assert.notEqual(await on.anchored(), '')
  await quietlyWell(on, witness)
  await system.check()
})

test('one whose clock was wrong is asked again although nothing is new, and what it signed stays', async (t) => {
  const witness = await openForeign('wrong')
  t.after(() => witness.close())
  const on = await start('wrong', [witness], 'any')
  await using system = on.system
  witness.answer = async ({ text, reply }) =>
    reply.end(await cosigned(witness.key, text, Math.floor(system.now() / 1_000) - 86_400))
  system.advance(61_000)
  await until('it is told of', async () =>
    /^its clock is \d+ s behind /.test((await on.degraded())['witness W1'] ?? ''),
  )
  await quietlyWell(on, witness)
  await system.check()
})

/** It is well from here on, and no entry comes: after a minute it is asked once, and no more. */
async function quietlyWell(on: Awaited<ReturnType<typeof start>>, witness: Foreign): Promise<void> {
  // The first round after the clock was set on records the checkpoints of projects, which are an entry for the second.
  await on.system.settle()
  await on.system.settle()
  await until('it has signed the newest state', () => on.isAnchored())
  const newest = textOf(await on.published())
  const before = await on.anchored()
  const asked: string[] = []
  witness.answer = (about) => {
    asked.push(about.text)
    return on.good(witness)(about)
  }
  on.system.advance(61_000)
  await until('nothing is wrong any more', async () => (await on.degraded())['witness W1'] === undefined)
  assert.deepEqual([await on.anchored(), asked], [before, [newest]])
  on.system.advance(61_000)
  await on.grow()
  await until('it signs what is new', () => on.isAnchored())
  assert.equal(asked.filter((text) => text === newest).length, 1)
}

test('a witness behind a certificate that counts for nothing is away, by the name of that', async (t) => {
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')]
  await run('openssl', ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-out', cert, '-subj', '/CN=w'])
  const server = createServer({ key: await readFile(key), cert: await readFile(cert) }, (_, reply) => reply.end())
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  t.after(() => server.close())
  const witness = await openForeign('tls')
  t.after(() => witness.close())
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const on = await start('tls', [{ ...witness, url }], 'any')
  await using system = on.system
  await until('it is told of', async () => {
    system.advance(61_000)
    return /^away: DEPTH_ZERO_SELF_SIGNED_CERT$/.test((await on.degraded())['witness W1'] ?? '')
  })
  await system.check()
})

test('a witness whose disk is full says so and signs nothing, and what it signed before still counts', {
  skip: missingBackend('a small file system', missingSmallDisk()),
}, async () => {
  const disk = path.join(folder, 'disk')
  const unmount = mountSmall(disk)!
  try {
    const witness = await makeWitness(disk, 'w')
    await using system = await TestSystem.start({})
    const info = async () => {
      await system.settle()
      const note = await readFile(path.join(system.folder, 'data/log/_instance/0/checkpoint'), 'utf8')
      return { note, size: Number(note.split('\n')[1]) }
    }
    const keys = ok(await system.admin.get<{ logs: { project: string | null; vkeys: string[] }[] }>('/keys'))
    await witness.addLog(keys.logs.find(({ project }) => project === null)!.vkeys[0]!)
    await witness.start()
    try {
      const first = await info()
      assert.equal((await witness.submit(formatSubmission({ old: 0, proof: [], checkpoint: first.note }))).status, 200)
      fill(path.join(disk, 'ballast'))
      const again = formatSubmission({ old: first.size, proof: [], checkpoint: first.note })
      const refused = await witness.submit(again)
      assert.deepEqual([refused.status, refused.body], [500, 'the witness could not keep its state\n'])
      // Killed and started on the full disk, it still knows what it stands for.
      await witness.kill9()
      await witness.start()
      assert.equal((await witness.submit(again)).status, 500)
      const stale = await witness.submit(formatSubmission({ old: 0, proof: [], checkpoint: first.note }))
      assert.deepEqual([stale.status, stale.body], [409, `${first.size}\n`])
      await rm(path.join(disk, 'ballast'))
      assert.equal((await witness.submit(again)).status, 200)
    } finally {
      await witness.stop()
    }
    await system.check()
  } finally {
    unmount()
  }
})
