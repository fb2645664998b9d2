/** Carries out a program against a real server, and holds every answer and all that can be seen against the book. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { Approval, Artifact, AuditEvent, Policy, PolicyChange, Run, RunDetail, Ticket } from '@writ/api'
import { type Client, createClient, type Answer as HttpAnswer } from '../../client.ts'
import { exportBundle, verifyZipFile } from '../../evidence/scene.ts'
import { carryOut } from '../../play-programs.ts'
import type { Person, TestSystem } from '../../test-system.ts'
import { type Answer, type Book, dueOf, openBook } from './book.ts'
import { type Listeners, listen } from './listeners.ts'
import { FILES, type Order, PEOPLE, SCRIPTS } from './program.ts'

/** Who plays, on one server, in one program after the other. */
export async function gather(system: TestSystem): Promise<readonly Person[]> {
  const known = new Map([
    ['admin', system.admin],
    ['employee', system.employee],
    ['bob', system.bob],
  ])
  const people: Person[] = []
  for (const { name, role } of PEOPLE) {
    people.push(known.get(name) ?? (await system.hire(name, role)))
  }
  return people
}

/** @throws AssertionError that says at which order what was seen differs from what is promised */
export async function play(
  system: TestSystem,
  people: readonly Person[],
  orders: readonly Order[],
  tell?: (text: string) => void,
): Promise<void> {
  await using listeners = await listen(system)
  const player = createPlayer(system, people, listeners)
  await carryOut(orders, player, tell)
  await player.finish()
}

