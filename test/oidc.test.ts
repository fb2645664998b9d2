import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import type { Approval, Me, Problem, Ticket, User } from '@writ/api'
import { backends } from './backends.ts'
import { type Behaviour, CLIENT, type OidcTestProvider, startOidcProvider } from './servers/oidc-provider.ts'
import { TestSystem } from './test-system.ts'

let provider: OidcTestProvider
before(async () => {
  provider = await startOidcProvider()
})
after(() => provider.close())

const settings = (more: Record<string, string> = {}) => ({
  env: {
    WRIT_OIDC_ISSUER: provider.issuer,
    WRIT_OIDC_CLIENT_ID: CLIENT.id,
    WRIT_OIDC_CLIENT_SECRET: CLIENT.secret,
    ...more,
  },
})

/** A browser: keeps cookies, follows nothing by itself. */
function openBrowser(system: TestSystem) {
  const cookies = new Map<string, string>()
  const visit = async (url: string, init: RequestInit = {}) => {
    const own = url.startsWith(system.base)
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { ...(own && cookie ? { cookie } : {}), ...(init.headers as Record<string, string> | undefined) }
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of own ? answer.headers.getSetCookie() : []) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!
      if (/Max-Age=0/.test(line)) cookies.delete(name!)
      else cookies.set(name!, value!)
    }
    return answer
  }
  const api = (path: string) => `${system.base}/api/v1${path}`
  return {
    cookies,
    visit,
    api,
    /** Up to the address that the provider sends the browser back to. */
    async goThere(how: Behaviour): Promise<string> {
      provider.behave(how)
      const started = await visit(api('/auth/oidc/start'))
      assert.equal(started.status, 302, await started.clone().text())
      const there = await visit(started.headers.get('location') ?? '')
      return there.headers.get('location') ?? ''
    },
    async logIn(how: Behaviour): Promise<Response> {
      return visit(await this.goThere(how))
    },
  }
}

/** The newest event of a type in the log of the instance, as the day files have it. */
async function lastEvent(system: TestSystem, type: string) {
  await system.settle()
  const audit = path.join(system.folder, 'data/audit/_instance')
  const days = readdirSync(audit).filter((file) => file.endsWith('.jsonl'))
  const lines = days.flatMap((file) => readFileSync(path.join(audit, file), 'utf8').split('\n'))
  const events = lines.filter(Boolean).map((line) => JSON.parse(line) as { event_type: string; details: unknown })
  return events.findLast((event) => event.event_type === type)
}

for (const backend of backends()) {
  test(`a known user logs in at the provider, by address first and by the link from then on (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start(settings())
    const browser = openBrowser(system)
    const back = await browser.logIn({
      claims: { sub: 'a-1', preferred_username: 'somebody', email: 'BOB@example.com', email_verified: true },
    })
    assert.equal(back.status, 302, await back.clone().text())
    const csrf = /^\/app#csrf_token=([\w-]{20,})$/.exec(back.headers.get('location') ?? '')?.[1]
    assert.ok(csrf)
    assert.deepEqual([...browser.cookies.keys()], ['__Host-writ'], 'the attempt is used up')
    assert.match(back.headers.getSetCookie()[1] ?? '', /^__Host-writ=[^;]+; Path=\/; Secure; HttpOnly; SameSite=Lax/)
    const me = (await (await browser.visit(browser.api('/auth/me'))).json()) as Me
    assert.equal(me.username, 'bob')
    const write = { method: 'POST', body: '{"title":"by cookie"}' }
    const type = { 'content-type': 'application/json' }
    const bare = await browser.visit(browser.api('/tickets'), { ...write, headers: type })
    assert.equal(bare.status, 403)
    const made = await browser.visit(browser.api('/tickets'), { ...write, headers: { ...type, 'x-csrf-token': csrf } })
    assert.equal(made.status, 200, await made.clone().text())
    assert.deepEqual((await lastEvent(system, 'user.login'))?.details, {
      via: 'oidc',
      issuer: provider.issuer,
      amr: [],
      linked_by: 'email',
    })

    // Name and address have changed there; it is the same person.
    const later = openBrowser(system)
    await later.logIn({ claims: { sub: 'a-1', preferred_username: 'employee' } })
    assert.equal(((await (await later.visit(later.api('/auth/me'))).json()) as Me).username, 'bob')
    assert.deepEqual((await lastEvent(system, 'user.login'))?.details, {
      via: 'oidc',
      issuer: provider.issuer,
      amr: [],
    })
    // Somebody new there has the address now: not the same person.
    const stranger = await openBrowser(system).logIn({
      claims: { sub: 'a-2', preferred_username: 'x', email: 'bob@example.com', email_verified: true },
    })
    assert.equal(stranger.status, 401)
    await system.check()
  })

  test(`somebody unknown gets an account only where that is configured (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start(settings({ WRIT_OIDC_AUTO_CREATE: 'true' }))
    const browser = openBrowser(system)
    const claims = { sub: 'b-1' }
    const userinfo = { preferred_username: 'li.na', email: 'li.na@example.com', email_verified: true, name: '李娜' }
    assert.equal((await browser.logIn({ claims, userinfo })).status, 302)
    const me = (await (await browser.visit(browser.api('/auth/me'))).json()) as Me
    assert.deepEqual(
      [me.username, me.email, me.full_name, me.role, me.is_instance_admin],
      ['li.na', 'li.na@example.com', '李娜', 'employee', false],
    )
    const again = openBrowser(system)
    assert.equal((await again.logIn({ claims, userinfo })).status, 302)
    assert.equal((await system.admin.get<User[]>('/users?q=li.na')).body.length, 1)
    await system.check()
  })
}

