import type { Selectable } from 'kysely'
import type { Tx } from '../../../platform/db/index.ts'
import type { FeishuAppsTable } from '../../../platform/db/tables.ts'

// All SQL of Feishu's applications.

export type FeishuAppRow = Selectable<FeishuAppsTable>

export const findApp = (tx: Tx, by: { app_id: string } | { app_hash: string }): Promise<FeishuAppRow | undefined> => {
  const apps = tx.db.selectFrom('feishu_apps').selectAll()
  return (
    'app_id' in by ? apps.where('app_id', '=', by.app_id) : apps.where('app_hash', '=', by.app_hash)
  ).executeTakeFirst()
}

/** Registers the application, or changes what is given of it. */
export async function putApp(
  tx: Tx,
  app: Pick<FeishuAppRow, 'app_id' | 'updated_at'> & Partial<Omit<FeishuAppRow, 'project_id'>>,
): Promise<void> {
  const { app_id, ...change } = app
  if (await findApp(tx, { app_id })) {
    await tx.db.updateTable('feishu_apps').set(change).where('app_id', '=', app_id).execute()
    return
  }
  const empty = { app_hash: null, sealed_secret: null, sealed_token: null, token_until: null }
  await tx.insert('feishu_apps', [{ project_id: tx.project, ...empty, ...app }])
}
