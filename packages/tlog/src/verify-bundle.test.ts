import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BundleEvent, entryId, logKey, makeBundle, primitives, signed } from '../test/bundle.ts'
import { makeKey, sha256 } from '../test/memory-log.ts'
import { addSignatures, cosignText, fromUtf8, parseNote, parsePolicy, toUtf8, verifyBundle } from './index.ts'

const opened: BundleEvent = { act: 'ticket.created', res: 't' }
const consumed: BundleEvent = { act: 'approval.consumed', res: 't', details: { approval_id: 'a' } }
const verdict = async (events: readonly BundleEvent[]) => verifyBundle(signed(await makeBundle(events)), primitives)

test('an erased payload is shown as erased, with the entry that tells of it', async () => {
  const report = await verdict([{ ...opened, erasedBy: 2 }, opened, { act: 'payload.erased', res: entryId(0) }])
  assert.deepEqual(report.fault, undefined)
  assert.match(JSON.stringify(report.checks), /"erased","what":"payload of entry 0 \(ticket\.created\): erased, see 2"/)
})

const refused: [string, readonly BundleEvent[], string][] = [
  ['an erasure that no entry tells of', [{ ...opened, erasedBy: 1 }, opened], 'PAYLOAD_MISSING'],
  [
    'an erasure told of before',
    [
      { act: 'payload.erased', res: 't' },
      { ...opened, erasedBy: 0 },
    ],
    'PAYLOAD_MISSING',
  ],
  ['an erasure told of elsewhere', [{ ...opened, erasedBy: 9 }, opened], 'PAYLOAD_MISSING'],
  ['an approval that was used twice', [opened, consumed, consumed], 'APPROVAL_USED_TWICE'],
]
for (const [name, events, code] of refused) {
  test(`${name} is refused`, async () => assert.equal((await verdict(events)).fault?.code, code))
}

test('a payload without a note of its erasure is missing', async () => {
  const files = await makeBundle([opened, opened])
  files.delete('logs/project-0/payloads/1.json')
  const report = await verifyBundle(signed(files), primitives)
  assert.deepEqual([report.fault?.code, report.fault?.path], ['PAYLOAD_MISSING', 'logs/project-0/payloads/1.json'])
})

test('another key of the log than the expected one is refused', async () => {
  const files = signed(await makeBundle([opened]))
  assert.ok((await verifyBundle(files, primitives, { vkeys: [logKey.vkey] })).ok)
  const other = makeKey(logKey.name).vkey
  assert.equal((await verifyBundle(files, primitives, { vkeys: [other] })).fault?.code, 'LOG_KEY')
  const elsewhere = makeKey('example.org/other').vkey
  assert.equal((await verifyBundle(files, primitives, { vkeys: [elsewhere] })).fault?.code, 'LOG_KEY')
})

test('a cosigned checkpoint is verified where there is one', async () => {
  const witness = makeKey('witness.example')
  const files = await makeBundle([opened, opened])
  const note = fromUtf8(files.get('logs/project-0/checkpoint')!)
  const line = await cosignText(parseNote(note).text, witness, 1_763_769_600, witness.sign, sha256)
  files.set('logs/project-0/checkpoint.cosigned', toUtf8(addSignatures(note, [line])))
  files.set('logs/project-0/consistency/2-2.txt', toUtf8(''))
  files.set('policy', toUtf8(`log ${logKey.vkey}\nwitness w ${witness.witnessVkey}\nquorum w\n`))
  const report = await verifyBundle(signed(files), primitives)
  assert.deepEqual(report.fault, undefined)
  assert.match(JSON.stringify(report.checks), /the first 2 entries: cosigned by w at 2025-11-22T/)
  line.signature[20]! ^= 1
  files.set('logs/project-0/checkpoint.cosigned', toUtf8(addSignatures(note, [line])))
  assert.equal((await verifyBundle(signed(files), primitives)).fault?.code, 'CHECKPOINT_INVALID')
})

