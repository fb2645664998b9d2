// CSV as RFC 4180 has it: a header, and as many fields in each record as in the header. Semicolons and tabs are seen in the header.
import { CsvError, parse } from 'csv-parse/sync'

export interface Csv {
  /** One record per row, column name to text. */
  readonly data: Record<string, string>[]
  readonly columns: string[]
}

/** Parses CSV, or says what is wrong and where. */
export function parseCsv(text: string): Csv | { error: string } {
  try {
    const rows: string[][] = parse(text, {
      delimiter: delimiterOf(text),
      skip_empty_lines: true,
      max_record_size: 65_536,
    })
    const [columns, ...records] = rows
    if (!columns) return { error: 'the file has no header' }
    const seen = new Set<string>()
    const twice = columns.find((name) => seen.size === seen.add(name).size)
    if (twice !== undefined) return { error: `the header names a column twice: ${twice}` }
    return {
      columns,
      data: records.map((record) => Object.fromEntries(columns.map((name, index) => [name, record[index] ?? '']))),
    }
  } catch (error) {
    if (error instanceof CsvError) return { error: error.message.split('\n')[0] ?? '' }
    throw error
  }
}

function delimiterOf(text: string): string {
  const header = text.split('\n', 1)[0] ?? ''
  const count = (delimiter: string) => header.split(delimiter).length
  return [',', ';', '\t'].reduce((best, next) => (count(next) > count(best) ? next : best))
}
