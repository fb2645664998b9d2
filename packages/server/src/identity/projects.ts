import { type Actor, append, EMPTY_ROOT, insertLog, listEvents, newOrigin, readLine } from '../audit/index.ts'
import { type Database, INSTANCE, inProject, type Tx, UniqueViolation } from '../platform/db/index.ts'
import { defaultPolicy, policyText } from './policy.ts'
import { findLogOrigin, insertProject, listProjects, type ProjectRow } from './store-projects.ts'

/** The first shard of every log. */
const FIRST_SHARD = 0

/**
 * Writes a project and its event, in a transaction of the instance. The log has a row of the project's own, behind
 * another fence: `openProjectLog` writes it next. The event names the log's origin, so that a start after a crash between
 * the two opens the very same log.
 */
export async function createProject(
  tx: Tx,
  at: number,
  by: Actor,
  project: Pick<ProjectRow, 'id' | 'slug' | 'name' | 'created_by_id'>,
  origin: string,
): Promise<ProjectRow> {
  const row: ProjectRow = { ...project, policy: policyText(defaultPolicy), created_at: at, log_access: 'members' }
  await insertProject(tx, row)
  await append(tx, at, by, {
    type: 'project.created',
    resource: { type: 'project', id: row.id },
    action: `Created project: ${row.slug}`,
    details: { slug: row.slug, name: row.name, log_origin: origin },
  })
  return row
}

/** Opens the log of a project, or of the instance. Another server that was faster has done the same: nothing to do. */
export async function openProjectLog(db: Database, project: string, origin: string, now: number): Promise<void> {
  try {
    await inProject(project, () =>
      db.write((tx) => insertLog(tx, { shard: FIRST_SHARD, origin, now, root: EMPTY_ROOT })),
    )
  } catch (error) {
    if (!(error instanceof UniqueViolation)) throw error
  }
}

export const loadLogOrigin = (db: Database, project: string): Promise<string | undefined> =>
  inProject(project, () => db.read(findLogOrigin))

/** Opens the logs of projects whose creation was interrupted, under the origin that was promised. Answers how many. */
export async function healProjects(db: Database, now: number): Promise<number> {
  let healed = 0
  for (const project of await listProjects(db)) {
    if ((await loadLogOrigin(db, project.id)) !== undefined) continue
    await openProjectLog(db, project.id, (await promisedOrigin(db, project.id)) ?? newOrigin(), now)
    healed++
  }
  return healed
}

async function promisedOrigin(db: Database, project: string): Promise<string | undefined> {
  const filter = { event_type: 'project.created', resource_id: project }
  const [created] = await inProject(INSTANCE, () => db.read((tx) => listEvents(tx, filter, { limit: 1 })))
  // `createProject` wrote it. What it says may be erased, with whoever made the project.
  return (readLine(created?.event ?? '')?.details as { log_origin?: string } | null | undefined)?.log_origin
}
