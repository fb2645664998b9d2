import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildLog, leafHashes, makeEntries, makeKey, sha256, tileReader, verifyEd25519 } from '../test/memory-log.ts'
import {
  addSignatures,
  cosignText,
  formatLogProof,
  parseLogProof,
  parseNote,
  proveInclusion,
  verifyLogProof,
} from './index.ts'

const hash = sha256
const verify = verifyEd25519
const log = makeKey('example.org/log')
const witnesses = ['w1', 'w2', 'w3'].map(makeKey)
const entries = makeEntries(300)
const leaves = leafHashes(entries)

async function prove(index: number, cosigners = 2): Promise<string> {
  const files = await buildLog(entries, log)
  let checkpoint = Buffer.from(files.get('checkpoint')!).toString()
  const { text } = parseNote(checkpoint)
  for (const witness of witnesses.slice(0, cosigners)) {
    checkpoint = addSignatures(checkpoint, [await cosignText(text, witness, 1_700_000_000, witness.sign, hash)])
  }
  const hashes = await proveInclusion({ size: 300, index, readTile: tileReader(files), hash })
  return formatLogProof({ index, hashes, checkpoint })
}

const trust = { vkeys: [log.vkey], witnesses: witnesses.map((witness) => witness.witnessVkey), hash, verify }

test('a proof verifies offline and names who vouched and when', async () => {
  const proof = await prove(77)
  assert.match(proof, /^c2sp\.org\/tlog-proof@v1\nindex 77\n/)
  assert.equal(formatLogProof(parseLogProof(proof)), proof)
  const verdict = await verifyLogProof({ proof, leaf: leaves[77]!, quorum: 2, ...trust })
  assert.ok(verdict.ok)
  assert.equal(verdict.checkpoint.size, 300)
  assert.deepEqual(
    verdict.signers.map((signer) => [signer.name, signer.time]),
    [
      ['example.org/log', undefined],
      ['w1', 1_700_000_000],
      ['w2', 1_700_000_000],
    ],
  )
})

test('extra data is carried and proves nothing', async () => {
  const { index, hashes, checkpoint } = parseLogProof(await prove(77))
  const proof = formatLogProof({ extra: Uint8Array.of(1, 2, 3), index, hashes, checkpoint })
  assert.match(proof, /^c2sp\.org\/tlog-proof@v1\nextra AQID\nindex 77\n/)
  assert.deepEqual(parseLogProof(proof).extra, Uint8Array.of(1, 2, 3))
  assert.ok((await verifyLogProof({ proof, leaf: leaves[77]!, ...trust })).ok)
})

test('a proof that does not hold says why', async () => {
  const proof = await prove(77)
  const code = async (claim: Partial<Parameters<typeof verifyLogProof>[0]>) => {
    const verdict = await verifyLogProof({ proof, leaf: leaves[77]!, ...trust, ...claim })
    return verdict.ok ? 'ok' : verdict.code
  }
  assert.equal(await code({ leaf: leaves[78]! }), 'PROOF_INVALID')
  assert.equal(await code({ proof: proof.replace('index 77', 'index 78') }), 'PROOF_INVALID')
  assert.equal(await code({ quorum: 3 }), 'QUORUM_NOT_MET')
  assert.equal(await code({ witnesses: [], quorum: 1 }), 'QUORUM_NOT_MET')
  assert.equal(await code({ vkeys: [makeKey('example.org/log').vkey] }), 'CHECKPOINT_SIGNATURE')
  assert.equal(await code({ origin: 'example.org/other' }), 'CHECKPOINT_ORIGIN')
  assert.equal(await code({ proof: proof.replace('\n300\n', '\n301\n') }), 'CHECKPOINT_SIGNATURE')
  for (const bad of [
    '',
    proof.replace('@v1', '@v2'),
    proof.replace('index 77', 'index 077'),
    proof.replace('index 77\n', ''),
    proof.replace('\n\n', '\n'),
    proof.replace('index 77\n', 'index 77\nAAAA\n'),
  ]) {
    assert.equal(await code({ proof: bad }), 'PROOF_MALFORMED', bad.slice(0, 40))
  }
})

test('one witness with two keys is one witness', async () => {
  const proof = await prove(77, 1)
  const twin = makeKey('w1')
  const { checkpoint, index, hashes } = parseLogProof(proof)
  const second = await cosignText(parseNote(checkpoint).text, twin, 1_700_000_001, twin.sign, hash)
  const doubled = formatLogProof({ index, hashes, checkpoint: addSignatures(checkpoint, [second]) })
  const verdict = await verifyLogProof({
    proof: doubled,
    leaf: leaves[77]!,
    ...trust,
    witnesses: [...trust.witnesses, twin.witnessVkey],
    quorum: 2,
  })
  assert.equal(verdict.ok ? 'ok' : verdict.code, 'QUORUM_NOT_MET')
})
