import { createPublicKey, generateKeyPairSync, hash, sign, verify } from 'node:crypto'
import {
  createTreeHasher,
  formatVkey,
  type Hash,
  SIGNATURE_COSIGNATURE,
  SIGNATURE_ED25519,
  signCheckpoint,
  type VerifyEd25519,
} from '../src/index.ts'

// A log in a Map, built the slow and obvious way from the text of RFC 6962 and tlog-tiles: the yardstick of the tests.

export const sha256: Hash = (bytes) => hash('sha256', bytes, 'buffer')

export const verifyEd25519: VerifyEd25519 = (publicKey, message, signature) => {
  const x = Buffer.from(publicKey).toString('base64url')
  return verify(
    null,
    message,
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }),
    Buffer.from(signature),
  )
}

export type TestKey = ReturnType<typeof makeKey>

export function makeKey(name: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'))
  return {
    name,
    publicKey: raw,
    sign: (message: Uint8Array) => new Uint8Array(sign(null, message, privateKey)),
    vkey: formatVkey({ name, type: SIGNATURE_ED25519, publicKey: raw }, sha256),
    witnessVkey: formatVkey({ name, type: SIGNATURE_COSIGNATURE, publicKey: raw }, sha256),
  }
}

const { leaf, node } = createTreeHasher(sha256)

/** MTH of RFC 6962 section 2.1, word for word. */
export function treeHash(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256(new Uint8Array())
  if (leaves.length === 1) return leaves[0]!
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return node(treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split)))
}

export function makeEntries(count: number, from = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => new TextEncoder().encode(`entry ${from + i}`))
}

export function leafHashes(entries: readonly Uint8Array[]): Uint8Array[] {
  return entries.map((entry) => leaf(entry))
}

function groups(index: number): string {
  const digits = String(index)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0')
  const parts = padded.match(/.../g) ?? []
  return parts.map((part, i) => (i < parts.length - 1 ? `x${part}` : part)).join('/')
}

/** All files of the log with these entries, signed by `key` under its name as origin. */
export async function buildLog(entries: readonly Uint8Array[], key: TestKey): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  const name = (level: string | number, index: number, width: number) =>
    `tile/${level}/${groups(index)}${width === 256 ? '' : `.p/${width}`}`
  for (let at = 0; at < entries.length; at += 256) {
    const some = entries.slice(at, at + 256)
    const bundle = some.flatMap((entry) => [Uint8Array.of(entry.length >> 8, entry.length & 255), entry])
    files.set(name('entries', at / 256, some.length), Buffer.concat(bundle))
  }
  const leaves = leafHashes(entries)
  let row = leaves
  for (let level = 0; row.length > 0; level++) {
    const above: Uint8Array[] = []
    for (let at = 0; at < row.length; at += 256) {
      const some = row.slice(at, at + 256)
      files.set(name(level, at / 256, some.length), Buffer.concat(some))
      if (some.length === 256) above.push(treeHash(some))
    }
    row = above
  }
  const checkpoint = { origin: key.name, size: entries.length, root: treeHash(leaves) }
  files.set('checkpoint', Buffer.from(await signCheckpoint(checkpoint, key, key.sign, sha256)))
  return files
}

/** A reader of hash tiles over such a log. */
export function tileReader(files: ReadonlyMap<string, Uint8Array>) {
  return async (level: number, index: number, width: number) => {
    const tile = files.get(`tile/${level}/${groups(index)}${width === 256 ? '' : `.p/${width}`}`)
    if (!tile) throw new Error(`no tile ${level}/${index}, width ${width}`)
    return tile
  }
}