test('an account that somebody registered themselves is linked when an administrator has said whose it is', async () => {
  await using system = await TestSystem.start(settings({ WRIT_REGISTRATION: 'open', WRIT_OIDC_AUTO_CREATE: 'true' }))
  const { admin, anonymous } = system
  const register = async (username: string, address: string, invite: object = {}) => {
    const body = { username, email: address, password: 'known-to-who-came-first', ...invite }
    assert.equal((await anonymous.post('/auth/register', body)).status, 200)
  }
  const invited = async (fields: object) => ({
    invite: (await admin.post<{ invite: string }>('/invites', { role: 'employee', ...fields })).body.invite,
  })
  await register('li.na', 'li.na@example.com')
  await register('wang.wei', 'wang.wei@example.com', await invited({}))
  await register('zhao.lei', 'zhao.lei@example.com', await invited({ email: 'zhao.lei@example.com' }))
  const logIn = (claims: { sub: string } & Record<string, unknown>) => openBrowser(system).logIn({ claims })
  const proven = (name: string) => ({ sub: name, email: `${name}@example.com`, email_verified: true })
  for (const claims of [
    { ...proven('li.na'), preferred_username: 'na' },
    { sub: 'other', preferred_username: 'li.na' },
    { ...proven('wang.wei'), preferred_username: 'wei' },
  ]) {
    const refused = await logIn(claims)
    assert.equal(refused.status, 401)
    assert.match(((await refused.json()) as Problem).detail, /no administrator has said whose it is/)
  }
  assert.equal((await logIn({ ...proven('zhao.lei'), preferred_username: 'lei' })).status, 302)

  const [found] = (await admin.get<User[]>('/users?q=li.na')).body
  assert.equal((await admin.patch(`/users/${found!.id}`, { email: 'li.na@example.com' })).status, 200)
  assert.equal((await logIn({ ...proven('li.na'), preferred_username: 'na' })).status, 302)
  await system.check()
})

test('WRIT_OIDC_USERNAME_CLAIM names the claim by which an account is found, and no other is', async () => {
  await using system = await TestSystem.start(settings({ WRIT_OIDC_USERNAME_CLAIM: 'employee_id' }))
  const browser = openBrowser(system)
  const claims = { sub: 'c-1', preferred_username: 'employee', employee_id: 'bob' }
  assert.equal((await browser.logIn({ claims })).status, 302)
  assert.equal(((await (await browser.visit(browser.api('/auth/me'))).json()) as Me).username, 'bob')
  const other = await openBrowser(system).logIn({ claims: { sub: 'c-2', preferred_username: 'employee' } })
  assert.equal(other.status, 401)
})

