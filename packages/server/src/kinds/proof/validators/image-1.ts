import { Type } from 'typebox'
import { decodeImage, imageFormats, recogniseImage } from '../images/image.ts'
import { ImageError, isBlank, largestImageFile } from '../images/picture.ts'
import { versionsOf } from '../libraries.ts'
import { fileValidator, finding } from '../validator.ts'

const Pixels = Type.Integer({ minimum: 1, maximum: 65_535 })

/**
 * The file is a picture that decodes to its last pixel (PNG, JPEG, GIF, uncompressed BMP), has the wanted width and height in pixels
 * and is not blank, unless `allow_blank`. Says nothing about where the picture comes from or what it shows. WebP is recognised and refused.
 */
export const image1 = fileValidator({
  name: 'image',
  version: 1,
  params: Type.Object(
    {
      formats: Type.Optional(Type.Array(Type.Enum([...imageFormats]), { minItems: 1, uniqueItems: true })),
      min_width: Type.Optional(Pixels),
      max_width: Type.Optional(Pixels),
      min_height: Type.Optional(Pixels),
      max_height: Type.Optional(Pixels),
      allow_blank: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  libraries: versionsOf('fast-png', 'jpeg-js'),
  examineParams: (params) =>
    (['width', 'height'] as const)
      .filter((side) => (params[`min_${side}`] ?? 1) > (params[`max_${side}`] ?? 65_535))
      .map((side) => ({
        path: `/min_${side}`,
        message: `min_${side} is larger than max_${side}`,
        code: 'PARAMS_INVALID',
      })),

  async check(evidence, params) {
    if (evidence.size > largestImageFile) {
      return finding([`Image is too large: ${evidence.size} bytes, the limit is ${largestImageFile}`], [], {
        format: 'unknown',
      })
    }
    const bytes = await evidence.bytes()
    const format = recogniseImage(bytes)
    if (!format) return finding([`Not an image: ${evidence.name}`], [], { format: 'unknown' })
    const errors: string[] = []
    const warnings: string[] = []
    if (params.formats && !params.formats.includes(format)) {
      errors.push(`Format ${format} is not allowed for file: ${evidence.name} (allowed: ${params.formats.join(', ')})`)
    }
    const extension = /\.([^.]+)$/.exec(evidence.name)?.[1]?.toLowerCase().replace('jpg', 'jpeg')
    if (extension !== format) warnings.push(`File name does not say ${format}: ${evidence.name}`)
    try {
      const picture = decodeImage(format, bytes)
      const { width, height, frames } = picture
      const blank = isBlank(picture)
      if (blank && !params.allow_blank) errors.push('Image is blank')
      for (const [side, size] of [
        ['width', width],
        ['height', height],
      ] as const) {
        const least = params[`min_${side}`]
        const most = params[`max_${side}`]
        if (least !== undefined && size < least)
          errors.push(`Image ${side} is ${size} pixels, at least ${least} required`)
        if (most !== undefined && size > most) errors.push(`Image ${side} is ${size} pixels, at most ${most} allowed`)
      }
      return finding(errors, warnings, { format, width, height, frames, blank })
    } catch (error) {
      if (!(error instanceof ImageError)) throw error
      return finding([...errors, `Invalid image: ${error.message}`], warnings, { format })
    }
  },
})
