import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { equalBytes } from '@writ/tlog'
import { ifThere } from '../platform/if-there.ts'
import {
  type DayEvent,
  dayOf,
  earlierErasedLines,
  earlierReadableLine,
  isErased,
  jsonlLine,
  jsonlName,
  readableLine,
  readableName,
} from './day-file.ts'
import { Found } from './finding.ts'

const PIECE_BYTES = 1024 * 1024

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
  const pieces = new Map<string, { readonly from: number; readonly bytes: Uint8Array }>()

  /**
   * What is at hand of a file from `from` on, `least` bytes if it has as many; none where it ends, or is not there. A busy day has more
   * than fits into memory.
   */
  async function read(name: string, from: number, least: number): Promise<Uint8Array> {
    const left = (sizes[name] ?? 0) - from
    const piece = pieces.get(name)
    const atHand = piece && from >= piece.from ? piece.bytes.subarray(from - piece.from) : undefined
    if (atHand && atHand.length >= Math.min(least, left)) return atHand
    const most = Math.min(Math.max(least, PIECE_BYTES), left)
    const bytes = most > 0 ? await readPiece(join(dir, name), from, most) : new Uint8Array()
    // Two days at most are under way when a clock steps back; older ones are read again if ever needed.
    if (pieces.size > 6) pieces.clear()
    pieces.set(name, { from, bytes })
    return bytes
  }

  /** `lines`: how the row may stand there, by whichever version wrote it. */
  async function compare(name: string, lines: readonly string[], index: number): Promise<void> {
    const from = offsets.get(name) ?? 0
    for (const line of lines) {
      // As it was written: half of a surrogate pair, which requests could once bring in, stands there as U+FFFD.
      const expected = Buffer.from(`${line}\n`)
      const found = await read(name, from, expected.length)
      if (!equalBytes(found.subarray(0, expected.length), expected)) continue
      offsets.set(name, from + expected.length)
      return
    }
    throw new Found({
      code: 'DAY_FILE_CHANGED',
      index,
      path: name,
      reason: `${name} does not hold the line of entry ${index} where it belongs`,
    })
  }

  /** Passes over a line whose erasure is under way: it may be the old one or the new one. */
  async function skip(name: string): Promise<void> {
    let at = offsets.get(name) ?? 0
    let end = -1
    while (end < 0) {
      const bytes = await read(name, at, 1)
      if (bytes.length === 0) return
      end = bytes.indexOf(0x0a)
      at += end < 0 ? bytes.length : end + 1
    }
    offsets.set(name, at)
  }

  return {
    async add(row, index) {
      const day = dayOf(row.timestamp)
      if (isErased(row) && row.in_day_file === 0) {
        await skip(jsonlName(day))
        await skip(readableName(day))
        return
      }
      await compare(jsonlName(day), jsonlLines(row), index)
      await compare(readableName(day), readableLines(row), index)
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

function jsonlLines(row: DayEvent): readonly string[] {
  return isErased(row) ? [...new Set([jsonlLine(row), earlierErasedLines(row).jsonl])] : [jsonlLine(row)]
}

function readableLines(row: DayEvent): readonly string[] {
  if (isErased(row)) return [...new Set([readableLine(row), earlierErasedLines(row).readable])]
  const [line, earlier] = [readableLine(row), earlierReadableLine(row)]
  return line === earlier ? [line] : [line, earlier]
}

/** Fewer bytes where the file ends; none if there is no such file, which holds no line then. */
async function readPiece(path: string, from: number, length: number): Promise<Uint8Array> {
  const file = await ifThere(open(path), null)
  if (file === null) return new Uint8Array()
  try {
    const bytes = Buffer.allocUnsafe(length)
    let read = 0
    for (let more = -1; read < length && more !== 0; read += more)
      more = (await file.read(bytes, read, length - read, from + read)).bytesRead
    return bytes.subarray(0, read)
  } finally {
    await file.close()
  }
}
