import { createHash } from 'node:crypto'
import { Type } from 'typebox'
import { fileValidator, finding } from '../validator.ts'

const Sha256 = Type.String({ pattern: '^[0-9a-fA-F]{64}$' })

/**
 * SHA-256 of the file, in constant memory, against the expected hash: `params.expected[name]`, else what was announced for the file,
 * else `params.expected_hash`. Without any the file is valid, unless `require_expected` is set.
 */
export const fileHash1 = fileValidator({
  name: 'file_hash',
  version: 1,
  params: Type.Object(
    {
      expected_hash: Type.Optional(Sha256),
      expected: Type.Optional(Type.Record(Type.String(), Sha256)),
      require_expected: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  libraries: {},
  async check(evidence, params) {
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of evidence.stream()) {
      hash.update(chunk)
      size += chunk.byteLength
    }
    const computed = hash.digest('hex')
    const named =
      params.expected && Object.hasOwn(params.expected, evidence.name) ? params.expected[evidence.name] : undefined
    const expected = named ?? evidence.expectedSha256 ?? params.expected_hash ?? null
    const errors: string[] = []
    if (expected !== null && expected.trim().toLowerCase() !== computed)
      errors.push(`Hash mismatch: expected ${expected}, got ${computed}`)
    if (expected === null && params.require_expected) errors.push(`No expected hash for file: ${evidence.name}`)
    return finding(errors, [], { computed_hash: computed, expected_hash: expected, file_size: size })
  },
})
