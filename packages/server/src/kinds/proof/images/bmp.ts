// BMP without compression: 1, 4 and 8 bits with a palette, 16, 24 and 32 bits plain or with the usual bit fields.
import { boundedPixels, ImageError, type Picture } from './picture.ts'

/** Decodes an uncompressed BMP. */
export function decodeBmp(bytes: Uint8Array): Picture {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 54) throw new ImageError('BMP is cut short')
  const offset = view.getUint32(10, true)
  const headerSize = view.getUint32(14, true)
  if (headerSize < 40) throw new ImageError('BMP has an unknown header')
  const width = view.getInt32(18, true)
  const height = Math.abs(view.getInt32(22, true))
  const bits = view.getUint16(28, true)
  const compression = view.getUint32(30, true)
  boundedPixels(width, height)
  // 0 is plain, 3 gives the places of the channels; they change colours, not whether there is a picture.
  if (compression !== 0 && !(compression === 3 && bits >= 16))
    throw new ImageError('BMP is compressed; convert the picture to PNG')
  if (![1, 4, 8, 16, 24, 32].includes(bits)) throw new ImageError(`BMP has ${bits} bits per pixel`)
  const stride = Math.ceil((width * bits) / 32) * 4
  if (offset < 54 || offset + stride * height > bytes.length) throw new ImageError('BMP is cut short')

  const channels = bits >= 24 ? 3 : bits === 16 ? 2 : 3
  const samples = new Uint8Array(width * height * channels)
  const paletteAt = 14 + headerSize
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * channels
      const bit = x * bits
      const from = offset + y * stride + (bit >> 3)
      if (bits >= 16) {
        for (let channel = 0; channel < channels; channel++) samples[to + channel] = bytes[from + channel]!
        continue
      }
      const index = (bytes[from]! >> (8 - bits - (bit & 7))) & (2 ** bits - 1)
      const colour = paletteAt + index * 4
      if (colour + 4 > offset) throw new ImageError('BMP names a colour that its palette lacks')
      for (let channel = 0; channel < 3; channel++) samples[to + channel] = bytes[colour + channel]!
    }
  }
  return { width, height, samples, channels, frames: 1 }
}
