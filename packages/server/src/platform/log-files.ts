import { closeSync, fstatSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import { systemClock } from './clock.ts'
import { makeFolder } from './make-folder.ts'

/** Lines into files, one file for each part of the server. */
export interface LogFiles {
  /** `part` names the file: `<dir>/<part>.log`. */
  write(part: string, line: string): void
  /** Closes the files; the next line would open its file again. */
  end(): void
}

/** Rotated files that are kept of each part. */
const KEPT = 20

/**
 * Opens log files in `dir`, which is made. A file that would grow beyond `maxBytes` is moved to
 * `backup/<part>-YYYY-MM-DD_HH-MM-SS.log` (UTC), and the oldest beyond the twenty newest are removed.
 * A line is with the system when `write` returns. What cannot be written is dropped: the same line went to standard output,
 * and a full disk must not end the server for the sake of its log.
 */
export function openLogFiles(dir: string, maxBytes: number, now: () => number = systemClock.now): LogFiles {
  makeFolder(path.join(dir, 'backup'), 0o777)
  const open = new Map<string, { fd: number; size: number }>()

  function fileOf(part: string): { fd: number; size: number } {
    const known = open.get(part)
    if (known) return known
    const fd = openSync(path.join(dir, `${part}.log`), 'a', 0o640)
    const opened = { fd, size: fstatSync(fd).size }
    open.set(part, opened)
    return opened
  }

  function rotate(part: string, fd: number): void {
    open.delete(part)
    closeSync(fd)
    const at = new Date(now()).toISOString().slice(0, 19).replace('T', '_').replaceAll(':', '-')
    renameSync(path.join(dir, `${part}.log`), path.join(dir, 'backup', `${part}-${at}.log`))
    const old = readdirSync(path.join(dir, 'backup'))
      .filter((name) => name.startsWith(`${part}-`) && /^-[\d_-]{19}\.log$/.test(name.slice(part.length)))
      .sort()
      .slice(0, -KEPT)
    for (const name of old) rmSync(path.join(dir, 'backup', name), { force: true })
  }

  return {
    write(part, line) {
      const bytes = Buffer.from(line)
      try {
        const before = fileOf(part)
        if (before.size > 0 && before.size + bytes.length > maxBytes) rotate(part, before.fd)
        const file = fileOf(part)
        file.size += writeSync(file.fd, bytes)
      } catch {
        // See above.
      }
    },
    end() {
      for (const { fd } of open.values()) closeSync(fd)
      open.clear()
    },
  }
}
