import { Type } from 'typebox'
import { follow, parsePath } from '../data-path.ts'
import { type DeviceLine, everyLine } from '../formats/device-config.ts'
import { firstEdition, fourthEdition, secondEdition, thirdEdition } from '../formats/format.ts'
import { versionsOf } from '../libraries.ts'
import { acceptedPattern, longestSubject, PatternText, patternProblems } from '../pattern.ts'
import type { Problem } from '../problem.ts'
import { type Encoding, encodings, linesOf, readText } from '../text.ts'
import { fileValidator, finding } from '../validator.ts'

const PathText = Type.String({ minLength: 1, maxLength: 512 })
const Patterns = Type.Array(PatternText, { maxItems: 100 })

const Value = Type.Object({ path: PathText, pattern: PatternText }, { additionalProperties: false })
const Lines = Type.Object(
  { required: Type.Optional(Patterns), forbidden: Type.Optional(Patterns) },
  { additionalProperties: false },
)
const Block = Type.Object(
  {
    block: PatternText,
    required: Type.Optional(Patterns),
    forbidden: Type.Optional(Patterns),
    optional: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

const mostErrors = 100

/** What each version reads. */
const editions = [firstEdition, firstEdition, secondEdition, thirdEdition, fourthEdition] as const

/**
 * What must and must not stand in a file. `required` and `forbidden` are paths and `values` are paths with a pattern, for structured
 * formats. `lines` are patterns for single lines of any text. `blocks` are for the text of devices: each block whose header matches
 * `block` must contain a line for each `required` pattern and none that matches a `forbidden` one; no such block is an error unless
 * `optional`. Patterns match whole lines or values, blanks at both ends aside. Findings never quote the file: it may hold secrets.
 *
 * Version 4 held patterns against whole numbers as JavaScript rounds them. Version 3 knew neither Nokia nor F5, and took banners of ASA for endless.
 * Version 2 knew no devices but those of IOS style, and no encoding but UTF-8. Version 1 let what is forbidden pass where a line was longer than patterns are held against, and where lines ended in a bare carriage return.
 */
const fields = (version: 1 | 2 | 3 | 4 | 5) => {
  const edition = editions[version - 1]!
  return fileValidator({
    name: 'fields',
    version,
    params: Type.Object(
      {
        required: Type.Optional(Type.Array(PathText, { maxItems: 200 })),
        forbidden: Type.Optional(Type.Array(PathText, { maxItems: 200 })),
        values: Type.Optional(Type.Array(Value, { maxItems: 200 })),
        lines: Type.Optional(Lines),
        blocks: Type.Optional(Type.Array(Block, { maxItems: 100 })),
        ...(version > 2 && { encoding: Type.Optional(Type.Enum([...encodings])) }),
      },
      { additionalProperties: false },
    ),
    libraries: versionsOf('re2js', 'yaml', 'smol-toml', 'fast-xml-parser', 'csv-parse'),

    examineParams(params) {
      const problems: Problem[] = []
      const path = (at: string, text: string) => {
        if (!parsePath(text)) problems.push({ path: at, message: `Not a path: ${text}`, code: 'PARAMS_INVALID' })
      }
      const patterns = (at: string, list: readonly string[] = []) => {
        for (const [index, pattern] of list.entries()) problems.push(...patternProblems(`${at}/${index}`, pattern))
      }
      for (const [index, text] of (params.required ?? []).entries()) path(`/required/${index}`, text)
      for (const [index, text] of (params.forbidden ?? []).entries()) path(`/forbidden/${index}`, text)
      for (const [index, value] of (params.values ?? []).entries()) {
        path(`/values/${index}/path`, value.path)
        problems.push(...patternProblems(`/values/${index}/pattern`, value.pattern))
      }
      patterns('/lines/required', params.lines?.required)
      patterns('/lines/forbidden', params.lines?.forbidden)
      for (const [index, block] of (params.blocks ?? []).entries()) {
        problems.push(...patternProblems(`/blocks/${index}/block`, block.block))
        patterns(`/blocks/${index}/required`, block.required)
        patterns(`/blocks/${index}/forbidden`, block.forbidden)
      }
      const asks = [
        params.required,
        params.forbidden,
        params.values,
        params.blocks,
        params.lines?.required,
        params.lines?.forbidden,
      ]
      if (!asks.some((list) => list && list.length > 0)) {
        problems.push({ path: '', message: 'Nothing is required or forbidden', code: 'NOTHING_TO_CHECK' })
      }
      return problems
    },

    async check(evidence, params) {
      const read = await readText(evidence, params.encoding as Encoding | undefined)
      if ('refused' in read) return finding([read.refused], [], { format: 'unknown', checked: 0 })
      const errors: string[] = []
      let checked = 0
      const expect = (holds: boolean, otherwise: string) => {
        checked++
        if (!holds && errors.length < mostErrors) errors.push(otherwise)
      }

      const format = edition.recognise(evidence.name, read.text)
      const parsed = format && edition.parse(format, read.text)
      const ofDevice = parsed?.lines !== undefined
      const asksData = [params.required, params.forbidden, params.values].some((list) => list && list.length > 0)
      const asksBlocks = (params.blocks ?? []).length > 0
      if (parsed) errors.push(...parsed.errors)
      else if (asksData || asksBlocks) errors.push(`Unknown config format for file: ${evidence.name}`)
      if (asksData && ofDevice)
        errors.push(
          `Rules for fields do not apply to ${format === 'ios' ? 'IOS-style text' : parsed.label}: use blocks or lines`,
        )
      if (asksBlocks && parsed && !ofDevice)
        errors.push(`Rules for blocks do not apply to ${parsed.label}: use fields or lines`)

      if (parsed?.data !== undefined) {
        for (const path of params.required ?? []) {
          const { found, missing } = at(parsed.data, path)
          for (const pointer of missing) expect(false, `Missing required field: ${path} (at ${pointer})`)
          for (const { value, pointer } of found)
            expect(!isEmpty(value), `Required field is empty: ${path} (at ${pointer})`)
        }
        for (const path of params.forbidden ?? []) {
          const { found } = at(parsed.data, path)
          expect(found.length === 0, `Forbidden field is present: ${path} (at ${found[0]?.pointer})`)
        }
        for (const { path, pattern } of params.values ?? []) {
          const { found, missing } = at(parsed.data, path)
          const expected = acceptedPattern(pattern)
          for (const pointer of missing) expect(false, `Missing required field: ${path} (at ${pointer})`)
          for (const { value, pointer } of found) {
            expect(
              isPlain(value) && expected.matches(String(value).trim()),
              `Field does not match ${pattern}: ${path} (at ${pointer})`,
            )
          }
        }
      }

      if (params.lines) {
        const lines = parsed?.lines
          ? deviceLines(parsed.lines)
          : linesOf(version === 1 ? read.text : read.text.replace(/\r(?!\n)/g, '\n')).map((text, index) => ({
              text: text.trim(),
              line: index + 1,
            }))
        if (version > 1 && params.lines.forbidden?.length) refuseLong(lines, errors)
        expectLines(lines, params.lines, expect, '')
      } else if (version > 1 && parsed?.lines && params.blocks?.some(({ forbidden }) => forbidden?.length))
        refuseLong(deviceLines(parsed.lines), errors)
      for (const rule of parsed?.lines ? (params.blocks ?? []) : []) {
        const header = acceptedPattern(rule.block)
        let blocks = 0
        for (const { line } of everyLine(parsed?.lines ?? [])) {
          if (!header.matches(line.text)) continue
          blocks++
          expectLines(deviceLines(line.children), rule, expect, ` in block at line ${line.line} (${rule.block})`)
        }
        expect(blocks > 0 || rule.optional === true, `Missing required block: ${rule.block}`)
      }
      return finding(errors, [...read.warnings, ...(parsed?.warnings ?? [])], { format: format ?? 'unknown', checked })
    },
  })
}

export const fields1 = fields(1)
export const fields2 = fields(2)
export const fields3 = fields(3)
export const fields4 = fields(4)
export const fields5 = fields(5)

/** No pattern matches a line that long, so nothing would be forbidden in it. */
function refuseLong(lines: readonly Line[], errors: string[]): void {
  for (const { text, line } of lines)
    if (text.length > longestSubject && errors.length < mostErrors)
      errors.push(`Line ${line} is longer than ${longestSubject} characters, and no pattern is held against it`)
}

function at(data: unknown, path: string) {
  const steps = parsePath(path)
  if (!steps) throw new Error('path was never examined')
  return follow(data, steps)
}

function isEmpty(value: unknown): boolean {
  return value === null || value === ''
}

function isPlain(value: unknown): boolean {
  return ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
}

interface Line {
  text: string
  line: number
}

function deviceLines(lines: readonly DeviceLine[]): Line[] {
  return [...everyLine(lines)].map(({ line }) => line)
}

type Expect = (holds: boolean, otherwise: string) => void

function expectLines(
  lines: readonly Line[],
  rule: { required?: string[]; forbidden?: string[] },
  expect: Expect,
  where: string,
): void {
  for (const source of rule.required ?? []) {
    const pattern = acceptedPattern(source)
    expect(
      lines.some(({ text }) => pattern.matches(text)),
      `Missing required line: ${source}${where}`,
    )
  }
  for (const source of rule.forbidden ?? []) {
    const pattern = acceptedPattern(source)
    const first = lines.find(({ text }) => pattern.matches(text))
    expect(first === undefined, `Forbidden line ${first?.line}: ${source}${where}`)
  }
}
