// Approvals that people sign with their own SSH keys: enrolment by two, one use, one version, one time.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { json } from 'node:stream/consumers'
import { after, test } from 'node:test'
import type {
  Approval,
  AuditEvent,
  ErrorCode,
  IssuedStatement,
  Policy,
  PolicyChange,
  SigningKey,
  Ticket,
} from '@writ/api'
import {
  approvalStatement,
  fromUtf8,
  parseApproval,
  parseSigningKey,
  signingKeyStatement,
  statementBytes,
  toUtf8,
} from '@writ/tlog'
import { backends } from '../backends.ts'
import { removeFolder } from '../servers/guard.ts'
import type { Person, TestSystem } from '../test-system.ts'
import { makeSshKey, proposeKey, signApproval } from './ssh-key.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'writ-signatures-'))
after(() => removeFolder(folder))
let made = 0
const sshKey = (type?: 'ed25519' | 'ecdsa') => makeSshKey(folder, `key-${++made}`, type)

type Refusal = Ticket & { code?: string; detail?: string }
const ticketOf = async (system: TestSystem) =>
  (await system.employee.post<Ticket>('/tickets', { title: 'Replace the main switch' })).body
const approve = (person: Person, ticket: number, signed: unknown) =>
  person.post<Refusal>(`/tickets/${ticket}/approve`, { signed })
const events = async (system: TestSystem, type: string) =>
  (await system.admin.get<AuditEvent[]>(`/audit/events?event_type=${type}`)).body

