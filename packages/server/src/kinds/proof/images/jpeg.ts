import jpeg from 'jpeg-js'
import { boundedPixels, ImageError, mostPixels, type Picture } from './picture.ts'

/** Decodes a baseline or progressive JPEG, strictly. */
export function decodeJpeg(bytes: Uint8Array): Picture {
  const end = endOfImage(bytes)
  if (end === undefined) throw new ImageError('JPEG is cut short')
  try {
    const image = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: mostPixels / 1e6,
      maxMemoryUsageInMB: 512,
    })
    boundedPixels(image.width, image.height)
    return { width: image.width, height: image.height, samples: image.data, channels: 3, frames: 1 }
  } catch (error) {
    // The library throws strings' Errors of every class for bad files and has no state to break.
    throw new ImageError(`JPEG cannot be decoded: ${error instanceof Error ? error.message : String(error)}`)
  }
}

// Entropy-coded data escape every FF byte, so a bare FFD9 is the end marker. Thumbnails have their own; the last one counts.
function endOfImage(bytes: Uint8Array): number | undefined {
  for (let at = bytes.length - 2; at >= 2; at--) {
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return at
  }
  return undefined
}
