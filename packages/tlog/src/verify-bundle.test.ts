import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { zipSync } from 'fflate'
import { createSha256, inflate } from '../../cli/src/bundle-zip.ts'
import { type BundleEvent, entryId, logKey, makeBundle, primitives, signed } from '../test/bundle.ts'
import { makeKey, sha256 } from '../test/memory-log.ts'
import {
  type ApprovalSubject,
  addSignatures,
  approvalStatement,
  type BundleProgress,
  type BundleReport,
  canonicalize,
  cosignText,
  type Entry,
  fromUtf8,
  type Json,
  parseNote,
  parsePolicy,
  type Statement,
  toHex,
  toUtf8,
  verifyBundle,
  verifyZip,
} from './index.ts'

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

// What the holder of the keys could write, and the policy that they say themselves does not allow.
const claim = (type: ApprovalSubject['type'], id: string, sha: string, approver: string): Statement =>
  approvalStatement({
    id: entryId(type === 'policy' ? 901 : 902),
    project: 'p',
    subject: { type, id, version: 1, sha256: sha },
    decision: 'approved',
    approver,
    issuedAt: '2026-11-22T00:00:00.000Z',
    expiresAt: null,
    signBefore: null,
  })
const ticketDigest = toHex(sha256(toUtf8('the ticket')))
const digestOf = (policy: Json) => toHex(sha256(toUtf8(canonicalize(policy))))
/** A ticket of `creator` that `approver` agreed to under a policy that `asker` wished for and `second` agreed to. */
function agreed(given: {
  policy: { [key: string]: Json }
  said?: { [key: string]: Json }
  changed?: { [key: string]: Json }
  second?: string | null
  approver?: string
  actor?: Entry['actor']
}): BundleEvent[] {
  const { policy, second = 'second', approver = 'approver', said = policy, changed = policy } = given
  const digest = digestOf(changed)
  return [
    { act: 'ticket.created', res: 't' },
    {
      ...{ act: 'policy.changed', res: 'change', actor: { kind: 'user', id: second ?? 'asker' } },
      details: { digest, requested_by_id: 'asker' },
      ...(second === null ? {} : { statement: claim('policy', 'change', digest, second) }),
    },
    {
      ...{ act: 'ticket.approved', res: 't', actor: given.actor ?? { kind: 'user', id: approver } },
      details: {
        ...{
          version: 1,
          digest: ticketDigest,
          created_by_id: 'creator',
          policy: said,
          policy_digest: digestOf(policy),
        },
        policy_change_id: 'change',
      },
      statement: claim('ticket', 't', ticketDigest, approver),
    },
  ]
}
const four = { approver_roles: ['admin'], four_eyes: true }
const two = { approver_roles: ['admin'], four_eyes: false }

test('under which policy something was approved is told, and who made it so', async () => {
  const told = async (given: Parameters<typeof agreed>[0]) => {
    const report = await verdict(agreed(given))
    assert.deepEqual(report.fault, undefined)
    return JSON.stringify(report.checks)
  }
  assert.match(
    await told({ policy: four }),
    /entry 1, asked for by asker and approved by second: .*four_eyes\\":true.*"code":"policy_agreed"/,
  )
  assert.match(
    await told({ policy: two, second: null }),
    /"note","what":"under the policy of entry 1, set by asker alone/,
  )
  const token = { kind: 'token', id: 'a-token' } as const
  assert.match(
    await told({ policy: four, actor: token }),
    /by approver, with an API token: attested by the server alone/,
  )
  assert.match(await told({ policy: two, approver: 'creator' }), /by creator: attested/)
})

const disallowed: [string, Parameters<typeof agreed>[0], string][] = [
  ['its own author', { policy: four, approver: 'creator' }, 'approval_against_policy'],
  ['nobody by a key of their own', { policy: { ...four, require_signature: true } }, 'approval_against_policy'],
  [
    'a token alone',
    { policy: { ...four, approve_in_person: true }, actor: { kind: 'token', id: 'a-token' } },
    'approval_against_policy',
  ],
  ['somebody under a policy that has another digest', { policy: two, said: four }, 'policy_other'],
  ['somebody under a policy that another change made', { policy: two, changed: four }, 'policy_change_other'],
  ['somebody under a policy that its asker agreed to', { policy: four, second: 'asker' }, 'policy_change_alone'],
]
for (const [who, given, why] of disallowed)
  test(`an approval by ${who} is refused`, async () => {
    const { fault } = await verdict(agreed(given))
    assert.deepEqual([fault?.code, fault?.why], ['APPROVAL_INVALID', why])
  })

