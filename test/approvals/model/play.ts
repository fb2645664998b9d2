/** Carries out a program against a real server, and holds every answer, the log and what a stranger is given against the book. */
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Approval, AuditEvent, IssuedStatement, Policy, PolicyChange, SigningKey, Ticket } from '@writ/api'
import { type BundleCheck, formatSshKey, formatSshSignature, sshSigned } from '@writ/tlog'
import { sha256, sha512 } from '../../../packages/cli/src/verify-crypto.ts'
import type { Answer as HttpAnswer } from '../../client.ts'
import { verifyZipFile } from '../../evidence/scene.ts'
import { carryOut } from '../../play-programs.ts'
import type { Person, TestSystem } from '../../test-system.ts'
import { openBook } from './book.ts'
import { type Asked, type Order, PEOPLE } from './program.ts'

type Given = Asked & { readonly who: number; readonly token: boolean }

/** The people of every game: root, and four who are new in each project. */
export async function gather(system: TestSystem): Promise<Person[]> {
  const people = [system.admin]
  for (const { name } of PEOPLE.slice(1)) people.push(await system.hire(`${name}.of.model`, 'employee'))
  return people
}

/** @throws AssertionError that says at which order what was seen differs from what is promised */
export async function play(
  system: TestSystem,
  people: readonly Person[],
  game: number,
  orders: readonly Order[],
  tell?: (text: string) => void,
): Promise<void> {
  const player = await createPlayer(system, people, `game-${game}`)
  await carryOut(orders, player, tell)
  await player.finish()
}

function body<T>(answer: HttpAnswer<T>): T {
  assert.ok(answer.status < 300, JSON.stringify(answer.body))
  return answer.body
}

const wordOf = (answer: HttpAnswer<unknown>): string =>
  answer.status < 300 ? 'done' : (answer.body as { code: string }).code

/** An SSH key, as ssh-keygen makes and uses one; made here, because a program needs dozens. */
function makePair() {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
  return {
    line: formatSshKey(spki),
    sign(text: string, namespace: string): string {
      const message = sshSigned(Buffer.from(text), namespace, { sha256, sha512 }, 'sha512')
      return formatSshSignature({
        spki,
        namespace,
        hashAlgorithm: 'sha512',
        signature: sign(null, message, privateKey),
      })
    },
  }
}

