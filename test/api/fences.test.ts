import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { Project } from '@writ/api'
import pg from 'pg'
import { expectBytes } from '../../packages/server/src/platform/blobs/index.ts'
import { systemClock } from '../../packages/server/src/platform/clock.ts'
import { type Database, inProject, tenantTables } from '../../packages/server/src/platform/db/index.ts'
import { attachDatabase } from '../../packages/server/src/platform/db/open.ts'
import { backends } from '../backends.ts'
import { makeSshKey, proposeKey, signApproval } from '../evidence/ssh-key.ts'
import { dispatcherOf, handlerOf } from '../tasks/dispatch.ts'
import { type TestSystem, until } from '../test-system.ts'

const testHandlers = [
  handlerOf('test.fails', async (_, { step, log, cost }) => {
    log('as a test wants it')
    cost(0.1, 'nothing')
    await step('only', async () => 1)
    throw new Error('as a test wants it')
  }),
]

/** A ticket with a run, a task, a file, a comment, an approval, a rule set, a policy change: a row in every tenant table. */
async function fill(system: TestSystem, slug: string) {
  const x = { headers: { 'x-project': slug, 'idempotency-key': `fill-${slug}` } }
  const plain = { headers: { 'x-project': slug } }
  const made = async (answer: Promise<{ status: number; body: unknown }>) => {
    const { status, body } = await answer
    assert.ok(status < 300, JSON.stringify(body))
    return body as Record<string, string>
  }
  const asset = await made(
    system.admin.post('/assets', { name: 'A', asset_type: 'switch', serial_number: 'S-1' }, plain),
  )
  const ticket = await made(system.employee.post('/tickets', { title: 'T', asset_id: asset.id }, x))
  const comment = await made(system.employee.post(`/tickets/${ticket.id}/comments`, { body: 'c' }, plain))
  const key = await makeSshKey(system.folder, `approver-${slug}`)
  const enrolled = await made(proposeKey(system.admin, key, plain))
  const signed = await signApproval(system.admin, ticket.id!, key, enrolled.id!, plain)
  await made(system.admin.post(`/tickets/${ticket.id}/approve`, { signed }, plain))
  const ruleSet = await made(
    system.admin.post(
      '/rule-sets',
      { name: 'rules-a', definition: { rules: [{ validator: 'size@1', params: { min_bytes: 1 } }] } },
      plain,
    ),
  )
  const change = await made(
    system.admin.put(
      '/policy',
      { four_eyes: true, approver_roles: ['admin'], approval_ttl_hours: 4, evidence_ttl_hours: 24 },
      plain,
    ),
  )
  const run = await made(
    system.employee.post('/runs', { run_type: 'proof', ticket_id: ticket.id, finalize: 'manual' }, plain),
  )
  const uploaded = await system.employee.upload(run.id!, 'a.txt', 'evidence', {}, plain)
  assert.equal(uploaded.status, 200)
  // As of an upload that goes on.
  const { id } = (await system.admin.get<Project[]>('/projects')).body.find((one) => one.slug === slug)!
  const { db } = system.app
  await expectBytes({ db, clock: systemClock }, id, { sha256: uploaded.body.artifact.sha256_hash, holder: 'upload' })
  const token = await made(system.employee.post('/tokens', { name: 't' }, plain))
  const [event] = (await system.admin.get<{ id: string }[]>('/audit/events?event_type=asset.created', plain)).body
  await made(system.admin.post(`/payloads/${event!.id}/erase`, { ground: 'request 17' }, plain))
  const hold = await made(
    system.admin.post('/holds', { subject_type: 'ticket', subject_id: ticket.id, reason: 'case 17' }, plain),
  )
  const hook = { name: 'w', url: 'http://127.0.0.1:9/', events: ['token.revoked'] }
  const webhook = await made(system.admin.post('/webhooks', hook, plain))
  await made(system.admin.post(`/webhooks/${webhook.id}/test`, undefined, plain))
  const worker = { worker: 'w', queues: ['api'], handlers: [{ name: 'theirs' }] }
  assert.equal((await system.admin.post('/workers/claim', worker, plain)).status, 200)
  const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' }, { slug })
  const task = await by.dispatch('test.fails', {}, { max_attempts: 2 })
  await by.settled(task.id)
  const app = await by.dispatch('feishu_set_token', { app_id: 'cli_a', app_secret: 'of the application' })
  await by.settled(app.id)
  await by.dispatch('test.fails', {}, { run_at: '2999-01-01T00:00:00Z', unique_key: 'once' })
  await made(system.admin.post('/handlers', { name: 'called', url: 'http://127.0.0.1:9/' }, plain))
  const held = { handler: 'test.fails', run_at: '2999-01-01T00:00:00Z' }
  const batch = {
    tasks: [
      { ...held, concurrency_key: 'k' },
      { ...held, depends_on: ['batch:0'] },
    ],
  }
  assert.equal((await system.admin.post('/tasks/batch', batch, plain)).status, 201)
  // Its input stands beside the row.
  await made(system.admin.post('/tasks', { handler: 'test.fails', input: { text: 'long '.repeat(3_000) } }, plain))
  const schedule = await made(
    system.admin.post('/schedules', { name: 'nightly', handler: 'test.fails', cron: '0 3 * * *' }, plain),
  )
  const once = await made(
    system.admin.post(
      '/schedules',
      { name: 'once', handler: 'test.fails', at: new Date(Date.now() + 500).toISOString() },
      plain,
    ),
  )
  await until('it fired', async () => {
    const { body } = await system.admin.get<{ fires: unknown[] }>(`/schedules/${once.id}`, plain)
    return body.fires.length > 0
  })
  return {
    asset,
    ticket,
    comment,
    ruleSet,
    change,
    run,
    artifact: uploaded.body.artifact,
    token,
    key: enrolled,
    event: event!,
    hold,
    webhook,
    schedule,
  }
}

