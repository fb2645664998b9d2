import { lstat, open, readdir } from 'node:fs/promises'
import path from 'node:path'

/** A log file as the documented list shows it. */
export interface LogFile {
  readonly name: string
  /** Relative to the folder, with `/`. */
  readonly path: string
  readonly size: string
  readonly size_bytes: number
  /** Local time of the server. */
  readonly mtime: string
  readonly type: 'file' | 'backup'
}

const MAX_LINES = 2_000
const CHUNK = 64 * 1024

/** The log files of a folder, the newest first. Links and folders are none. */
export async function listLogFiles(dir: string, withBackups: boolean): Promise<LogFile[]> {
  const found: (LogFile & { at: number })[] = []
  for (const [folder, type] of [['', 'file'] as const, ...(withBackups ? [['backup', 'backup'] as const] : [])]) {
    const names = await readdir(path.join(dir, folder)).catch(() => [])
    for (const name of names.filter((one) => one.endsWith('.log'))) {
      const info = await lstat(path.join(dir, folder, name)).catch(() => undefined)
      if (!info?.isFile()) continue
      found.push({
        name,
        path: folder === '' ? name : `${folder}/${name}`,
        size: sizeText(info.size),
        size_bytes: info.size,
        mtime: localTime(info.mtime),
        type,
        at: info.mtimeMs,
      })
    }
  }
  return found.sort((a, b) => b.at - a.at).map(({ at: _, ...file }) => file)
}

/**
 * The last `lines` lines (at most 2000) of one of those files; undefined if it is none of them. Reads from the end, so a
 * file of any size costs what is shown of it.
 */
export async function readLogFile(dir: string, name: string, lines: number): Promise<string[] | undefined> {
  const known = (await listLogFiles(dir, true)).some((file) => file.path === name)
  if (!known) return undefined
  const wanted = Math.min(lines, MAX_LINES)
  if (wanted === 0) return []
  const file = await open(path.join(dir, name), 'r')
  try {
    let at = (await file.stat()).size
    let bytes: Buffer = Buffer.alloc(0)
    // One more break than lines: the file ends with one.
    while (at > 0 && countBreaks(bytes) <= wanted) {
      const size = Math.min(CHUNK, at)
      at -= size
      const chunk = Buffer.alloc(size)
      await file.read(chunk, 0, size, at)
      bytes = Buffer.concat([chunk, bytes])
    }
    const text = bytes.toString('utf8').replace(/\n$/, '')
    return text === '' ? [] : text.split('\n').slice(-wanted)
  } finally {
    await file.close()
  }
}

function countBreaks(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++
  return count
}

/** As documented: "0 B", "170.00 B", "1.23 KB". */
function sizeText(bytes: number): string {
  if (bytes === 0) return '0 B'
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  const step = Math.min(Math.floor(Math.log(bytes) / Math.log(1024)), units.length - 1)
  return `${(bytes / 1024 ** step).toFixed(2)} ${units[step]}`
}

/** `YYYY-MM-DDTHH:MM:SS` in the server's own zone, as these paths always told it. */
export function localTime(date: Date): string {
  const two = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}
