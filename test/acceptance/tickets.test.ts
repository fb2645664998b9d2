import assert from 'node:assert/strict'
import type { Approval, AuditEvent, Policy, Run, Ticket, TicketChanges, TicketStatus } from '@writ/api'
import { totpCode } from '../../packages/server/src/identity/totp.ts'
import { moves } from '../../packages/server/src/tickets/ticket.ts'
import type { Person, TestSystem } from '../test-system.ts'
import { holds, ok, refused, verifies } from '../verifies.ts'

const open = async (sys: TestSystem, fields: object = {}) =>
  ok(await sys.employee.post<Ticket>('/tickets', { title: 'x', ...fields }))

verifies(['T09', 'T10'], 'a ticket is submitted at once, and a wrong one refused', async ({ admin, employee }) => {
  for (const name of ['Main Office Switch', 'Server Room Router', 'Factory Gateway'])
    ok(await admin.post('/assets', { name, asset_type: 'switch' }))
  const ticket = ok(
    await employee.post<Ticket>('/tickets', {
      title: '安装工厂交换机',
      description: '在工厂 A 安装新交换机并上传配置',
      asset_id: 3,
    }),
  )
  assert.deepEqual(
    [ticket.number, ticket.status, ticket.approved_by_id, ticket.asset_number, ticket.title, ticket.description],
    [1, 'submitted', null, 3, '安装工厂交换机', '在工厂 A 安装新交换机并上传配置'],
  )
  refused(await employee.post('/tickets', {}), 422, 'VALIDATION_FAILED')
  refused(await employee.post('/tickets', { title: 'x', asset_id: 999 }), 404, 'ASSET_NOT_FOUND')
  refused(await employee.post('/tickets', { title: 'x'.repeat(201) }), 422, 'VALIDATION_FAILED')
  ok(await employee.post('/tickets', { title: '安'.repeat(200) }))
})

verifies(
  ['T11', 'T13', 'T14'],
  'a ticket is seen and edited by its creator and admins, its status by nobody',
  async (sys) => {
    const { admin, employee, bob } = sys
    await open(sys)
    assert.deepEqual(ok(await bob.get<Ticket[]>('/tickets')), [])
    assert.equal(ok(await admin.get<Ticket[]>('/tickets'))[0]?.number, 1)
    refused(await bob.get('/tickets/1'), 403, 'TICKET_VIEW_DENIED', 'Not authorized to view this ticket')
    assert.equal(ok(await employee.patch<Ticket>('/tickets/1', { title: 'n' })).title, 'n')
    refused(
      await bob.patch('/tickets/1', { title: 'b' }),
      403,
      'TICKET_UPDATE_DENIED',
      'Not authorized to update this ticket',
    )
    refused(await employee.patch('/tickets/1', { status: 'nonsense' }), 422, 'VALIDATION_FAILED')
    refused(await employee.patch('/tickets/1', { status: 'approved' }), 409, 'TICKET_STATUS_BY_PATCH')
    refused(await admin.patch('/tickets/1', { status: 'done' }), 409, 'TICKET_STATUS_BY_PATCH')
    refused(await employee.patch('/tickets/1', { title: null }), 422, 'VALIDATION_FAILED')
    const read = ok(await employee.get<Ticket>('/tickets/1'))
    const edited = ok(await employee.patch<Ticket>('/tickets/1', { title: 'mine', digest: read.digest }))
    refused(await employee.patch('/tickets/1', { title: 'unread', digest: read.digest }), 409, 'TICKET_CHANGED')
    assert.deepEqual(ok(await employee.get<Ticket>('/tickets/1')), edited)
    refused(await employee.patch('/tickets/999', { title: 'n' }), 404, 'TICKET_NOT_FOUND', 'Ticket not found')
    assert.equal(ok(await employee.get<Ticket>('/tickets/1')).status, 'submitted')
  },
)

verifies('T15', 'an admin approves a submitted ticket, an employee does not', async (sys) => {
  const { admin, employee } = sys
  await open(sys)
  const words = 'Not enough permissions. Admin role required.'
  refused(await employee.post('/tickets/1/approve'), 403, 'ADMIN_REQUIRED', words)
  const approved = ok(await admin.post<Ticket>('/tickets/1/approve'))
  assert.deepEqual([approved.status, approved.approved_by_id], ['approved', admin.id])
  const again = 'Ticket must be in SUBMITTED status to be approved (current: approved)'
  refused(await admin.post('/tickets/1/approve'), 400, 'TICKET_NOT_SUBMITTED', again)
  refused(await admin.post('/tickets/999/approve'), 404, 'TICKET_NOT_FOUND')
})

