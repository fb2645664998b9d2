// What the decoders give, and the bounds that they keep.

export const largestImageFile = 20 * 1_048_576
/** 25 million pixels: 100 MB once decoded to RGBA. */
export const mostPixels = 25_000_000

export interface Picture {
  readonly width: number
  readonly height: number
  /** Samples of the first frame, `channels` per pixel, row by row. */
  readonly samples: Uint8Array | Uint8ClampedArray | Uint16Array
  readonly channels: number
  readonly frames: number
}

/** A file that is not the picture it says it is. The message is for the person who uploaded it. */
export class ImageError extends Error {}

/** Refuses sizes that no decoder should be asked for. */
export function boundedPixels(width: number, height: number): number {
  if (width < 1 || height < 1) throw new ImageError(`the picture has no pixels (${width} x ${height})`)
  if (width * height > mostPixels) throw new ImageError(`the picture is too large to decode (${width} x ${height})`)
  return width * height
}

/** Whether every pixel is the first one, give or take the noise of lossy compression. */
export function isBlank({ samples, channels }: Picture): boolean {
  const tolerance = samples instanceof Uint16Array ? 3 * 257 : 3
  for (let index = channels; index < samples.length; index++) {
    if (Math.abs((samples[index] ?? 0) - (samples[index % channels] ?? 0)) > tolerance) return false
  }
  return true
}
