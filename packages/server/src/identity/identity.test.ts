import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { missingBackend } from '../../../../test/servers/missing-backend.ts'
import { missingPostgres, type Postgres, startPostgres } from '../../../../test/servers/postgres.ts'
import { ADMIN, type Seen, startTestApp, type TestApp } from './test-app.ts'
import { totpCode } from './totp.ts'

const PASSWORD = 'correct horse battery'

exercise('sqlite', async () => ({ app: await startTestApp(), stop: async () => {} }))

exercise(
  'postgres',
  async () => {
    const server: Postgres = await startPostgres()
    return { app: await startTestApp({ database: { url: server.url } }), stop: () => server.stop() }
  },
  missingBackend('PostgreSQL', missingPostgres()),
)

function exercise(
  name: string,
  open: () => Promise<{ app: TestApp; stop(): Promise<void> }>,
  skip: string | false = false,
) {
  describe(`identity on ${name}`, { skip }, () => {
    let app: TestApp
    let stop: () => Promise<void>
    let admin: string
    before(async () => {
      const opened = await open()
      app = opened.app
      stop = async () => {
        await app.stop()
        await opened.stop()
      }
      admin = await app.login(ADMIN.username, ADMIN.password)
    })
    after(() => stop())

    test('T02 a login answers a bearer token', async () => {
      const answer = await app.call('POST', '/auth/login', { body: ADMIN })
      assert.equal(answer.status, 200)
      assert.equal(answer.body.token_type, 'bearer')
      assert.equal(answer.body.expires_in, 1800)
      assert.match(answer.body.access_token, /^ey/)
    })

    test('T03 a wrong password and an unknown user answer alike', async () => {
      const wrong = await app.call('POST', '/auth/login', { body: { ...ADMIN, password: 'nope' } })
      const unknown = await app.call('POST', '/auth/login', { body: { username: 'nobody-here', password: 'nope' } })
      assert.equal(wrong.status, 401)
      assert.equal(wrong.body.detail, 'Incorrect username or password')
      assert.equal(wrong.headers['www-authenticate'], 'Bearer')
      assert.equal(unknown.headers['www-authenticate'], 'Bearer')
      assert.deepEqual({ ...unknown.body, request_id: '' }, { ...wrong.body, request_id: '' })
    })

    test('failed logins are in the log of the instance, typed names only in the payload', async () => {
      const failed = (await app.events()).filter((event) => event.event_type === 'user.login_failed')
      assert.deepEqual(
        failed.map((event) => [event.action, event.error_message, event.success, event.actor_username, event.details]),
        [
          ['Login failed: incorrect password', 'Incorrect password', false, 'admin', null],
          ['Login failed: user not found', 'User not found', false, null, { username: 'nobody-here' }],
        ],
      )
    })

    test('T04 who asks is told who they are', async () => {
      const me = await app.call('GET', '/auth/me', { token: admin })
      assert.equal(me.status, 200)
      assert.equal(me.body.number, 1)
      assert.equal(me.body.username, 'admin')
      assert.equal(me.body.email, null)
      assert.equal(me.body.full_name, null)
      assert.equal(me.body.is_active, true)
      assert.equal(me.body.is_admin, true)
      assert.equal(me.body.created_at, '2026-01-05T08:00:00.000Z')
      assert.equal(me.body.project, 'default')
      assert.ok(me.body.permissions.includes('users.create'))
    })

    test('T05 without a token, and with one that is none', async () => {
      const without = await app.call('GET', '/auth/me')
      assert.equal(without.status, 401)
      assert.equal(without.body.detail, 'Not authenticated')
      assert.equal(without.headers['www-authenticate'], 'Bearer')
      const garbage = await app.call('GET', '/auth/me', { token: 'garbage' })
      assert.equal(garbage.status, 401)
      assert.equal(garbage.body.detail, 'Could not validate credentials')
    })

    test('T05 an expired token', async () => {
      const token = await app.login(ADMIN.username, ADMIN.password)
      assert.equal((await app.call('GET', '/auth/me', { token })).status, 200)
      app.clock.advance(30 * 60_000)
      assert.equal((await app.call('GET', '/auth/me', { token })).body.code, 'CREDENTIALS_INVALID')
      admin = await app.login(ADMIN.username, ADMIN.password)
    })

    test('T06 a deactivated user is refused with a valid token, and cannot log in', async () => {
      const eve = await app.person(admin, 'eve', 'employee')
      await app.call('PATCH', `/users/${eve.number}`, { token: admin, body: { is_active: false } })
      const refused = await app.call('GET', '/auth/me', { token: eve.token })
      assert.equal(refused.status, 403)
      assert.equal(refused.body.detail, 'User is inactive')
      const login = await app.call('POST', '/auth/login', { body: { username: 'eve', password: PASSWORD } })
      assert.equal(login.status, 401)
      assert.equal(login.body.detail, 'Incorrect username or password')
      const last = (await app.events()).at(-1)
      assert.equal(last?.action, 'Login failed: user inactive')
    })

    test('T07 T08 registration: closed, by invitation, duplicates, and never an admin by asking', async () => {
      const register = (body: object) => app.call('POST', '/auth/register', { body })
      const someone = { username: 'wang.li', email: 'wang.li@example.com', password: PASSWORD, is_admin: true }
      assert.equal((await register(someone)).body.code, 'REGISTRATION_CLOSED')
      const invited = await app.call('POST', '/invites', { token: admin, body: { role: 'employee' } })
      assert.equal(invited.status, 201)
      const { invite } = invited.body
      assert.equal((await register({ ...someone, email: 'no address', invite })).status, 422)
      const taken = await register({ ...someone, username: 'ADMIN', invite })
      assert.equal(taken.status, 400)
      assert.equal(taken.body.detail, 'Username already exists')
      const made = await register({ ...someone, invite })
      assert.equal(made.status, 200)
      assert.equal(made.body.is_admin, false)
      assert.equal(made.body.role, 'employee')
      assert.equal((await register({ ...someone, username: 'other', invite })).body.code, 'INVITE_INVALID')
      const second = (await app.call('POST', '/invites', { token: admin, body: {} })).body.invite
      const twice = await register({ ...someone, username: 'other', email: 'Wang.Li@example.com', invite: second })
      assert.equal(twice.status, 400)
      assert.equal(twice.body.detail, 'Email already registered')
    })

    test('two who use one invitation at once: one gets in, and nothing is left of the other', async () => {
      const { invite } = (await app.call('POST', '/invites', { token: admin, body: {} })).body
      const answers = await Promise.all(
        ['race-a', 'race-b'].map((username) =>
          app.call('POST', '/auth/register', {
            body: { username, email: `${username}@example.com`, password: PASSWORD, invite },
          }),
        ),
      )
      assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, 400])
      const found = await app.call<Seen[]>('GET', '/users?q=race-', { token: admin })
      assert.equal(found.body.length, 1)
    })

    test('an invitation counts as long as whoever gave it may invite', async () => {
      const host = await app.person(admin, 'host', 'admin')
      const { invite } = (await app.call('POST', '/invites', { token: host.token, body: { role: 'ops' } })).body
      const register = () =>
        app.call('POST', '/auth/register', {
          body: { username: 'again', email: 'again@example.com', password: PASSWORD, invite },
        })
      await app.call('PUT', `/members/${host.number}`, { token: admin, body: { role: 'ops' } })
      assert.equal((await register()).body.code, 'INVITE_INVALID')
      await app.call('PUT', `/members/${host.number}`, { token: admin, body: { role: 'admin' } })
      await app.call('PATCH', `/users/${host.number}`, { token: admin, body: { is_active: false } })
      assert.equal((await register()).body.code, 'INVITE_INVALID')
      await app.call('PATCH', `/users/${host.number}`, { token: admin, body: { is_active: true } })
      assert.equal((await register()).status, 200)
      await app.call('PUT', `/members/${host.number}`, { token: admin, body: { role: 'employee' } })
    })

    test('logging out ends the session at once', async () => {
      const token = await app.login(ADMIN.username, ADMIN.password)
      assert.equal((await app.call('POST', '/auth/logout', { token })).status, 204)
      assert.equal((await app.call('GET', '/auth/me', { token })).body.code, 'CREDENTIALS_INVALID')
    })

    test('a new password ends the other sessions and keeps this one', async () => {
      const bob = await app.person(admin, 'bob', 'employee')
      const other = await app.login('bob', PASSWORD)
      const change = (current_password: string, new_password: string) =>
        app.call('POST', '/auth/password', { token: bob.token, body: { current_password, new_password } })
      assert.equal((await change('wrong', 'another long one')).body.code, 'PASSWORD_WRONG')
      assert.equal((await change(PASSWORD, 'password123')).body.code, 'PASSWORD_WEAK')
      assert.equal((await change(PASSWORD, 'another long one')).status, 204)
      assert.equal((await app.call('GET', '/auth/me', { token: other })).status, 401)
      assert.equal((await app.call('GET', '/auth/me', { token: bob.token })).status, 200)
      assert.equal((await app.call<Seen[]>('GET', '/auth/sessions', { token: bob.token })).body.length, 1)
      await app.login('bob', 'another long one')
    })

    test('a one-time password must be changed before anything else', async () => {
      const body = { username: 'li.na', email: 'li.na@example.com' }
      const made = await app.call('POST', '/users', { token: admin, body })
      assert.equal(made.status, 201)
      const token = await app.login('li.na', made.body.one_time_password)
      assert.equal((await app.call('GET', '/auth/me', { token })).body.must_change_password, true)
      assert.equal((await app.call('GET', '/members', { token })).body.code, 'PASSWORD_CHANGE_REQUIRED')
      const change = { current_password: made.body.one_time_password, new_password: 'a new long password' }
      assert.equal((await app.call('POST', '/auth/password', { token, body: change })).status, 204)
      assert.equal((await app.call('GET', '/members', { token })).status, 200)
    })

    test('a reset password ends every session and is shown once, also to a repeated request', async () => {
      const pat = await app.person(admin, 'pat', 'dev')
      const headers = { 'idempotency-key': 'reset-pat' }
      const reset = await app.call('POST', `/users/${pat.id}/reset-password`, { token: admin, headers })
      assert.match(reset.body.one_time_password, /^[a-z2-9]{5}(-[a-z2-9]{5}){3}$/)
      assert.equal((await app.call('GET', '/auth/me', { token: pat.token })).status, 401)
      const again = await app.call('POST', `/users/${pat.id}/reset-password`, { token: admin, headers })
      assert.equal(again.body.code, 'SECRET_SHOWN_ONCE')
    })

    test('one-time codes: confirmed, asked for at login, never taken twice', async () => {
      const tom = await app.person(admin, 'tom', 'employee')
      const { secret } = (await app.call('POST', '/auth/totp', { token: tom.token })).body
      const code = () => totpCode(secret, Math.floor(app.clock.now() / 30_000))
      const confirm = await app.call('POST', '/auth/totp/confirm', { token: tom.token, body: { code: code() } })
      assert.equal(confirm.status, 204)
      const login = (totp?: string) =>
        app.call('POST', '/auth/login', { body: { username: 'tom', password: PASSWORD, ...(totp ? { totp } : {}) } })
      assert.equal((await login()).body.code, 'TOTP_REQUIRED')
      assert.equal((await login(code())).body.code, 'LOGIN_FAILED')
      app.clock.advance(30_000)
      const both = await Promise.all([login(code()), login(code())])
      assert.deepEqual(both.map((answer) => answer.status).sort(), [200, 401])
      app.clock.advance(30_000)
      assert.equal((await app.call('POST', '/auth/totp/off', { token: tom.token, body: { code: code() } })).status, 204)
      assert.equal((await login()).status, 200)
    })

    test('a role acts at once, up and down', async () => {
      const dan = await app.person(admin, 'dan', 'employee')
      assert.equal((await app.call('GET', '/users', { token: dan.token })).body.code, 'ROLE_NOT_ALLOWED')
      const create = () => app.call('POST', '/invites', { token: dan.token, body: {} })
      assert.equal((await create()).body.detail, 'Not enough permissions. Admin role required.')
      await app.call('PUT', `/members/${dan.number}`, { token: admin, body: { role: 'admin' } })
      assert.equal((await create()).status, 201)
      await app.call('PUT', `/members/${dan.number}`, { token: admin, body: { role: 'auditor' } })
      assert.equal((await create()).status, 403)
      assert.equal((await app.call('GET', '/users', { token: dan.token })).status, 200)
    })

    test('an API token works by its scopes, from its addresses, until it is revoked', async () => {
      const kim = await app.person(admin, 'kim', 'dev')
      const make = (body: object) => app.call('POST', '/tokens', { token: kim.token, body })
      assert.equal((await make({ name: 't', role: 'ops' })).body.code, 'ROLE_NOT_ALLOWED')
      const misspelt = await make({ name: 't', scopes: ['projects.members', 'token.*'] })
      assert.equal(misspelt.status, 422)
      assert.match(
        misspelt.body.detail,
        /body\.scopes\.1: there is no operation "token\.\*"; did you mean tokens\.\*\?/,
      )
      const made = await make({ name: 't', scopes: ['projects.members', 'tokens.*'], ip_ranges: ['127.0.0.0/8'] })
      assert.equal(made.status, 201)
      const { token } = made.body
      assert.match(token, /^writ_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/)
      assert.equal((await app.call('GET', '/members', { token })).status, 200)
      assert.equal((await app.call('GET', '/members', { headers: { 'x-api-token': token } })).status, 200)
      assert.equal((await app.call('GET', '/members', { headers: { 'x-api-key': token } })).status, 200)
      assert.equal((await app.call('GET', '/policy', { token })).body.code, 'SCOPE_NOT_ALLOWED')
      assert.equal((await app.call('GET', '/members', { token, ip: '10.1.2.3' })).body.code, 'TOKEN_IP_NOT_ALLOWED')
      const wider = await app.call('POST', '/tokens', { token, body: { name: 'wider' } })
      assert.equal(wider.body.code, 'SCOPE_NOT_ALLOWED')
      assert.equal((await app.call('GET', '/members', { token: `${token.slice(0, -1)}!` })).status, 401)
      assert.equal((await app.call('DELETE', `/tokens/${made.body.id}`, { token: kim.token })).status, 204)
      assert.equal((await app.call('GET', '/members', { token })).status, 401)
    })

    test('an API token changes nothing of the account behind it', async () => {
      const uma = await app.person(admin, 'uma', 'dev')
      const made = await app.call('POST', '/tokens', { token: uma.token, body: { name: 't', role: 'employee' } })
      const { token } = made.body
      const [session] = (await app.call<Seen[]>('GET', '/auth/sessions', { token: uma.token })).body
      const asked = [
        await app.call('POST', '/auth/totp', { token }),
        await app.call('POST', '/auth/totp/confirm', { token, body: { code: '123456' } }),
        await app.call('POST', '/auth/totp/off', { token, body: { code: '123456' } }),
        await app.call('POST', '/auth/password', {
          token,
          body: { current_password: PASSWORD, new_password: 'another horse battery' },
        }),
        await app.call('DELETE', `/auth/sessions/${session!.id}`, { token }),
      ]
      assert.deepEqual(
        asked.map(({ body }) => body.code),
        Array.from({ length: 5 }, () => 'SESSION_REQUIRED'),
      )
      await app.login('uma', PASSWORD)
    })

    test('a token makes none that outlives it, or that works from elsewhere', async () => {
      const lea = await app.person(admin, 'lea', 'dev')
      const make = async (token: string, body: object) => (await app.call('POST', '/tokens', { token, body })).body
      const rotate = (token: string, { id }: { id: string }) => app.call('POST', `/tokens/${id}/rotate`, { token })
      const inAnHour = new Date(app.clock.now() + 3_600_000).toISOString()
      const later = new Date(app.clock.now() + 3_600_001).toISOString()
      const free = await make(lea.token, { name: 'free' })
      const own = await make(lea.token, {
        name: 'own',
        expires_at: inAnHour,
        ip_ranges: ['127.0.0.0/8', '2001:db8::/32'],
      })

      const like = await make(own.token, { name: 'like' })
      assert.deepEqual([like.expires_at, like.ip_ranges], [inAnHour, ['127.0.0.0/8', '2001:db8::/32']])
      const fewer = ['127.0.0.1', '127.4.0.0/16', '::ffff:127.0.0.1', '2001:db8:1::/48']
      assert.deepEqual((await make(own.token, { name: 'fewer', ip_ranges: fewer })).ip_ranges, fewer)
      const longer = await make(own.token, { name: 'longer', expires_at: later })
      assert.deepEqual(
        longer.errors.map((one) => one.path),
        ['body.expires_at'],
      )
      for (const range of ['126.0.0.0/7', '10.0.0.1', '0.0.0.0/0', '::/0', '2001:db8::/31', '::1']) {
        const wider = await make(own.token, { name: 'wider', ip_ranges: ['127.0.0.1', range] })
        assert.equal(wider.errors?.[0]?.path, 'body.ip_ranges.1', range)
      }

      assert.equal((await rotate(own.token, free)).body.errors[0]?.path, 'params.id')
      const near = await make(lea.token, { name: 'near', ip_ranges: ['127.0.0.1'] })
      assert.equal((await rotate(own.token, near)).body.expires_at, inAnHour)
      // One that replaces itself goes on as it was.
      const next = (await rotate(own.token, own)).body
      assert.deepEqual([next.expires_at, next.ip_ranges], [inAnHour, own.ip_ranges])
      assert.equal((await rotate(lea.token, free)).status, 201)
    })

    test('a token that is revoked while it makes another makes none', async () => {
      const rea = await app.person(admin, 'rea', 'dev')
      const make = (token: string) => app.call('POST', '/tokens', { token, body: { name: 't' } })
      const parent = (await make(rea.token)).body
      const [revoked, ...made] = await Promise.all([
        app.call('DELETE', `/tokens/${parent.id}`, { token: rea.token }),
        ...Array.from({ length: 5 }, () => make(parent.token)),
      ])
      assert.equal(revoked.status, 204)
      const project = (await app.call('GET', '/projects/default', { token: admin })).body.id
      // Whoever looks for what it made, when it is revoked, finds all of it.
      const events = (await app.events(project)).filter((event) => /^token\./.test(event.event_type))
      const end = events.findIndex((event) => event.event_type === 'token.revoked' && event.resource_id === parent.id)
      const later = events.slice(end + 1).filter((event) => event.event_type === 'token.created')
      assert.deepEqual(later, [])
      assert.ok(made.every(({ status }) => status === 201 || status === 401))
    })

    test('whoever is deactivated while they hand out rights hands out none', async () => {
      const max = await app.person(admin, 'max', 'admin')
      // Not themselves: with fewer rights the rest is refused for another reason.
      const nia = await app.person(admin, 'nia', 'dev')
      const late = (path: string, body: object) => app.call('POST', path, { token: max.token, body })
      const [out, ...made] = await Promise.all([
        app.call('PATCH', `/users/${max.number}`, { token: admin, body: { is_active: false } }),
        late('/users', { username: 'late.user', password: PASSWORD, role: 'admin' }),
        late('/tokens', { name: 'late token' }),
        late('/invites', { role: 'admin' }),
        app.call('PUT', `/members/${nia.number}`, { token: max.token, body: { role: 'ops' } }),
      ])
      assert.equal(out.status, 200)
      const instance = await app.events()
      const end = instance.findIndex(
        ({ event_type, resource_id }) => event_type === 'user.updated' && resource_id === max.id,
      )
      const later = instance.slice(end + 1).filter((event) => /^(user|invite)\.created$/.test(event.event_type))
      assert.deepEqual(later, [])
      for (const { status, body } of made)
        assert.ok(status < 300 || body.code === 'USER_INACTIVE', JSON.stringify(body))
    })

    test('a token never has more than its owner has now', async () => {
      const sam = await app.person(admin, 'sam', 'ops')
      const { token } = (await app.call('POST', '/tokens', { token: sam.token, body: { name: 't' } })).body
      assert.equal((await app.call('GET', '/auth/me', { token })).body.role, 'ops')
      await app.call('PUT', `/members/${sam.number}`, { token: admin, body: { role: 'employee' } })
      assert.equal((await app.call('GET', '/auth/me', { token })).body.role, 'employee')
      await app.call('PUT', `/members/${sam.number}`, { token: admin, body: { role: 'auditor' } })
      assert.equal((await app.call('GET', '/members', { token })).body.code, 'NOT_A_MEMBER')
      await app.call('DELETE', `/members/${sam.number}`, { token: admin })
      assert.equal((await app.call('GET', '/members', { token })).body.code, 'NOT_A_MEMBER')
    })

    test('a rotated token works for one more hour, and only its owner rotates it', async () => {
      const ann = await app.person(admin, 'ann', 'dev')
      const first = (await app.call('POST', '/tokens', { token: ann.token, body: { name: 't' } })).body
      assert.equal((await app.call('POST', `/tokens/${first.id}/rotate`, { token: admin })).status, 404)
      const second = (await app.call('POST', `/tokens/${first.id}/rotate`, { token: ann.token })).body
      assert.equal((await app.call('GET', '/members', { token: first.token })).status, 200)
      app.clock.advance(3_600_000)
      assert.equal((await app.call('GET', '/members', { token: first.token })).status, 401)
      assert.equal((await app.call('GET', '/members', { token: second.token })).status, 200)
      admin = await app.login(ADMIN.username, ADMIN.password)
    })

    test('a cookie session: only on a secure page, and writes need the token of the page', async () => {
      const login = (host: string) => app.call('POST', '/auth/session', { body: ADMIN, headers: { host } })
      assert.equal((await login('writ.example.com')).body.code, 'COOKIE_NEEDS_TLS')
      const answer = await login('localhost:8000')
      const set = String(answer.headers['set-cookie'])
      assert.match(set, /^__Host-writ=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=43200$/)
      const cookie = set.split(';')[0]!
      const csrf = answer.body.csrf_token
      const write = (headers: Record<string, string>) =>
        app.call('POST', '/invites', { body: {}, headers: { host: 'localhost:8000', cookie, ...headers } })
      assert.equal((await app.call('GET', '/auth/me', { headers: { cookie } })).status, 200)
      assert.equal((await write({})).body.code, 'CSRF_FAILED')
      assert.equal((await write({ 'x-csrf-token': 'wrong' })).body.code, 'CSRF_FAILED')
      const foreign = { 'x-csrf-token': csrf, origin: 'https://evil.example.com' }
      assert.equal((await write(foreign)).body.code, 'CSRF_FAILED')
      assert.equal((await write({ 'x-csrf-token': csrf, 'sec-fetch-site': 'cross-site' })).body.code, 'CSRF_FAILED')
      assert.equal((await write({ 'x-csrf-token': csrf, origin: 'http://localhost:8000' })).status, 201)
      app.clock.advance(2 * 3_600_000)
      assert.equal((await app.call('GET', '/auth/me', { headers: { cookie } })).body.code, 'CREDENTIALS_INVALID')
      admin = await app.login(ADMIN.username, ADMIN.password)
    })

    test('projects: made by instance administrators, unseen from outside, each with a log of its own', async () => {
      const ivy = await app.person(admin, 'ivy', 'admin')
      const body = { slug: 'factory-a', name: '工厂 A' }
      const make = (token: string) => app.call('POST', '/projects', { token, body })
      assert.equal((await make(ivy.token)).body.code, 'INSTANCE_ADMIN_REQUIRED')
      const made = await make(admin)
      assert.equal(made.status, 201)
      assert.match(made.body.log_origin, /^writ\.log\/[0-9a-f]{32}$/)
      assert.equal((await make(admin)).body.code, 'PROJECT_EXISTS')
      const got = await app.call('GET', '/projects/factory-a', { token: admin })
      assert.deepEqual(got.body, made.body)
      const at = (slug: string) => ({ token: ivy.token, headers: { 'x-project': slug } })
      const outside = await app.call('GET', '/members', at('factory-a'))
      const nowhere = await app.call('GET', '/members', at('no-such-project'))
      assert.equal(outside.body.code, 'NOT_A_MEMBER')
      assert.deepEqual({ ...outside.body, request_id: '' }, { ...nowhere.body, request_id: '' })
      assert.equal((await app.call('GET', '/projects/factory-a', { token: ivy.token })).status, 404)
      const { token } = (await app.call('POST', '/tokens', { token: ivy.token, body: { name: 't' } })).body
      const foreign = await app.call('GET', '/members', { token, headers: { 'x-project': 'factory-a' } })
      assert.equal(foreign.body.code, 'TOKEN_FOREIGN_PROJECT')
    })

    test('an account of two projects is not taken over by the admin of one', async () => {
      const joe = await app.person(admin, 'joe', 'employee')
      const ivy = await app.login('ivy', PASSWORD)
      const there = { token: admin, headers: { 'x-project': 'factory-a' } }
      assert.equal((await app.call('PUT', `/members/${joe.number}`, { ...there, body: { role: 'ops' } })).status, 200)
      const change = await app.call('PATCH', `/users/${joe.id}`, { token: ivy, body: { email: 'ivy2@example.com' } })
      assert.equal(change.body.code, 'INSTANCE_ADMIN_REQUIRED')
      const reset = await app.call('POST', `/users/${joe.id}/reset-password`, { token: ivy })
      assert.equal(reset.body.code, 'INSTANCE_ADMIN_REQUIRED')
      const role = await app.call('PATCH', `/users/${joe.id}`, { token: ivy, body: { role: 'dev' } })
      assert.equal(role.body.role, 'dev')
      const grant = await app.call('PATCH', `/users/${joe.id}`, { token: ivy, body: { is_instance_admin: true } })
      assert.equal(grant.body.code, 'INSTANCE_ADMIN_REQUIRED')
    })

    test('a policy waits for a second admin, and its approval is used up', async () => {
      const project = (await app.call('GET', '/projects/default', { token: admin })).body.id
      const ivy = await app.login('ivy', PASSWORD)
      const policy = {
        four_eyes: true,
        approver_roles: ['ops', 'admin'],
        approval_ttl_hours: 8,
        evidence_ttl_hours: 24,
      }
      const asked = await app.call('PUT', '/policy', { token: admin, body: policy })
      assert.equal(asked.status, 202)
      assert.equal(asked.body.state, 'pending')
      assert.deepEqual(asked.body.warnings, [])
      const decide = (token: string) => app.call('POST', `/policy/changes/${asked.body.id}/approve`, { token })
      assert.equal((await decide(admin)).body.code, 'APPROVER_EXCLUDED')
      assert.deepEqual((await app.call('GET', '/policy', { token: admin })).body.approver_roles, ['admin'])
      const applied = await decide(ivy)
      assert.equal(applied.status, 200)
      assert.equal(applied.body.state, 'applied')
      assert.equal((await decide(ivy)).body.code, 'POLICY_CHANGE_SETTLED')
      assert.equal((await app.call('GET', '/policy', { token: admin })).body.approval_ttl_hours, 8)
      const events = (await app.events(project)).filter((event) => /^(policy|approval)\./.test(event.event_type))
      assert.deepEqual(
        events.map((event) => event.event_type),
        ['policy.change_requested', 'approval.consumed', 'policy.changed'],
      )
    })

    test('a policy that nobody could satisfy is refused', async () => {
      const body = { four_eyes: true, approver_roles: ['auditor'], approval_ttl_hours: null, evidence_ttl_hours: 24 }
      const there = { token: admin, headers: { 'x-project': 'factory-a' } }
      const refused = await app.call('PUT', '/policy', { ...there, body })
      assert.equal(refused.body.code, 'POLICY_UNSATISFIABLE')
    })

    test('the only admin changes the policy alone, with a warning', async () => {
      const body = { four_eyes: true, approver_roles: ['admin'], approval_ttl_hours: 4, evidence_ttl_hours: 24 }
      const there = { token: admin, headers: { 'x-project': 'factory-a' } }
      const changed = await app.call('PUT', '/policy', { ...there, body })
      assert.equal(changed.body.state, 'applied')
      assert.deepEqual(changed.body.warnings, ['NO_ELIGIBLE_APPROVER'])
      assert.equal((await app.call('GET', '/policy', there)).body.approval_ttl_hours, 4)
    })

    test('one person alone, whom four eyes are not enough for, sets what is not about approvals', async () => {
      await app.call('POST', '/projects', { token: admin, body: { slug: 'alone', name: 'Alone' } })
      const there = { token: admin, headers: { 'x-project': 'alone' } }
      const { body: policy } = await app.call('GET', '/policy', there)
      const kept = await app.call('PUT', '/policy', { ...there, body: { ...policy, completed_task_days: 30 } })
      assert.equal(kept.body.state, 'applied', JSON.stringify(kept.body))
      assert.match(JSON.stringify((await app.call('GET', '/policy', there)).body), /"completed_task_days":30/)
      const more = { ...policy, approver_roles: ['admin', 'ops'] }
      assert.equal((await app.call('PUT', '/policy', { ...there, body: more })).body.code, 'POLICY_UNSATISFIABLE')
    })

    test('the last admin stays, also when two of them demote each other at once', async () => {
      const { body: me } = await app.call('GET', '/auth/me', { token: admin })
      const alone = { token: admin, headers: { 'x-project': 'factory-a' } }
      const demote = await app.call('PUT', `/members/${me.number}`, { ...alone, body: { role: 'ops' } })
      assert.equal(demote.body.code, 'LAST_ADMIN')
      assert.equal((await app.call('DELETE', `/members/${me.number}`, alone)).body.code, 'LAST_ADMIN')
      const off = await app.call('PATCH', `/users/${me.id}`, { token: admin, body: { is_active: false } })
      assert.equal(off.body.code, 'LAST_ADMIN')
      const ivy = await app.call<Seen[]>('GET', '/users?q=ivy', { token: admin })
      const second = ivy.body[0]!
      await app.call('PUT', `/members/${second.number}`, { ...alone, body: { role: 'admin' } })
      const answers = await Promise.all(
        [me, second].map((one) => app.call('PUT', `/members/${one.number}`, { ...alone, body: { role: 'ops' } })),
      )
      assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, 409])
    })

    test('losing the last other approver raises an alarm', async () => {
      const { body: project } = await app.call('POST', '/projects', {
        token: admin,
        body: { slug: 'small', name: 's' },
      })
      const there = { token: admin, headers: { 'x-project': 'small' } }
      const zoe = await app.person(admin, 'zoe', 'employee')
      await app.call('PUT', `/members/${zoe.number}`, { ...there, body: { role: 'admin' } })
      await app.call('PATCH', `/users/${zoe.id}`, { token: admin, body: { is_active: false } })
      const alarm = (await app.events(project.id)).at(-1)
      assert.equal(alarm?.event_type, 'approver.none_left')
      assert.equal(alarm?.details?.remaining, 1)
    })

    test('users are listed by page and by filter, members only for who is no instance administrator', async () => {
      const first = await app.call('GET', '/users?cursor=&limit=2', { token: admin })
      assert.deepEqual(
        first.body.items.map((user) => user.number),
        [1, 2],
      )
      const next = await app.call('GET', `/users?limit=2&cursor=${first.body.next_cursor}`, { token: admin })
      assert.equal(next.body.items[0]?.number, 3)
      const all = await app.call<Seen[]>('GET', '/users?limit=1', { token: admin })
      assert.ok(Number(all.headers['x-total-count']) > 5)
      const auditors = await app.call<Seen[]>('GET', '/users?role=auditor&is_active=true', { token: admin })
      assert.deepEqual(
        auditors.body.map((user) => user.username),
        ['dan'],
      )
      const dan = await app.login('dan', PASSWORD)
      const seen = await app.call<Seen[]>('GET', '/users?limit=1000', { token: dan })
      assert.ok(seen.body.every((user) => user.role !== null))
    })

    test('guessing is slowed down alike for accounts that exist and that do not, and told once a minute', async () => {
      const guess = (username: string) =>
        app.call('POST', '/auth/login', { body: { username, password: 'guess' }, ip: '192.0.2.7' })
      const answers = new Map<string, number[]>()
      for (const username of ['ivy', 'ghost'])
        for (let i = 0; i < 12; i++)
          answers.set(username, [...(answers.get(username) ?? []), (await guess(username)).status])
      const expected = [...Array(10).fill(401), 429, 429]
      assert.deepEqual(answers.get('ivy'), expected)
      assert.deepEqual(answers.get('ghost'), expected)
      assert.equal((await guess('ivy')).headers['retry-after'], '300')
      const told = async () => (await app.events()).filter((event) => event.event_type === 'user.login_throttled')
      assert.equal((await told()).length, 1)
      app.clock.advance(60_000)
      await guess('ivy')
      assert.deepEqual(
        (await told()).map((event) => event.details),
        [
          { refused: 1, names: 1, addresses: 1 },
          { refused: 5, names: 2, addresses: 1 },
        ],
      )
      app.clock.advance(300_000)
      assert.equal((await guess('ivy')).status, 401)
    })

    test('every account has one event of its creation', async () => {
      const created = (await app.events()).filter((event) => event.event_type === 'user.created')
      const users = await app.db.lookup<{ id: string }>('select id from users order by number', [])
      assert.deepEqual(created.map((event) => event.resource_id).sort(), users.map((user) => user.id).sort())
      assert.equal(created[0]?.action, 'Created user: admin')
      assert.equal(created[0]?.details?.is_admin, true)
    })
  })
}