holds('four eyes: neither creator nor assignee approves or rejects, admins included', async (sys) => {
  const { admin } = sys
  const second = await sys.hire('second', 'admin')
  ok(await admin.post('/tickets', { title: 'mine' }))
  refused(await admin.post('/tickets/1/approve'), 403, 'APPROVER_EXCLUDED', 'Four eyes: you opened this ticket.')
  refused(await admin.post('/tickets/1/reject', { reason: 'no' }), 403, 'APPROVER_EXCLUDED')
  await open(sys, { assignee_id: admin.number })
  refused(
    await admin.post('/tickets/2/approve'),
    403,
    'APPROVER_EXCLUDED',
    'Four eyes: you are assigned to this ticket.',
  )
  assert.equal(ok(await second.post<Ticket>('/tickets/1/approve')).status, 'approved')
  assert.equal(ok(await second.post<Ticket>('/tickets/2/approve')).status, 'approved')
})

holds(
  'four eyes: who changed what a ticket says does not approve or reject that, until somebody else has approved it',
  async (sys) => {
    const { admin, employee } = sys
    const second = await sys.hire('second', 'admin')
    await open(sys)
    const late = '2999-01-01T00:00:00Z'
    const arranged = ok(await admin.patch<Ticket>('/tickets/1', { assignee_id: employee.number, due_at: late }))
    assert.deepEqual([arranged.edited_by_ids, arranged.warnings], [[], undefined])
    ok(await employee.patch('/tickets/1', { title: 'clearer' }))
    const edited = ok(await admin.patch<Ticket>('/tickets/1', { description: 'and open port 23' }))
    assert.deepEqual(edited.edited_by_ids, [employee.id, admin.id])
    const why = 'Four eyes: you changed this ticket since it was approved last.'
    refused(await admin.post('/tickets/1/approve'), 403, 'APPROVER_EXCLUDED', why)
    refused(await admin.post('/tickets/1/reject', { reason: 'no' }), 403, 'APPROVER_EXCLUDED', why)
    // What brings nothing new is no change.
    assert.deepEqual(
      ok(await second.patch<Ticket>('/tickets/1', { title: 'clearer' })).edited_by_ids,
      edited.edited_by_ids,
    )
    assert.deepEqual(ok(await second.post<Ticket>('/tickets/1/approve')).edited_by_ids, [])
    // Nobody would be left: that is said at once.
    ok(await second.patch('/tickets/1', { title: 'another' }))
    const both = ok(await admin.patch<Ticket>('/tickets/1', { title: 'once more' }))
    assert.deepEqual(
      both.warnings?.map(({ code }) => code),
      ['NO_ELIGIBLE_APPROVER'],
    )
  },
)