async function createPlayer(system: TestSystem, people: readonly Person[], slug: string) {
  const { admin, anonymous } = system
  const book = openBook(system.now)
  const project = { headers: { 'x-project': slug } }
  body(await admin.post('/projects', { slug, name: slug }))
  const tokens: string[] = []
  for (const [i, person] of people.entries()) {
    if (i > 0) body(await admin.put(`/members/${person.id}`, { role: 'admin' }, project))
    const expires_at = new Date(system.now() + 60 * 86_400_000).toISOString()
    const made = await person.post<{ token: string }>('/tokens', { name: 'script', role: 'admin', expires_at }, project)
    tokens.push(body(made).token)
    if (i > 0) body(await admin.put(`/members/${person.id}`, { role: PEOPLE[i]!.role }, project))
  }
  const tickets: Ticket[] = []
  const pairs: ReturnType<typeof makePair>[] = []
  const keys: SigningKey[] = []
  const issued: IssuedStatement[] = []
  const changes: PolicyChange[] = []
  let titles = 0

  /** As somebody, logged in or with their token; who is locked out has nothing but the token. */
  function as({ who, token }: Given) {
    const byToken = token || !book.people[who]!.active
    const client = byToken ? anonymous : people[who]!
    const sent = byToken ? { headers: { ...project.headers, authorization: `Bearer ${tokens[who]}` } } : project
    return {
      post: <T>(to: string, content?: unknown) => client.post<T>(to, content, sent),
      put: <T>(to: string, content: unknown) => client.put<T>(to, content, sent),
      patch: <T>(to: string, content: unknown) => client.patch<T>(to, content, sent),
    }
  }

  async function request(order: Given): Promise<HttpAnswer<unknown>[]> {
    const client = as(order)
    const ticket = (back: number) => `/tickets/${tickets[book.at(tickets, back)]!.number}`
    const key = (back: number) => `/signing-keys/${keys[book.at(keys, back)]!.id}`
    const change = (back: number) => `/policy/changes/${changes[book.at(changes, back)]!.id}`
    switch (order.do) {
      case 'open': {
        const answer = await client.post<Ticket>('/tickets', { title: `Work ${++titles}` })
        if (answer.status < 300) tickets.push(answer.body)
        return [answer]
      }
      case 'edit':
        return [await client.patch(ticket(order.ticket), { title: `Work ${++titles}` })]
      case 'submit':
        return [await client.post(`${ticket(order.ticket)}/submit`)]
      case 'approve':
        return [await client.post(`${ticket(order.ticket)}/approve`, {})]
      case 'reject':
        return [await client.post(`${ticket(order.ticket)}/reject`, { reason: 'not now' })]
      case 'issue': {
        const answer = await client.post<IssuedStatement>(`${ticket(order.ticket)}/approval-statement`)
        if (answer.status < 300) issued.push(answer.body)
        return [answer]
      }
      case 'hand': {
        const { statement, namespace } = issued[book.at(issued, order.statement)]!
        const which = book.keyOf(order.who, order.key) ?? book.at(keys, 0)
        const ssh = pairs[book.keys[which]!.pair]!.sign(statement, namespace)
        const signed = { key_id: keys[which]!.id, statement, ssh }
        const to = `/tickets/${tickets[book.ticketOf(order)]!.number}/approve`
        return Promise.all(Array.from({ length: order.times }, () => client.post(to, { signed })))
      }
      case 'propose': {
        const pair = order.again === null ? makePair() : pairs[book.keys[book.at(keys, order.again)]!.pair]!
        const asked = { type: 'ssh', public_key: pair.line }
        const given = await client.post<IssuedStatement>('/signing-keys/statement', asked)
        if (given.status >= 300) return [given]
        if (order.again === null) pairs.push(pair)
        const { statement, namespace } = given.body
        const answer = await client.post<SigningKey>('/signing-keys', {
          ...{ ...asked, name: 'desk', statement, ssh: pair.sign(statement, namespace) },
        })
        if (answer.status < 300) keys.push(answer.body)
        return [answer]
      }
      case 'approveKey':
        return [await client.post(`${key(order.key)}/approve`)]
      case 'rejectKey':
        return [await client.post(`${key(order.key)}/reject`, {})]
      case 'revokeKey':
        return [await client.post(`${key(order.key)}/revoke`, {})]
      case 'policy': {
        const answer = await client.put<PolicyChange>('/policy', { ...order.rules, evidence_ttl_hours: 168 })
        if (answer.status < 300) changes.push(answer.body)
        return [answer]
      }
      case 'approvePolicy':
        return [await client.post(`${change(order.change)}/approve`)]
      case 'rejectPolicy':
        return [await client.post(`${change(order.change)}/reject`, {})]
      case 'role':
        return [await client.put(`/members/${people[order.person]!.id}`, { role: order.role })]
    }
  }

  async function carryOutOne(order: Order): Promise<void> {
    switch (order.do) {
      case 'advance':
        return order.ms > 0 ? system.advance(order.ms) : system.setClock(order.ms)
      case 'restart':
        await system.stop()
        return system.restart()
      case 'active': {
        body(await admin.patch(`/users/${people[order.person]!.id}`, { is_active: order.active }))
        book.people[order.person]!.active = order.active
        // Who comes back logs in anew.
        return system.advance(0)
      }
      default: {
        // What is asked is made of what the book knows before.
        const given = order.do === 'hand' && order.own ? { ...order, who: book.issuerOf(order) ?? order.who } : order
        const sent = await whatIsSent(given)
        const expected = book.ask(given)
        if (expected[0] === 'skip') return
        const got = (await sent()).map(wordOf)
        assert.deepEqual(got.toSorted(), expected.map(String).toSorted())
      }
    }
  }

  /** Nothing is sent before the book has answered; what of it is read from the book is read now. */
  async function whatIsSent(order: Given): Promise<() => Promise<HttpAnswer<unknown>[]>> {
    if (order.do !== 'hand' || issued.length === 0 || keys.length === 0) return () => request(order)
    const answers = await request(order)
    return async () => answers
  }

  async function compare(): Promise<void> {
    const policy = body(await admin.get<Policy>('/policy', project))
    const rules = book.rules()
    assert.deepEqual(
      [policy.four_eyes, policy.require_signature ?? false, policy.approve_in_person ?? false],
      [rules.four_eyes, rules.require_signature, rules.approve_in_person],
    )
    const listed = body(await admin.get<PolicyChange[]>('/policy/changes?limit=1000', project))
    const states = new Map(listed.map(({ id, state }) => [id, state]))
    assert.deepEqual(
      changes.map(({ id }) => states.get(id)),
      book.changes.map(({ state }) => state),
    )
    const shown = body(await admin.get<SigningKey[]>('/signing-keys?limit=1000', project))
    assert.deepEqual(
      shown.map((one) => [one.user_number, one.state, one.bootstrap, one.decided_by_id]),
      book.keys.map((one) => [
        ...[people[one.owner]!.number, one.state, one.bootstrap],
        one.decidedBy === null ? null : people[one.decidedBy]!.id,
      ]),
    )
    for (const [i, { number, id }] of tickets.entries()) {
      const { status, version, decisions } = book.tickets[i]!
      const ticket = body(await admin.get<Ticket>(`/tickets/${number}`, project))
      assert.deepEqual([ticket.status, ticket.version], [status, version], `ticket ${number}`)
      const approvals = body(await admin.get<Approval[]>(`/tickets/${number}/approvals?limit=1000`, project))
      const byId = new Map(approvals.map((one) => [one.id, one]))
      const told = body(await admin.get<AuditEvent[]>(`/audit/events?resource_id=${id}&limit=1000`, project)).filter(
        ({ event_type }) => event_type === 'ticket.approved',
      )
      const agreed = decisions.filter(({ decision }) => decision === 'approved')
      assert.equal(told.length, agreed.length, `events of ticket ${number}`)
      assert.equal(approvals.length, decisions.length, `decisions about ticket ${number}`)
      for (const [at, { details }] of told.toReversed().entries()) {
        const { by, version: of, key, voided, rules: then, change } = agreed[at]!
        const approval = byId.get(String(details?.approval_id))!
        assert.deepEqual(
          [approval.decided_by_number, approval.ticket_version, approval.signed_with_id, approval.voided_at !== null],
          [people[by]!.number, of, key === null ? null : keys[key]!.id, voided],
        )
        assert.equal(details?.policy_change_id ?? null, change === null ? null : changes[change]!.id)
        const { four_eyes, require_signature } = details!.policy as Policy
        assert.deepEqual([four_eyes, require_signature ?? false], [then.four_eyes, then.require_signature])
      }
      await compareBundle(number, agreed)
    }
  }

  /** What a stranger is told of each approval: by whom, how, and under what. */
  async function compareBundle(number: number, agreed: ReturnType<typeof openBook>['tickets'][0]['decisions']) {
    const file = path.join(system.folder, `${slug}-${number}.zip`)
    const answer = await fetch(`${system.base}/api/v1/evidence/export`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await admin.token()}`,
        'content-type': 'application/json',
        ...project.headers,
      },
      body: JSON.stringify({ subject: 'ticket', id: number }),
    })
    assert.equal(answer.status, 200)
    await writeFile(file, Buffer.from(await answer.arrayBuffer()))
    const report = await verifyZipFile(file)
    await rm(file)
    assert.equal(report.fault, undefined, `the bundle of ticket ${number}`)
    const parts = report.checks.find(({ code }) => code === 'approvals')?.parts ?? []
    const about = parts.filter(({ values }) => values?.subject === 'ticket' && values.decision === 'approved')
    const lineOf = ({ code, values, parts: within = [] }: BundleCheck) =>
      [code, values?.approver, values?.version, ...within.map((one) => one.code)].join(' ')
    const expected = agreed.map(({ by, version, key, token, change }) => {
      const ruled = change === null ? 'policy_first' : alone(change) ? 'policy_alone' : 'policy_agreed'
      const how = key !== null ? 'approved_by_ssh' : token ? 'approved_by_token' : 'approved_by_server'
      const enrolled = key === null ? [] : [book.keys[key]!.bootstrap ? 'key_first' : 'key_enrolled_by']
      return [how, people[by]!.id, version, ...enrolled, ruled].join(' ')
    })
    assert.deepEqual(about.map(lineOf).toSorted(), expected.toSorted(), `the bundle of ticket ${number}`)
  }

  const alone = (change: number) => changes[change]!.state === 'applied'

  return {
    carryOut: carryOutOne,
    async finish() {
      await compare()
      for (const [i, { active }] of book.people.entries())
        if (!active) body(await admin.patch(`/users/${people[i]!.id}`, { is_active: true }))
      system.advance(0)
      await system.settle()
      await system.check()
    },
  }
}
