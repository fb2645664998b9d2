import { Type } from 'typebox'
import { fileValidator, finding } from '../validator.ts'

const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** The file's size in bytes lies within `min_bytes` and `max_bytes`, both included; an empty file fails unless `allow_empty`. */
export const size1 = fileValidator({
  name: 'size',
  version: 1,
  params: Type.Object(
    { min_bytes: Type.Optional(Bytes), max_bytes: Type.Optional(Bytes), allow_empty: Type.Optional(Type.Boolean()) },
    { additionalProperties: false },
  ),
  libraries: {},
  examineParams: ({ min_bytes = 0, max_bytes = Number.MAX_SAFE_INTEGER }) =>
    min_bytes > max_bytes
      ? [{ path: '/min_bytes', message: 'min_bytes is larger than max_bytes', code: 'PARAMS_INVALID' }]
      : [],
  async check(evidence, params) {
    let size = 0
    for await (const chunk of evidence.stream()) size += chunk.byteLength
    const errors: string[] = []
    if (size === 0 && !params.allow_empty) errors.push(`File is empty: ${evidence.name}`)
    if (params.min_bytes !== undefined && size < params.min_bytes)
      errors.push(`File is too small: ${size} bytes, at least ${params.min_bytes} required`)
    if (params.max_bytes !== undefined && size > params.max_bytes)
      errors.push(`File is too large: ${size} bytes, at most ${params.max_bytes} allowed`)
    return finding(errors, [], { file_size: size })
  },
})
