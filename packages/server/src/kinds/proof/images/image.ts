// Pictures as evidence: decoded to the last pixel, because a header alone proves nothing. Sizes are read and bounded before any
// decoder allocates.
import { decodeBmp } from './bmp.ts'
import { decodeGif } from './gif.ts'
import { decodeJpeg } from './jpeg.ts'
import { ImageError, type Picture } from './picture.ts'
import { decodePng } from './png.ts'

export const imageFormats = ['png', 'jpeg', 'gif', 'webp', 'bmp'] as const
export type ImageFormat = (typeof imageFormats)[number]

/** The format that the first bytes show, whatever the name says. */
export function recogniseImage(bytes: Uint8Array): ImageFormat | undefined {
  const starts = (...expected: number[]) => expected.every((byte, index) => bytes[index] === byte)
  const ascii = (from: number, to: number) => String.fromCharCode(...bytes.subarray(from, to))
  if (starts(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)) return 'png'
  if (starts(0xff, 0xd8, 0xff)) return 'jpeg'
  if (ascii(0, 6) === 'GIF87a' || ascii(0, 6) === 'GIF89a') return 'gif'
  if (ascii(0, 4) === 'RIFF' && ascii(8, 12) === 'WEBP') return 'webp'
  return ascii(0, 2) === 'BM' ? 'bmp' : undefined
}

/** Decodes the whole picture. Throws ImageError for everything that is wrong with the file. */
export function decodeImage(format: ImageFormat, bytes: Uint8Array): Picture {
  switch (format) {
    case 'png':
      return decodePng(bytes)
    case 'jpeg':
      return decodeJpeg(bytes)
    case 'gif':
      return decodeGif(bytes)
    case 'bmp':
      return decodeBmp(bytes)
    case 'webp':
      // Road not taken: the WebAssembly decoder at hand keeps one memory for all files, so one crafted file could change the
      // verdict on the next. A later version of the validator may read WebP.
      throw new ImageError('WebP cannot be decoded; convert the picture to PNG')
  }
}