function createPlayer(system: TestSystem, people: readonly Person[], listeners: Listeners) {
  const { admin } = system
  const book: Book = openBook(system.now)
  const tickets: Ticket[] = []
  const runs: Run[] = []
  /** Ids, in the order of the book; those of reports are filled in when their runs have ended. */
  const artifacts: string[] = []
  const holds: string[] = []
  const changes: string[] = []
  const erased = new Set<string>()
  /** Whoever was deactivated keeps the token that they had. */
  const kept = new Map<number, string>()

  /** As one of the people; null for somebody who was deactivated and has no token that would still be one. */
  async function as(who: number): Promise<Client | null> {
    if (book.people[who]!.active) return people[who]!
    const token = kept.get(who)
    if (token === undefined) return null
    return createClient({
      base: () => system.base,
      prefix: '/api/v1',
      credentials: async () => ({ authorization: `Bearer ${token}` }),
    })
  }

  function same(expected: Answer, answer: HttpAnswer<unknown>): boolean {
    const code = answer.status < 300 ? 'done' : (answer.body as { code: string }).code
    assert.equal(code, expected, JSON.stringify(answer.body))
    return expected === 'done'
  }

  const body = <T>(answer: HttpAnswer<T>): T => {
    assert.ok(answer.status < 300, JSON.stringify(answer.body))
    return answer.body
  }

  async function request(client: Client, order: Order): Promise<HttpAnswer<unknown>> {
    const ticket = (back: number) => tickets[book.at(tickets, back)]!
    const run = (back: number) => runs[book.at(runs, back)]!
    const id = (who: number | null) => (who === null ? null : people[who]!.id)
    switch (order.do) {
      case 'open':
        return client.post('/tickets', {
          title: `Replace switch ${order.title}`,
          assignee_id: id(order.assignee),
          ...(order.draft ? { status: 'draft' } : {}),
        })
      case 'edit': {
        const { title, description, assignee, due } = order.edit
        return client.patch(`/tickets/${ticket(order.ticket).number}`, {
          title: `Replace switch ${title}`,
          ...(description === undefined ? {} : { description: description === null ? null : `How: ${description}` }),
          ...(assignee === undefined ? {} : { assignee_id: id(assignee) }),
          ...(due === undefined ? {} : { due_at: due === null ? null : dueOf(due) }),
          ...(order.stale ? { digest: 'a'.repeat(64) } : {}),
        })
      }
      case 'submit':
        return client.post(`/tickets/${ticket(order.ticket).number}/submit`)
      case 'close':
      case 'reopen':
      case 'reject':
        return client.post(`/tickets/${ticket(order.ticket).number}/${order.do}`, { reason: 'as agreed by phone' })
      case 'approve': {
        const { number } = ticket(order.ticket)
        const digest = order.stale ? 'a'.repeat(64) : body(await admin.get<Ticket>(`/tickets/${number}`)).digest
        return client.post(`/tickets/${number}/approve`, { digest })
      }
      case 'comment':
        return client.post(`/tickets/${ticket(order.ticket).number}/comments`, { body: '机柜 4 已断电' })
      case 'look':
        return client.get(`/tickets/${ticket(order.ticket).number}`)
      case 'start': {
        const expect = ['vlans.json', 'ports.json'].slice(0, order.expect).map((name) => ({ name }))
        return client.post('/runs', {
          run_type: 'proof',
          ticket_id: ticket(order.ticket).number,
          script_id: SCRIPTS[order.script],
          ...(order.expect > 0 ? { expect } : {}),
          ...(order.manual ? { finalize: 'manual' } : {}),
        })
      }
      case 'upload': {
        const { name, text } = FILES[order.file]!
        return client.upload(run(order.run).number, name, text)
      }
      case 'finalize':
      case 'cancel':
      case 'verify':
        return client.post(`/runs/${run(order.run).number}/${order.do}`)
      case 'cancelMany':
        return client.post('/runs/cancel', { ticket_id: ticket(order.ticket).number })
      case 'delete':
        return client.delete(`/artifacts/${artifacts[book.at(artifacts, order.artifact)]}`)
      case 'erase':
        return client.post(`/artifacts/${artifacts[book.at(artifacts, order.artifact)]}/erase`, {
          ground: 'asked for by the person',
        })
      case 'hold': {
        const subject = order.on === 'ticket' ? ticket(order.which) : order.on === 'run' ? run(order.which) : undefined
        return client.post('/holds', {
          subject_type: order.on,
          ...(subject ? { subject_id: subject.id } : {}),
          reason: 'case 2026-17',
        })
      }
      case 'release':
        return client.post(`/holds/${holds[book.at(holds, order.hold)]}/release`, { reason: 'case closed' })
      case 'role':
        return client.put(`/members/${people[order.person]!.id}`, { role: order.role })
      case 'active':
        return client.patch(`/users/${people[order.person]!.id}`, { is_active: order.active })
      case 'policy':
        return client.put('/policy', { ...(await policyNow()), ...order.rules })
      case 'approvePolicy':
        return client.post(`/policy/changes/${changes[book.at(changes, order.change)]}/approve`)
      case 'rejectPolicy':
        return client.post(`/policy/changes/${changes[book.at(changes, order.change)]}/reject`, { reason: 'not now' })
      case 'rotateLog':
        await system.settle()
        return client.post('/audit/logs/rotate', { reason: 'end of the month' })
      case 'rotateKey':
        return client.post('/keys/rotate', {
          purpose: order.purpose,
          ...(order.purpose === 'log' ? { project: 'default' } : {}),
          overlap_hours: 1,
        })
      default:
        throw new Error(`nothing is asked for by ${order.do}`)
    }
  }

  const policyNow = async () => body(await admin.get<Policy>('/policy'))

  /** Keeps what was made under its place in the book. */
  function note(order: Order, made: unknown): void {
    // Each is what its operation answers.
    if (order.do === 'open') tickets.push(made as Ticket)
    if (order.do === 'start' || order.do === 'verify') runs.push(made as Run)
    if (order.do === 'upload') artifacts.push((made as { artifact: Artifact }).artifact.id)
    if (order.do === 'hold') holds.push((made as { id: string }).id)
    if (order.do === 'policy') changes.push((made as PolicyChange).id)
  }

  async function carryOut(order: Order): Promise<void> {
    switch (order.do) {
      case 'advance':
        system.advance(order.ms)
        kept.clear()
        await listeners.again()
        break
      case 'restart':
        await system.restart()
        await listeners.again()
        break
      case 'rivals':
        await rivals(order)
        break
      case 'erasePayload':
        await erasePayload(order)
        break
      case 'active': {
        // The token of now is what they have when they are out.
        const was = book.people[order.person]!.active
        const token = was ? await people[order.person]!.token() : undefined
        await ask(order)
        const is = book.people[order.person]!.active
        if (was && !is && token !== undefined) kept.set(order.person, token)
        // Sessions of before are over.
        if (!was && is) system.advance(0)
        break
      }
      default:
        await ask(order)
    }
    await settled()
    await compareTickets()
  }

  async function ask(order: Exclude<Order, { do: 'advance' | 'restart' | 'rivals' }>): Promise<void> {
    const client = await as(order.who)
    if (!client) return
    const expected = book.carryOut(order)
    if (expected === 'skip') return
    const answer = await request(client, order)
    if (same(expected, answer)) note(order, answer.body)
  }

  async function rivals({ whos, ticket }: Extract<Order, { do: 'rivals' }>): Promise<void> {
    const [a, b] = whos
    const clients = [await as(a), await as(b)]
    if (tickets.length === 0 || clients.some((one) => one === null)) return
    const orders = whos.map((who) => ({ do: 'approve', who, ticket, stale: false }) as const)
    const answers = await Promise.all(orders.map((order, i) => request(clients[i]!, order)))
    // Whoever was answered that it is done was first.
    const turns = answers[1]!.status < 300 ? [1, 0] : [0, 1]
    for (const turn of turns) same(book.carryOut(orders[turn]!), answers[turn]!)
  }

  async function erasePayload(order: Extract<Order, { do: 'erasePayload' }>): Promise<void> {
    const client = await as(order.who)
    if (!client) return
    const expected = book.carryOut(order)
    if (expected === 'skip') return
    const index = book.at(tickets, order.ticket)
    const events = await eventsOf(tickets[index]!.id)
    const event = events[order.event % events.length]!
    const answer = await client.post(`/payloads/${event.id}/erase`, { ground: 'asked for by the person' })
    if (expected !== 'done') same(expected, answer)
    else if (erased.has(event.id)) same('PAYLOAD_ERASED', answer)
    else if (book.isHeld(index)) same('LEGAL_HOLD', answer)
    else {
      same('done', answer)
      erased.add(event.id)
    }
  }

  /** The events about one thing, oldest first. */
  async function eventsOf(id: string): Promise<AuditEvent[]> {
    return body(await admin.get<AuditEvent[]>(`/audit/events?resource_id=${id}&limit=1000`)).toReversed()
  }

  /** What falls due has happened. */
  async function settled(): Promise<void> {
    for (const index of book.fallsDue()) {
      const { state, verdict } = book.runs[index]!
      const run = await system.waitFor(runs[index]!.number)
      assert.deepEqual([run.state, run.verdict], [state, verdict], `run ${run.number}: ${run.result_summary}`)
      for (const [i, one] of book.artifacts.entries())
        if (one.file === -1 - index && artifacts[i] === undefined) artifacts[i] = run.report_artifact_id!
    }
    assert.equal(artifacts.length, book.artifacts.length)
  }

  async function compareTickets(): Promise<void> {
    const shown = new Map(body(await admin.get<Ticket[]>('/tickets?limit=1000')).map((one) => [one.id, one]))
    for (const [i, { id }] of tickets.entries()) {
      const is = shown.get(id)!
      const { status, version, title, description, due, creator, assignee, approvedBy, editors } = book.tickets[i]!
      const number = (who: number | null) => (who === null ? null : people[who]!.number)
      assert.deepEqual(
        {
          ...{ status: is.status, version: is.version, title: is.title, description: is.description, due: is.due_at },
          ...{ creator: is.created_by_number, assignee: is.assignee_number, approvedBy: is.approved_by_number },
          editors: is.edited_by_ids.toSorted(),
        },
        {
          ...{ status, version, title, description, due },
          ...{ creator: number(creator), assignee: number(assignee), approvedBy: number(approvedBy) },
          editors: [...editors].map((who) => people[who]!.id).sort(),
        },
        `ticket ${is.number}`,
      )
    }
  }

  async function compareRuns(): Promise<void> {
    for (const [i, { number }] of runs.entries()) {
      const run = body(await admin.get<RunDetail>(`/runs/${number}`))
      const { state, verdict, files } = book.runs[i]!
      assert.deepEqual([run.state, run.verdict], [state, verdict], `run ${number}`)
      const expected = book.artifacts.flatMap((one, at) => (one.run === i && !one.deleted ? [artifacts[at]!] : []))
      const listed = body(await admin.get<Artifact[]>(`/artifacts/run/${number}`))
      assert.deepEqual(listed.map(({ id }) => id).sort(), expected.sort(), `artifacts of run ${number}`)
      assert.ok(files.every((file) => artifacts[file] !== undefined))
    }
    for (const [i, id] of artifacts.entries()) {
      const { deleted, erased: gone } = book.artifacts[i]!
      const answer = await admin.download(`/artifacts/${id}/download`)
      const code = answer.status < 300 ? 'done' : (JSON.parse(answer.body.toString()) as { code: string }).code
      assert.equal(code, gone ? 'ARTIFACT_ERASED' : deleted ? 'ARTIFACT_DELETED' : 'done', `artifact ${i}`)
    }
  }

  async function compareHistory(): Promise<void> {
    for (const [i, { id, number }] of tickets.entries()) {
      const { events, decisions, comments } = book.tickets[i]!
      const said = (await eventsOf(id)).filter(({ event_type }) => event_type.startsWith('ticket.'))
      assert.deepEqual(
        said.map(({ event_type }) => event_type),
        events,
        `events of ticket ${number}`,
      )
      const shown = body(await admin.get<Approval[]>(`/tickets/${number}/approvals`))
      assert.deepEqual(
        shown.map((one) => [one.decision, one.decided_by_number, one.ticket_version, one.voided_at !== null]),
        decisions.map((one) => [one.decision, people[one.by]!.number, one.version, one.voided]),
        `decisions about ticket ${number}`,
      )
      assert.equal(body(await admin.get<unknown[]>(`/tickets/${number}/comments`)).length, comments)
    }
    const listed = new Map(
      body(await admin.get<PolicyChange[]>('/policy/changes?limit=1000')).map((one) => [one.id, one]),
    )
    for (const [i, id] of changes.entries()) assert.equal(listed.get(id)!.state, book.changes[i]!.state)
    const { four_eyes, approver_roles } = await policyNow()
    assert.deepEqual(
      [four_eyes, approver_roles.toSorted()],
      [book.rules().four_eyes, book.rules().approver_roles.toSorted()],
    )
  }

  /** Lists show to each what they may look at one by one. */
  async function compareViews(): Promise<void> {
    for (const [who, { active }] of book.people.entries()) {
      if (!active) continue
      const person = people[who]!
      const own = new Set(tickets.map(({ id }) => id))
      const seen = body(await person.get<Ticket[]>('/tickets?limit=1000')).filter(({ id }) => own.has(id))
      const expected = tickets.filter((_, i) => book.sees(who, book.tickets[i]!))
      assert.deepEqual(
        seen.map(({ number }) => number).sort(),
        expected.map(({ number }) => number).sort(),
        person.username,
      )
    }
  }

  /** What a stranger is given of each ticket is right. */
  async function compareBundles(): Promise<void> {
    for (const { number } of tickets) {
      const file = path.join(system.folder, `ticket-${number}.zip`)
      await exportBundle(system, file, { subject: 'ticket', id: number })
      const report = await verifyZipFile(file)
      assert.ok(report.ok, `the bundle of ticket ${number}: ${JSON.stringify(report)}`)
      await rm(file)
    }
  }

  /** For whoever plays next: everybody is there, as they were, nothing is held, and the rules are those of the beginning. */
  async function tidy(): Promise<void> {
    for (const [i, hold] of book.holds.entries())
      if (!hold.released) body(await admin.post(`/holds/${holds[i]}/release`, { reason: 'case closed' }))
    for (const [who, { role }] of PEOPLE.entries()) {
      const { id } = people[who]!
      if (!book.people[who]!.active) body(await admin.patch(`/users/${id}`, { is_active: true }))
      if (book.people[who]!.role !== role) body(await admin.put(`/members/${id}`, { role }))
    }
    system.advance(0)
    const ann = people[1]!
    for (const [i, change] of book.changes.entries())
      if (change.state === 'pending') body(await admin.post(`/policy/changes/${changes[i]}/reject`, {}))
    const asked = await admin.put<PolicyChange>('/policy', {
      ...(await policyNow()),
      four_eyes: true,
      approver_roles: ['admin'],
    })
    body(await ann.post(`/policy/changes/${body(asked).id}/approve`))
  }

  return {
    carryOut,
    async finish() {
      await compareRuns()
      await compareHistory()
      await compareViews()
      await compareBundles()
      await system.settle()
      await system.check()
      await listeners.compare()
      await tidy()
    },
  }
}
