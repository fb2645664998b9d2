/** Something wrong in a definition, as a value: where (JSON Pointer), what (a sentence) and a code that programs may match. */
export interface Problem {
  readonly path: string
  readonly message: string
  readonly code: ProblemCode
}

export type ProblemCode =
  | 'RULE_SET_INVALID'
  | 'VALIDATOR_UNKNOWN'
  | 'VALIDATOR_RETIRED'
  | 'PARAMS_INVALID'
  | 'REGEX_INVALID'
  | 'SCHEMA_INVALID'
  | 'GLOB_INVALID'
  | 'SECRET_IN_RULES'
  | 'NOTHING_TO_CHECK'