test('the change that made the policy of an approval is not left out', async () => {
  const { fault } = await verdict(agreed({ policy: four }).filter(({ act }) => act !== 'policy.changed'))
  assert.deepEqual([fault?.code, fault?.why], ['ENTRY_LEFT_OUT', 'policy_change_absent'])
})

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

test('a cosignature of a time that no calendar has is none, and ends in a verdict', async () => {
  const witness = makeKey('witness.example')
  const files = await makeBundle([opened, opened])
  const note = fromUtf8(files.get('logs/project-0/checkpoint')!)
  files.set('logs/project-0/consistency/2-2.txt', toUtf8(''))
  files.set('policy', toUtf8(`log ${logKey.vkey}\nwitness w ${witness.witnessVkey}\nquorum w\n`))
  // Microseconds where seconds belong.
  for (const [time, fault] of [
    [253_402_300_799, undefined],
    [253_402_300_800, 'CHECKPOINT_INVALID'],
    [1_763_769_600_000_000, 'CHECKPOINT_INVALID'],
  ] as const) {
    const line = await cosignText(parseNote(note).text, witness, time, witness.sign, sha256)
    files.set('logs/project-0/checkpoint.cosigned', toUtf8(addSignatures(note, [line])))
    assert.equal((await verifyBundle(signed(files), primitives)).fault?.code, fault, String(time))
  }
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
  const key = {
    what: 'key of the witness mine',
    code: 'witness_key',
    of: 'mine',
    value: real.witnessVkey,
    expected: true,
  }
  assert.deepEqual(good.rests.at(-1), key)

  await cosign(forged)
  const own = await verifyBundle(signed(files), primitives)
  const named = {
    what: 'key of the witness w',
    code: 'witness_key',
    of: 'w',
    value: forged.witnessVkey,
    expected: false,
  }
  assert.deepEqual([own.ok, own.rests.at(-1)], [true, named])
  assert.equal((await verifyBundle(signed(files), primitives, { policy })).fault?.code, 'QUORUM_NOT_MET')
  const unwitnessed = (report: BundleReport) =>
    report.checks.find(({ code }) => /^un(witnessed|asked)$/.test(code))?.what
  assert.equal(unwitnessed(own), undefined)
  files.delete('logs/project-0/checkpoint.cosigned')
  files.delete('logs/project-0/consistency/3-3.txt')
  assert.equal((await verifyBundle(signed(files), primitives, { policy })).fault?.code, 'QUORUM_NOT_MET')
  const none = parsePolicy(`log ${logKey.vkey}\nquorum none\n`, sha256)
  const keyOnly = await verifyBundle(signed(files), primitives, { policy: none })
  // A policy that asks for nobody is met by everything: that must not read as if somebody had stood for it.
  const nobody = 'no witness stands for any of it: whoever holds the keys of the logs could have written all of it anew'
  assert.equal(unwitnessed(keyOnly), `the policy asks for no witness, and ${nobody}`)
  assert.equal(unwitnessed(await verifyBundle(signed(files), primitives)), nobody)
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

const ran = (seq: number, act: string): BundleEvent => ({ act, res: 'r', run: 'r', seq })
const life = [ran(0, 'run.created'), ran(1, 'run.started'), ran(2, 'run.failed'), ran(3, 'artifact.downloaded')]
const edited = (version: number): BundleEvent => ({ act: 'ticket.updated', res: 't', details: { version } })

/** What is said of a bundle of which its maker left these entries out, and signed what was left. */
async function without(events: readonly BundleEvent[], ...indexes: number[]) {
  const files = await makeBundle(events)
  for (const index of indexes)
    for (const name of [...files.keys()]) if (new RegExp(`/${index}\\.[a-z-]+$`).test(name)) files.delete(name)
  return verifyBundle(signed(files), primitives)
}

test('of what is here of a run and of a ticket nothing is missing', async () => {
  const events = [opened, ...life, edited(2), edited(3), { act: 'ticket.approved', res: 't', details: { version: 3 } }]
  const whole = await without(events)
  assert.deepEqual(whole.fault, undefined)
  assert.ok(whole.checks.some(({ what }) => what.startsWith('1 ticket and 1 run: nothing missing')))
  for (const [left, path] of [
    [[1], 'logs/project-0/entries/2.json'],
    [[3], 'logs/project-0/entries/4.json'],
    [[2, 3], 'logs/project-0/entries/4.json'],
    [[5], 'logs/project-0/entries/6.json'],
    [[6], 'logs/project-0/entries/7.json'],
    [[0], 'logs/project-0/entries/5.json'],
  ] as const) {
    const { fault } = await without(events, ...left)
    assert.deepEqual([fault?.code, fault?.path], ['ENTRY_LEFT_OUT', path], `without ${left}`)
  }
  // Nothing numbers what did not come yet.
  assert.equal((await without(events, 4, 7)).ok, true)
})

test('what a run has in a log that was dropped is said to be there, and only what came before', async () => {
  const drop: BundleEvent = { act: 'log.dropped', res: 'p' }
  const late = await without([...life, drop], 0, 1)
  assert.deepEqual(late.fault, undefined)
  assert.match(
    JSON.stringify(late.checks),
    /"left out","what":"run r: its first 2 events in a log that was dropped, see project-0\/4"/,
  )
  assert.equal((await without([...life, drop], 1)).fault?.code, 'ENTRY_LEFT_OUT')
  assert.equal((await without([opened, edited(2), edited(3), drop], 0)).fault, undefined)
})

const nth = (n: number | undefined, run = `r${n}`): BundleEvent => ({
  act: 'run.created',
  res: run,
  run,
  details: n === undefined ? {} : { run_of_ticket: n },
})

test('a run of the ticket that was left out is missed by the next one', async () => {
  const events = [opened, nth(undefined, 'old'), nth(2), { ...nth(3), erasedBy: 5 }, nth(4)]
  const whole = [...events, { act: 'payload.erased', res: entryId(3) }]
  assert.deepEqual((await without(whole)).fault, undefined)
  for (const left of [[1], [2], [3]]) {
    const { fault } = await without(whole, ...left)
    assert.deepEqual(
      [fault?.code, fault?.path],
      ['ENTRY_LEFT_OUT', `logs/project-0/entries/${left[0] === 1 ? 2 : 4}.json`],
    )
  }
  const dropped = await without([...events.slice(0, 3), nth(3), { act: 'log.dropped', res: 'p' }], 0, 1)
  assert.match(JSON.stringify(dropped.checks), /"1 run of the ticket in a log that was dropped, see project-0\/4"/)
  assert.equal(
    (await without([nth(1), nth(2), nth(3), { act: 'log.dropped', res: 'p' }], 1)).fault?.code,
    'ENTRY_LEFT_OUT',
  )
})

test('a file that the log knows is described, and what became of it is what the log says', async () => {
  const file = { id: 'a', number: 1, sha256: '0'.repeat(64), size: 1, path: null, left_out: 'deleted' }
  const uploaded: BundleEvent = { act: 'artifact.uploaded', res: 'a', details: { sha256_hash: file.sha256 } }
  const described = async (events: readonly BundleEvent[], artifacts: readonly object[]) => {
    const files = await makeBundle(events)
    const about = { ...JSON.parse(fromUtf8(files.get('bundle.json')!)), artifacts }
    files.set('bundle.json', toUtf8(JSON.stringify(about)))
    return verifyBundle(signed(files), primitives)
  }
  assert.deepEqual((await described([opened, uploaded], [])).fault?.code, 'ARTIFACT_LEFT_OUT')
  const told = await described([opened, uploaded, { act: 'artifact.deleted', res: 'a' }], [file])
  assert.match(JSON.stringify(told.checks), /"what":"artifact 1: deleted"/)
  const untold = await described([opened, uploaded], [file])
  assert.match(
    JSON.stringify(untold.checks),
    /"what":"artifact 1: not here, deleted as only the maker of this bundle says; no entry of the log does"/,
  )
})

test('how far it came is told of bytes too, and evidence is read once', async () => {
  const bytes = randomBytes(12_000_000)
  const digest = toHex(sha256(bytes))
  const path = 'artifacts/1-dump.bin'
  const file = { id: 'a', number: 1, sha256: digest, size: bytes.length, path, left_out: null }
  const files = await makeBundle([opened, { act: 'artifact.uploaded', res: 'a', details: { sha256_hash: digest } }])
  files.set(
    'bundle.json',
    toUtf8(JSON.stringify({ ...JSON.parse(fromUtf8(files.get('bundle.json')!)), artifacts: [file] })),
  )
  files.set(path, bytes)
  const bundle = signed(files)
  const packed: Record<string, Uint8Array> = {}
  for (const name of bundle.names) packed[name] = await bundle.read(name)
  const zip = zipSync(packed)
  let read = 0
  const archive = {
    size: zip.length,
    async read(from: number, length: number) {
      read += length
      return zip.subarray(from, from + length)
    },
  }
  const said: Parameters<BundleProgress>[0][] = []
  const report = await verifyZip(archive, 'b.zip', { ...primitives, inflate, createSha256 }, {}, (at) => said.push(at))
  assert.deepEqual(report.fault, undefined)
  // In the middle of the largest file, which is most of the archive.
  assert.ok(said.some(({ bytes }) => bytes && bytes.done > bytes.total / 4 && bytes.done < (3 * bytes.total) / 4))
  assert.deepEqual(
    said.findLast(({ step }) => step === 'entries'),
    { step: 'entries', done: 2, total: 2 },
  )
  assert.ok(read < 1.5 * zip.length, `${read} of ${zip.length} bytes`)
})

const ODD: readonly unknown[] = [null, 0, -1, 1.5, true, '', 'x', '\u0000', [], [null], {}, { a: null }, ['__proto__']]

/** The value, with one of its members after the other made odd, and left out. */
function* oddities(value: unknown): Generator<unknown> {
  yield* ODD
  if (typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value)) {
    const copy = (): Record<string, unknown> => structuredClone(value) as Record<string, unknown>
    for (const odd of oddities((value as Record<string, unknown>)[key])) yield Object.assign(copy(), { [key]: odd })
    const less = copy()
    delete less[key]
    yield less
  }
}

test('a description of whatever form is a fault or a verdict, and no crash', async () => {
  const file = { id: 'a', number: 1, sha256: '0'.repeat(64), size: 1, path: null, left_out: 'deleted' }
  const files = await makeBundle([{ act: 'artifact.uploaded', res: 'a', details: { sha256_hash: file.sha256 } }])
  const good = { ...JSON.parse(fromUtf8(files.get('bundle.json')!)), artifacts: [file] }
  let tried = 0
  for (const odd of oddities(good)) {
    tried++
    const bundle = signed(new Map([...files, ['bundle.json', toUtf8(JSON.stringify(odd))]]))
    const { ok, fault } = await verifyBundle(bundle, primitives)
    assert.ok(ok || fault, JSON.stringify(odd))
  }
  assert.ok(tried > 200, String(tried))
})

test('events that tell of whatever are a fault or a verdict, and no crash', async () => {
  const acts = [
    'approval.consumed',
    'run.created',
    'ticket.updated',
    'ticket.approved',
    'artifact.uploaded',
    'signing_key.enrolled',
  ]
  for (const act of [...acts, 'log.dropped', 'payload.erased', 'project.checkpoint'])
    for (const odd of [
      ...ODD,
      { version: {} },
      { run_of_ticket: {} },
      { approval_id: {} },
      { sha256_hash: [] },
      { signature: 'x' },
    ]) {
      const { ok, fault } = await verdict([opened, { act, res: 't', details: odd as object }])
      assert.ok(ok || fault, `${act} ${JSON.stringify(odd)}`)
    }
})

test('a journal of whatever form is a fault or a verdict, and no crash', async () => {
  const journal = {
    accepted_at: '2026-11-22T00:00:00.000Z',
    asked_by: null,
    attempts: [{ attempt: 1, ended_at: 'x', error_code: null, outcome: 'completed', started_at: null }],
    error_code: null,
    handler: 'h',
    input_sha256: null,
    output_sha256: null,
    queue: 'q',
    run: 'r',
    settled_at: '2026-11-22T00:00:01.000Z',
    state: 'completed',
    v: 1,
  }
  const told = async (value: unknown) => {
    const bytes = toUtf8(JSON.stringify(value))
    const end: BundleEvent = { ...ran(0, 'run.completed'), details: { journal_sha256: toHex(sha256(bytes)) } }
    return verifyBundle(
      signed(new Map([...(await makeBundle([opened, end])), ['tasks/r/journal.json', bytes]])),
      primitives,
    )
  }
  const good = await told(journal)
  assert.deepEqual(good.fault, undefined)
  assert.match(JSON.stringify(good.checks), /task r: h completed, asked for by nobody/)
  for (const odd of oddities(journal)) {
    const { ok, fault } = await told(odd)
    assert.ok(ok || fault, JSON.stringify(odd))
  }
  assert.equal((await told({ ...journal, run: 'other' })).fault?.code, 'RECORD_CHANGED')
})
