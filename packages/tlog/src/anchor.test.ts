import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import {
  buildLog,
  leafHashes,
  makeEntries,
  makeKey,
  sha256,
  type TestKey,
  tileReader,
  treeHash,
  verifyEd25519,
} from '../test/memory-log.ts'
import {
  type Anchor,
  addSignatures,
  commitment,
  cosignText,
  encodeEntry,
  formatLogProof,
  parseNote,
  parsePolicy,
  proveConsistency,
  proveInclusion,
  signCheckpoint,
  verifyAnchor,
  verifyAnchoredEntry,
} from './index.ts'

const hash = sha256
const verify = verifyEd25519
const project = makeKey('writ.log/project')
const instance = makeKey('writ.log/instance')
const witness = makeKey('witness.example/w')
const salt = new Uint8Array(32).fill(7)
const entries = makeEntries(400)
const rootOf = (size: number, some = entries) => treeHash(leafHashes(some.slice(0, size)))
const policy = parsePolicy(`log ${instance.vkey}\nwitness W ${witness.witnessVkey}\nquorum W`, hash)
const trust = { policy, hash, verify }

const event = (size: number, root: Uint8Array, origin = project.name) =>
  Buffer.from(
    JSON.stringify({
      event_type: 'project.checkpoint',
      details: { origin, size, root: Buffer.from(root).toString('base64') },
    }),
  )

async function anchorOf(
  payload: Uint8Array,
  cosigner: TestKey | null = witness,
  act = 'project.checkpoint',
): Promise<Anchor> {
  const entry = encodeEntry({
    v: 1,
    id: '019aab00-0000-7000-8000-000000000001',
    t: '2026-11-22T16:00:00.000Z',
    seq: 0,
    actor: { kind: 'system', id: 'x' },
    act,
    res: 'p',
    pl: [{ n: 'event', c: commitment(payload, salt, hash), len: payload.length }],
  })
  const all = [...makeEntries(5), entry, ...makeEntries(3)]
  const note = await signCheckpoint(
    { origin: instance.name, size: 9, root: treeHash(leafHashes(all)) },
    instance,
    instance.sign,
    hash,
  )
  const cosigned = cosigner
    ? addSignatures(note, [await cosignText(parseNote(note).text, cosigner, 1_700_000_000, cosigner.sign, hash)])
    : note
  const hashes = await proveInclusion({ index: 5, size: 9, readTile: tileReader(await buildLog(all, instance)), hash })
  return { entry, payload, salt, proof: formatLogProof({ index: 5, hashes, checkpoint: cosigned }) }
}

async function proofOf(index: number, size: number, some = entries) {
  const readTile = tileReader(await buildLog(some.slice(0, size), project))
  const checkpoint = await signCheckpoint(
    { origin: project.name, size, root: rootOf(size, some) },
    project,
    project.sign,
    hash,
  )
  return formatLogProof({ index, hashes: await proveInclusion({ index, size, readTile, hash }), checkpoint })
}

let anchor: Anchor
let consistency: Uint8Array[]
before(async () => {
  anchor = await anchorOf(event(300, rootOf(300)))
  consistency = await proveConsistency({
    from: 120,
    to: 300,
    readTile: tileReader(await buildLog(entries.slice(0, 300), project)),
    hash,
  })
})
const claim = { vkeys: [project.vkey], trust }

test('an anchor shows the state that stands under the witnesses', async () => {
  const verdict = await verifyAnchor(anchor, trust)
  assert.ok(verdict.ok)
  assert.deepEqual(
    { origin: verdict.recorded.origin, size: verdict.recorded.size },
    { origin: 'writ.log/project', size: 300 },
  )
  assert.deepEqual(verdict.cosigners, [{ name: 'W', time: 1_700_000_000 }])
  assert.equal(verdict.index, 5)
})

test('an entry is anchored at the recorded size, or below it by a consistency proof', async () => {
  const at = await verifyAnchoredEntry({
    ...claim,
    entry: entries[77]!,
    proof: await proofOf(77, 300),
    consistency: [],
    anchor,
  })
  assert.equal(at.ok, true)
  const below = await verifyAnchoredEntry({
    ...claim,
    entry: entries[77]!,
    proof: await proofOf(77, 120),
    consistency,
    anchor,
  })
  assert.equal(below.ok, true)
})

test('an entry beyond the recorded size, or of another history, is not anchored', async () => {
  const forged = entries.with(3, Buffer.from('forged'))
  const cases: [string, { entry: Uint8Array; proof: string; consistency: Uint8Array[] }][] = [
    ['beyond', { entry: entries[350]!, proof: await proofOf(350, 400), consistency: [] }],
    ['without the proof', { entry: entries[77]!, proof: await proofOf(77, 120), consistency: [] }],
    ['rewritten', { entry: forged[3]!, proof: await proofOf(3, 120, forged), consistency }],
    ['rewritten, same size', { entry: forged[3]!, proof: await proofOf(3, 300, forged), consistency: [] }],
    ['another entry', { entry: entries[78]!, proof: await proofOf(77, 300), consistency: [] }],
  ]
  for (const [name, one] of cases)
    assert.equal((await verifyAnchoredEntry({ ...claim, ...one, anchor })).ok, false, name)
})

test('an anchor is refused when any link of it is another', async () => {
  const good = event(300, rootOf(300))
  const cases: [string, Anchor, string][] = [
    ['another event', { ...anchor, payload: event(299, rootOf(299)) }, 'ANCHOR_INVALID'],
    ['another salt', { ...anchor, salt: new Uint8Array(32) }, 'ANCHOR_INVALID'],
    ['another kind of entry', await anchorOf(good, witness, 'project.created'), 'ANCHOR_INVALID'],
    ['nobody cosigned', await anchorOf(good, null), 'QUORUM_NOT_MET'],
    ['a stranger cosigned', await anchorOf(good, makeKey(witness.name)), 'QUORUM_NOT_MET'],
    ['the entry is not there', { ...anchor, proof: anchor.proof.replace('index 5', 'index 4') }, 'PROOF_INVALID'],
    ['no entry', { ...anchor, entry: new Uint8Array() }, 'ANCHOR_INVALID'],
  ]
  for (const [name, one, code] of cases) {
    const verdict = await verifyAnchor(one, trust)
    assert.equal(!verdict.ok && verdict.code, code, name)
  }
})
