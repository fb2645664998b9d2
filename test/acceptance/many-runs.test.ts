/** Many runs on tickets at once: counted, cancelled and verified again by what a filter takes, each as by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent, Run, Ticket } from '@writ/api'
import { backends } from '../backends.ts'
import type { Person } from '../test-system.ts'

type Started = { started: { id: string; number: number; verifies_run_id: string }[]; last: number | null; left: number }

for (const backend of backends()) {
  test(`runs are counted, cancelled and verified again by a filter (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin, employee, bob: colleague } = system
    const post = async <T>(who: Person, path: string, body: object): Promise<T> => {
      const answer = await who.post<T>(path, body)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      return answer.body
    }
    const asset = await post<{ number: number }>(admin, '/assets', { name: 'core-1', asset_type: 'switch' })
    const ticketOf = (who: Person, more: object = {}) => post<Ticket>(who, '/tickets', { title: 'Renew', ...more })
    const startOn = (who: Person, ticket: Ticket, script = 'proof.file_hash') =>
      post<Run>(who, '/runs', {
        run_type: 'proof',
        ticket_id: ticket.number,
        script_id: script,
        finalize: 'manual',
      })
    const own = await ticketOf(employee, { asset_id: asset.number })
    const foreign = await ticketOf(colleague)
    const waiting = [
      await startOn(employee, own),
      await startOn(employee, own),
      await startOn(employee, own, 'proof.config_format'),
    ]
    const theirs = await startOn(colleague, foreign)
    const stateOf = async ({ id }: { id: string }) => (await admin.get<Run>(`/runs/${id}`)).body.state

    // What a filter takes is what the caller may work on.
    const count = (who: Person, body: object) => post(who, '/runs/preview', { act: 'cancel', ...body })
    assert.deepEqual(await count(admin, { script_id: 'proof.file_hash' }), { count: 3, more: false })
    assert.deepEqual(await count(employee, { script_id: 'proof.file_hash' }), { count: 2, more: false })
    assert.deepEqual(await count(admin, { asset_id: asset.number }), { count: 3, more: false })
    assert.deepEqual(await count(admin, { asset_id: asset.number + 1_000 }), { count: 0, more: false })
    assert.deepEqual(await count(admin, { q: 'CONFIG_f' }), { count: 1, more: false })
    assert.deepEqual(await count(admin, { created_before: waiting[0]!.created_at }), { count: 0, more: false })
    assert.deepEqual(await count(admin, { act: 'verify', ticket_id: own.number }), { count: 0, more: false })

    const cancel = (who: Person, body: object) => post(who, '/runs/cancel', body)
    assert.deepEqual(await cancel(employee, { ticket_id: foreign.number }), { cancelled: 0, left: 0 })
    assert.deepEqual(
      await cancel(employee, { script_id: 'proof.file_hash', limit: 1, reason: 'the window was moved' }),
      {
        cancelled: 1,
        left: 1,
      },
    )
    assert.equal(await stateOf(waiting[0]!), 'cancelled')
    assert.deepEqual(await cancel(employee, { script_id: 'proof.file_hash' }), { cancelled: 1, left: 0 })
    assert.deepEqual(await Promise.all([...waiting, theirs].map(stateOf)), [
      'cancelled',
      'cancelled',
      'pending',
      'pending',
    ])
    const said = (await admin.get<Run>(`/runs/${waiting[0]!.id}`)).body.result_summary
    assert.equal(said, 'Run cancelled: the window was moved')
    assert.deepEqual(await cancel(admin, { q: 'renew' }), { cancelled: 2, left: 0 })

    // Settled runs of two tickets, one with bad evidence; a cancelled one is not judged again.
    const judged: Run[] = []
    for (const [who, ticket, file] of [
      [employee, own, '{"hostname": "core-1"}'],
      [employee, own, '{"hostname": '],
      [colleague, foreign, '{"hostname": "edge-1"}'],
    ] as const) {
      const run = await startOn(who, ticket, 'proof.config_format')
      assert.equal((await who.upload(run.number, 'switch.json', Buffer.from(file))).status, 200)
      await post(who, `/runs/${run.number}/finalize`, {})
      judged.push((await system.waitFor(run.number)) as Run)
    }
    const verify = (who: Person, body: object) => post<Started>(who, '/runs/verify', body)
    const choice = { script_id: 'proof.config_format' }
    const counted = (body: object) => post(admin, '/runs/preview', { act: 'verify', ...choice, ...body })
    assert.deepEqual(await counted({}), { count: 3, more: false })
    assert.deepEqual(await counted({ verdict: 'failed' }), { count: 1, more: false })
    assert.deepEqual(await counted({ state: 'timeout' }), { count: 0, more: false })
    const first = await verify(admin, { ...choice, limit: 2 })
    assert.deepEqual(
      first.started.map((one) => one.verifies_run_id),
      judged.slice(0, 2).map(({ id }) => id),
    )
    assert.deepEqual([first.last, first.left], [judged[1]!.number, 1])
    const rest = await verify(admin, { ...choice, after: first.last, limit: 2 })
    assert.deepEqual(
      rest.started.map((one) => one.verifies_run_id),
      [judged[2]!.id],
    )
    assert.deepEqual(await verify(admin, { ...choice, after: rest.last }), { started: [], last: null, left: 0 })
    const verdicts: unknown[] = []
    for (const { number } of [...first.started, ...rest.started])
      verdicts.push(((await system.waitFor(number)) as Run).verdict)
    assert.deepEqual(verdicts, ['passed', 'failed', 'passed'])
    // Those that verify others are not verified in turn, and who may not work on a ticket takes nothing of it.
    assert.deepEqual(await counted({}), { count: 3, more: false })
    assert.deepEqual((await verify(employee, { ticket_id: foreign.number })).started, [])

    // Each has an event of its own.
    await system.settle()
    const events = async (type: string) =>
      (await admin.get<AuditEvent[]>(`/audit/events?limit=1000&event_type=${type}`)).body.length
    assert.deepEqual([await events('run.cancelled'), await events('run.created')], [4, 10])

    for (const [path, body] of [
      ['/runs/preview', { act: 'cancel' }],
      ['/runs/cancel', { reason: 'all of them' }],
      ['/runs/verify', { verdict: 'failed' }],
    ] as const)
      assert.equal((await admin.post<{ code: string }>(path, body)).body.code, 'RUNS_UNFILTERED')
    await system.check()
  })
}
