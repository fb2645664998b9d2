import { type Database, inProject } from '../platform/db/index.ts'

/**
 * What the database says of bytes: an artifact or a task names them, the artifacts that did were erased, or nobody names them, as
 * those of an upload that is under way, and those of a task that retention dropped.
 */
export type Naming = 'named' | 'erased' | 'unnamed'

export const namingOf = (db: Database, project: string, sha256: string): Promise<Naming> =>
  inProject(project, () =>
    db.read(async (tx) => {
      const rows = await tx.sql<{ named: number; erased: number }>(
        `select (select count(*) from artifacts where project_id = ?1 and sha256 = ?2 and erased_at is null)
              + (select count(*) from task_payloads p where p.project_id = ?1 and p.sha256 = ?2 and not exists
                  (select 1 from blob_marks m where m.project_id = ?1 and m.sha256 = ?2 and m.what = 'going')) as named,
                (select count(*) from artifacts where project_id = ?1 and sha256 = ?2 and erased_at is not null) as erased`,
        [project, sha256],
      )
      const { named, erased } = rows[0]!
      if (Number(named) > 0) return 'named'
      return Number(erased) > 0 ? 'erased' : 'unnamed'
    }),
  )
