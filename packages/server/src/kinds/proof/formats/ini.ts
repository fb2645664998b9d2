// INI as Python's configparser reads it with its defaults (strict, no inline comments, no values left out). The messages are its own.

/** Section name to option name (lower case) to value. */
export type IniSections = Map<string, Map<string, string>>

export interface Ini {
  /** Sections in order, without DEFAULT. */
  readonly sections: string[]
  readonly options: IniSections
}

/** Parses INI, or says what is wrong as configparser would. Source: docs.python.org, library/configparser, "Supported INI File Structure". */
export function parseIni(text: string): Ini | { error: string } {
  const options: IniSections = new Map()
  const badLines: string[] = []
  let section: string | undefined
  let option: string | undefined
  let indent = 0
  // Empty lines inside a value belong to it once a further line of it follows.
  let blanks = ''

  const lines = text.split('\n')
  for (const [index, raw] of lines.entries()) {
    const number = index + 1
    const line = raw.trim()
    if (line === '') blanks += '\n'
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue

    const currentIndent = raw.length - raw.trimStart().length
    const entries = section === undefined ? undefined : options.get(section)
    if (entries && option !== undefined && currentIndent > indent) {
      entries.set(option, `${entries.get(option)}${blanks}\n${line}`)
      blanks = ''
      continue
    }
    indent = currentIndent
    blanks = ''

    const header = /^\[(.+)\]/.exec(line)?.[1]
    if (header !== undefined) {
      if (header !== 'DEFAULT' && options.has(header))
        return { error: `While reading line ${number}: section '${header}' already exists` }
      if (!options.has(header)) options.set(header, new Map())
      section = header
      option = undefined
      continue
    }
    if (!entries || section === undefined) return { error: `File contains no section headers, line: ${number}` }

    const delimiter = line.search(/[=:]/)
    if (delimiter < 1) {
      badLines.push(`[line ${number}]: ${delimiter === 0 ? 'an option has no name' : 'an option has no delimiter'}`)
      continue
    }
    option = line.slice(0, delimiter).trimEnd().toLowerCase()
    if (entries.has(option))
      return { error: `While reading line ${number}: option '${option}' in section '${section}' already exists` }
    entries.set(option, line.slice(delimiter + 1).trim())
  }
  if (badLines.length > 0) return { error: `Source contains parsing errors: ${badLines.slice(0, 20).join(', ')}` }
  return { sections: [...options.keys()].filter((name) => name !== 'DEFAULT'), options }
}
