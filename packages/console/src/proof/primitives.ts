import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { createSubtleVerify, type SubtleVerify, spkiOf, type VerifyEd25519 } from '@writ/tlog'

// The browser's own type wants buffers that are not shared; ours never are. On a page without TLS there is none, and then
// nobody can log in either.
const subtle = crypto.subtle as unknown as SubtleVerify

/** What @writ/tlog takes as arguments, from this browser. */
const verify = createSubtleVerify(subtle)
export const primitives = { sha256, sha512, verify }
export const verifyEd25519: VerifyEd25519 = (publicKey, message, signature) =>
  publicKey.length === 32 && verify({ algorithm: 'ed25519', spki: spkiOf(publicKey) }, message, signature)