holds(
  'a decision tells when and how its approver had proved who they are, in its row and in its event',
  async (sys) => {
    const { employee } = sys
    const second = await sys.hire('second', 'admin')
    const third = await sys.hire('third', 'admin')
    const auditor = await sys.hire('anna', 'auditor')
    await open(sys)
    const logIn = async ({ username, password }: Person, totp?: string) => {
      const body = { username, password, ...(totp === undefined ? {} : { totp }) }
      const { access_token } = ok(await sys.anonymous.post<{ access_token: string }>('/auth/login', body))
      return { at: new Date(sys.now()).toISOString(), headers: { authorization: `Bearer ${access_token}` } }
    }
    const first = await logIn(second)
    sys.advance(600_000)
    ok(await sys.anonymous.post('/tickets/1/reject', { reason: 'no window' }, { headers: first.headers }))
    ok(await employee.post('/tickets/1/submit'))
    // With a second factor.
    const { secret } = ok(await third.post<{ secret: string }>('/auth/totp'))
    const code = () => totpCode(secret, Math.floor(sys.now() / 30_000))
    assert.equal((await third.post('/auth/totp/confirm', { code: code() })).status, 204)
    sys.advance(30_000)
    const withCode = await logIn(third, code())
    ok(await sys.anonymous.post('/tickets/1/approve', undefined, { headers: withCode.headers }))
    ok(await employee.patch('/tickets/1', { title: 'another' }))
    // And by a token, which proves nothing of a person.
    const { token } = ok(await second.post<{ token: string }>('/tokens', { name: 'script' }), 201)
    ok(await sys.anonymous.post('/tickets/1/approve', undefined, { headers: { 'x-api-token': token } }))

    const proved = ({ auth_time, amr }: Pick<Approval, 'auth_time' | 'amr'>) => ({ auth_time, amr })
    const expected = [
      { auth_time: first.at, amr: ['pwd'] },
      { auth_time: withCode.at, amr: ['pwd', 'otp'] },
      { auth_time: null, amr: [] },
    ]
    const decisions = ok(await employee.get<Approval[]>('/tickets/1/approvals'))
    assert.deepEqual(decisions.map(proved), expected)
    const events = ok(await auditor.get<AuditEvent[]>('/audit/events?resource_type=ticket'))
      .filter(({ event_type }) => event_type === 'ticket.approved' || event_type === 'ticket.rejected')
      .reverse()
      .map(({ details }) => details as Pick<Approval, 'auth_time' | 'amr'> & { approval_id: string })
    assert.deepEqual(events.map(proved), expected)
    assert.deepEqual(
      events.map(({ approval_id }) => approval_id),
      decisions.map(({ id }) => id),
    )
  },
  { fakeClock: true },
)

holds('an approval binds the version that was read, and an edit voids it', async (sys) => {
  const { admin, employee } = sys
  const first = await open(sys)
  const second = ok(await employee.patch<Ticket>('/tickets/1', { title: 'y' }))
  assert.notEqual(second.digest, first.digest)
  refused(await admin.post('/tickets/1/approve', { digest: first.digest }), 409, 'APPROVAL_STALE')
  ok(await admin.post('/tickets/1/approve', { digest: second.digest, reason: 'window agreed' }))
  const unchanged = ok(await employee.patch<Ticket>('/tickets/1', { title: 'y' }))
  assert.equal(unchanged.status, 'approved')
  const edited = ok(await employee.patch<Ticket>('/tickets/1', { description: 'more' }))
  assert.deepEqual([edited.status, edited.approved_by_id], ['submitted', null])
  const [approval] = ok(await employee.get<Approval[]>('/tickets/1/approvals'))
  assert.deepEqual(
    [approval?.decision, approval?.ticket_version, approval?.ticket_digest, approval?.reason],
    ['approved', 2, second.digest, 'window agreed'],
  )
  assert.notEqual(approval?.voided_at, null)
  refused(
    await admin.post('/runs', { run_type: 'action', ticket_id: 1 }),
    400,
    'ACTION_NEEDS_APPROVAL',
    'Ticket must be approved before running action runs',
  )
})

holds('an edit while the work is under way, or when it is done, voids the approval too', async (sys) => {
  const { admin, employee } = sys
  await open(sys)
  ok(await admin.post('/tickets/1/reject', { reason: 'no rollback plan' }))
  ok(await employee.post('/tickets/1/submit'))
  const run = async () => {
    const started = await employee.post<Run>('/runs', {
      run_type: 'proof',
      ticket_id: 1,
      script_id: 'proof.size',
    })
    return ok(started).number
  }
  const agreed = async () => {
    const decisions = ok(await admin.get<Approval[]>('/tickets/1/approvals'))
    const { approved_by_id } = ok(await admin.get<Ticket>('/tickets/1'))
    return [approved_by_id !== null, ...decisions.map((one) => [one.decision, one.voided_at === null])]
  }
  ok(await admin.post('/tickets/1/approve'))
  const first = await run()
  assert.deepEqual(await agreed(), [true, ['rejected', true], ['approved', true]])
  const edited = ok(await employee.patch<Ticket>('/tickets/1', { title: 'something else' }))
  assert.deepEqual([edited.status, edited.version, edited.approved_by_id], ['running', 2, null])
  assert.deepEqual(await agreed(), [false, ['rejected', true], ['approved', false]], 'a rejection stays what it was')

  ok(await employee.upload(first, 'vlans.txt', 'vlan 10'))
  await sys.waitFor(first)
  assert.equal(ok(await admin.get<Ticket>('/tickets/1')).status, 'done')
  ok(await employee.post('/tickets/1/reopen'))
  ok(await admin.post('/tickets/1/approve'))
  const second = await run()
  ok(await employee.upload(second, 'vlans.txt', 'vlan 10'))
  await sys.waitFor(second)
  const late = ok(await employee.patch<Ticket>('/tickets/1', { description: 'and one more switch' }))
  assert.deepEqual([late.status, late.approved_by_id], ['done', null])
  const again = ok(await employee.patch<Ticket>('/tickets/1', { description: 'and two more' }))
  assert.equal(again.version, 4)
  const voided = ok(await admin.get<AuditEvent[]>('/audit/events?event_type=ticket.approval_voided'))
  assert.deepEqual(
    voided.map(({ details }) => [details?.approved_version, details?.version]),
    [
      [2, 3],
      [1, 2],
    ],
    'said once for each',
  )
})

