import { createReadStream } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rename, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ifThere } from '../platform/if-there.ts'
import { makeFolder } from '../platform/make-folder.ts'
import { type DayEvent, dayOf, isErased, jsonlLine, jsonlName, readableLine, readableName } from './day-file.ts'
import { replaceFile, syncDirectory } from './durable-file.ts'
import { createSlices } from './slice.ts'

interface Memory {
  /** Log index of the next event to write. */
  readonly cursor: number
  readonly shard: number
  /** Bytes of each file touched last; what is beyond was written by a call that did not finish. */
  readonly files: Readonly<Record<string, number>>
}

export interface DayFiles {
  /** The folder that files were moved into which were there without the memory of how far they had come; null: there were none. */
  readonly aside: string | null
  readonly cursor: { readonly shard: number; readonly index: number }
  /** Appends events in log order and fsyncs. `next` is the cursor after them. */
  write(events: readonly DayEvent[], next: { shard: number; index: number }): Promise<void>
  /**
   * Copies both files of a day, with the lines of erased events replaced. `rows` are those of the day, in log order. Every
   * other line is copied as it is, so that a change by somebody else is not covered up.
   */
  rewrite(day: string, rows: () => AsyncIterable<DayEvent>): Promise<void>
  /** Writes both files of a day anew from the rows that are left of it; without any, the files go. */
  regenerate(day: string, rows: AsyncIterable<DayEvent>): Promise<void>
  /** The days that have files, oldest first. */
  list(): Promise<string[]>
}

/**
 * The day files of one project: `audit_<day>.jsonl` and `audit_readable_<day>.txt`, projections of rows in log order.
 *
 * Lines are fsynced first, then the memory file (cursor and sizes) is replaced. Stopped in between, the next open cuts
 * the files back to the remembered sizes and the same lines are written again: none is lost, none stands twice.
 *
 * Files without a memory, as a copy leaves them that takes no names that begin with a dot, are put aside, and all lines are written anew:
 * behind those that are there each would stand twice, and what is in them is nobody's to remove.
 */
export async function openDayFiles(dir: string): Promise<DayFiles> {
  makeFolder(dir, 0o700)
  const memoryFile = join(dir, '.cursor.json')
  const remembered = await load(memoryFile)
  const aside = remembered ? null : await putAside(dir)
  let memory = remembered ?? { cursor: 0, shard: 0, files: {} }
  for (const [name, bytes] of Object.entries(memory.files)) await truncate(join(dir, name), bytes).catch(ignoreMissing)

  // A file is remembered with its size before its first line goes in, or a crash there would leave lines nobody cuts.
  async function remember(names: readonly string[]) {
    const unknown = names.filter((name) => memory.files[name] === undefined)
    if (unknown.length === 0) return
    const sizes = await Promise.all(unknown.map(async (name) => [name, await sizeOf(join(dir, name))] as const))
    memory = { ...memory, files: { ...memory.files, ...Object.fromEntries(sizes) } }
    await replaceFile(memoryFile, `${JSON.stringify(memory)}\n`)
  }

  /**
   * Puts a file in the place of another. Forgotten before it is replaced: the next open must not cut the new file to the
   * size of the old one. Nothing is half written now, so nothing has to be cut. Stopped after either step, the next round
   * does it again.
   */
  async function replace(name: string, draft: string | null): Promise<void> {
    const { [name]: _, ...files } = memory.files
    memory = { ...memory, files }
    await replaceFile(memoryFile, `${JSON.stringify(memory)}\n`)
    if (draft === null) await rm(join(dir, name), { force: true })
    else await rename(draft, join(dir, name))
    await syncDirectory(dir)
  }

  return {
    aside,
    get cursor() {
      return { shard: memory.shard, index: memory.cursor }
    },
    async write(events, next) {
      const days = Map.groupBy(events, (row) => dayOf(row.timestamp))
      await remember([...days.keys()].flatMap((day) => [jsonlName(day), readableName(day)]))
      const sizes: Record<string, number> = {}
      for (const [day, rows] of days) {
        const lines = [
          [jsonlName(day), await linesOf(rows, jsonlLine)],
          [readableName(day), await linesOf(rows, readableLine)],
        ] as const
        await Promise.all(
          lines.map(async ([name, text]) => {
            sizes[name] = await appendSynced(join(dir, name), text)
          }),
        )
      }
      memory = { cursor: next.index, shard: next.shard, files: sizes }
      await replaceFile(memoryFile, `${JSON.stringify(memory)}\n`)
    },
    async list() {
      return (await readdir(dir)).flatMap((name) => DAY.exec(name)?.[1] ?? []).sort()
    },
    async regenerate(day, rows) {
      const names = [jsonlName(day), readableName(day)] as const
      const drafts = await Promise.all(names.map((name) => open(join(dir, `.${name}`), 'w', 0o600)))
      let some = false
      try {
        for await (const row of rows) {
          some = true
          await drafts[0]!.appendFile(`${jsonlLine(row)}\n`)
          await drafts[1]!.appendFile(`${readableLine(row)}\n`)
        }
        for (const draft of drafts) await draft.sync()
      } finally {
        for (const draft of drafts) await draft.close()
      }
      for (const name of names) {
        await replace(name, some ? join(dir, `.${name}`) : null)
        if (!some) await rm(join(dir, `.${name}`), { force: true })
      }
    },
    async rewrite(day, rows) {
      for (const [name, lineOf] of [[jsonlName(day), jsonlLine] as const, [readableName(day), readableLine] as const]) {
        const draft = join(dir, `.${name}`)
        if (!(await copyWithErased(join(dir, name), draft, rows(), lineOf))) continue
        await replace(name, draft)
      }
    },
  }
}

