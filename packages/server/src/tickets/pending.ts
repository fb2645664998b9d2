import { countProposedKeys, listProjects } from '../identity/index.ts'
import { type Database, inProject } from '../platform/db/index.ts'
import { countTickets } from './store.ts'

/** What waits for somebody else's decision, of all projects together: tickets that were submitted, signing keys that were proposed. */
export async function countPending(db: Database): Promise<{ ticket: number; signing_key: number }> {
  const pending = { ticket: 0, signing_key: 0 }
  for (const { id } of await listProjects(db))
    await inProject(id, () =>
      db.read(async (tx) => {
        pending.ticket += await countTickets(tx, { status: 'submitted' })
        pending.signing_key += await countProposedKeys(tx)
      }),
    )
  return pending
}
