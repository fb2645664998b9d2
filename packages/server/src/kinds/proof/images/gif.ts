// GIF 87a and 89a, every frame's LZW data decoded to its last pixel. Source: the GIF89a specification, appendix F for the codes.
import { boundedPixels, ImageError, mostPixels, type Picture } from './picture.ts'

/** Decodes a GIF: pixels of the first frame, and all other frames checked. */
export function decodeGif(bytes: Uint8Array): Picture {
  const reader = createReader(bytes, 6)
  const width = reader.word()
  const height = reader.word()
  boundedPixels(width, height)
  const globalPalette = palette(reader, reader.byte(), () => reader.skip(2))
  let first: Picture | undefined
  let frames = 0
  let pixels = 0
  for (;;) {
    const introducer = reader.byte()
    if (introducer === 0x3b) break
    if (introducer === 0x21) {
      reader.skip(1)
      reader.blocks()
      continue
    }
    if (introducer !== 0x2c) throw new ImageError('GIF has an unknown block')
    reader.skip(4)
    const frameWidth = reader.word()
    const frameHeight = reader.word()
    const size = boundedPixels(frameWidth, frameHeight)
    pixels += size
    if (pixels > mostPixels * 2) throw new ImageError('GIF has too many frames to decode')
    const colours = palette(reader, reader.byte(), () => {}) ?? globalPalette
    if (!colours) throw new ImageError('GIF has no palette')
    const indexes = decodeLzw(reader.byte(), reader.blocks(), size)
    frames++
    first ??= { width, height, samples: coloured(indexes, colours), channels: 3, frames: 1 }
  }
  if (!first) throw new ImageError('GIF has no frames')
  return { ...first, frames }
}

function createReader(bytes: Uint8Array, start: number) {
  let at = start
  const byte = () => {
    const value = bytes[at++]
    if (value === undefined) throw new ImageError('GIF is cut short')
    return value
  }
  const take = (length: number) => {
    if (at + length > bytes.length) throw new ImageError('GIF is cut short')
    at += length
    return bytes.subarray(at - length, at)
  }
  return {
    byte,
    take,
    word: () => byte() | (byte() << 8),
    skip: (length: number) => void take(length),
    blocks: () => {
      const parts: Uint8Array[] = []
      for (let length = byte(); length > 0; length = byte()) parts.push(take(length))
      return Buffer.concat(parts)
    },
  }
}

function palette(reader: ReturnType<typeof createReader>, flags: number, between: () => void): Uint8Array | undefined {
  between()
  return flags & 0x80 ? reader.take(3 * 2 ** ((flags & 7) + 1)) : undefined
}

function coloured(indexes: Uint8Array, colours: Uint8Array): Uint8Array {
  const samples = new Uint8Array(indexes.length * 3)
  for (const [pixel, index] of indexes.entries()) samples.set(colours.subarray(index * 3, index * 3 + 3), pixel * 3)
  return samples
}

function decodeLzw(minimum: number, data: Uint8Array, size: number): Uint8Array {
  if (minimum < 2 || minimum > 8) throw new ImageError('GIF has a wrong code size')
  const clear = 1 << minimum
  const prefix = new Uint16Array(4096)
  const suffix = new Uint8Array(4096)
  const length = new Uint16Array(4096)
  for (let code = 0; code < clear; code++) {
    suffix[code] = code
    length[code] = 1
  }
  const out = new Uint8Array(size)
  let filled = 0
  let next = clear + 2
  let width = minimum + 1
  let previous = -1
  let bits = 0
  let held = 0
  let at = 0
  while (filled < size) {
    while (held < width) {
      const byte = data[at++]
      if (byte === undefined) throw new ImageError('GIF pixel data are cut short')
      bits |= byte << held
      held += 8
    }
    const code = bits & ((1 << width) - 1)
    bits >>>= width
    held -= width
    if (code === clear) {
      next = clear + 2
      width = minimum + 1
      previous = -1
      continue
    }
    if (code === clear + 1) throw new ImageError('GIF pixel data are cut short')
    if (code > next || (code === next && previous < 0) || (previous < 0 && code > clear))
      throw new ImageError('GIF pixel data are damaged')

    // A code that is being defined by this very step stands for the previous string and its own first byte.
    const defining = code === next
    const string = defining ? previous : code
    const count = length[string]!
    let first = 0
    for (let walk = string, place = filled + count - 1; place >= filled; place--, walk = prefix[walk]!) {
      first = suffix[walk]!
      if (place < size) out[place] = first
    }
    filled += count
    if (defining && filled < size) out[filled] = first
    if (defining) filled++
    if (previous >= 0 && next < 4096) {
      prefix[next] = previous
      suffix[next] = first
      length[next] = length[previous]! + 1
      next++
      if (next === 1 << width && width < 12) width++
    }
    previous = code
  }
  return out
}
