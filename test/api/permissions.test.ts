import assert from 'node:assert/strict'
import { test } from 'node:test'
import { api, dispatchApi, type Endpoint, type Role } from '@writ/api'
import { backends } from '../backends.ts'
import type { Client } from '../client.ts'
import { mayCall, mayCallDoor } from './permissions.ts'

const endpoints: Endpoint[] = Object.values(api).flatMap((group) => Object.values(group as Record<string, Endpoint>))
const nameOf = (endpoint: Endpoint) => `${endpoint.method} ${endpoint.path}`
const roles: Role[] = ['admin', 'ops', 'dev', 'employee', 'auditor']

/** Codes that mean "not you", as opposed to "not so" or "not there". */
const DENIALS = new Set([
  'ROLE_NOT_ALLOWED',
  'ADMIN_REQUIRED',
  'INSTANCE_ADMIN_REQUIRED',
  'NOT_A_MEMBER',
  'SCOPE_NOT_ALLOWED',
])

// Ids of nothing: who is let through meets 404 or 422, and nothing is changed by asking.
const nothing = '01900000-0000-7000-8000-000000000000'

async function ask(client: Client, endpoint: Endpoint, headers: Record<string, string> = {}) {
  const path = endpoint.path.replace(':slug', 'no-such-project').replace(':id', nothing).replace('*', 'checkpoint')
  const sent = { headers }
  const query = path === '/artifacts' ? `?run_id=${nothing}` : ''
  switch (endpoint.method) {
    case 'GET':
      return client.get<{ code?: string } | null>(path, sent)
    case 'DELETE':
      return client.delete<{ code?: string } | null>(path, sent)
    case 'PUT':
      return client.put<{ code?: string } | null>(path, {}, sent)
    case 'PATCH':
      return client.patch<{ code?: string } | null>(path, {}, sent)
    default:
      // A body without its reason is refused for its shape before anybody is asked for a role by the policy.
      return client.post<{ code?: string } | null>(path + query, path.endsWith('/reject') ? { reason: 'x' } : {}, sent)
  }
}

test('the table names every route, and only routes that exist', () => {
  assert.deepEqual(Object.keys(mayCall).sort(), endpoints.map(nameOf).sort())
})

for (const backend of backends()) {
  test(`every route lets in exactly the roles of the table (${backend.name})`, { skip: backend.skip }, async (t) => {
    await using system = await backend.start()
    const project = { slug: 'factory', name: 'Factory' }
    assert.equal((await system.admin.post('/projects', project)).status, 201)
    const people = new Map<Role, Client>()
    for (const role of roles) {
      const person = await system.hire(`one-${role}`, role)
      const member = await system.admin.put(
        `/members/${person.number}`,
        { role },
        { headers: { 'x-project': 'factory' } },
      )
      assert.equal(member.status, 200, JSON.stringify(member.body))
      people.set(role, person)
    }
    for (const endpoint of endpoints) {
      const allowed = mayCall[nameOf(endpoint)]!
      await t.test(nameOf(endpoint), async () => {
        for (const role of roles) {
          // Logging out would end the session that the next question needs; changing a password likewise.
          if (endpoint.path === '/auth/logout') continue
          const answer = await ask(people.get(role)!, endpoint, { 'x-project': 'factory' })
          const denied = answer.status === 401 || DENIALS.has(answer.body?.code ?? '')
          const expected =
            allowed === 'anybody' || allowed === 'person'
              ? true
              : allowed === 'instance'
                ? false
                : allowed.includes(role)
          // A failed login is 401 to everybody; it says nothing about the role.
          if (answer.body?.code === 'LOGIN_FAILED') continue
          assert.equal(!denied, expected, `${role}: ${answer.status} ${JSON.stringify(answer.body)}`)
        }
        const stranger = await ask(system.anonymous, endpoint)
        if (allowed !== 'anybody')
          assert.equal(stranger.body?.code, 'NOT_AUTHENTICATED', `anonymous: ${stranger.status}`)
        // An employee of another project stands outside of this one, whatever the role there.
        if (Array.isArray(allowed)) {
          const outsider = await ask(system.bob, endpoint, { 'x-project': 'factory' })
          assert.equal(
            outsider.body?.code,
            'NOT_A_MEMBER',
            `outsider: ${outsider.status} ${JSON.stringify(outsider.body)}`,
          )
        }
      })
    }
  })

  test(`every path of the dispatch door lets in exactly the roles of the table (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const door: Endpoint[] = Object.values(dispatchApi)
    assert.deepEqual(Object.keys(mayCallDoor).sort(), door.map(nameOf).sort())
    for (const role of roles) {
      const person = await system.hire(`one-${role}`, role)
      for (const endpoint of door) {
        const allowed = mayCallDoor[nameOf(endpoint)]!
        const { status } = await ask(person, { ...endpoint, path: `/${endpoint.path}` })
        const denied = status === 401 || status === 403
        assert.equal(denied, allowed !== 'anybody' && !allowed.includes(role), `${role} ${nameOf(endpoint)}: ${status}`)
      }
    }
    for (const endpoint of door) {
      const { status } = await ask(system.anonymous, { ...endpoint, path: `/${endpoint.path}` })
      assert.equal(status === 401, mayCallDoor[nameOf(endpoint)] !== 'anybody', nameOf(endpoint))
    }
    // Another project's people do not read the lines of the server.
    assert.equal((await system.admin.post('/projects', { slug: 'factory', name: 'Factory' })).status, 201)
    const ops = await system.hire('two-ops', 'employee')
    const member = { headers: { 'x-project': 'factory' } }
    assert.equal((await system.admin.put(`/members/${ops.number}`, { role: 'ops' }, member)).status, 200)
    assert.equal((await ops.get('//logs/list', member)).status, 403)
  })
}
