// What changed between two files, as data. Paths into structured data hold no values; those of device text hold the commands.
import microdiff from 'microdiff'
import { type DeviceLine, everyLine } from './device-config.ts'
import { pointerPart } from './json.ts'

export interface Change {
  readonly kind: 'added' | 'removed' | 'changed'
  /** A JSON Pointer in structured data; in device text the block headers and the command, joined by ` > `. */
  readonly path: string
}

/** Changes between two parsed documents. Lists are compared by position. */
export function dataChanges(before: unknown, after: unknown): Change[] {
  const kinds = { CREATE: 'added', REMOVE: 'removed', CHANGE: 'changed' } as const
  // Wrapped, because the library compares objects and a document may be a scalar.
  return microdiff({ root: before }, { root: after }, { cyclesFix: false }).map(({ type, path }) => {
    return {
      kind: kinds[type],
      path: path
        .slice(1)
        .map((step) => `/${pointerPart(step)}`)
        .join(''),
    }
  })
}

/** Changes between two device configurations: commands added to or removed from their blocks. The order of commands is not a change. */
export function deviceChanges(before: readonly DeviceLine[], after: readonly DeviceLine[]): Change[] {
  const old = commands(before)
  const fresh = commands(after)
  const changes: Change[] = []
  for (const [path, count] of old) {
    for (let n = fresh.get(path) ?? 0; n < count; n++) changes.push({ kind: 'removed', path })
  }
  for (const [path, count] of fresh) {
    for (let n = old.get(path) ?? 0; n < count; n++) changes.push({ kind: 'added', path })
  }
  return changes
}

function commands(lines: readonly DeviceLine[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { path } of everyLine(lines)) {
    const key = path.join(' > ')
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}
