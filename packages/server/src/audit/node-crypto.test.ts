import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '@writ/tlog'
import { generateEd25519Key, parseEd25519Key, sha256, verifyEd25519 } from './node-crypto.ts'

test('SHA-256 is SHA-256', () => {
  assert.equal(toHex(sha256(Buffer.from('abc'))), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('a signature verifies with its key, message and bytes only', async () => {
  const key = generateEd25519Key()
  const message = Buffer.from('message')
  const signature = await key.sign(message)
  assert.equal(signature.length, 64)
  assert.equal(verifyEd25519(key.publicKey, message, signature), true)
  assert.equal(verifyEd25519(generateEd25519Key().publicKey, message, signature), false)
  assert.equal(verifyEd25519(key.publicKey, Buffer.from('other'), signature), false)
  assert.equal(verifyEd25519(key.publicKey, message, signature.subarray(1)), false)
  assert.equal(verifyEd25519(new Uint8Array(5), message, signature), false)
})

test('a key comes back from its PEM text', () => {
  const key = generateEd25519Key()
  assert.deepEqual(parseEd25519Key(key.privatePem).publicKey, key.publicKey)
  assert.throws(() => parseEd25519Key('nonsense'))
})