test('who the provider does not prove, or nobody here is, gets no session', async (t) => {
  await using system = await TestSystem.start(settings())
  const bob = { sub: 'c-1', preferred_username: 'bob' }
  const past = 946_684_800
  const cases: [string, Behaviour, RegExp][] = [
    ['the provider says no', { claims: bob, error: 'access_denied' }, /refused it/],
    ['another nonce', { claims: bob, forged: { nonce: 'x' } }, /does not hold/],
    ['another audience', { claims: bob, forged: { aud: 'another' } }, /does not hold/],
    ['another issuer', { claims: bob, forged: { iss: 'http://127.0.0.1:1' } }, /does not hold/],
    ['an ID token of long ago', { claims: bob, forged: { iat: past, exp: past + 60 } }, /does not hold/],
    ['a key that is not published', { claims: bob, strangeKey: true }, /does not hold/],
    ['userinfo about somebody else', { claims: bob, userinfo: { sub: 'c-9' } }, /does not tell who/],
    ['nobody here', { claims: { sub: 'c-2', preferred_username: 'nobody.here' } }, /no account here/],
    [
      'an address that is not verified',
      { claims: { sub: 'c-3', preferred_username: 'nobody', email: 'bob@example.com', email_verified: false } },
      /no account here/,
    ],
    [
      'the name of an instance administrator',
      { claims: { sub: 'c-4', preferred_username: 'admin' } },
      /verified address/,
    ],
  ]
  for (const [name, how, detail] of cases) {
    await t.test(name, async () => {
      const browser = openBrowser(system)
      const back = await browser.logIn(how)
      const problem = (await back.json()) as Problem
      assert.deepEqual({ status: back.status, code: problem.code }, { status: 401, code: 'OIDC_FAILED' })
      assert.match(back.headers.get('content-type') ?? '', /^application\/problem\+json/)
      assert.match(problem.detail, detail)
      assert.deepEqual([...browser.cookies.keys()], [])
    })
  }
})

