/** Who agreed, under which policy, who made it so, and with whose key: all of it is in a bundle, and none of it is left out or changed. */
import assert from 'node:assert/strict'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import type { AuditEvent, Policy, PolicyChange, Ticket } from '@writ/api'
import { verifyBundle } from '@writ/tlog'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { openKeys } from '../../packages/server/src/audit/index.ts'
import { backends } from '../backends.ts'
import { type Person, TestSystem } from '../test-system.ts'
import { enrolSigner, exportBundle, folderFiles, signFolder, unpack, verifySh, verifyZipFile } from './scene.ts'
import { makeSshKey, proposeKey, signApproval } from './ssh-key.ts'

const on = { sha256, sha512, verify: verifySignature }

type Refusal = { code?: string; state?: string; status?: string }

async function rule(system: TestSystem, second: Person, wanted: Partial<Policy>): Promise<PolicyChange> {
  const policy = (await system.admin.get<Policy>('/policy')).body
  const asked = await system.admin.put<PolicyChange>('/policy', { ...policy, ...wanted })
  assert.equal(asked.body.state, 'pending', JSON.stringify(asked.body))
  const done = await second.post<PolicyChange>(`/policy/changes/${asked.body.id}/approve`)
  assert.equal(done.body.state, 'applied', JSON.stringify(done.body))
  return done.body
}

const open = async (system: TestSystem) =>
  (await system.employee.post<Ticket>('/tickets', { title: 'Replace the main switch' })).body

