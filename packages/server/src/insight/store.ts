import type { Position } from '../audit/index.ts'
import { type Tx, textsOfList } from '../platform/db/index.ts'

// All SQL of what is counted.

export const STEPS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const
export type Step = keyof typeof STEPS

/** Runs that ended alike, as far as they are counted, and in one minute. */
export interface Ended {
  readonly kind: string
  readonly handler: string
  readonly queue: string | null
  readonly state: 'completed' | 'failed' | 'cancelled' | 'timeout'
  readonly error_code: string | null
  readonly cost_usd: number | null
  /** When the minute began. */
  readonly minute: number
  /** Milliseconds; null for what never ran. */
  readonly ran: number | null
  readonly waited: number | null
  readonly runs: number
}

export interface StatsKey {
  readonly step: Step
  readonly at: number
  readonly handler: string
  readonly queue: string
}

export interface StatsRow extends StatsKey {
  readonly ended: number
  readonly failed: number
  readonly cancelled: number
  /** JSON. */
  readonly ran: string
  readonly waited: string
  readonly codes: string
  /** Billionths of a US dollar. */
  readonly cost_nanos: number
}

/** Before the first place of a log. */
const START: Position = { shard: -1, index: -1 }

/** Up to where this project's log was counted; before the first entry if nothing was. */
export async function findCursor(tx: Tx): Promise<Position> {
  const rows = await tx.sql<{ shard: number; log_index: number }>(
    'select shard, log_index from run_stats_cursors where project_id = ?1',
    [tx.project],
  )
  return rows[0] ? { shard: rows[0].shard, index: rows[0].log_index } : START
}

/** Moves the cursor, if it stands where it was read; false if somebody else counted meanwhile. */
export async function moveCursor(tx: Tx, from: Position, to: Position): Promise<boolean> {
  const moved = await tx.sql(
    from.shard === START.shard
      ? `insert into run_stats_cursors (project_id, shard, log_index) values (?1, ?2, ?3)
         on conflict do nothing returning project_id`
      : `update run_stats_cursors set shard = ?2, log_index = ?3
         where project_id = ?1 and shard = ?4 and log_index = ?5 returning project_id`,
    [tx.project, to.shard, to.index, ...(from.shard === START.shard ? [] : [from.shard, from.index])],
  )
  return moved.length === 1
}

/**
 * Those of these runs that have ended. Put together by the database: of a thousand short ones few are left. The bounds let partitions
 * be left out.
 */
export async function loadEnded(tx: Tx, ids: readonly string[]): Promise<Ended[]> {
  if (ids.length === 0) return []
  const sorted = ids.toSorted()
  const rows = await tx.sql<Ended>(
    `select kind, handler, queue, state, error_code, cost_usd, completed_at - completed_at % ${STEPS.minute} as minute,
       completed_at - started_at as ran, started_at - case when run_at > created_at then run_at else created_at end as waited,
       count(*) as runs
     from runs
     where project_id = ?1 and id >= ?2 and id <= ?3 and id in (${textsOfList(tx, '?4')}) and completed_at is not null
     group by 1, 2, 3, 4, 5, 6, 7, 8, 9`,
    [tx.project, sorted[0]!, sorted.at(-1)!, ids],
  )
  return rows.map((row) => ({ ...row, runs: Number(row.runs) }))
}

export async function findStats(tx: Tx, { step, at, handler, queue }: StatsKey): Promise<StatsRow | undefined> {
  const rows = await tx.sql<StatsRow>(
    `select step, at, handler, queue, ended, failed, cancelled, ran, waited, codes, cost_nanos from run_stats
     where project_id = ?1 and step = ?2 and at = ?3 and handler = ?4 and queue = ?5`,
    [tx.project, step, at, handler, queue],
  )
  return rows[0]
}

export const putStats = (tx: Tx, row: StatsRow): Promise<unknown> =>
  tx.sql(
    `insert into run_stats (project_id, step, at, handler, queue, ended, failed, cancelled, ran, waited, codes, cost_nanos)
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
     on conflict (project_id, step, at, handler, queue) do update set ended = excluded.ended, failed = excluded.failed,
       cancelled = excluded.cancelled, ran = excluded.ran, waited = excluded.waited, codes = excluded.codes,
       cost_nanos = excluded.cost_nanos`,
    [
      tx.project,
      row.step,
      row.at,
      row.handler,
      row.queue,
      row.ended,
      row.failed,
      row.cancelled,
      row.ran,
      row.waited,
      row.codes,
      row.cost_nanos,
    ],
  )

/** What was counted in a period, in the order of time; at most `limit` rows. */
export const listStats = (
  tx: Tx,
  want: { step: Step; from: number; to: number; handler?: string | undefined; queue?: string | undefined },
  limit: number,
): Promise<StatsRow[]> =>
  tx.db
    .selectFrom('run_stats')
    .select(['step', 'at', 'handler', 'queue', 'ended', 'failed', 'cancelled', 'ran', 'waited', 'codes', 'cost_nanos'])
    .where('step', '=', want.step)
    .where('at', '>=', want.from)
    .where('at', '<', want.to)
    .$if(want.handler !== undefined, (q) => q.where('handler', '=', want.handler!))
    .$if(want.queue !== undefined, (q) => q.where('queue', '=', want.queue!))
    .orderBy('at')
    .limit(limit)
    .execute()

/** Forgets what is too old to be asked for in this step. */
export const forgetStats = (tx: Tx, step: Step, before: number): Promise<unknown> =>
  tx.sql('delete from run_stats where project_id = ?1 and step = ?2 and at < ?3', [tx.project, step, before])
