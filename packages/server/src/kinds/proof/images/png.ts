// PNG: the chunks are walked and their checksums compared here; the decoder then sees only the chunks that make pixels, so neither a
// compressed comment nor a profile can expand into memory.
import { crc32, inflateSync } from 'node:zlib'
import { decode } from 'fast-png'
import { boundedPixels, ImageError, type Picture } from './picture.ts'

const pixelChunks = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND'])

interface Chunk {
  type: string
  data: Uint8Array
  /** The chunk as it stands in the file, length and checksum included. */
  whole: Uint8Array
}

/** Decodes a PNG (first frame of an animated one). */
export function decodePng(bytes: Uint8Array): Picture {
  const chunks = chunksOf(bytes)
  const header = chunks[0]
  if (header?.type !== 'IHDR' || header.data.length !== 13) throw new ImageError('PNG does not begin with its header')
  if (chunks.at(-1)?.type !== 'IEND') throw new ImageError('PNG is cut short')
  const view = new DataView(header.data.buffer, header.data.byteOffset, 13)
  const width = view.getUint32(0)
  const height = view.getUint32(4)
  boundedPixels(width, height)
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[view.getUint8(9)]
  const bits = view.getUint8(8)
  if (channels === undefined || ![1, 2, 4, 8, 16].includes(bits)) throw new ImageError('PNG has an unknown colour type')
  const plain = (Math.ceil((width * channels * bits) / 8) + 1) * height
  // Interlaced pictures have some filter bytes more, and none has fewer bytes than its pixels need.
  const least = view.getUint8(12) === 0 ? plain : Math.ceil((width * height * channels * bits) / 8)
  boundedInflate(chunks, least, plain * 2 + 4096)

  const kept = chunks.filter(({ type }) => pixelChunks.has(type)).map(({ whole }) => whole)
  try {
    const image = decode(Buffer.concat([bytes.subarray(0, 8), ...kept]), { checkCrc: true })
    if (image.palette) return paletted(image.width, image.height, image.depth, image.data, image.palette)
    if (image.depth < 8)
      return {
        width,
        height,
        samples: unpacked(image.width, image.height, image.depth, image.data, 255 / (2 ** image.depth - 1)),
        channels: 1,
        frames: 1,
      }
    return { width: image.width, height: image.height, samples: image.data, channels: image.channels, frames: 1 }
  } catch (error) {
    if (error instanceof ImageError) throw error
    throw new ImageError(`PNG cannot be decoded: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function chunksOf(bytes: Uint8Array): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const chunks: Chunk[] = []
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at)
    if (end > bytes.length) throw new ImageError('PNG is cut short')
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8))
    if (crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4))
      throw new ImageError(`PNG chunk ${printable(type)} has a wrong checksum`)
    chunks.push({ type, data: bytes.subarray(at + 8, end - 4), whole: bytes.subarray(at, end) })
    if (type === 'IEND') break
    at = end
  }
  return chunks
}

function printable(type: string): string {
  return type.replace(/[^A-Za-z]/g, '?')
}

// The decoder inflates without a limit; this finds out first, and that the data are all there.
function boundedInflate(chunks: readonly Chunk[], least: number, limit: number): void {
  const data = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map((chunk) => chunk.data))
  if (data.length === 0) throw new ImageError('PNG has no pixel data')
  let size: number
  try {
    size = inflateSync(data, { maxOutputLength: limit }).byteLength
  } catch (error) {
    const tooMuch = error instanceof RangeError
    throw new ImageError(
      tooMuch ? 'PNG expands to more than its size allows' : 'PNG pixel data are damaged or cut short',
    )
  }
  if (size < least) throw new ImageError('PNG pixel data are cut short')
}

type Samples = Picture['samples']

function unpacked(width: number, height: number, depth: number, data: Samples, scale = 1): Uint8Array {
  if (depth === 8) return Uint8Array.from(data)
  const stride = Math.ceil((width * depth) / 8)
  const most = 2 ** depth - 1
  const samples = new Uint8Array(width * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth
      const byte = data[y * stride + (bit >> 3)]
      if (byte === undefined) throw new ImageError('PNG pixel data are cut short')
      samples[y * width + x] = ((byte >> (8 - depth - (bit & 7))) & most) * scale
    }
  }
  return samples
}

function paletted(width: number, height: number, depth: number, data: Samples, palette: number[][]): Picture {
  const indexes = unpacked(width, height, depth, data)
  const samples = new Uint8Array(width * height * 3)
  for (const [pixel, index] of indexes.entries()) {
    const colour = palette[index]
    if (!colour) throw new ImageError('PNG names a colour that its palette lacks')
    samples.set(colour.slice(0, 3), pixel * 3)
  }
  return { width, height, samples, channels: 3, frames: 1 }
}
