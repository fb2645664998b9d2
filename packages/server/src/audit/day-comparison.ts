import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { equalBytes, toUtf8 } from '@writ/tlog'
import { type DayEvent, dayOf, isErased, jsonlLine, jsonlName, readableLine, readableName } from './day-file.ts'
import { Found } from './finding.ts'

/** Regenerates day files as rows go by and compares them, byte for byte, up to the sizes of a snapshot. */
export interface DayComparison {
  /** The next event in log order, over all logs of the project. Throws Found. */
  add(row: DayEvent & { readonly in_day_file?: number | null }, index: number): Promise<void>
  /** After the last one: throws Found if a file holds more than the events explain. */
  end(): Promise<void>
}

export function createDayComparison(
  dir: string,
  sizes: Readonly<Record<string, number>>,
  checked: { day_files: number },
): DayComparison {
  const offsets = new Map<string, number>()
  const contents = new Map<string, Buffer>()

  async function content(name: string): Promise<Buffer> {
    let bytes = contents.get(name)
    if (!bytes) {
      bytes = (await readFile(join(dir, name)).catch(() => Buffer.alloc(0))).subarray(0, sizes[name] ?? 0)
      // Two days at most are under way when a clock steps back; older ones are read again if ever needed.
      if (contents.size > 6) contents.clear()
      contents.set(name, bytes)
    }
    return bytes
  }

  async function compare(name: string, line: string, index: number): Promise<void> {
    const bytes = await content(name)
    const from = offsets.get(name) ?? 0
    const expected = toUtf8(`${line}\n`)
    if (!equalBytes(bytes.subarray(from, from + expected.length), expected)) {
      throw new Found({
        code: 'DAY_FILE_CHANGED',
        index,
        path: name,
        reason: `${name} does not hold the line of entry ${index} where it belongs`,
      })
    }
    offsets.set(name, from + expected.length)
  }

  /** Passes over a line whose erasure is under way: it may be the old one or the new one. */
  async function skip(name: string): Promise<void> {
    const bytes = await content(name)
    const end = bytes.indexOf(0x0a, offsets.get(name) ?? 0)
    if (end >= 0) offsets.set(name, end + 1)
  }

  return {
    async add(row, index) {
      const day = dayOf(row.timestamp)
      if (isErased(row) && row.in_day_file === 0) {
        await skip(jsonlName(day))
        await skip(readableName(day))
        return
      }
      await compare(jsonlName(day), jsonlLine(row), index)
      await compare(readableName(day), readableLine(row), index)
    },
    async end() {
      for (const [name, size] of Object.entries(sizes)) {
        const extra = size - (offsets.get(name) ?? 0)
        if (extra > 0)
          throw new Found({
            code: 'DAY_FILE_CHANGED',
            path: name,
            reason: `${name} holds ${extra} bytes that no event explains`,
          })
        checked.day_files++
      }
    },
  }
}
