import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
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
 * Several processes may share a folder: a line is one write at the end of the file, and whoever finds it full moves it.
 * A line is with the system when `write` returns. What cannot be written is dropped: the same line went to standard output,
 * and a full disk must not end the server for the sake of its log.
 */
export function openLogFiles(dir: string, maxBytes: number, now: () => number = systemClock.now): LogFiles {
  makeFolder(path.join(dir, 'backup'), 0o777)
  const open = new Map<string, number>()

  function fileOf(part: string): number {
    const known = open.get(part)
    if (known !== undefined) return known
    const fd = openSync(path.join(dir, `${part}.log`), 'a', 0o640)
    open.set(part, fd)
    return fd
  }

  function rotate(part: string, fd: number): void {
    const file = path.join(dir, `${part}.log`)
    const { ino } = fstatSync(fd)
    open.delete(part)
    closeSync(fd)
    // Another process has moved it, and there is a new one by now.
    if (statSync(file, { throwIfNoEntry: false })?.ino !== ino) return
    renameSync(file, backupOf(part))
    const old = readdirSync(path.join(dir, 'backup'))
      .filter((name) => name.startsWith(`${part}-`) && /^-[\d_-]{19}\.log$/.test(name.slice(part.length)))
      .sort()
      .slice(0, -KEPT)
    for (const name of old) rmSync(path.join(dir, 'backup', name), { force: true })
  }

  /** Of several within one second each gets the next: none takes the place of another. */
  function backupOf(part: string): string {
    for (let at = now(); ; at += 1_000) {
      const time = new Date(at).toISOString().slice(0, 19).replace('T', '_').replaceAll(':', '-')
      const name = path.join(dir, 'backup', `${part}-${time}.log`)
      if (!existsSync(name)) return name
    }
  }

  return {
    write(part, line) {
      const bytes = Buffer.from(line)
      try {
        const fd = fileOf(part)
        const { size } = fstatSync(fd)
        if (size > 0 && size + bytes.length > maxBytes) rotate(part, fd)
        writeSync(fileOf(part), bytes)
      } catch {
        // See above.
      }
    },
    end() {
      for (const fd of open.values()) closeSync(fd)
      open.clear()
    },
  }
}
