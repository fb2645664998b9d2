import assert from 'node:assert/strict'
import type { Me, User } from '@writ/api'
import { holds, ok, refused, verifies } from '../verifies.ts'

const MINUTE = 60_000

verifies('T01', 'health and the root answer without a login', async ({ anonymous }) => {
  assert.deepEqual(ok(await anonymous.get('/health')), {
    status: 'healthy',
    service: 'traceable-execution-platform',
  })
  const root = ok(await anonymous.get('//'))
  assert.deepEqual(root, { message: 'Writ API', version: '0.1.0', docs: '/api/v1/docs' })
})

verifies(
  ['T02', 'T03'],
  'a login answers a bearer token, and every failed one the same words',
  async ({ anonymous }) => {
    const login = ok(await anonymous.post('/auth/login', { username: 'admin', password: 'admin123' }))
    assert.equal(login.token_type, 'bearer')
    assert.match(String(login.access_token), /^[\w-]+\.[\w-]+\.[\w-]+$/)
    const wrong = await anonymous.post('/auth/login', { username: 'admin', password: 'admin124' })
    const unknown = await anonymous.post('/auth/login', { username: 'nobody', password: 'admin123' })
    for (const answer of [wrong, unknown]) {
      refused(answer, 401, 'LOGIN_FAILED', 'Incorrect username or password')
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer')
    }
    refused(await anonymous.post('/auth/login', { username: 'admin' }), 422, 'VALIDATION_FAILED')
  },
)

verifies('T04', 'me tells who I am', async ({ admin }) => {
  const me = ok(await admin.get<Me>('/auth/me'))
  assert.deepEqual(
    { username: me.username, number: me.number, is_active: me.is_active, is_admin: me.is_admin, email: me.email },
    { username: 'admin', number: 1, is_active: true, is_admin: true, email: null },
  )
  assert.equal(me.full_name, null)
  assert.match(me.created_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
})

verifies(
  'T05',
  'a missing, malformed or expired token is refused with 401',
  async (sys) => {
    refused(await sys.anonymous.get('/auth/me'), 401, 'NOT_AUTHENTICATED', 'Not authenticated')
    const garbage = await sys.anonymous.get('/auth/me', { headers: { authorization: 'Bearer garbage' } })
    refused(garbage, 401, 'CREDENTIALS_INVALID', 'Could not validate credentials')
    const old = { headers: { authorization: `Bearer ${await sys.employee.token()}` } }
    ok(await sys.anonymous.get('/auth/me', old))
    sys.advance(31 * MINUTE)
    refused(await sys.anonymous.get('/auth/me', old), 401, 'CREDENTIALS_INVALID', 'Could not validate credentials')
  },
  { fakeClock: true },
)

verifies('T06', 'a deactivated account can neither go on nor log in', async ({ admin, employee, anonymous }) => {
  ok(await employee.get('/auth/me'))
  ok(await admin.patch(`/users/${employee.number}`, { is_active: false }))
  refused(await employee.get('/auth/me'), 403, 'USER_INACTIVE', 'User is inactive')
  const login = await anonymous.post('/auth/login', { username: 'employee', password: 'employee123' })
  refused(login, 401, 'LOGIN_FAILED', 'Incorrect username or password')
})

holds(
  'who is activated again begins anew, with the tokens that stayed theirs',
  async ({ admin, employee, anonymous }) => {
    const session = { headers: { authorization: `Bearer ${await employee.token()}` } }
    const made = ok(await employee.post<{ token: string }>('/tokens', { name: 'nightly' }), 201)
    const token = { headers: { 'x-api-token': made.token } }
    for (const is_active of [false, true]) ok(await admin.patch(`/users/${employee.number}`, { is_active }))
    refused(await anonymous.get('/auth/me', session), 401, 'CREDENTIALS_INVALID')
    ok(await anonymous.get('/auth/me', token))
    ok(await anonymous.post('/auth/login', { username: 'employee', password: 'employee123' }))
    // Who is in already stays in.
    const again = await anonymous.post<{ access_token: string }>('/auth/login', {
      username: 'employee',
      password: 'employee123',
    })
    ok(await admin.patch(`/users/${employee.number}`, { is_active: true }))
    ok(await anonymous.get('/auth/me', { headers: { authorization: `Bearer ${ok(again).access_token}` } }))
  },
)

holds('of a change of a user that is refused nothing is done', async (sys) => {
  const { admin, employee } = sys
  const before = ok(await admin.get<User>(`/users/${employee.number}`))
  const taken = { role: 'ops', email: 'bob@example.com' }
  refused(await admin.patch(`/users/${employee.number}`, taken), 400, 'EMAIL_TAKEN')
  assert.deepEqual(ok(await admin.get<User>(`/users/${employee.number}`)), before)
  const last = { role: 'dev', full_name: 'Somebody Else' }
  const own = ok(await admin.get<User>(`/users/${admin.number}`))
  refused(await admin.patch(`/users/${admin.number}`, last), 409, 'LAST_ADMIN')
  assert.deepEqual(ok(await admin.get<User>(`/users/${admin.number}`)), own)
  const both = ok(await admin.patch<User>(`/users/${employee.number}`, { role: 'ops', full_name: '李娜' }))
  assert.deepEqual([both.role, both.full_name], ['ops', '李娜'])
})

verifies(
  ['T07', 'T08'],
  'a registration refuses what is taken or wrong, and makes no administrator',
  async ({ anonymous }) => {
    const wang = {
      username: 'wang.li',
      email: 'wang.li@example.com',
      full_name: '王力',
      password: 'correct horse battery',
    }
    const made = ok(await anonymous.post<User>('/auth/register', { ...wang, is_admin: true }))
    assert.deepEqual(
      { username: made.username, full_name: made.full_name, is_admin: made.is_admin, role: made.role },
      { username: 'wang.li', full_name: '王力', is_admin: false, role: 'employee' },
    )
    assert.equal(made.is_instance_admin, false)
    const sameName = await anonymous.post('/auth/register', { ...wang, email: 'other@example.com' })
    refused(sameName, 400, 'USERNAME_TAKEN', 'Username already exists')
    const sameEmail = await anonymous.post('/auth/register', { ...wang, username: 'other' })
    refused(sameEmail, 400, 'EMAIL_TAKEN', 'Email already registered')
    const badEmail = await anonymous.post('/auth/register', { ...wang, username: 'third', email: 'no address' })
    assert.deepEqual(refused(badEmail, 422, 'VALIDATION_FAILED').errors?.[0]?.path, 'body.email')
  },
  { env: { WRIT_REGISTRATION: 'open' } },
)

verifies(
  'T08',
  'registration is closed unless opened, and an invitation opens it once',
  async ({ admin, anonymous }) => {
    const body = { username: 'li.na', email: 'li.na@example.com', password: 'correct horse battery' }
    refused(await anonymous.post('/auth/register', { ...body, is_admin: true }), 403, 'REGISTRATION_CLOSED')
    const { invite } = ok(await admin.post('/invites', { role: 'employee' }), 201)
    const made = ok(await anonymous.post<User>('/auth/register', { ...body, invite, is_admin: true }))
    assert.equal(made.is_admin, false)
    const again = { ...body, username: 'li.na2', email: 'li.na2@example.com', invite }
    refused(await anonymous.post('/auth/register', again), 400, 'INVITE_INVALID')
  },
)
