// A rule set says which validators look at which files, with what parameters. It is named and versioned, and its digest stands in every
// report, so that a verdict can be traced to the very rules that gave it.
import { createHash } from 'node:crypto'
import picomatch from 'picomatch'
import { type Static, type TSchema, Type } from 'typebox'
import { Errors } from 'typebox/schema'
import { isRedacted } from '../../platform/redact/index.ts'
import { canonicalJson } from './canonical-json.ts'
import type { Problem } from './problem.ts'
import { findValidator, listValidators, newerThan } from './registry.ts'
import { citation } from './validator.ts'

export const Rule = Type.Object(
  {
    validator: Type.String({ minLength: 1, maxLength: 100, description: 'Name and version, such as `fields@5`.' }),
    params: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    files: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description: 'Glob over file names, case ignored; all files if left out.',
      }),
    ),
    optional: Type.Optional(Type.Boolean({ description: 'Whether it is fine if no file matches `files`.' })),
  },
  { additionalProperties: false },
)
export type Rule = Static<typeof Rule>

export const RuleSet = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z0-9][a-z0-9_.-]{0,63}$' }),
    version: Type.String({ pattern: '^[0-9]+\\.[0-9]+\\.[0-9]+$' }),
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    rules: Type.Array(Rule, { maxItems: 100 }),
  },
  { additionalProperties: false },
)
export type RuleSet = Static<typeof RuleSet>

export type Examined = { ok: true; ruleSet: RuleSet } | { ok: false; problems: Problem[] }

/** Checks a rule set at definition: its shape, that its validators exist, their parameters, patterns, schemas and globs. Never throws. */
export function examineRuleSet(value: unknown): Examined {
  const shape = shapeProblems(RuleSet, value, '', 'RULE_SET_INVALID')
  if (shape.length > 0) return { ok: false, problems: shape }
  // The shape was checked on the line above.
  const ruleSet = value as RuleSet
  const problems = ruleSet.rules.flatMap((rule, index) => ruleProblems(rule, `/rules/${index}`))
  if (ruleSet.rules.length === 0)
    problems.push({ path: '/rules', message: 'The rule set has no rules', code: 'NOTHING_TO_CHECK' })
  // Rules of which a part was redacted would check something else than was written: kept as they are, or not at all.
  if (isRedacted(JSON.stringify(ruleSet)))
    problems.push({ path: '', message: 'Rules must not hold secrets or personal data', code: 'SECRET_IN_RULES' })
  return problems.length > 0 ? { ok: false, problems } : { ok: true, ruleSet }
}

/** SHA-256 over the canonical JSON of the rule set, in hex: equal rules, equal digest, whatever the order of their keys. */
export function ruleSetDigest(ruleSet: RuleSet): string {
  return createHash('sha256').update(canonicalJson(ruleSet)).digest('hex')
}

/** Which of these validators have newer versions. Rules keep to what they cite: who wants the newer one publishes them again. */
export const supersededIn = (validators: readonly string[]): { validator: string; newest: string }[] =>
  [...new Set(validators)].flatMap((validator) => {
    const newest = newerThan(validator)
    return newest === undefined ? [] : [{ validator, newest }]
  })

/** Whether the rule applies to a file of this name. */
export function appliesTo(rule: Rule, fileName: string): boolean {
  return rule.files === undefined || picomatch.isMatch(fileName, rule.files, globOptions)
}

// Brace ranges and extended globs can grow without bound; plain stars, question marks, classes and braces with commas cannot.
const globOptions = { nocase: true, dot: true, noextglob: true, nobrace: false, maxLength: 200, basename: true }

function ruleProblems(rule: Rule, path: string): Problem[] {
  const problems = globProblems(rule.files, `${path}/files`)
  const validator = findValidator(rule.validator)
  if (!validator) {
    const known = listValidators().map(citation).join(', ')
    return [
      ...problems,
      {
        path: `${path}/validator`,
        message: `Unknown validator: ${rule.validator} (known: ${known})`,
        code: 'VALIDATOR_UNKNOWN',
      },
    ]
  }
  const params = rule.params ?? {}
  const shape = shapeProblems(validator.params, params, `${path}/params`, 'PARAMS_INVALID')
  if (shape.length > 0) return [...problems, ...shape]
  const deeper = validator
    .examineParams(params)
    .map((problem) => ({ ...problem, path: `${path}/params${problem.path}` }))
  const retired = validator.retired?.(params)
  if (retired !== undefined) deeper.push({ path: `${path}/validator`, message: retired, code: 'VALIDATOR_RETIRED' })
  return [...problems, ...deeper]
}

function globProblems(glob: string | undefined, path: string): Problem[] {
  if (glob === undefined) return []
  // Several stars that are not neighbours make the matcher backtrack; nobody needs more than this for a file name.
  const stars = glob.match(/\*+/g)?.length ?? 0
  if (stars > 4 || /[+@!?*]\(|\.\.|\(/.test(glob)) {
    return [{ path, message: 'Not a usable glob: at most four stars, no groups and no ranges', code: 'GLOB_INVALID' }]
  }
  try {
    picomatch.makeRe(glob, { ...globOptions, debug: true })
    return []
  } catch (error) {
    return [
      {
        path,
        message: `Not a usable glob: ${error instanceof Error ? error.message : String(error)}`,
        code: 'GLOB_INVALID',
      },
    ]
  }
}

function shapeProblems(schema: TSchema, value: unknown, path: string, code: Problem['code']): Problem[] {
  const [, errors] = Errors(schema, value)
  return errors
    .filter(({ message }) => message !== 'schema is false')
    .slice(0, 20)
    .map((error) => {
      const extra = error.keyword === 'additionalProperties' ? `: ${error.params.additionalProperties.join(', ')}` : ''
      return { path: `${path}${error.instancePath}`, message: `${error.message}${extra}`, code }
    })
}
