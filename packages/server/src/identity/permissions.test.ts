import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Role, workersApi } from '@writ/api'
import {
  coversScope,
  endpointsWith,
  faultOfScope,
  mayLend,
  permissions,
  permissionsOf,
  tokenRole,
} from './permissions.ts'

test('every endpoint of a project has a row in the table, and no row is without an endpoint', () => {
  assert.deepEqual(Object.keys(permissions).sort(), endpointsWith('member').sort())
})

test('an auditor reads everything of a project and writes nothing but tokens of their own', () => {
  const allowed = permissionsOf('auditor', null)
  const writes =
    /\.(create|update|rotate|revoke|start|upload|delete|submit|approve|reject|close|reopen|comment|finalize|cancel)$/
  assert.deepEqual(
    allowed.filter((id) => writes.test(id)),
    ['tokens.create', 'tokens.rotate', 'tokens.revoke'],
  )
  assert.ok(allowed.includes('audit.export'))
  assert.ok(allowed.includes('users.list'))
})

test('an employee sees no accounts and no audit log', () => {
  const allowed = permissionsOf('employee', null)
  assert.deepEqual(
    allowed.filter((id) => /^(users|audit)\./.test(id)),
    [],
  )
  assert.ok(allowed.includes('tickets.create'))
})

test('scopes: none is everything, a group, a name, a star', () => {
  assert.equal(coversScope([], 'runs.get'), true)
  assert.equal(coversScope(['*'], 'runs.get'), true)
  assert.equal(coversScope(['runs.*'], 'runs.get'), true)
  assert.equal(coversScope(['runs.*'], 'runs.*'), true)
  assert.equal(coversScope(['runs.get'], 'runs.get'), true)
  assert.equal(coversScope(['runs.get'], 'runs.*'), false)
  assert.equal(coversScope(['run.*'], 'runs.get'), false)
  assert.equal(coversScope(['runs.*'], '*'), false)
  // Whatever a worker asks: what it holds is checked by its lease, and the queue where it claims.
  for (const call of Object.keys(workersApi)) assert.equal(coversScope(['worker:api'], `workers.${call}`), true, call)
  assert.equal(coversScope(['worker:api'], 'tasks.get'), false)
  assert.equal(coversScope(['worker:*'], 'worker:api'), true)
  assert.equal(coversScope(['worker:api'], 'worker:night'), false)
})

test('a scope that allows nothing is named, with what may be meant', () => {
  for (const scope of [
    '*',
    'runs.get',
    'runs.*',
    'auth.me',
    'dispatch.*',
    'dispatch.feishuToken',
    'worker:*',
    'worker:api',
  ])
    assert.equal(faultOfScope(scope), undefined, scope)
  assert.equal(faultOfScope('run.get'), 'there is no operation "run.get"; did you mean runs.get?')
  assert.equal(faultOfScope('artefacts.*'), 'there is no operation "artefacts.*"; did you mean artifacts.*?')
  assert.match(faultOfScope('tickets.everything') ?? '', /of tickets there are tickets\.create, tickets\.list, /)
  assert.match(faultOfScope('worker:') ?? '', /there are those of users, tokens, /)
})

test('a role lends what it contains', () => {
  const cases: [Role, Role, boolean][] = [
    ['admin', 'auditor', true],
    ['ops', 'admin', false],
    ['ops', 'auditor', false],
    ['dev', 'employee', true],
    ['employee', 'dev', false],
    ['auditor', 'employee', false],
  ]
  for (const [mine, wanted, expected] of cases) assert.equal(mayLend(mine, wanted), expected, `${mine} -> ${wanted}`)
})

test('a token keeps the lesser of two roles, and none when neither contains the other', () => {
  assert.equal(tokenRole('admin', 'dev'), 'dev')
  assert.equal(tokenRole('employee', 'ops'), 'employee')
  assert.equal(tokenRole('auditor', 'dev'), null)
  assert.equal(tokenRole(null, 'dev'), null)
})
