// Approvals that people sign with their own SSH keys: enrolment by two, one use, one version, one time.
import assert from 'node:assert/strict'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { Approval, AuditEvent, SigningKey, Ticket } from '@writ/api'
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
