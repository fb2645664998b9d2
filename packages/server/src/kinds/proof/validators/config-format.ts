import { Type } from 'typebox'
import { type Edition, firstEdition, fourthEdition, secondEdition, thirdEdition } from '../formats/format.ts'
import { versionsOf } from '../libraries.ts'
import { encodings, readText } from '../text.ts'
import { fileValidator, finding } from '../validator.ts'

const libraries = versionsOf('yaml', 'smol-toml', 'fast-xml-parser', 'csv-parse')

/**
 * The file parses as the format that its name or content shows. `formats` limits which are welcome; an unknown format fails unless
 * `allow_unknown`. Reports `{format, keys}` for JSON, YAML and TOML, `{format, sections}` for INI, `{format, blocks, commands}` for
 * what devices print. `encoding` says what the file is written in, if not in UTF-8.
 *
 * Version 3 refused whole numbers of TOML that are longer than JavaScript's.
 */
const configFormat = (version: 2 | 3 | 4, edition: Edition) =>
  fileValidator({
    name: 'config_format',
    version,
    params: Type.Object(
      {
        formats: Type.Optional(Type.Array(Type.Enum([...edition.formats]), { minItems: 1, uniqueItems: true })),
        allow_unknown: Type.Optional(Type.Boolean()),
        encoding: Type.Optional(Type.Enum([...encodings])),
      },
      { additionalProperties: false },
    ),
    libraries,
    async check(evidence, params) {
      const read = await readText(evidence, params.encoding)
      const format = edition.recognise(evidence.name, 'refused' in read ? '' : read.text)
      if ('refused' in read) {
        const unknown = format === undefined && params.allow_unknown
        return finding(unknown ? [] : [read.refused], unknown ? [read.refused] : [], { format: format ?? 'unknown' })
      }
      if (format === undefined) {
        const unknown = `Unknown config format for file: ${evidence.name}`
        const noted = [...read.warnings, ...(params.allow_unknown ? [unknown] : [])]
        return finding(params.allow_unknown ? [] : [unknown], noted, { format: 'unknown' })
      }
      const parsed = edition.parse(format, read.text)
      const errors = [...parsed.errors]
      if (params.formats && !params.formats.includes(format))
        errors.push(unwelcome(evidence.name, format, params.formats))
      return finding(errors, [...read.warnings, ...parsed.warnings], { format, ...parsed.summary })
    },
  })

export const configFormat2 = configFormat(2, secondEdition)
export const configFormat3 = configFormat(3, thirdEdition)
export const configFormat4 = configFormat(4, fourthEdition)

/** Version 1 knew no devices but those of IOS style, and no encoding but UTF-8: what it could not read it called of an unknown format. */
export const configFormat1 = fileValidator({
  name: 'config_format',
  version: 1,
  params: Type.Object(
    {
      formats: Type.Optional(Type.Array(Type.Enum([...firstEdition.formats]), { minItems: 1, uniqueItems: true })),
      allow_unknown: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  libraries,
  async check(evidence, params) {
    const read = await readText(evidence)
    const format = firstEdition.recognise(evidence.name, 'refused' in read ? '' : read.text)
    if (format === undefined) {
      const unknown = `Unknown config format for file: ${evidence.name}`
      return params.allow_unknown
        ? finding([], [unknown], { format: 'unknown' })
        : finding([unknown], [], { format: 'unknown' })
    }
    if ('refused' in read) return finding([read.refused], [], { format })
    const parsed = firstEdition.parse(format, read.text)
    const errors = [...parsed.errors]
    if (params.formats && !params.formats.includes(format))
      errors.push(unwelcome(evidence.name, format, params.formats))
    return finding(errors, [...read.warnings, ...parsed.warnings], { format, ...parsed.summary })
  },
})

function unwelcome(name: string, format: string, welcome: readonly string[]): string {
  return `Format ${format} is not allowed for file: ${name} (allowed: ${welcome.join(', ')})`
}