test("a person's browser is led back to where one signs in, with a word for why, and without a session", async () => {
  await using system = await TestSystem.start(settings())
  const html = { headers: { accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8' } }
  const cases: [string, Behaviour][] = [
    ['refused', { claims: { sub: 'h-1' }, error: 'access_denied' }],
    ['unproven', { claims: { sub: 'h-1', preferred_username: 'bob' }, forged: { nonce: 'x' } }],
    ['unknown', { claims: { sub: 'h-2', preferred_username: 'nobody.here' } }],
    ['unverified', { claims: { sub: 'h-3', preferred_username: 'admin' } }],
  ]
  for (const [word, how] of cases) {
    const browser = openBrowser(system)
    const back = await browser.visit(await browser.goThere(how), html)
    assert.deepEqual([back.status, back.headers.get('location')], [302, `/app#sign_in=${word}`])
    assert.deepEqual([...browser.cookies.keys()], [])
  }
  await system.restart(settings({ WRIT_OIDC_ISSUER: 'http://127.0.0.1:9' }))
  const browser = openBrowser(system)
  const away = await browser.visit(browser.api('/auth/oidc/start'), html)
  assert.deepEqual([away.status, away.headers.get('location')], [302, '/app#sign_in=away'])
})

test('when and how somebody proved at the provider who they are is kept with what they decide', async () => {
  await using system = await TestSystem.start({ ...settings(), fakeClock: true })
  await system.hire('boss', 'admin')
  const decide = async (more: Record<string, unknown>) => {
    const ticket = await system.employee.post<Ticket>('/tickets', { title: 'x' })
    const browser = openBrowser(system)
    const claims = { sub: 'k-1', preferred_username: 'boss', ...more }
    const csrf = (await browser.logIn({ claims })).headers.get('location')!.replace(/^.*csrf_token=/, '')
    const path = `/tickets/${ticket.body.number}`
    const headers = { 'x-csrf-token': csrf }
    assert.equal((await browser.visit(browser.api(`${path}/approve`), { method: 'POST', headers })).status, 200)
    const [approval] = (await system.employee.get<Approval[]>(`${path}/approvals`)).body
    return [approval?.auth_time, approval?.amr]
  }
  const now = Math.floor(system.now() / 1000)
  const earlier = new Date((now - 3_600) * 1000).toISOString()
  assert.deepEqual(await decide({ auth_time: now - 3_600, amr: ['pwd', 'mfa'] }), [earlier, ['pwd', 'mfa']])
  assert.deepEqual(await decide({}), [null, []])
  // Nobody has proved anything in times to come, and what is no word of a list is left out.
  const ahead = await decide({ auth_time: now + 9_999_999, amr: ['hwk', 7, 'a b', 'x'.repeat(65)] })
  assert.deepEqual(ahead, [new Date(system.now()).toISOString(), ['hwk']])
  assert.deepEqual(await decide({ amr: 'pwd' }), [null, []])
  const odd = { claims: { sub: 'k-1', preferred_username: 'boss', auth_time: 'yesterday' } }
  assert.equal((await openBrowser(system).logIn(odd)).status, 401)
})

test('an answer counts once, in the browser that asked, and not after ten minutes', async () => {
  await using system = await TestSystem.start({ ...settings(), fakeClock: true })
  const how = { claims: { sub: 'd-1', preferred_username: 'bob' } }
  const victim = openBrowser(system)
  const url = await victim.goThere(how)
  assert.equal((await openBrowser(system).visit(url)).status, 401, 'a browser that did not ask')
  const cookies = new Map(victim.cookies)
  const other = await openBrowser(system).goThere(how)
  assert.equal((await victim.visit(other)).status, 401, 'an answer to somebody else')

  for (const [name, value] of cookies) victim.cookies.set(name, value)
  assert.equal((await victim.visit(url)).status, 302)
  for (const [name, value] of cookies) victim.cookies.set(name, value)
  assert.equal((await victim.visit(url)).status, 401, 'the same answer again')
  assert.deepEqual(provider.refused.slice(-1), ['invalid_grant'])

  const slow = openBrowser(system)
  const late = await slow.goThere(how)
  system.advance(600_000)
  assert.equal((await slow.visit(late)).status, 401, 'ten minutes later')

  const forger = openBrowser(system)
  const forged = await forger.goThere(how)
  const [[name, value]] = [...forger.cookies] as [[string, string]]
  forger.cookies.set(name, `${value.slice(0, -4)}AAAA`)
  assert.equal((await forger.visit(forged)).status, 401, 'a cookie that was changed')
})

test('the provider is asked for its metadata anew after an hour, also when the clock was set back', async () => {
  await using system = await TestSystem.start({ ...settings(), fakeClock: true })
  const before = provider.described
  const browser = openBrowser(system)
  const start = async () => assert.equal((await browser.visit(browser.api('/auth/oidc/start'))).status, 302)
  await start()
  system.setClock(-5 * 3_600_000)
  await start()
  assert.equal(provider.described, before + 1)
  system.advance(3_600_001)
  await start()
  assert.equal(provider.described, before + 2)
})

test('an inactive user does not come in through the provider', async () => {
  await using system = await TestSystem.start(settings())
  const claims = { sub: 'e-1', preferred_username: 'bob' }
  assert.equal((await openBrowser(system).logIn({ claims })).status, 302)
  assert.equal((await system.admin.patch(`/users/${system.bob.number}`, { is_active: false })).status, 200)
  const back = await openBrowser(system).logIn({ claims })
  assert.match(((await back.json()) as Problem).detail, /inactive/)
  assert.deepEqual((await lastEvent(system, 'user.login_failed'))?.details, {
    via: 'oidc',
    issuer: provider.issuer,
    subject: 'e-1',
    username: 'bob',
  })
})

test('the request to the provider asks for a code with PKCE, state and nonce, and comes back below the public URL', async () => {
  await using system = await TestSystem.start(settings({ WRIT_PUBLIC_URL: 'https://writ.example.com' }))
  const started = await system.anonymous.get('/auth/oidc/start')
  const url = new URL(started.headers.get('location') ?? '')
  const asked = Object.fromEntries(url.searchParams)
  assert.deepEqual(
    { ...asked, state: '', nonce: '', code_challenge: '' },
    {
      client_id: 'writ',
      response_type: 'code',
      redirect_uri: 'https://writ.example.com/api/v1/auth/oidc/callback',
      scope: 'openid profile email',
      code_challenge_method: 'S256',
      state: '',
      nonce: '',
      code_challenge: '',
    },
  )
  for (const random of [asked.state, asked.nonce, asked.code_challenge]) assert.match(random ?? '', /^[\w-]{43}$/)
  const cookie = started.headers.getSetCookie()[0] ?? ''
  assert.match(cookie, /^__Host-writ-oidc=[^;]+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/)
  assert.doesNotMatch(cookie, new RegExp(asked.state ?? ''))
})

test('without a provider, or with one that is away, there is a sentence', async () => {
  await using system = await TestSystem.start()
  for (const path of ['/auth/oidc/start', '/auth/oidc/callback?code=x&state=y']) {
    const answer = await system.anonymous.get<Problem>(path)
    assert.deepEqual([answer.status, answer.body.code], [404, 'OIDC_NOT_CONFIGURED'])
  }
  await system.restart(settings({ WRIT_OIDC_ISSUER: 'http://127.0.0.1:9' }))
  const away = await system.anonymous.get<Problem>('/auth/oidc/start')
  assert.deepEqual([away.status, away.body.code], [401, 'OIDC_FAILED'])
  assert.match(away.body.detail, /cannot be reached/)
})
