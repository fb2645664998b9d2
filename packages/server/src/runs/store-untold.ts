import { inList, type Tx } from '../platform/db/index.ts'

/** The states in which a run has ended, and the events that say so. */
const ENDED = ['completed', 'failed', 'timeout', 'cancelled'] as const
const ENDS = ENDED.map((state) => `run.${state}` as const)

/**
 * The number of a run that ended after `since` (milliseconds) and of whose end no event tells; undefined if there is none. What was brought in from
 * another system had ended before it was created here.
 */
export async function findUntoldEnd(tx: Tx, since: number): Promise<number | undefined> {
  // What events are about is not in the collation of the ids of runs, so that without this PostgreSQL reads all events there ever were.
  const id = tx.dialect === 'postgres' ? 'runs.id collate "default"' : 'runs.id'
  // The least of all, not any one: a planner that is to find one expects it soon, and looks up the events of each run by itself.
  const [row] = await tx.sql<{ number: number | null }>(
    `select min(number) as number from runs
     where project_id = ?1 and ${inList(tx, 'state', '?2')} and completed_at > ?3
       and not exists (select 1 from audit_events e where e.project_id = runs.project_id and e.resource_id = ${id}
         and (${inList(tx, 'e.event_type', '?4')} or (e.event_type = 'run.created' and e.timestamp > runs.completed_at)))`,
    [tx.project, [...ENDED], since, ENDS],
  )
  return row?.number ?? undefined
}
