// The open set of validators: one line each. A published line is never removed or changed, only joined by a newer version.
import { citation, type Validator } from './validator.ts'
import { configDiff1, configDiff2, configDiff3, configDiff4 } from './validators/config-diff.ts'
import { configFormat1, configFormat2, configFormat3, configFormat4 } from './validators/config-format.ts'
import { fields1, fields2, fields3, fields4, fields5 } from './validators/fields.ts'
import { fileHash1 } from './validators/file-hash-1.ts'
import { image1 } from './validators/image-1.ts'
import { jsonSchema1, jsonSchema2, jsonSchema3 } from './validators/json-schema.ts'
import { size1 } from './validators/size-1.ts'

const validators: readonly Validator[] = [
  fileHash1, //
  configFormat1,
  configFormat2,
  configFormat3,
  configFormat4,
  fields1,
  fields2,
  fields3,
  fields4,
  fields5,
  jsonSchema1,
  jsonSchema2,
  jsonSchema3,
  size1,
  image1,
  configDiff1,
  configDiff2,
  configDiff3,
  configDiff4,
]

const byCitation = new Map(validators.map((validator) => [citation(validator), validator]))

/** The validator cited as `config_format@1`, or undefined. */
export function findValidator(cited: string): Validator | undefined {
  return byCitation.get(cited)
}

/** The newest version of the validator that is cited, if it is another one. */
export function newerThan(cited: string): string | undefined {
  const found = findValidator(cited)
  const newest = validators.filter(({ name }) => name === found?.name).toSorted((a, b) => b.version - a.version)[0]
  return newest && newest !== found ? citation(newest) : undefined
}

/** All validators, in a fixed order. */
export function listValidators(): readonly Validator[] {
  return validators
}
