import type { Selectable } from 'kysely'
import type { Tx } from '../../platform/db/index.ts'
import type { LogChunksTable } from '../../platform/db/tables.ts'
import { redactor } from '../../platform/redact/index.ts'
import { storable } from '../../platform/storable.ts'
import { countLines } from './attempt-log.ts'

// What attempts print, kept in chunks while they run.

/** Lines to keep behind what is kept of the attempt. */
export interface NewChunk {
  readonly runId: string
  readonly attempt: number
  /** Of the lease that they were printed under. */
  readonly fence: number
  /** As they were printed, before anything was redacted; none only in a last one. */
  readonly printed: readonly string[]
  /** So many lines before these were printed and are not kept. */
  readonly leftOut: number
  /**
   * The number of the first of them among all that was printed under this lease, from 1 on: those that are there already are not kept
   * again. Undefined: none of them is.
   */
  readonly first?: number | undefined
  readonly at: number
  /** Nothing follows: these are its end. */
  readonly last: boolean
}

/**
 * What is kept of a log with the end of an attempt; undefined if nothing is. Also without lines, where it says that the log is complete:
 * an attempt that only waits, or goes back, goes on.
 */
export function lastChunk(
  of: Pick<NewChunk, 'runId' | 'attempt' | 'fence' | 'at'>,
  lines: Pick<NewChunk, 'printed' | 'leftOut' | 'first'>,
  next: 'settle' | 'retry' | 'wait' | 'hold' | 'back',
): NewChunk | undefined {
  const last = next === 'settle' || next === 'retry'
  return lines.printed.length === 0 && !last ? undefined : { ...of, ...lines, last }
}

export type ChunkRow = Pick<Selectable<LogChunksTable>, 'first_line' | 'lines' | 'kept_at' | 'text'>

/** Of one attempt, beyond which the oldest chunks go. */
const MAX_KEPT_CHARS = 2 * 1024 * 1024
const MAX_KEPT_LINES = 50_000
/** They go in eighths, not with each chunk. */
const EIGHTHS = 8

/**
 * Keeps lines behind those that are there, redacted; of each attempt at most once in a call. An attempt that was put back uncounted and
 * begins again goes on behind what it printed before.
 *
 * Whoever prints cannot know whether lines were kept if the answer was lost, and sends them again with their number: each is kept once,
 * because how many there are is read in the transaction that adds to them.
 */
export async function keepChunks(tx: Tx, chunks: readonly NewChunk[]): Promise<void> {
  const rest = await Promise.all(
    chunks.map(async (one) => (one.first === undefined ? one : withoutTold(one, one.first, await countTold(tx, one)))),
  )
  const fresh = rest.filter(({ printed, last }) => printed.length > 0 || last)
  const added = fresh.map((one) => {
    const text = redactor.text(storable(one.printed.join('\n')))
    return { ...one, text, lines: one.printed.length === 0 ? 0 : countLines(text) }
  })
  const ends = await Promise.all(
    added.map(({ runId, attempt, fence, printed, text, lines, leftOut, at, last }) =>
      tx.sql<{ end_line: number; end_chars: number }>(
        `insert into log_chunks (project_id, run_id, attempt, first_line, lines, end_chars, kept_at, text, last, fence, told)
         select ?1, ?2, ?3,
           coalesce((${NEWEST('first_line + lines')}), 1) + ?4, ?5,
           coalesce((${NEWEST('end_chars')}), 0) + ?6, ?7, ?8, ?9,
           ?10, coalesce((${NEWEST('case when fence = ?10 then told end')}), 0) + ?4 + ?11
         returning first_line + lines - 1 as end_line, end_chars`,
        [tx.project, runId, attempt, leftOut, lines, text.length + 1, at, text, last ? 1 : 0, fence, printed.length],
      ),
    ),
  )
  for (const [i, { runId, attempt, text, lines }] of added.entries()) {
    const end = ends[i]![0]!
    const tooOld = Number(end.end_chars) - MAX_KEPT_CHARS
    const tooFar = Number(end.end_line) - MAX_KEPT_LINES
    const passes = (over: number, by: number, most: number) =>
      over > 0 && Math.floor(over / (most / EIGHTHS)) > Math.floor((over - by) / (most / EIGHTHS))
    if (passes(tooOld, text.length + 1, MAX_KEPT_CHARS) || passes(tooFar, lines, MAX_KEPT_LINES))
      await tx.sql(
        `delete from log_chunks where project_id = ?1 and run_id = ?2 and attempt = ?3
           and (end_chars <= ?4 or first_line + lines - 1 <= ?5)`,
        [tx.project, runId, attempt, tooOld, tooFar],
      )
  }
}

/** How many lines are known that were printed under a lease: kept, or counted as left out. */
export async function countTold(
  tx: Tx,
  { runId, attempt, fence }: Pick<NewChunk, 'runId' | 'attempt' | 'fence'>,
): Promise<number> {
  const row = await tx.db
    .selectFrom('log_chunks')
    .select(['fence', 'told'])
    .where('run_id', '=', runId)
    .where('attempt', '=', attempt)
    .orderBy('first_line', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.fence === fence ? (row.told ?? 0) : 0
}

/**
 * Of lines that begin with number `first`, those that are not there yet, and how many between them and the `told` that are known are
 * missing. None of what is answered is there.
 */
export function withoutTold(chunk: NewChunk, first: number, told: number): NewChunk {
  const ahead = first - 1 - told
  return {
    ...chunk,
    first: undefined,
    printed: chunk.printed.slice(Math.max(0, -ahead)),
    leftOut: Math.max(0, ahead),
  }
}

/** Of the newest chunk of an attempt. */
const NEWEST = (what: string) =>
  `select ${what} from log_chunks where project_id = ?1 and run_id = ?2 and attempt = ?3 order by first_line desc limit 1`

/** Up to where the log of an attempt is kept: the number of its last line, and whether nothing follows. */
export async function findLogEnd(tx: Tx, runId: string, attempt: number): Promise<{ line: number; last: boolean }> {
  const row = await tx.db
    .selectFrom('log_chunks')
    .select(['first_line', 'lines', 'last'])
    .where('run_id', '=', runId)
    .where('attempt', '=', attempt)
    .orderBy('first_line', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? { line: row.first_line + row.lines - 1, last: row.last === 1 } : { line: 0, last: false }
}

/** Chunks that hold something behind a line, in order, at most `limit`. */
export async function listChunks(
  tx: Tx,
  runId: string,
  attempt: number,
  after: number,
  limit: number,
): Promise<ChunkRow[]> {
  const chunks = tx.db.selectFrom('log_chunks').where('run_id', '=', runId).where('attempt', '=', attempt)
  const begin = await chunks
    .select('first_line')
    .where('first_line', '<=', after + 1)
    .orderBy('first_line', 'desc')
    .limit(1)
    .executeTakeFirst()
  return chunks
    .select(['first_line', 'lines', 'kept_at', 'text'])
    .where('first_line', '>=', begin?.first_line ?? 0)
    .where('lines', '>', 0)
    .orderBy('first_line')
    .limit(limit)
    .execute()
}