test('the witnesses that a reader trusts must have cosigned, whatever the bundle calls its own', async () => {
  const [real, forged] = [makeKey('witness.example'), makeKey('witness.example')]
  const files = await makeBundle([opened, opened, opened])
  const note = fromUtf8(files.get('logs/project-0/checkpoint')!)
  const cosign = async (witness: typeof real) => {
    const line = await cosignText(parseNote(note).text, witness, 1_763_769_600, witness.sign, sha256)
    files.set('logs/project-0/checkpoint.cosigned', toUtf8(addSignatures(note, [line])))
    files.set('policy', toUtf8(`log ${logKey.vkey}\nwitness w ${witness.witnessVkey}\nquorum w\n`))
  }
  files.set('logs/project-0/consistency/3-3.txt', toUtf8(''))
  const policy = parsePolicy(`witness mine ${real.witnessVkey}\nquorum mine\n`, sha256)
  await cosign(real)
  const good = await verifyBundle(signed(files), primitives, { policy })
  assert.deepEqual(good.fault, undefined)
  assert.match(JSON.stringify(good.checks), /3 entries of this bundle: the quorum of the policy stands for them/)
  const key = { what: 'key of the witness mine', value: real.witnessVkey, expected: true }
  assert.deepEqual(good.rests.at(-1), key)

  await cosign(forged)
  const own = await verifyBundle(signed(files), primitives)
  const named = { what: 'key of the witness w', value: forged.witnessVkey, expected: false }
  assert.deepEqual([own.ok, own.rests.at(-1)], [true, named])
  assert.equal((await verifyBundle(signed(files), primitives, { policy })).fault?.code, 'QUORUM_NOT_MET')
  files.delete('logs/project-0/checkpoint.cosigned')
  assert.equal((await verifyBundle(signed(files), primitives, { policy })).fault?.code, 'QUORUM_NOT_MET')
  const none = parsePolicy(`log ${logKey.vkey}\nquorum none\n`, sha256)
  const keyOnly = await verifyBundle(signed(files), primitives, { policy: none })
  assert.deepEqual([keyOnly.ok, keyOnly.rests.find(({ what }) => what === 'project log key')?.expected], [true, true])
})

test('a file may be left out as dropped only where the log tells of a drop', async () => {
  const dropped = { id: 'a', number: 1, sha256: '0'.repeat(64), size: 1, path: null, left_out: 'dropped' }
  for (const [events, code] of [
    [[opened], 'ARTIFACT_CHANGED'],
    [[opened, { act: 'log.dropped', res: 'p' }], undefined],
  ] as const) {
    const files = await makeBundle(events)
    const described = { ...JSON.parse(fromUtf8(files.get('bundle.json')!)), artifacts: [dropped] }
    files.set('bundle.json', toUtf8(JSON.stringify(described)))
    const report = await verifyBundle(signed(files), primitives)
    assert.equal(report.fault?.code, code)
  }
})

test('a bundle that nobody approved anything in says so, and claims no check of it', async () => {
  const { checks } = await verifyBundle(signed(await makeBundle([opened])), primitives)
  assert.ok(checks.some(({ state, what }) => state === 'note' && what === 'nobody approved anything in this bundle'))
  assert.ok(!checks.some(({ what }) => what.includes('0 approvals')))
})

test('a file that is no text is a fault, not a crash', async () => {
  const files = await makeBundle([opened])
  for (const name of files.keys()) {
    const report = await verifyBundle(signed(new Map([...files, [name, Uint8Array.of(0xff, 0xfe)]])), primitives)
    assert.equal(report.ok, false, name)
  }
})

test('whatever stands in a manifest, the answer is a verdict', async () => {
  const files = await makeBundle([opened])
  for (const [name, bytes] of [
    ['bundle.json', '{}'],
    ['bundle.json', 'no json'],
    ['keys/allowed_signers', ''],
    ['keys/allowed_signers', 'writ-manifest ssh-rsa AAAA\n'],
    ['logs/project-0/checkpoint', 'x'],
    ['logs/project-0/entries/0.json', '{}'],
    ['logs/project-0/entries/7.json', fromUtf8(files.get('logs/project-0/entries/0.json')!)],
    ['logs/project-0/payloads/0.salt', 'zz\n'],
    ['logs/project-1/checkpoint', 'x'],
    ['attestations/x', 'x'],
    ['approvals/a/statement.json', '{}'],
    ['artifacts/1-x', 'x'],
  ] as const) {
    const report = await verifyBundle(signed(new Map([...files, [name, toUtf8(bytes)]])), primitives)
    assert.equal(report.ok, false, `${name}: ${bytes}`)
  }
})
