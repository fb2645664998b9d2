import { createTwoFilesPatch } from 'diff'
import { type Static, Type } from 'typebox'
import { type Change, dataChanges, deviceChanges } from '../formats/changes.ts'
import {
  type Edition,
  firstEdition,
  fourthEdition,
  type Parsed,
  secondEdition,
  thirdEdition,
} from '../formats/format.ts'
import { versionsOf } from '../libraries.ts'
import { acceptedPattern, PatternText, patternProblems } from '../pattern.ts'
import { type Encoding, encodings, readText } from '../text.ts'
import { type Evidence, finding, setValidator } from '../validator.ts'

const ChangeRule = Type.Object(
  {
    path: PatternText,
    kind: Type.Optional(Type.Enum(['added', 'removed', 'changed'])),
  },
  { additionalProperties: false },
)
const ChangeRules = Type.Array(ChangeRule, { maxItems: 100 })
type ChangeRule = Static<typeof ChangeRule>

const mostErrors = 100
const mostReported = 500
// The work grows with the square of the edit distance; past this the files have little in common and the diff would tell nobody anything.
const longestEdit = 4000

/**
 * What changed between the file with role `before` and the one with role `after`: a unified diff of the text and the changes of the
 * parsed data (device text: of commands in their blocks). With `allowed`, every change must match one; every `required` one must
 * have happened; no `forbidden` one may. `path` is a pattern over the whole path of a change, such as `/vlans/.*` or
 * `interface GigabitEthernet0/2 > description .+`. No change at all fails unless `allow_unchanged`. `encoding` is that of both files.
 *
 * Version 3 saw no change between whole numbers that JavaScript rounds alike. Version 2 knew neither Nokia nor F5, and took banners of ASA for endless. Version 1 knew no devices but those of IOS style, and no encoding but UTF-8.
 */
const configDiff = (version: 1 | 2 | 3 | 4) => {
  const edition = [firstEdition, secondEdition, thirdEdition, fourthEdition][version - 1]!
  return setValidator({
    name: 'config_diff',
    version,
    params: Type.Object(
      {
        allowed: Type.Optional(ChangeRules),
        required: Type.Optional(ChangeRules),
        forbidden: Type.Optional(ChangeRules),
        allow_unchanged: Type.Optional(Type.Boolean()),
        context_lines: Type.Optional(Type.Integer({ minimum: 0, maximum: 20 })),
        ...(version > 1 && { encoding: Type.Optional(Type.Enum([...encodings])) }),
      },
      { additionalProperties: false },
    ),
    libraries: versionsOf('diff', 'microdiff', 're2js', 'yaml', 'smol-toml', 'fast-xml-parser', 'csv-parse'),
    examineParams: (params) =>
      (['allowed', 'required', 'forbidden'] as const).flatMap((list) =>
        (params[list] ?? []).flatMap((rule, index) => patternProblems(`/${list}/${index}/path`, rule.path)),
      ),

    async check(evidence, params) {
      const pair = pairOf(evidence)
      if ('refused' in pair) return finding([pair.refused], [], { files: evidence.map(({ name }) => name) })
      const files = [pair.before.name, pair.after.name]
      const encoding = params.encoding as Encoding | undefined
      const before = await readText(pair.before, encoding)
      const after = await readText(pair.after, encoding)
      if ('refused' in before) return finding([before.refused], [], { files })
      if ('refused' in after) return finding([after.refused], [], { files })

      const warnings = [...before.warnings, ...after.warnings]
      const parsed = [
        parse(pair.before.name, before.text, edition),
        parse(pair.after.name, after.text, edition),
      ] as const
      const errors = parsed.flatMap((side, index) => side.errors.map((error) => `${files[index]}: ${error}`))
      const unified = createTwoFilesPatch(
        files[0] ?? '',
        files[1] ?? '',
        before.text,
        after.text,
        undefined,
        undefined,
        {
          context: params.context_lines ?? 3,
          maxEditLength: longestEdit,
        },
      )
      if (unified === undefined) warnings.push('The files differ too much for a unified diff')
      const changes = errors.length > 0 ? undefined : changesOf(...parsed)
      if (errors.length === 0 && changes === undefined)
        errors.push(`Files have different formats: ${parsed[0].format}, ${parsed[1].format}`)
      if (changes) errors.push(...judgeChanges(changes, params))
      return finding(errors.slice(0, mostErrors), warnings, {
        files,
        format: parsed[1].format,
        text_changed: before.text !== after.text,
        unified_diff: unified ?? null,
        changes: changes?.slice(0, mostReported) ?? null,
        total_changes: changes?.length ?? null,
      })
    },
  })
}

export const configDiff1 = configDiff(1)
export const configDiff2 = configDiff(2)
export const configDiff3 = configDiff(3)
export const configDiff4 = configDiff(4)

function pairOf(evidence: readonly Evidence[]): { before: Evidence; after: Evidence } | { refused: string } {
  const [before, ...moreBefore] = evidence.filter(({ role }) => role === 'before')
  const [after, ...moreAfter] = evidence.filter(({ role }) => role === 'after')
  if (!before || !after || moreBefore.length > 0 || moreAfter.length > 0) {
    return { refused: 'Exactly one file with role before and one with role after are needed' }
  }
  return { before, after }
}

type Unparsed = { format: 'unknown'; errors: string[] }

function parse(name: string, text: string, edition: Edition): Parsed | Unparsed {
  const format = edition.recognise(name, text)
  return format
    ? edition.parse(format, text)
    : { format: 'unknown', errors: [`Unknown config format for file: ${name}`] }
}

function changesOf(before: ReturnType<typeof parse>, after: ReturnType<typeof parse>): Change[] | undefined {
  if (before.format !== after.format || before.format === 'unknown' || after.format === 'unknown') return undefined
  if (before.lines && after.lines) return deviceChanges(before.lines, after.lines)
  return dataChanges(before.data, after.data)
}

interface ChangeRulesGiven {
  allowed?: ChangeRule[]
  required?: ChangeRule[]
  forbidden?: ChangeRule[]
  allow_unchanged?: boolean
}

function judgeChanges(changes: readonly Change[], params: ChangeRulesGiven): string[] {
  const errors: string[] = []
  const compiled = (rules: readonly ChangeRule[] = []) =>
    rules.map((rule) => ({ ...rule, pattern: acceptedPattern(rule.path) }))
  type Compiled = ReturnType<typeof compiled>[number]
  const fits = (rule: Compiled, change: Change) =>
    (rule.kind ?? change.kind) === change.kind && rule.pattern.matches(change.path)
  const named = (rule: ChangeRule) => (rule.kind ? `${rule.kind} ${rule.path}` : rule.path)

  if (changes.length === 0 && !params.allow_unchanged) errors.push('Nothing changed')
  for (const rule of compiled(params.required)) {
    if (!changes.some((change) => fits(rule, change))) errors.push(`Required change is missing: ${named(rule)}`)
  }
  const forbidden = compiled(params.forbidden)
  const allowed = params.allowed && compiled(params.allowed)
  for (const change of changes) {
    if (errors.length >= mostErrors) break
    const rule = forbidden.find((candidate) => fits(candidate, change))
    if (rule) errors.push(`Forbidden change: ${change.kind} ${change.path} (${named(rule)})`)
    else if (allowed && !allowed.some((candidate) => fits(candidate, change)))
      errors.push(`Change is not allowed: ${change.kind} ${change.path}`)
  }
  return errors
}
