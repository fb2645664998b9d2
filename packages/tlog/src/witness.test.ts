import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { buildLog, makeEntries, makeKey, sha256, tileReader, verifyEd25519 } from '../test/memory-log.ts'
import {
  formatSubmission,
  judgeSubmission,
  parseCheckpoint,
  parseNote,
  parseSubmission,
  proveConsistency,
  signCheckpoint,
  type Witnessed,
} from './index.ts'

const log = makeKey('example.org/log')
const hash = sha256
const verify = verifyEd25519
let files: Record<number, Map<string, Uint8Array>>
let rewritten: Map<string, Uint8Array>

before(async () => {
  files = { 10: await buildLog(makeEntries(10), log), 300: await buildLog(makeEntries(300), log) }
  rewritten = await buildLog(makeEntries(300).with(3, Buffer.from('forged')), log)
})

const noteOf = (some: Map<string, Uint8Array>) => Buffer.from(some.get('checkpoint')!).toString()
const stateOf = (note: string): Witnessed => parseCheckpoint(parseNote(note).text)
const proof = (from: number, some: Map<string, Uint8Array>) =>
  proveConsistency({ from, to: stateOf(noteOf(some)).size, readTile: tileReader(some), hash })
const judge = (body: string, last: Witnessed | null, vkeys: readonly string[] | null = [log.vkey]) =>
  judgeSubmission(body, {
    vkeysOf: (origin) => (origin === log.name ? vkeys : null),
    lastOf: async () => last,
    hash,
    verify,
  })

test('a first checkpoint and one that continues it are cosigned', async () => {
  const first = noteOf(files[10]!)
  const answer = await judge(formatSubmission({ old: 0, proof: [], checkpoint: first }), null)
  assert.equal(answer.status, 200)
  const next = { old: 10, proof: await proof(10, files[300]!), checkpoint: noteOf(files[300]!) }
  const second = await judge(formatSubmission(next), stateOf(first))
  assert.equal(second.status, 200)
  assert.equal(second.status === 200 && second.checkpoint.size, 300)
})

test('the same state is cosigned again, with an empty proof only', async () => {
  const checkpoint = noteOf(files[10]!)
  assert.equal((await judge(formatSubmission({ old: 10, proof: [], checkpoint }), stateOf(checkpoint))).status, 200)
  const padded = { old: 10, proof: [stateOf(checkpoint).root], checkpoint }
  assert.equal((await judge(formatSubmission(padded), stateOf(checkpoint))).status, 422)
})

test('each refusal has the status that the protocol gives it', async () => {
  const ten = noteOf(files[10]!)
  const large = noteOf(files[300]!)
  const forged = noteOf(rewritten)
  const good = await proof(10, files[300]!)
  const stranger = makeKey(log.name)
  const signedByOther = await signCheckpoint({ origin: log.name, ...stateOf(large) }, stranger, stranger.sign, hash)
  const broken = large.replace(
    /\n— (.*) (.)(.*)\n$/,
    (_, name, first, rest) => `\n— ${name} ${first}${rest.slice(0, -6)}AAAA==\n`,
  )
  const emptyTree = await signCheckpoint({ origin: log.name, size: 0, root: new Uint8Array(32) }, log, log.sign, hash)
  const cases: [string, number, string, Witnessed | null][] = [
    ['not a submission', 400, `old x\n\n${large}`, null],
    [
      'an old size above the checkpoint',
      400,
      formatSubmission({ old: 300, proof: [], checkpoint: ten }),
      stateOf(large),
    ],
    ['a signature by another key', 403, formatSubmission({ old: 0, proof: [], checkpoint: signedByOther }), null],
    ['a broken signature', 403, formatSubmission({ old: 0, proof: [], checkpoint: broken }), null],
    ['a stale old size', 409, formatSubmission({ old: 0, proof: [], checkpoint: large }), stateOf(ten)],
    [
      'a log that was rewritten with its key',
      422,
      formatSubmission({ old: 10, proof: await proof(10, rewritten), checkpoint: forged }),
      stateOf(ten),
    ],
    [
      'another root for the same size',
      422,
      formatSubmission({ old: 300, proof: [], checkpoint: forged }),
      stateOf(large),
    ],
    [
      'a proof that is too short',
      422,
      formatSubmission({ old: 10, proof: good.slice(1), checkpoint: large }),
      stateOf(ten),
    ],
    ['a proof from nothing', 422, formatSubmission({ old: 0, proof: good, checkpoint: large }), null],
    ['an empty tree with a root', 422, formatSubmission({ old: 0, proof: [], checkpoint: emptyTree }), null],
  ]
  for (const [name, status, body, last] of cases) assert.equal((await judge(body, last)).status, status, name)
  const stale = await judge(formatSubmission({ old: 0, proof: [], checkpoint: large }), stateOf(ten))
  assert.equal(stale.status === 409 && stale.size, 10)
  const unknown = await judge(formatSubmission({ old: 0, proof: [], checkpoint: large }), null, null)
  assert.deepEqual([unknown.status, 'reason' in unknown && unknown.reason], [404, `no log ${log.name} is known here`])
})

test('a submission is read as it was written, and nothing else is', () => {
  const checkpoint = noteOf(files[10]!)
  const proof = [sha256(Buffer.from('a')), sha256(Buffer.from('b'))]
  const text = formatSubmission({ old: 3, proof, checkpoint })
  assert.deepEqual(parseSubmission(text), { old: 3, proof: proof.map((one) => new Uint8Array(one)), checkpoint })
  const bad = [
    text.replace('old 3', 'old 03'),
    text.replace('old 3', 'old  3'),
    text.replace('old 3\n', ''),
    `old 3\n${Array(64).fill(Buffer.alloc(32).toString('base64')).join('\n')}\n\n${checkpoint}`,
    `old 3\nAAAA\n\n${checkpoint}`,
    'old 3\n\n',
    'old 3\n',
  ]
  for (const one of bad) assert.throws(() => parseSubmission(one), one.slice(0, 40))
})
