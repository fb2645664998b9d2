import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { backends } from '../../../../test/backends.ts'
import type { TestSystem } from '../../../../test/test-system.ts'
import { SYSTEM } from '../audit/index.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import { attachDatabase } from '../platform/db/open.ts'
import { uuidv7 } from '../platform/ids.ts'
import { consume } from './approval.ts'
import { insertApproval } from './store-approvals.ts'
import { listProjects } from './store-projects.ts'

const NOW = Date.UTC(2026, 10, 22)

const storeOf = ({ databaseUrl, folder }: TestSystem): Promise<Database> =>
  attachDatabase({ url: databaseUrl ?? `sqlite:${path.join(folder, 'data/writ.db')}` })

/** Fifty uses at once; how each ended. */
async function useFifty(db: Database, project: string, id: string): Promise<string[]> {
  const use = () => inProject(project, () => db.write((tx) => consume(tx, id, SYSTEM, NOW)))
  const ended = await Promise.allSettled(Array.from({ length: 50 }, use))
  return ended.map((one) => (one.status === 'fulfilled' ? 'used' : String((one.reason as { code?: string }).code)))
}

for (const backend of backends()) {
  test(`of fifty uses of one approval one wins, and none after its end (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const db = await storeOf(system)
    try {
      const project = (await listProjects(db))[0]!.id
      const approval = (id: string, expires_at: number | null) => ({
        id,
        subject_type: 'ticket' as const,
        subject_id: id,
        subject_version: 1,
        subject_digest: '0'.repeat(64),
        decision: 'approved' as const,
        decided_by_id: system.admin.id,
        reason: null,
        created_at: NOW - 1_000,
        expires_at,
        auth_time: null,
        amr: '[]',
      })
      await inProject(project, () =>
        db.write(async (tx) => {
          await insertApproval(tx, approval('01900000-0000-7000-8000-000000000001', NOW + 1))
          await insertApproval(tx, approval('01900000-0000-7000-8000-000000000002', NOW))
        }),
      )
      const ended = await useFifty(db, project, '01900000-0000-7000-8000-000000000001')
      assert.deepEqual(ended.sort(), [...Array(49).fill('APPROVAL_USED'), 'used'])
      const late = await useFifty(db, project, '01900000-0000-7000-8000-000000000002')
      assert.deepEqual([...new Set(late)], ['APPROVAL_EXPIRED'])
    } finally {
      await db.close()
    }
  })

  test(`the database refuses a decision about a ticket of one’s own, whatever the code comes to (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const db = await storeOf(system)
    try {
      const project = (await listProjects(db))[0]!.id
      const lea = await system.hire('lea', 'employee')
      const open = async (by: typeof lea, body: object) =>
        (await by.post<{ id: string }>('/tickets', { title: 'x', ...body })).body.id
      const opened = await open(system.admin, {})
      const assigned = await open(lea, { assignee_id: system.admin.number })
      const changed = await open(lea, {})
      assert.equal((await system.admin.patch(`/tickets/${changed}`, { title: 'y' })).status, 200)
      const others = await open(lea, {})
      const decide = (subject_id: string) =>
        inProject(project, () =>
          db.write((tx) =>
            insertApproval(tx, {
              id: uuidv7(NOW),
              subject_type: 'ticket',
              subject_id,
              subject_version: 1,
              subject_digest: '0'.repeat(64),
              decision: 'approved',
              decided_by_id: system.admin.id,
              reason: null,
              created_at: NOW,
              expires_at: null,
              auth_time: null,
              amr: '[]',
            }),
          ),
        )
      for (const id of [opened, assigned, changed]) await assert.rejects(decide(id), /four eyes/)
      await decide(others)
      await inProject(INSTANCE, () =>
        db.write((tx) => tx.sql(`update projects set policy = '{"four_eyes":false}' where id = ?1`, [project])),
      )
      await decide(opened)
    } finally {
      await db.close()
    }
  })
}
