import { mkdir, open, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { type DayEvent, dayOf, jsonlName, readableLine, readableName } from './day-file.ts'
import { replaceFile } from './durable-file.ts'

interface Memory {
  /** Log index of the next event to write. */
  readonly cursor: number
  readonly shard: number
  /** Bytes of each file touched last; what is beyond was written by a call that did not finish. */
  readonly files: Readonly<Record<string, number>>
}

export interface DayFiles {
  readonly cursor: { readonly shard: number; readonly index: number }
  /** Appends events in log order and fsyncs. `next` is the cursor after them. */
  write(events: readonly DayEvent[], next: { shard: number; index: number }): Promise<void>
}

/**
 * The day files of one project: `audit_<day>.jsonl` and `audit_readable_<day>.txt`, projections of rows in log order.
 *
 * Lines are fsynced first, then the memory file (cursor and sizes) is replaced. Stopped in between, the next open cuts
 * the files back to the remembered sizes and the same lines are written again: none is lost, none stands twice.
 */
export async function openDayFiles(dir: string): Promise<DayFiles> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const memoryFile = join(dir, '.cursor.json')
  let memory = await load(memoryFile)
  for (const [name, bytes] of Object.entries(memory.files)) await truncate(join(dir, name), bytes).catch(ignoreMissing)

  // A file is remembered with its size before its first line goes in, or a crash there would leave lines nobody cuts.
  async function remember(names: readonly string[]) {
    const unknown = names.filter((name) => memory.files[name] === undefined)
    if (unknown.length === 0) return
    const sizes = await Promise.all(unknown.map(async (name) => [name, await sizeOf(join(dir, name))] as const))
    memory = { ...memory, files: { ...memory.files, ...Object.fromEntries(sizes) } }
    await replaceFile(memoryFile, `${JSON.stringify(memory)}\n`)
  }

  return {
    get cursor() {
      return { shard: memory.shard, index: memory.cursor }
    },
    async write(events, next) {
      const days = Map.groupBy(events, (row) => dayOf(row.timestamp))
      await remember([...days.keys()].flatMap((day) => [jsonlName(day), readableName(day)]))
      const sizes: Record<string, number> = {}
      for (const [day, rows] of days) {
        sizes[jsonlName(day)] = await appendSynced(
          join(dir, jsonlName(day)),
          rows.map((row) => `${row.event}\n`).join(''),
        )
        sizes[readableName(day)] = await appendSynced(
          join(dir, readableName(day)),
          rows.map((row) => `${readableLine(row)}\n`).join(''),
        )
      }
      memory = { cursor: next.index, shard: next.shard, files: sizes }
      await replaceFile(memoryFile, `${JSON.stringify(memory)}\n`)
    },
  }
}

async function load(file: string): Promise<Memory> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Memory
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { cursor: 0, shard: 0, files: {} }
    throw error
  }
}

function ignoreMissing(error: NodeJS.ErrnoException) {
  if (error.code !== 'ENOENT') throw error
}

const sizeOf = (path: string) =>
  stat(path).then(
    ({ size }) => size,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? 0 : Promise.reject(error)),
  )

async function appendSynced(path: string, text: string): Promise<number> {
  const file = await open(path, 'a', 0o600)
  try {
    await file.appendFile(text)
    await file.datasync()
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}
