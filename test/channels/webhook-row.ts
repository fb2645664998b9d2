import type { Tx } from '../../packages/server/src/platform/db/index.ts'

/** A project with an active webhook of a user, in a database without a server. */
export async function insertWebhook(tx: Tx, on: { project: string; webhook: string; user: string }): Promise<void> {
  await tx.insert('projects', [{ id: on.project, slug: 'p', name: 'Test', policy: '{}', created_at: 0 }])
  await tx.sql(
    `insert into users (id, number, username, password_hash, created_at, updated_at) values (?1, 1, 'u', '', 0, 0)`,
    [on.user],
  )
  await insertWebhookRow(tx, on)
}

/** Another webhook of a project that is there. */
export async function insertWebhookRow(tx: Tx, on: { project: string; webhook: string; user: string }): Promise<void> {
  await tx.sql(
    `insert into webhooks (project_id, id, name, format, url, sealed_url, sealed_headers, header_names, events, state, created_by_id, created_at, updated_at)
     values (?1, ?2, 'w', 'cloudevents', '', '', '', '[]', '[]', 'active', ?3, 0, 0)`,
    [on.project, on.webhook, on.user],
  )
}