/** A request of which the server knows who asks, and lacks the end of the body. Answers what sends it, and then the code of the refusal. */
async function holdBody(system: TestSystem, path: string, token: string): Promise<() => Promise<string>> {
  const body = Buffer.from(JSON.stringify(path.endsWith('reject') ? { reason: 'not now' } : {}))
  const asked = request(`${system.base}/api/v1${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': body.length,
      expect: '100-continue',
    },
  })
  const answered = once(asked, 'response') as Promise<[IncomingMessage]>
  asked.flushHeaders()
  await once(asked, 'continue')
  asked.write(body.subarray(0, 1))
  // Recognised after the one that is held, and so is that one when this is answered.
  const later = await fetch(`${system.base}/api/v1/auth/me`, { headers: { authorization: `Bearer ${token}` } })
  assert.equal(later.status, 200)
  return async () => {
    asked.end(body.subarray(1))
    const [answer] = await answered
    return ((await json(answer)) as { code: string }).code
  }
}

for (const backend of backends()) {
  test(`a key is enrolled by two people, and signs an approval (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    const second = await system.hire('second', 'admin')
    const [mine, theirs] = [await sshKey(), await sshKey('ecdsa')]

    const first = await proposeKey(system.admin, mine)
    assert.equal(first.status, 201, JSON.stringify(first.body))
    assert.deepEqual([first.body.state, first.body.bootstrap], ['enrolled', true])
    const next = await proposeKey(second, theirs)
    assert.deepEqual([next.body.state, next.body.bootstrap], ['proposed', false])
    const again = await proposeKey(second, theirs)
    assert.equal(again.body.code, 'SIGNING_KEY_TAKEN')

    const ticket = await ticketOf(system)
    const early = await approve(second, ticket.number, await signApproval(second, ticket.number, theirs, next.body.id))
    assert.equal(early.body.code, 'SIGNING_KEY_NOT_ENROLLED')
    const alone = await second.post<Refusal>(`/signing-keys/${next.body.id}/approve`)
    assert.equal(alone.body.code, 'APPROVER_EXCLUDED')
    assert.equal((await system.admin.post(`/signing-keys/${next.body.id}/approve`)).status, 200)

    const done = await approve(second, ticket.number, await signApproval(second, ticket.number, theirs, next.body.id))
    assert.equal(done.status, 200, JSON.stringify(done.body))
    assert.equal(done.body.status, 'approved')
    const approvals = (await system.admin.get<Approval[]>(`/tickets/${ticket.number}/approvals`)).body
    assert.equal(approvals[0]!.signed_with_id, next.body.id)
    const [event] = await events(system, 'ticket.approved')
    assert.equal(event!.details?.approval_id, approvals[0]!.id)
    assert.equal((await events(system, 'signing_key.enrolled')).length, 2)
    await system.check()
  })

  test(`whoever proposed a key may take it back, and nobody else but an admin may (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    await proposeKey(system.admin, await sshKey())
    const key = await sshKey()
    const proposed = (await proposeKey(system.employee, key)).body
    const reject = (who: Person) => who.post<Refusal & { state?: string }>(`/signing-keys/${proposed.id}/reject`, {})
    assert.equal((await reject(system.bob)).body.code, 'SIGNING_KEY_DENIED')
    assert.equal((await reject(system.employee)).body.state, 'rejected')
    assert.equal((await reject(system.employee)).body.code, 'SIGNING_KEY_SETTLED')
    assert.equal((await events(system, 'signing_key.rejected'))[0]!.action, 'Withdrew a signing key')
    assert.equal((await proposeKey(system.employee, key)).body.state, 'proposed')
    await system.check()
  })

  test(`of fifty uses of one signed approval one wins (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    const key = await sshKey()
    const enrolled = (await proposeKey(system.admin, key)).body
    const ticket = await ticketOf(system)
    const signed = await signApproval(system.admin, ticket.number, key, enrolled.id)
    const answers = await Promise.all(Array.from({ length: 50 }, () => approve(system.admin, ticket.number, signed)))
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
    assert.deepEqual([...new Set(answers.map(({ body }) => body.code))].sort(), ['APPROVAL_USED', undefined])
    assert.equal((await events(system, 'ticket.approved')).length, 1)
    await system.check()
  })

  test(`a signature is over one version, for ten minutes (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start({ fakeClock: true })
    const key = await sshKey()
    const enrolled = (await proposeKey(system.admin, key)).body
    const ticket = await ticketOf(system)

    const stale = await signApproval(system.admin, ticket.number, key, enrolled.id)
    await system.employee.patch(`/tickets/${ticket.number}`, { title: 'Replace two switches' })
    assert.equal((await approve(system.admin, ticket.number, stale)).body.code, 'APPROVAL_STALE')

    const late = await signApproval(system.admin, ticket.number, key, enrolled.id)
    system.advance(600_001)
    assert.equal((await approve(system.admin, ticket.number, late)).body.code, 'SIGNATURE_LATE')

    const good = await signApproval(system.admin, ticket.number, key, enrolled.id)
    const other = good.statement.replace(/"version":2/, '"version":3')
    assert.notEqual(other, good.statement)
    for (const [name, forged] of Object.entries({
      'another statement': { ...good, statement: other },
      'another namespace': { ...good, ssh: await key.sign(good.statement, 'file') },
      'another key': { ...good, ssh: await (await sshKey()).sign(good.statement, 'writ-approval') },
      'no signature': { key_id: good.key_id, statement: good.statement },
    })) {
      const answer = await approve(system.admin, ticket.number, forged)
      assert.equal(answer.body.code, 'SIGNATURE_INVALID', name)
    }
    const revoked = (await system.admin.post<SigningKey>(`/signing-keys/${enrolled.id}/revoke`, {})).body
    assert.deepEqual([revoked.state, revoked.revoked_by_id], ['revoked', system.admin.id])
    assert.equal((await approve(system.admin, ticket.number, good)).body.code, 'SIGNING_KEY_NOT_ENROLLED')
  })

  test(`what the server could not have issued is not taken, whoever signed it (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const key = await sshKey()
    const enrolled = (await proposeKey(system.admin, key)).body
    const ticket = await ticketOf(system)
    const issued = (await system.admin.post<IssuedStatement>(`/tickets/${ticket.number}/approval-statement`)).body
    const claim = parseApproval(toUtf8(issued.statement))
    for (const [name, other] of Object.entries({
      'an id that is a path': { ...claim, id: '../../../evil' },
      'an id that is no UUID': { ...claim, id: 'mine' },
      'a time that is none': { ...claim, issuedAt: 'yesterday' },
      'a time in other words': { ...claim, issuedAt: claim.issuedAt.replace('Z', '+00:00') },
      'an end that is no time': { ...claim, signBefore: 'never' },
    })) {
      const statement = fromUtf8(statementBytes(approvalStatement(other)))
      const signed = { key_id: enrolled.id, statement, ssh: await key.sign(statement, 'writ-approval') }
      const answer = await approve(system.admin, ticket.number, signed)
      assert.deepEqual([answer.status, answer.body.code], [409, 'APPROVAL_STALE'], name)
    }
    const mine = await sshKey()
    const public_key = mine.publicKey.trim()
    const asked = await system.admin.post<IssuedStatement>('/signing-keys/statement', { type: 'ssh', public_key })
    const own = parseSigningKey(toUtf8(asked.body.statement))
    for (const [name, other] of Object.entries({
      'an id that is a path': { ...own, id: '../../../evil' },
      'a time in other words': { ...own, issuedAt: `${own.issuedAt} (attested)` },
    })) {
      const statement = fromUtf8(statementBytes(signingKeyStatement(other)))
      const body = {
        type: 'ssh',
        public_key,
        name: 'desk',
        statement,
        ssh: await mine.sign(statement, 'writ-signing-key'),
      }
      const answer = await system.admin.post<Refusal>('/signing-keys', body)
      assert.deepEqual([answer.status, answer.body.code], [422, 'SIGNATURE_INVALID'], name)
    }
    await system.check()
  })

  test(`who is locked out while an approval is on its way agrees to nothing (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const key = await proposeKey(system.admin, await sshKey())
    assert.equal(key.body.state, 'enrolled')
    const policy = (await system.admin.get<Policy>('/policy')).body
    const lockOut: Readonly<Record<string, readonly [ErrorCode, (who: Person, token: string) => Promise<unknown>]>> = {
      deactivated: ['USER_INACTIVE', (who) => system.admin.patch(`/users/${who.id}`, { is_active: false })],
      demoted: ['ROLE_NOT_ALLOWED', (who) => system.admin.put(`/members/${who.id}`, { role: 'dev' })],
      removed: ['ROLE_NOT_ALLOWED', (who) => system.admin.delete(`/members/${who.id}`)],
      'without the token': ['CREDENTIALS_INVALID', (_, token) => system.admin.delete(`/tokens/${token}`)],
    }
    for (const [how, [code, lock]] of Object.entries(lockOut)) {
      const who = await system.hire(how.replaceAll(' ', '.'), 'admin')
      const ticket = await ticketOf(system)
      const change = await system.admin.put<PolicyChange>('/policy', { ...policy, four_eyes: false })
      const proposed = (await proposeKey(system.employee, await sshKey())).body
      const paths = [
        `/tickets/${ticket.number}/approve`,
        `/tickets/${ticket.number}/reject`,
        `/policy/changes/${change.body.id}/approve`,
        `/signing-keys/${proposed.id}/approve`,
      ]
      const token = (await who.post<{ id: string; token: string }>('/tokens', { name: 'slow', role: 'admin' })).body
      const held = await Promise.all(paths.map((path) => holdBody(system, path, token.token)))
      await lock(who, token.id)
      const codes = await Promise.all(held.map((end) => end()))
      assert.deepEqual(codes, [code, code, code, code], how)
      const after = (await system.admin.get<Ticket>(`/tickets/${ticket.number}`)).body
      assert.equal(after.status, 'submitted', how)
      await system.admin.post(`/policy/changes/${change.body.id}/reject`, {})
      await system.admin.post(`/signing-keys/${proposed.id}/reject`, {})
    }
    assert.equal((await system.admin.get<Policy>('/policy')).body.four_eyes, true)
    await system.check()
  })

  test(`a policy may demand the approver's own signature (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    const second = await system.hire('second', 'admin')
    const policy = (await system.admin.get<Record<string, unknown>>('/policy')).body
    const demand = () =>
      system.admin.put<{ id: string; code?: string }>('/policy', { ...policy, require_signature: true })
    const asked = await demand()
    assert.equal(asked.body.code, 'POLICY_UNSATISFIABLE')
    const key = await sshKey()
    const enrolled = (await proposeKey(system.admin, key)).body
    assert.equal((await second.post(`/policy/changes/${(await demand()).body.id}/approve`)).status, 200)

    const ticket = await ticketOf(system)
    const bare = await system.admin.post<Refusal>(`/tickets/${ticket.number}/approve`)
    assert.equal(bare.body.code, 'SIGNATURE_REQUIRED')
    const signed = await signApproval(system.admin, ticket.number, key, enrolled.id)
    assert.equal((await approve(system.admin, ticket.number, signed)).status, 200)
  })
}
