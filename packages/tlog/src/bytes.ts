const encoder = new TextEncoder()
// ignoreBOM keeps a byte order mark in the text: it would otherwise vanish, and two byte strings would read as one text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** UTF-8 bytes of a text. Throws on a lone surrogate, which has no UTF-8 form and would silently become U+FFFD. */
export function toUtf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new Error('the text holds a lone surrogate, which has no UTF-8 form')
  return encoder.encode(text)
}

/** The text of UTF-8 bytes. Throws on anything that is not UTF-8; keeps a byte order mark. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    // Each engine has other words for it, and what is found wrong is the same everywhere.
    throw new Error('not text in UTF-8', { cause })
  }
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

const hexPairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  let hex = ''
  for (let i = 0; i < bytes.length; i++) hex += hexPairs[bytes[i]!]
  return hex
}

/** Bytes of lower-case hexadecimal. Throws on upper case, odd length or any other character. */
export function fromHex(hex: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw new Error('not lower-case hexadecimal')
  const bytes = new Uint8Array(hex.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

/** Standard base64 with padding (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary)
}

/** Bytes of standard base64. Throws unless the text is exactly what `toBase64` would write: one text per byte string. */
export function fromBase64(text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new Error('not standard base64')
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i)
  if (toBase64(bytes) !== text) throw new Error('base64 with stray trailing bits')
  return bytes
}

/** A count or index as the formats write it: ASCII decimal, no leading zero, at most 2^53 - 1. Null for anything else. */
export function parseDecimal(text: string): number | null {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : null
}