const DAY = /^audit_(\d{4}-\d\d-\d\d)\.jsonl$/

async function load(file: string): Promise<Memory | null> {
  const text = await ifThere(readFile(file, 'utf8'), null)
  return text === null ? null : (JSON.parse(text) as Memory)
}

/** Stopped in between, the next open puts what is left into a folder of its own. */
async function putAside(dir: string): Promise<string | null> {
  const names = (await readdir(dir)).filter((name) => /^audit_.*\d{4}-\d\d-\d\d\.(jsonl|txt)$/.test(name))
  if (names.length === 0) return null
  // No project has a name like it, and no verification looks into it.
  const aside = await mkdtemp(join(dir, '.aside-'))
  for (const name of names) await rename(join(dir, name), join(aside, name))
  await syncDirectory(dir)
  return aside
}

function ignoreMissing(error: NodeJS.ErrnoException) {
  if (error.code !== 'ENOENT') throw error
}

const sizeOf = async (path: string) => (await ifThere(stat(path), { size: 0 })).size

/** In slices: thousands of lines are tens of milliseconds, in which nobody else would be answered. */
async function linesOf(rows: readonly DayEvent[], lineOf: (row: DayEvent) => string): Promise<string> {
  let text = ''
  const slices = createSlices()
  for (const row of rows) {
    text += `${lineOf(row)}\n`
    const others = slices()
    if (others) await others
  }
  return text
}

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

/** False if there is no such file. */
async function copyWithErased(
  from: string,
  to: string,
  rows: AsyncIterable<DayEvent>,
  lineOf: (row: DayEvent) => string,
): Promise<boolean> {
  if ((await sizeOf(from)) === 0) return false
  const file = await open(to, 'w', 0o600)
  try {
    const events = rows[Symbol.asyncIterator]()
    let text = ''
    for await (const line of createInterface({ input: createReadStream(from), crlfDelay: Number.POSITIVE_INFINITY })) {
      const next = await events.next()
      text += `${next.done !== true && isErased(next.value) ? lineOf(next.value) : line}\n`
      if (text.length < 1_048_576) continue
      await file.appendFile(text)
      text = ''
    }
    await file.appendFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  return true
}