holds('a rejection needs a reason and leads back to draft, from where the creator submits again', async (sys) => {
  const { admin, employee, bob } = sys
  await open(sys)
  for (const body of [{}, { reason: '' }, { reason: ' \t\n ' }, { reason: '\u3000' }])
    refused(await admin.post('/tickets/1/reject', body), 422, 'VALIDATION_FAILED')
  assert.equal(ok(await admin.post<Ticket>('/tickets/1/reject', { reason: 'no rollback plan' })).status, 'draft')
  const [decision] = ok(await employee.get<Approval[]>('/tickets/1/approvals'))
  assert.deepEqual([decision?.decision, decision?.reason], ['rejected', 'no rollback plan'])
  refused(await employee.post('/runs', { run_type: 'proof', ticket_id: 1 }), 409, 'TICKET_MOVE_ILLEGAL')
  refused(await bob.post('/tickets/1/submit'), 403, 'TICKET_UPDATE_DENIED')
  const submitted = ok(await employee.post<Ticket>('/tickets/1/submit'))
  assert.deepEqual([submitted.status, submitted.warnings], ['submitted', undefined])
  refused(await admin.post('/tickets/1/approve', { approved: false }), 422, 'VALIDATION_FAILED')
})

holds('a ticket that nobody could approve says so when it is submitted', async ({ admin }) => {
  ok(await admin.post('/tickets', { title: 'x', status: 'draft' }))
  const submitted = ok(await admin.post<Ticket>('/tickets/1/submit'))
  assert.equal(submitted.warnings?.[0]?.code, 'NO_ELIGIBLE_APPROVER')
})

holds('an instance administrator could approve everywhere, member or not, and so no warning is given', async (sys) => {
  const { admin, bob } = sys
  const lab = { headers: { 'x-project': 'lab' } }
  ok(await admin.post('/projects', { slug: 'lab', name: 'Lab' }), 201)
  ok(await admin.put(`/members/${bob.id}`, { role: 'admin' }, lab))
  ok(await admin.delete(`/members/${admin.id}`, lab), 204)
  const opened = ok(await bob.post<Ticket>('/tickets', { title: 'x' }, lab))
  assert.deepEqual([opened.status, opened.warnings], ['submitted', undefined])
  const approved = ok(await admin.post<Ticket>('/tickets/1/approve', { approved: true }, lab))
  assert.equal(approved.status, 'approved')
})

holds('comments are kept in order, by whoever may see the ticket', async (sys) => {
  const { admin, employee, bob } = sys
  await open(sys)
  ok(await employee.post('/tickets/1/comments', { body: '机柜 4 已断电' }), 201)
  ok(await admin.post('/tickets/1/comments', { body: 'noted' }), 201)
  refused(await bob.post('/tickets/1/comments', { body: 'hm' }), 403, 'TICKET_VIEW_DENIED')
  refused(await employee.post('/tickets/1/comments', { body: '' }), 422, 'VALIDATION_FAILED')
  const comments = ok(await employee.get<{ author_username: string; body: string }[]>('/tickets/1/comments'))
  assert.deepEqual(
    comments.map((one) => [one.author_username, one.body]),
    [
      ['employee', '机柜 4 已断电'],
      ['admin', 'noted'],
    ],
  )
})

