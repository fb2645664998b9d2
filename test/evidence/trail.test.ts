// What a page gets to verify a ticket: proofs under one checkpoint, for whoever may see the ticket, and nothing more.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Seal, Trail } from '@writ/api'
import { sha256, sha512, verifyEd25519, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import { type Check, verifyTrail } from '../../packages/console/src/proof/verify-trail.ts'
import { backends } from '../backends.ts'
import { makeTicket } from './scene.ts'

const primitives = { sha256, sha512, verify: verifySignature, verifyEd25519 }
const reasons = (checks: readonly Check[]) => checks.filter(({ state }) => state === 'bad').map(({ what }) => what)

for (const backend of backends())
  test(`a trail verifies, and what is changed in it is named (${backend.name})`, { skip: backend.skip }, async () => {
    await using system = await backend.start()
    const ticket = await makeTicket(system)
    await system.settle()
    const { body: trail } = await system.admin.get<Trail>(`/evidence/trail?subject=ticket&id=${ticket.number}`)
    const verified = await verifyTrail(trail, primitives)
    assert.ok(verified.good, JSON.stringify(verified.entries.flatMap(({ checks }) => checks)))
    assert.equal(trail.pending, 0)
    const approved = verified.entries.find(({ shown }) => shown.event_type === 'ticket.approved')!
    assert.deepEqual(
      approved.checks.map(({ what, state }) => `${what} ${state}`),
      ['entry good', 'checkpoint good', 'inclusion good', 'payload good', 'attestation good', 'person good'],
    )
    assert.match(JSON.stringify(approved.event), /window agreed/)

    const change = async (how: (copy: Trail) => void) => {
      const copy = structuredClone(trail)
      how(copy)
      const { entries, good } = await verifyTrail(copy, primitives)
      assert.equal(good, false)
      return entries.flatMap(({ checks }) => reasons(checks))
    }
    const at = trail.entries.findIndex(({ event_type }) => event_type === 'ticket.approved')
    const flip = (text: string) => `${text[0] === 'A' ? 'B' : 'A'}${text.slice(1)}`
    const entry = trail.entries[at]!
    const changes: [string, (copy: Trail) => void, Check['what']][] = [
      [
        'its text',
        (copy) => Object.assign(copy.entries[at]!, { payload: entry.payload!.replace('agreed', 'argued') }),
        'payload',
      ],
      ['its place', (copy) => Object.assign(copy.entries[at]!, { log_index: entry.log_index + 1 }), 'inclusion'],
      [
        'a hash of its proof',
        (copy) => Object.assign(copy.entries[at]!.hashes!, [flip(entry.hashes![0]!)]),
        'inclusion',
      ],
      [
        'what it says that it is',
        (copy) => Object.assign(copy.entries[at]!, { event_type: 'ticket.rejected' }),
        'entry',
      ],
      [
        "a person's signature",
        ({ signatures: [one] }) => Object.assign(one!, { signature: one!.signature.replace(/\n..../, '\nAAAA') }),
        'person',
      ],
      [
        'the statement that it names',
        ({ attestations }) => {
          const other = attestations.findIndex(({ digest }) => entry.attestations.includes(digest))
          Object.assign(attestations[other]!, { envelope: attestations.at(other - 1)!.envelope })
        },
        'attestation',
      ],
    ]
    for (const [name, how, expected] of changes) assert.deepEqual(await change(how), [expected], name)
    // A checkpoint that the log did not sign: nothing under it counts.
    const unsigned = await change(({ logs: [log] }) =>
      Object.assign(log!, { checkpoint: log!.checkpoint!.replace(/\n\d+\n/, '\n9999\n') }),
    )
    assert.ok(unsigned.length >= trail.entries.length && unsigned.every((what) => what === 'checkpoint'))
  })

for (const backend of backends())
  test(`a trail is for those who see the ticket, payloads for those who read the log (${backend.name})`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    await makeTicket(system)
    await system.settle()
    const own = await system.employee.get<Trail>('/evidence/trail?subject=ticket&id=1')
    assert.equal(own.status, 200)
    assert.ok(own.body.entries.length > 5)
    assert.ok(own.body.entries.every(({ payload, salt }) => payload === null && salt === null))
    assert.ok((await verifyTrail(own.body, primitives)).good)
    const foreign = await system.bob.get<{ code: string }>('/evidence/trail?subject=ticket&id=1')
    assert.equal(foreign.body.code, 'TICKET_VIEW_DENIED')
    assert.equal(
      (await system.bob.get<{ code: string }>('/evidence/trail?subject=run&id=1')).body.code,
      'RUN_VIEW_DENIED',
    )
    const ofRun = await system.employee.get<Trail>('/evidence/trail?subject=run&id=2')
    assert.ok(ofRun.body.entries.some(({ event_type }) => event_type === 'run.failed'))

    const seals = await system.employee.get<Seal[]>('/evidence/seals?subject=ticket&ids=1,2,77')
    assert.deepEqual(
      seals.body.map(({ number, pending, sealed, anchored }) => ({ number, pending, sealed, anchored })),
      [{ number: 1, pending: 0, sealed: true, anchored: false }],
    )
    assert.deepEqual((await system.bob.get<Seal[]>('/evidence/seals?subject=ticket&ids=1')).body, [])
    const runs = await system.admin.get<Seal[]>('/evidence/seals?subject=run&ids=2,1')
    assert.deepEqual(
      runs.body.map(({ number, sealed }) => [number, sealed]),
      [
        [1, true],
        [2, true],
      ],
    )
    assert.equal((await system.admin.get('/evidence/seals?subject=ticket&ids=')).status, 422)
  })
