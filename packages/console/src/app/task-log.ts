import type { TaskLog } from '@writ/api'
import type { Client } from '@writ/sdk'
import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { unpainted } from '../parts/ansi.ts'

/** A line as it was printed; or, with `until`, lines that were not kept. */
export interface LogRow {
  readonly at: number
  readonly until?: number
  readonly text: string
}

/** The server keeps as many of an attempt. */
const MOST_ROWS = 50_000
const TRIM = 5_000
const POLL_MS = 1_000
/** A stream answers at once; one that a proxy holds back never does. */
const SILENT_MS = 4_000

export type LogMode = 'live' | 'polling' | 'over' | 'failed'

/**
 * The lines of one attempt outside of React: a thousand a second are added here, and the page draws those that are in view. The same
 * object is changed; `version` says when.
 */
function createTaskLines() {
  let rows: LogRow[] = []
  let found: LogRow[] | null = null
  let needle = ''
  let next = 1
  let version = 0
  let last: TaskLog | null = null
  let mode: LogMode = 'live'
  const listeners = new Set<() => void>()
  const tell = () => {
    version++
    for (const hear of listeners) hear()
  }
  const holds = (row: LogRow) => row.until === undefined && unpainted(row.text).toLowerCase().includes(needle)
  return {
    add(log: TaskLog): void {
      if (last !== null && last.attempt !== log.attempt) {
        rows = []
        found = found && []
        next = 1
      }
      last = log
      const fresh: LogRow[] = []
      for (const { first_line, lines } of log.chunks) {
        // A stream that was opened again may say a line twice.
        const skip = Math.max(0, next - first_line)
        if (skip >= lines.length) continue
        if (first_line > next) fresh.push({ at: next, until: first_line - 1, text: '' })
        for (let i = skip; i < lines.length; i++) fresh.push({ at: first_line + i, text: lines[i]! })
        next = first_line + lines.length
      }
      for (const row of fresh) rows.push(row)
      if (found) for (const row of fresh) if (holds(row)) found.push(row)
      if (rows.length > MOST_ROWS + TRIM) {
        rows = rows.slice(-MOST_ROWS)
        if (found) found = rows.filter(holds)
      }
      tell()
    },
    search(wanted: string): void {
      if (wanted === needle) return
      needle = wanted
      found = wanted === '' ? null : rows.filter(holds)
      tell()
    },
    setMode(now: LogMode): void {
      if (now === mode) return
      mode = now
      tell()
    },
    /** What is to be shown, in order: all, or what the search found. */
    get shown(): readonly LogRow[] {
      return found ?? rows
    },
    get lines() {
      return rows.length
    },
    get last() {
      return last
    },
    get mode() {
      return mode
    },
    /** Behind which line a reader goes on. */
    get place() {
      return last === null ? null : { attempt: last.attempt, after: last.last_line }
    },
    version: () => version,
    subscribe(hear: () => void): () => void {
      listeners.add(hear)
      return () => listeners.delete(hear)
    },
  }
}

export type TaskLines = ReturnType<typeof createTaskLines>

/**
 * What an attempt printed and prints: by its stream, and where none comes through by asking every second. `attempt` null is the newest,
 * and those that come after it. Nothing is followed behind a page that nobody sees: a browser has six connections to a server.
 */
export function useTaskLog(client: Client, task: string, attempt: number | null): TaskLines {
  // biome-ignore lint/correctness/useExhaustiveDependencies: the lines of another attempt are others
  const lines = useMemo(createTaskLines, [task, attempt])
  useSyncExternalStore(lines.subscribe, lines.version)
  useEffect(() => {
    let stop = new AbortController()
    const begin = () => {
      stop = new AbortController()
      const { signal } = stop
      read(client, task, attempt, lines, signal).catch(() => {
        if (!signal.aborted) lines.setMode('failed')
      })
    }
    const look = () => {
      if (document.hidden) stop.abort()
      else if (stop.signal.aborted && lines.mode !== 'over') begin()
    }
    if (document.hidden) stop.abort()
    else begin()
    document.addEventListener('visibilitychange', look)
    return () => {
      document.removeEventListener('visibilitychange', look)
      stop.abort()
    }
  }, [client, task, attempt, lines])
  return lines
}

async function read(
  client: Client,
  task: string,
  attempt: number | null,
  lines: TaskLines,
  signal: AbortSignal,
): Promise<void> {
  const take = (log: TaskLog) => {
    if (!signal.aborted) lines.add(log)
  }
  const isLast = (log: TaskLog) =>
    log.complete && !log.more && (attempt !== null || (log.final && log.attempt >= log.attempts))
  /** Asks for what is there, in parts. */
  const catchUp = async (): Promise<TaskLog> => {
    for (;;) {
      const place = lines.place ?? (attempt === null ? {} : { attempt })
      const log = await client.tasks.log({ params: { id: task }, query: { ...place, limit: 5_000 }, signal })
      take(log)
      if (!log.more) return log
    }
  }
  if (isLast(await catchUp())) return lines.setMode('over')
  if (await follow(client, task, attempt, lines, signal)) return lines.setMode('over')
  lines.setMode('polling')
  for (;;) {
    await new Promise((later) => setTimeout(later, POLL_MS))
    signal.throwIfAborted()
    const log = await catchUp()
    if (isLast(log)) return lines.setMode('over')
    // The next attempt, when this one is over.
    if (log.complete && attempt === null) {
      const query = { attempt: log.attempt + 1, limit: 1 }
      const following = await client.tasks.log({ params: { id: task }, query, signal })
      if (following.outcome !== null) take({ ...following, chunks: [], last_line: 0, more: true })
    }
  }
}

/** Takes what the stream says until it has said all: true. False if nothing comes through. */
async function follow(
  client: Client,
  task: string,
  attempt: number | null,
  lines: TaskLines,
  signal: AbortSignal,
): Promise<boolean> {
  const stop = new AbortController()
  const silent = setTimeout(() => stop.abort(), SILENT_MS)
  try {
    const { place } = lines
    const from = {
      ...(attempt === null ? {} : { attempt }),
      ...(place === null ? {} : { behind: `${place.attempt}.${place.after}` }),
    }
    for await (const log of client.followLog({ task, ...from, signal: AbortSignal.any([signal, stop.signal]) })) {
      clearTimeout(silent)
      signal.throwIfAborted()
      lines.setMode('live')
      lines.add(log)
    }
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (stop.signal.aborted) return false
    throw error
  } finally {
    clearTimeout(silent)
  }
}
