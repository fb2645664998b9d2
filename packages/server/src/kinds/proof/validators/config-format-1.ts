import { Type } from 'typebox'
import { formats, parseAs, recogniseFormat } from '../formats/format.ts'
import { versionsOf } from '../libraries.ts'
import { readText } from '../text.ts'
import { fileValidator, finding } from '../validator.ts'

const FormatName = Type.Enum([...formats])

/**
 * The file parses as the format that its name or content shows. `formats` limits which are welcome; an unknown format fails unless
 * `allow_unknown`. Reports `{format, keys}` for JSON, YAML and TOML, `{format, sections}` for INI.
 */
export const configFormat1 = fileValidator({
  name: 'config_format',
  version: 1,
  params: Type.Object(
    {
      formats: Type.Optional(Type.Array(FormatName, { minItems: 1, uniqueItems: true })),
      allow_unknown: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  libraries: versionsOf('yaml', 'smol-toml', 'fast-xml-parser', 'csv-parse'),
  async check(evidence, params) {
    const read = await readText(evidence)
    const format = 'refused' in read ? recogniseFormat(evidence.name, '') : recogniseFormat(evidence.name, read.text)
    if (format === undefined) {
      const unknown = `Unknown config format for file: ${evidence.name}`
      return params.allow_unknown
        ? finding([], [unknown], { format: 'unknown' })
        : finding([unknown], [], { format: 'unknown' })
    }
    if ('refused' in read) return finding([read.refused], [], { format })
    const parsed = parseAs(format, read.text)
    const errors = [...parsed.errors]
    if (params.formats && !params.formats.includes(format)) {
      errors.push(`Format ${format} is not allowed for file: ${evidence.name} (allowed: ${params.formats.join(', ')})`)
    }
    return finding(errors, [...read.warnings, ...parsed.warnings], { format, ...parsed.summary })
  },
})