holds('nobody who was deactivated is assigned a ticket; who was before stays named', async (sys) => {
  const { admin, employee, bob } = sys
  const ticket = await open(sys, { assignee_id: bob.number })
  ok(await admin.patch(`/users/${bob.number}`, { is_active: false }))
  refused(await employee.post('/tickets', { title: 'x', assignee_id: bob.number }), 422, 'ASSIGNEE_INACTIVE')
  const other = await open(sys)
  refused(await employee.patch(`/tickets/${other.number}`, { assignee_id: bob.id }), 422, 'ASSIGNEE_INACTIVE')
  const kept = await employee.patch<{ assignee_id: string }>(`/tickets/${ticket.number}`, {
    title: 'moved',
    assignee_id: bob.number,
  })
  assert.equal(ok(kept).assignee_id, bob.id)
  ok(await employee.patch(`/tickets/${ticket.number}`, { assignee_id: null }))
})

holds('a ticket has an assignee, who works on it, and a due date', async (sys) => {
  const { employee, bob } = sys
  const ticket = await open(sys, { assignee_id: bob.number, due_at: '2031-02-03T04:05:06.000Z' })
  assert.deepEqual([ticket.assignee_id, ticket.due_at], [bob.id, '2031-02-03T04:05:06.000Z'])
  assert.equal(ok(await bob.get<Ticket[]>('/tickets')).length, 1)
  ok(await bob.post('/runs', { run_type: 'proof', ticket_id: 1 }))
  refused(await employee.patch('/tickets/1', { assignee_id: 999 }), 404, 'USER_NOT_FOUND')
  assert.deepEqual(ok(await employee.get<Ticket[]>('/tickets?due_before=2031-01-01T00:00:00Z')), [])
})

/** Brings a new ticket of the employee to a status, by legal moves only. */
const reach: Record<TicketStatus, (sys: TestSystem) => Promise<Ticket>> = {
  draft: (sys) => open(sys, { status: 'draft' }),
  submitted: (sys) => open(sys),
  async approved(sys) {
    const { number } = await open(sys)
    return ok(await sys.admin.post<Ticket>(`/tickets/${number}/approve`))
  },
  async running(sys) {
    const { number } = await open(sys)
    ok(await sys.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: number, finalize: 'manual' }))
    return ok(await sys.employee.get<Ticket>(`/tickets/${number}`))
  },
  async done(sys) {
    const { number } = await reach.running(sys)
    const [run] = ok(await sys.employee.get<Run[]>(`/runs?ticket_id=${number}`))
    ok(await sys.employee.upload(run!.id, 'a.txt', 'a'))
    ok(await sys.employee.post(`/runs/${run!.id}/finalize`))
    await sys.waitFor(run!.id)
    return ok(await sys.employee.get<Ticket>(`/tickets/${number}`))
  },
  async failed(sys) {
    const { number } = await reach.running(sys)
    const [run] = ok(await sys.employee.get<Run[]>(`/runs?ticket_id=${number}`))
    ok(await sys.employee.post(`/runs/${run!.id}/finalize`))
    await sys.waitFor(run!.id)
    return ok(await sys.employee.get<Ticket>(`/tickets/${number}`))
  },
  async closed(sys) {
    const { number } = await open(sys)
    return ok(await sys.employee.post<Ticket>(`/tickets/${number}/close`, { reason: 'not needed' }))
  },
}

/** What moves a ticket to a status, and from where each is allowed. Written by hand; the code's own table is compared below. */
const operations: readonly {
  name: string
  from: readonly TicketStatus[]
  to: TicketStatus
  ask(sys: TestSystem, number: number): Promise<{ status: number; body: unknown; headers: Headers }>
}[] = [
  { name: 'submit', from: ['draft'], to: 'submitted', ask: (sys, n) => sys.employee.post(`/tickets/${n}/submit`) },
  { name: 'approve', from: ['submitted'], to: 'approved', ask: (sys, n) => sys.admin.post(`/tickets/${n}/approve`) },
  {
    name: 'reject',
    from: ['submitted'],
    to: 'draft',
    ask: (sys, n) => sys.admin.post(`/tickets/${n}/reject`, { reason: 'r' }),
  },
  {
    name: 'run',
    from: ['submitted', 'approved', 'running', 'done', 'failed'],
    to: 'running',
    ask: (sys, n) => sys.employee.post('/runs', { run_type: 'proof', ticket_id: n }),
  },
  {
    name: 'close',
    from: ['submitted', 'approved', 'done', 'failed'],
    to: 'closed',
    ask: (sys, n) => sys.employee.post(`/tickets/${n}/close`),
  },
  {
    name: 'reopen',
    from: ['done', 'failed', 'closed'],
    to: 'submitted',
    ask: (sys, n) => sys.employee.post(`/tickets/${n}/reopen`),
  },
]