for (const backend of backends()) {
  test(`a bundle tells policy and keys of an approval, however they change later (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const second = await system.hire('second', 'admin')
    await enrolSigner(system)
    const key = await makeSshKey(system.folder, 'second')
    const proposed = (await proposeKey(second, key)).body
    assert.equal((await system.admin.post(`/signing-keys/${proposed.id}/approve`)).status, 200)
    const first = await open(system)
    assert.equal((await second.post(`/tickets/${first.number}/approve`)).status, 200)

    const change = await rule(system, second, { require_signature: true })
    const ticket = await open(system)
    const signed = await signApproval(second, ticket.number, key, proposed.id)
    assert.equal((await second.post(`/tickets/${ticket.number}/approve`, { signed })).status, 200)
    await rule(system, second, { require_signature: false })
    assert.equal((await system.admin.post(`/signing-keys/${proposed.id}/revoke`, {})).status, 200)

    const [event] = (await system.admin.get<AuditEvent[]>('/audit/events?event_type=ticket.approved')).body
    assert.equal(event!.details?.policy_change_id, change.id)
    const zip = path.join(system.folder, 'bundle.zip')
    const lines = async (id: number) => {
      await exportBundle(system, zip, { subject: 'ticket', id, whole_log: true })
      const report = await verifyZipFile(zip)
      assert.equal(report.fault, undefined)
      return JSON.stringify(report.checks)
    }
    assert.match(
      await lines(first.number),
      /"what":"under the policy that the project began with: .*four_eyes\\":true}/,
    )
    const told = await lines(ticket.number)
    assert.match(
      told,
      new RegExp(`asked for by ${system.admin.id} and approved by ${second.id}: .*require_signature\\\\":true`),
    )
    assert.match(told, new RegExp(`enrolled by a second person, ${system.admin.id}, entry`))

    // What the holder of the manifest's key may make of it.
    await unpack(zip, path.join(system.folder, 'good'))
    const keys = await openKeys(path.join(system.folder, 'data/keys'), Date.now())
    const folder = path.join(system.folder, 'changed')
    const entries = path.join(system.folder, 'good/logs/project-0/entries')
    const acts = new Map<string, string[]>()
    for (const name of await readdir(entries)) {
      if (!name.endsWith('.json')) continue
      const { act } = JSON.parse(await readFile(path.join(entries, name), 'utf8')) as { act: string }
      acts.set(act, [...(acts.get(act) ?? []), name.replace('.json', '')])
    }
    const changed = async (change: (folder: string) => Promise<void>) => {
      await rm(folder, { recursive: true, force: true })
      await cp(path.join(system.folder, 'good'), folder, { recursive: true })
      await change(folder)
      await signFolder(folder, keys)
      const { fault } = await verifyBundle(await folderFiles(folder), on)
      return [fault?.code, fault?.why]
    }
    const withoutTiles = async (at: string) => {
      await rm(path.join(at, 'logs/project-0/tile'), { recursive: true })
      const described = JSON.parse(await readFile(path.join(at, 'bundle.json'), 'utf8'))
      for (const log of described.logs) delete log.whole_to
      await writeFile(path.join(at, 'bundle.json'), JSON.stringify(described))
    }
    const without = (act: string) => async (at: string) => {
      await withoutTiles(at)
      for (const index of acts.get(act)!)
        for (const name of [
          `entries/${index}.json`,
          `entries/${index}.tlog-proof`,
          `payloads/${index}.json`,
          `payloads/${index}.salt`,
        ])
          await rm(path.join(at, 'logs/project-0', name))
    }
    const edited = (act: string, from: RegExp, to: string) => async (at: string) => {
      const file = path.join(at, `logs/project-0/payloads/${acts.get(act)![0]}.json`)
      const text = await readFile(file, 'utf8')
      assert.match(text, from)
      await writeFile(file, text.replace(from, to))
    }
    assert.deepEqual(await changed(withoutTiles), [undefined, undefined])
    assert.deepEqual(
      await changed(edited('ticket.approved', /"require_signature":true/, '"require_signature":false')),
      ['PAYLOAD_CHANGED', 'payload_other'],
    )
    assert.deepEqual(await changed(edited('policy.changed', /"requested_by_id":"./, '"requested_by_id":"f')), [
      'PAYLOAD_CHANGED',
      'payload_other',
    ])
    assert.deepEqual(
      await changed(edited('signing_key.enrolled', /"fingerprint":"SHA256:./, '"fingerprint":"SHA256:!')),
      ['PAYLOAD_CHANGED', 'payload_other'],
    )
    assert.deepEqual((await changed(without('policy.changed')))[0], 'ATTESTATION_UNLOGGED')
    assert.deepEqual((await changed(without('signing_key.enrolled')))[0], 'ATTESTATION_UNLOGGED')
    assert.deepEqual((await changed(without('signing_key.proposed')))[0], 'ATTESTATION_UNLOGGED')
    await system.check()
  })

  test(`a clock that is set back makes nobody's key a stranger's (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start({ fakeClock: true })
    const { key, id } = await enrolSigner(system)
    system.setClock(-20 * 60_000)
    const ticket = await open(system)
    const signed = await signApproval(system.admin, ticket.number, key, id)
    assert.equal((await system.admin.post(`/tickets/${ticket.number}/approve`, { signed })).status, 200)
    system.setClock(-20 * 60_000)
    assert.equal((await system.admin.post(`/signing-keys/${id}/revoke`, {})).status, 200)
    const zip = path.join(system.folder, 'bundle.zip')
    await exportBundle(system, zip, { subject: 'ticket', id: ticket.number })
    const report = await verifyZipFile(zip)
    assert.equal(report.fault, undefined)
    assert.match(JSON.stringify(report.checks), /"code":"key_first"/)
    await unpack(zip, path.join(system.folder, 'checked'))
    const script = await verifySh(path.join(system.folder, 'checked'))
    assert.equal(script.code, 0, script.err)
  })

  test(`what waits when a policy is applied was asked for under another one, and is rejected (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const second = await system.hire('second', 'admin')
    await enrolSigner(system)
    const policy = (await system.admin.get<Policy>('/policy')).body
    const earlier = await system.admin.put<PolicyChange>('/policy', { ...policy, evidence_ttl_hours: 24 })
    await rule(system, second, { require_signature: true })
    // It says that nothing is signed: as it was when somebody asked for another time alone.
    const late = await second.post<Refusal>(`/policy/changes/${earlier.body.id}/approve`)
    assert.equal(late.body.code, 'POLICY_CHANGE_SETTLED')
    const now = (await system.admin.get<Policy>('/policy')).body
    assert.deepEqual([now.require_signature, now.evidence_ttl_hours], [true, 168])
    const listed = (await system.admin.get<PolicyChange[]>('/policy/changes')).body
    assert.equal(listed.find(({ id }) => id === earlier.body.id)?.reason, 'another change was applied first')
    const [event] = (await system.admin.get<AuditEvent[]>('/audit/events?event_type=policy.change_rejected')).body
    assert.equal(event!.details?.applied_id, listed[0]!.id)
    await system.check()
  })

  test(`where a policy asks for a person, an API token agrees to nothing by itself (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const second = await system.hire('second', 'admin')
    const { key, id } = await enrolSigner(system)
    const { token } = (await system.admin.post<{ token: string }>('/tokens', { name: 'script', role: 'admin' })).body
    const script = { headers: { authorization: `Bearer ${token}` } }
    const before = await open(system)
    assert.equal((await system.anonymous.post<Refusal>(`/tickets/${before.number}/approve`, {}, script)).status, 200)

    await rule(system, second, { approve_in_person: true })
    const ticket = await open(system)
    const policy = (await second.get<Policy>('/policy')).body
    const change = await second.put<PolicyChange>('/policy', { ...policy, approve_in_person: false })
    const proposed = (await proposeKey(second, await makeSshKey(system.folder, 'other'))).body
    for (const path of [
      `/tickets/${ticket.number}/approve`,
      `/policy/changes/${change.body.id}/approve`,
      `/signing-keys/${proposed.id}/approve`,
    ]) {
      const body = path.startsWith('/tickets') ? {} : undefined
      assert.equal((await system.anonymous.post<Refusal>(path, body, script)).body.code, 'APPROVAL_IN_PERSON', path)
    }
    const signed = await signApproval(system.admin, ticket.number, key, id)
    const approved = await system.anonymous.post<Refusal>(`/tickets/${ticket.number}/approve`, { signed }, script)
    assert.equal(approved.body.status, 'approved', JSON.stringify(approved.body))
    const another = await open(system)
    assert.equal((await system.admin.post(`/tickets/${another.number}/approve`)).status, 200)

    // Alone, nobody is asked; nor may a script be.
    assert.equal((await system.admin.patch(`/users/${second.id}`, { is_active: false })).status, 200)
    const alone = { ...policy, approve_in_person: false, four_eyes: false }
    const byScript = await system.anonymous.put<Refusal>('/policy', alone, script)
    assert.equal(byScript.body.code, 'APPROVAL_IN_PERSON')
    assert.equal((await system.admin.put<Refusal>('/policy', alone)).body.state, 'applied')
    await system.check()
  })
}

test('a clock that is set back hides no revocation', async () => {
  await using system = await TestSystem.start({ fakeClock: true })
  const { key, id } = await enrolSigner(system)
  assert.equal((await system.admin.post(`/signing-keys/${id}/revoke`, {})).status, 200)
  // Somebody who may change rows and the clock has it sign all the same, at a time before.
  system.setClock(-20 * 60_000)
  const database = new DatabaseSync(path.join(system.folder, 'data/writ.db'), { timeout: 5_000 })
  database.exec("update signing_keys set state = 'enrolled'")
  database.close()
  const ticket = await open(system)
  const signed = await signApproval(system.admin, ticket.number, key, id)
  assert.equal((await system.admin.post(`/tickets/${ticket.number}/approve`, { signed })).status, 200)
  const zip = path.join(system.folder, 'bundle.zip')
  await exportBundle(system, zip, { subject: 'ticket', id: ticket.number })
  const { fault } = await verifyZipFile(zip)
  assert.deepEqual([fault?.code, fault?.reason], ['SIGNING_KEY_INVALID', 'it was revoked before it signed'])
  await unpack(zip, path.join(system.folder, 'bundle'))
  const script = await verifySh(path.join(system.folder, 'bundle'))
  assert.match(script.err, /people\/[^:]*: it was revoked before it signed/)
})
