import type { TaskLog } from '@writ/api'
import { AppError } from '../../platform/app-error.ts'
import { rfc3339 } from '../../platform/clock.ts'
import type { Tx } from '../../platform/db/index.ts'
import { isFinal } from '../../runs/index.ts'
import { countLines } from './attempt-log.ts'
import { showAttempts } from './show.ts'
import type { TaskRow } from './store.ts'
import * as store from './store.ts'
import { type ChunkRow, findLogEnd, listChunks } from './store-log.ts'

/** Which lines of a task's log. */
export interface LogPlace {
  /** The newest when left out. */
  readonly attempt?: number | undefined
  /** Lines behind this one. */
  readonly after?: number | undefined
  /** The newest so many, instead of `after`. */
  readonly tail?: number | undefined
  /** At most so many lines. */
  readonly limit?: number | undefined
}

const MOST_CHUNKS = 32
const MOST_LINES = 1_000

/**
 * Some lines of an attempt's log, as it is kept now. Throws ATTEMPT_NOT_FOUND.
 *
 * Lines of an attempt that runs are in chunks. A short attempt writes none: what it printed came with its settling and stands in
 * its run. All of it is read in one snapshot, so an attempt that is complete has no line that is still to come.
 */
export async function readLog(tx: Tx, row: TaskRow, place: LogPlace): Promise<TaskLog> {
  const attempts = showAttempts(row, await store.listAttempts(tx, [row.id]))
  const final = isFinal(row.state)
  const attempt = place.attempt ?? Math.max(1, attempts.length)
  if (attempt > Math.max(1, attempts.length + (final ? 0 : 1))) throw new AppError('ATTEMPT_NOT_FOUND')
  const outcome = attempts[attempt - 1]?.outcome ?? null
  const limit = place.limit ?? MOST_LINES

  const kept = await findLogEnd(tx, row.id, attempt)
  const rest = final && attempt === row.attempt && !kept.last ? row.stdout_log : null
  const end = kept.line + (rest === null ? 0 : countLines(rest))
  const after = Math.min(end, place.tail === undefined ? (place.after ?? 0) : Math.max(0, end - place.tail))
  const rows: ChunkRow[] = kept.line > after ? await listChunks(tx, row.id, attempt, after, MOST_CHUNKS) : []
  if (rest !== null && rows.length < MOST_CHUNKS)
    rows.push({
      first_line: kept.line + 1,
      lines: end - kept.line,
      kept_at: row.completed_at ?? row.updated_at,
      text: rest,
    })

  const chunks: TaskLog['chunks'] = []
  let last = after
  let left = limit
  for (const { first_line, lines, kept_at, text } of rows) {
    const skip = Math.max(0, after + 1 - first_line)
    if (skip >= lines || left === 0) continue
    const some = text.split('\n').slice(skip, skip + left)
    chunks.push({ first_line: first_line + skip, lines: some, kept_at: rfc3339(kept_at) })
    left -= some.length
    last = first_line + skip + some.length - 1
  }
  return {
    run_id: row.id,
    number: row.number,
    attempt,
    attempts: attempts.length,
    outcome,
    chunks,
    last_line: last,
    more: last < end,
    complete: final || (outcome !== null && outcome !== 'running'),
    final,
  }
}
