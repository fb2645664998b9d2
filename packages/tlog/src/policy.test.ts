import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeKey, sha256, verifyEd25519 } from '../test/memory-log.ts'
import {
  addSignatures,
  cosignText,
  meetsQuorum,
  openUnderPolicy,
  parseNote,
  parsePolicy,
  signCheckpoint,
} from './index.ts'

const log = makeKey('example.org/log')
const [x1, x2, x3, y1] = ['x1', 'x2', 'x3', 'y1'].map((name) => makeKey(`witness.example/${name}`)) as [
  ReturnType<typeof makeKey>,
  ReturnType<typeof makeKey>,
  ReturnType<typeof makeKey>,
  ReturnType<typeof makeKey>,
]
const TWO_LEVELS = `
# two organisations
log ${log.vkey} https://example.org/log
witness X1 ${x1.witnessVkey} https://x1.example
\twitness  X2 ${x2.witnessVkey}\t
witness X3 ${x3.witnessVkey}
group X 2 X1 X2 X3
witness Y1 ${y1.witnessVkey}
group Y any Y1
group both all X Y
quorum both
`
const hash = sha256
const verify = verifyEd25519
const note = (keys: (typeof x1)[], time = 1_700_000_000) =>
  signCheckpoint({ origin: log.name, size: 0, root: sha256(new Uint8Array()) }, log, log.sign, hash).then(
    async (signed) =>
      addSignatures(
        signed,
        await Promise.all(keys.map((key) => cosignText(parseNote(signed).text, key, time, key.sign, hash))),
      ),
  )

test('a policy of two levels is read with its names, addresses and thresholds', () => {
  const policy = parsePolicy(TWO_LEVELS, hash)
  assert.deepEqual(
    policy.logs.map(({ origin, url }) => [origin, url]),
    [['example.org/log', 'https://example.org/log']],
  )
  assert.deepEqual(
    policy.witnesses.map(({ name, keyName, url }) => [name, keyName, url]),
    [
      ['X1', 'witness.example/x1', 'https://x1.example'],
      ['X2', 'witness.example/x2', undefined],
      ['X3', 'witness.example/x3', undefined],
      ['Y1', 'witness.example/y1', undefined],
    ],
  )
  assert.deepEqual(
    policy.groups.map(({ name, threshold }) => [name, threshold]),
    [
      ['X', 2],
      ['Y', 1],
      ['both', 2],
    ],
  )
})

test('a checkpoint passes exactly when the quorum has cosigned it', async () => {
  const policy = parsePolicy(TWO_LEVELS, hash)
  const open = async (...keys: (typeof x1)[]) => openUnderPolicy(await note(keys), { policy, hash, verify })
  assert.equal((await open(x1, x3, y1)).ok, true)
  const cases = [[], [x1, x2, x3], [x1, y1], [y1], [x1, x1, y1]]
  for (const keys of cases) {
    const verdict = await open(...keys)
    assert.equal(!verdict.ok && verdict.code, 'QUORUM_NOT_MET', keys.map(({ name }) => name).join())
  }
})

test('cosigners are named as the policy names them, with their time', async () => {
  const policy = parsePolicy(TWO_LEVELS, hash)
  const verdict = await openUnderPolicy(await note([x1, x2, y1]), { policy, hash, verify })
  assert.ok(verdict.ok)
  assert.deepEqual(verdict.cosigners, [
    { name: 'X1', time: 1_700_000_000 },
    { name: 'X2', time: 1_700_000_000 },
    { name: 'Y1', time: 1_700_000_000 },
  ])
})

test('a stranger who uses the name of a witness does not count, and a spoilt cosignature refuses the whole', async () => {
  const policy = parsePolicy(`witness W ${x1.witnessVkey}\nquorum W`, hash)
  const stranger = makeKey(x1.name)
  const trust = { policy, vkeys: [log.vkey], hash, verify }
  const other = await openUnderPolicy(await note([stranger]), trust)
  assert.equal(!other.ok && other.code, 'QUORUM_NOT_MET')
  const good = parseNote(await note([x1]))
  const spoilt = good.signatures.map((line, i) =>
    i === 0 ? line : { ...line, signature: line.signature.with(20, line.signature[20]! ^ 1) },
  )
  const bad = await openUnderPolicy(addSignatures(await note([]), spoilt.slice(1)), trust)
  assert.equal(!bad.ok && bad.code, 'CHECKPOINT_SIGNATURE')
})

test('a log that the policy does not list is not accepted', async () => {
  const policy = parsePolicy(`log ${makeKey('example.org/other').vkey}\nquorum none`, hash)
  const verdict = await openUnderPolicy(await note([]), { policy, hash, verify })
  assert.equal(!verdict.ok && verdict.code, 'CHECKPOINT_ORIGIN')
})

test('quorum none asks for nobody', () => {
  assert.equal(meetsQuorum(parsePolicy('quorum none', hash), []), true)
})

const bad: Record<string, [string, RegExp]> = {
  'no quorum': [`witness W ${x1.witnessVkey}`, /no quorum line/],
  'two quorums': ['quorum none\nquorum none', /line 2 .*one quorum/],
  'a quorum before its definition': [`quorum W\nwitness W ${x1.witnessVkey}`, /line 1 .*"W" is not defined/],
  'a group before its member': [`group G any W\nwitness W ${x1.witnessVkey}\nquorum G`, /line 1 .*not defined/],
  'a name twice': [`witness W ${x1.witnessVkey}\nwitness W ${x2.witnessVkey}\nquorum W`, /line 2 .*defined twice/],
  'a key twice': [`witness V ${x1.witnessVkey}\nwitness W ${x1.witnessVkey}\nquorum W`, /line 2 .*listed twice/],
  'a member of two groups': [
    `witness W ${x1.witnessVkey}\ngroup G any W\ngroup H any W\nquorum H`,
    /line 3 .*member of a group already/,
  ],
  'a member twice': [`witness W ${x1.witnessVkey}\ngroup G 2 W W\nquorum G`, /line 2 .*each member once/],
  'a threshold of nothing': [`witness W ${x1.witnessVkey}\ngroup G 0 W\nquorum G`, /line 2 .*1 to 1/],
  'a threshold above the members': [`witness W ${x1.witnessVkey}\ngroup G 2 W\nquorum G`, /line 2 .*1 to 1/],
  'a group of nobody': ['group G all\nquorum G', /line 1 .*a group is/],
  'a witness called none': [`witness none ${x1.witnessVkey}\nquorum none`, /line 1 .*no name/],
  "a log's key as a witness": [`witness W ${x1.vkey}\nquorum W`, /line 1 .*type 4, not 1/],
  "a witness's key as a log": [`log ${x1.witnessVkey}\nquorum none`, /line 1 .*type 1, not 4/],
  'an unknown word': ['logs\nquorum none', /line 1 .*not "logs"/],
  'a carriage return': ['quorum none\r\n', /line 1 .*control character/],
}
for (const [name, [text, reason]] of Object.entries(bad)) {
  test(`${name} is refused with its line`, () => {
    assert.throws(() => parsePolicy(text, hash), reason)
  })
}