async function openStore(system: TestSystem, url: string | undefined): Promise<Database> {
  return attachDatabase({ url: url ?? `sqlite:${path.join(system.folder, 'data/writ.db')}` })
}

for (const backend of backends()) {
  test(`no row of one project is seen, changed or planted from another, table by table (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ testHandlers })
    assert.equal((await system.admin.post('/projects', { slug: 'other', name: 'Other' })).status, 201)
    await fill(system, 'default')
    // The sequencer's own changes to the log are none across the fence.
    await system.settle()
    // Nor are counts of what is in it.
    await system.app.counter.round()
    const projects = (await system.admin.get<Project[]>('/projects')).body
    const mine = projects.find((one) => one.slug === 'default')!.id
    const other = projects.find((one) => one.slug === 'other')!.id
    const db = await openStore(system, system.databaseUrl)
    try {
      if (db.dialect === 'postgres') await db.prepareMonths(Date.now() + 200 * 86_400_000)
      for (const table of [...tenantTables] as 'tickets'[]) {
        const count = (project: string) =>
          inProject(project, () =>
            db.read(
              async (tx) =>
                (await tx.db.selectFrom(table).selectAll().execute()).filter((row) => row.project_id === mine).length,
            ),
          )
        if (table !== ('uploads' as string)) assert.ok((await count(mine)) > 0, `${table} has rows to look for`)
        assert.equal(await count(other), 0, `${table} shows rows across the fence`)
        const before = await inProject(mine, () => db.read((tx) => tx.db.selectFrom(table).selectAll().execute()))
        // Neither a change nor a deletion may reach over; that they are refused outright by grants is as good.
        await inProject(other, () =>
          db.write((tx) =>
            tx.db
              .updateTable(table)
              .set({ project_id: other } as never)
              .execute(),
          ),
        ).catch(() => {})
        await inProject(other, () => db.write((tx) => tx.db.deleteFrom(table).execute())).catch(() => {})
        const after = await inProject(mine, () => db.read((tx) => tx.db.selectFrom(table).selectAll().execute()))
        // What was taken over or deleted is missing. The rows themselves may differ: the server goes on, and tries a delivery again.
        assert.ok(after.length >= before.length, `${table} was changed across the fence`)
        const [row] = before
        if (row) {
          await assert.rejects(
            inProject(other, () =>
              db.write((tx) =>
                tx.db
                  .insertInto(table)
                  .values({ ...row } as never)
                  .execute(),
              ),
            ),
            `${table} takes a row for another project`,
          )
        }
      }
      await assert.rejects(
        db.read(async () => 1),
        /no project in context/,
        'reading without a project is a bug',
      )
    } finally {
      await db.close()
    }
  })

  test(`every route answers 404 for a thing of another project (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start({ testHandlers })
    assert.equal((await system.admin.post('/projects', { slug: 'other', name: 'Other' })).status, 201)
    const made = await fill(system, 'default')
    const there = { headers: { 'x-project': 'other' } }
    const { admin } = system
    const questions: [string, Promise<{ status: number; body: unknown }>][] = [
      ['asset', admin.get(`/assets/${made.asset.id}`, there)],
      ['asset by number', admin.get('/assets/1', there)],
      ['revoke signing key', admin.post(`/signing-keys/${made.key.id}/revoke`, {}, there)],
      ['evidence', admin.post('/evidence/export', { subject: 'ticket', id: made.ticket.id }, there)],
      ['trail of a ticket', admin.get(`/evidence/trail?subject=ticket&id=${made.ticket.id}`, there)],
      ['trail of a run', admin.get(`/evidence/trail?subject=run&id=${made.run.id}`, there)],
      ['statement', admin.post(`/tickets/${made.ticket.id}/approval-statement`, undefined, there)],
      ['edit asset', admin.patch(`/assets/${made.asset.id}`, { name: 'x' }, there)],
      ['ticket', admin.get(`/tickets/${made.ticket.id}`, there)],
      ['ticket by number', admin.get('/tickets/1', there)],
      ['edit ticket', admin.patch(`/tickets/${made.ticket.id}`, { title: 'x' }, there)],
      ...['submit', 'approve', 'close', 'reopen'].map(
        (verb) =>
          [verb, admin.post(`/tickets/${made.ticket.id}/${verb}`, undefined, there)] as [
            string,
            Promise<{ status: number; body: unknown }>,
          ],
      ),
      ['reject', admin.post(`/tickets/${made.ticket.id}/reject`, { reason: 'x' }, there)],
      ['approvals', admin.get(`/tickets/${made.ticket.id}/approvals`, there)],
      ['changes', admin.get(`/tickets/${made.ticket.id}/changes`, there)],
      ['comments', admin.get(`/tickets/${made.ticket.id}/comments`, there)],
      ['comment', admin.post(`/tickets/${made.ticket.id}/comments`, { body: 'x' }, there)],
      ['a ticket on a foreign asset', admin.post('/tickets', { title: 'x', asset_id: made.asset.id }, there)],
      ['a run on a foreign ticket', admin.post('/runs', { run_type: 'proof', ticket_id: made.ticket.id }, there)],
      ['run', admin.get(`/runs/${made.run.id}`, there)],
      ['erase a payload', admin.post(`/payloads/${made.event.id}/erase`, { ground: 'request 17' }, there)],
      ['erase bytes', admin.post(`/artifacts/${made.artifact.id}/erase`, { ground: 'request 17' }, there)],
      ['release a hold', admin.post(`/holds/${made.hold.id}/release`, { reason: 'x' }, there)],
      [
        'hold a foreign ticket',
        admin.post('/holds', { subject_type: 'ticket', subject_id: made.ticket.id, reason: 'case 17' }, there),
      ],
      [
        'hold a foreign run',
        admin.post('/holds', { subject_type: 'run', subject_id: made.run.id, reason: 'case 17' }, there),
      ],
      ['run by number', admin.get('/runs/1', there)],
      ['run contract', admin.get(`/runs/${made.run.id}/state`, there)],
      ['wait', admin.get(`/runs/${made.run.id}/wait?timeout=0`, there)],
      ...['finalize', 'cancel', 'verify'].map(
        (verb) =>
          [verb, admin.post(`/runs/${made.run.id}/${verb}`, undefined, there)] as [
            string,
            Promise<{ status: number; body: unknown }>,
          ],
      ),
      ['upload', admin.upload(made.run.id!, 'x', 'x', {}, there)],
      ['artifact', admin.get(`/artifacts/${made.artifact.id}`, there)],
      ['download', admin.get(`/artifacts/${made.artifact.id}/download`, there)],
      ['artifacts of a run', admin.get(`/artifacts/run/${made.run.id}`, there)],
      ['delete artifact', admin.delete(`/artifacts/${made.artifact.id}`, there)],
      ['approve policy', admin.post(`/policy/changes/${made.change.id}/approve`, undefined, there)],
      ['reject policy', admin.post(`/policy/changes/${made.change.id}/reject`, undefined, there)],
      ['webhook', admin.get(`/webhooks/${made.webhook.id}`, there)],
      ['change webhook', admin.patch(`/webhooks/${made.webhook.id}`, { name: 'x' }, there)],
      ['rotate webhook', admin.post(`/webhooks/${made.webhook.id}/rotate`, undefined, there)],
      ['test webhook', admin.post(`/webhooks/${made.webhook.id}/test`, undefined, there)],
      ['deliveries', admin.get(`/webhooks/${made.webhook.id}/deliveries`, there)],
      ['replay', admin.post(`/webhooks/${made.webhook.id}/replay`, { state: 'failed' }, there)],
      ['delete webhook', admin.delete(`/webhooks/${made.webhook.id}`, there)],
      ['schedule', admin.get(`/schedules/${made.schedule.id}`, there)],
      ['change schedule', admin.patch(`/schedules/${made.schedule.id}`, { name: 'x' }, there)],
      ['pause schedule', admin.post(`/schedules/${made.schedule.id}/pause`, undefined, there)],
      ['resume schedule', admin.post(`/schedules/${made.schedule.id}/resume`, undefined, there)],
      ['trigger schedule', admin.post(`/schedules/${made.schedule.id}/trigger`, undefined, there)],
      ['delete schedule', admin.delete(`/schedules/${made.schedule.id}`, there)],
      ['events of a run', admin.get(`/events?run_id=${made.run.id}`, there)],
      ['rotate token', admin.post(`/tokens/${made.token.id}/rotate`, undefined, there)],
      ['revoke token', admin.delete(`/tokens/${made.token.id}`, there)],
    ]
    for (const [what, question] of questions) {
      const answer = await question
      assert.equal(answer.status, 404, `${what}: ${JSON.stringify(answer.body)}`)
    }
    for (const list of [
      '/tickets',
      '/runs',
      '/assets',
      '/rule-sets',
      '/tokens',
      '/policy/changes',
      '/webhooks',
      '/schedules',
    ]) {
      assert.deepEqual((await admin.get(list, there)).body, [], `${list} of the other project`)
    }
    for (const filter of [{ ticket_id: made.ticket.id }, { created_before: '2999-01-01T00:00:00Z' }]) {
      const counted = await admin.post('/runs/preview', { act: 'cancel', ...filter }, there)
      assert.deepEqual(counted.body, { count: 0, more: false })
      assert.deepEqual((await admin.post('/runs/cancel', filter, there)).body, { cancelled: 0, left: 0 })
      assert.deepEqual((await admin.post('/runs/verify', filter, there)).body, { started: [], last: null, left: 0 })
    }
    const events = await admin.get<{ resource_id: string }[]>('/audit/events?limit=1000', there)
    assert.ok(
      events.body.every((event) => event.resource_id !== made.ticket.id),
      'events of another project are shown',
    )
    await system.settle()
    const watched = await admin.get<{ items: { subject?: string }[] }>('/events?after=0&limit=1000', there)
    assert.ok(watched.body.items.length > 0)
    assert.ok(
      watched.body.items.every((event) => event.subject !== made.ticket.id),
      'events of another project are watched',
    )
    // A token is of one project; it opens no other.
    const foreign = await fetch(`${system.base}/api/v1/tickets`, {
      headers: { 'x-api-token': String(made.token.token), 'x-project': 'other' },
    })
    assert.equal(foreign.status, 403)
    await system.check()
  })

  // SQLite has no such thing to test: its fence is the predicate that the tests above try to get round.
  if (backend.name === 'sqlite') continue
  test(`row-level security is on and forced on every tenant table and not to be got round (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ testHandlers })
    const client = new pg.Client({ connectionString: system.databaseUrl! })
    await client.connect()
    try {
      const { rows } = await client.query<{
        relname: string
        relrowsecurity: boolean
        relforcerowsecurity: boolean
        policies: number
      }>(
        `select c.relname, c.relrowsecurity, c.relforcerowsecurity, (select count(*)::int from pg_policy p where p.polrelid = c.oid) as policies
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'project_id'
         where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = current_schema()::regnamespace`,
      )
      const fenced = rows
        .filter((row) => row.relrowsecurity && row.relforcerowsecurity && row.policies > 0)
        .map((row) => row.relname)
      assert.deepEqual(fenced.sort(), [...tenantTables].sort())
      // Tables with a project that carry no policy are the fences' own posts, and the index that workers claim from.
      const open = rows.map((row) => row.relname).filter((name) => !fenced.includes(name))
      assert.deepEqual(open.sort(), [
        'concurrency_keys',
        'delivery_queue',
        'disabled_handlers',
        'invites',
        'memberships',
        'queue',
        'queues',
        'schedule_due',
        'timers',
        'tokens',
        'webhook_cursors',
      ])
      await client.query('set role writ_app')
      for (const table of tenantTables) {
        assert.equal(
          (await client.query(`select 1 from ${table}`)).rowCount,
          0,
          `${table} shows rows without a project`,
        )
      }
      const partitions = await client.query<{ name: string }>(
        `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relispartition and c.relkind = 'r'`,
      )
      assert.ok(partitions.rows.length >= 12)
      for (const { name } of partitions.rows) {
        await assert.rejects(
          client.query(`select 1 from ${name}`),
          /permission denied/,
          `${name} can be read around its parent`,
        )
      }
      for (const statement of [
        'delete from audit_events',
        'update audit_events set event = event',
        'update audit_appends set log_index = 0',
        'drop table runs',
        'set row_security = off; select * from runs',
      ]) {
        await assert.rejects(client.query(statement), statement)
      }
    } finally {
      await client.end()
    }
  })
}