holds('every legal move of a ticket happens, and every illegal one is refused and changes nothing', async (sys) => {
  assert.deepEqual(moves, {
    draft: ['submitted'],
    submitted: ['approved', 'draft', 'running', 'closed'],
    approved: ['running', 'submitted', 'closed'],
    running: ['done', 'failed'],
    done: ['running', 'submitted', 'closed'],
    failed: ['running', 'submitted', 'closed'],
    closed: ['submitted'],
  })
  for (const status of Object.keys(reach) as TicketStatus[]) {
    for (const operation of operations) {
      const ticket = await reach[status](sys)
      assert.equal(ticket.status, status)
      const answer = await operation.ask(sys, ticket.number)
      const after = ok(await sys.employee.get<Ticket>(`/tickets/${ticket.number}`)).status
      const legal = operation.from.includes(status)
      const what = `${operation.name} of a ${status} ticket answered ${answer.status}`
      assert.equal(answer.status === 200, legal, what)
      assert.equal(after, legal ? operation.to : status, what)
      if (!legal) assert.ok([400, 409].includes(answer.status), what)
    }
  }
})

holds(
  'who approves by the rules of the project sees every ticket, and what was changed since the last approval',
  async (sys) => {
    const dev = await sys.hire('dora', 'dev')
    const { number, id } = ok(
      await sys.employee.post<Ticket>('/tickets', { title: 'Replace it', description: 'Tonight' }),
    )
    refused(await dev.get(`/tickets/${number}`), 403, 'TICKET_VIEW_DENIED')
    refused(await dev.get(`/tickets/${number}/changes`), 403, 'ADMIN_REQUIRED')
    refused(await sys.employee.get(`/tickets/${number}/changes`), 403, 'ADMIN_REQUIRED')

    const policy = ok(await sys.admin.get<Policy>('/policy'))
    assert.equal((await sys.admin.put('/policy', { ...policy, approver_roles: ['admin', 'dev'] })).status, 202)
    assert.equal(ok(await dev.get<Ticket>(`/tickets/${number}`)).title, 'Replace it')
    assert.deepEqual(
      ok(await dev.get<Ticket[]>('/tickets')).map((one) => one.number),
      [number],
    )
    refused(await dev.patch(`/tickets/${number}`, { title: 'x' }), 403, 'TICKET_UPDATE_DENIED')
    refused(await sys.employee.get(`/tickets/${number}/changes`), 403, 'ROLE_NOT_ALLOWED')
    const changes = async () => ok(await dev.get<TicketChanges>(`/tickets/${number}/changes`))
    assert.deepEqual(await changes(), { version: 1, approval: null, changes: [], unreadable: 0 })

    ok(await dev.post(`/tickets/${number}/approve`, {}))
    const edit = (body: object) => sys.employee.patch(`/tickets/${number}`, body)
    ok(await edit({ title: 'Replace both', due_at: '2026-12-01T08:00:00Z' }))
    ok(await edit({ title: 'Replace all', description: 'Tomorrow' }))
    ok(await edit({ description: 'Tonight', assignee_id: sys.bob.id }))
    const since = await changes()
    assert.deepEqual([since.version, since.approval?.ticket_version, since.approval?.decided_by_id], [4, 1, dev.id])
    assert.deepEqual(since.changes, [
      { field: 'title', from: 'Replace it', to: 'Replace all' },
      { field: 'due_at', from: null, to: '2026-12-01T08:00:00.000Z' },
      { field: 'assignee_id', from: null, to: sys.bob.id },
    ])
    ok(await dev.post(`/tickets/${id}/approve`, {}))
    assert.deepEqual((await changes()).changes, [])
  },
)
