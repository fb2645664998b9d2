/**
 * What docs/api.md, docs/attestations.md, docs/lifecycles.md and docs/operate.md promise of approvals, kept as a book: who may agree to
 * what, with which key, under which policy, and once. Nothing here is taken from the server's code.
 */
import type { ErrorCode, Role } from '@writ/api'
import { type Asked, type Order, PEOPLE, type Rules } from './program.ts'

export const SIGN_MS = 600_000

export interface Decision {
  readonly by: number
  readonly decision: 'approved' | 'rejected'
  readonly version: number
  /** Index of the key that signed it; null of a decision by login or token. */
  readonly key: number | null
  readonly token: boolean
  readonly rules: Rules
  /** Index of the change that made the rules; null of those of the beginning. */
  readonly change: number | null
  voided: boolean
}

export interface Ticket {
  readonly creator: number
  version: number
  status: 'draft' | 'submitted' | 'approved'
  editors: Set<number>
  readonly decisions: Decision[]
}

export interface Key {
  readonly owner: number
  /** Index of the pair of keys: somebody else, or the same, may propose it again. */
  readonly pair: number
  readonly bootstrap: boolean
  state: 'proposed' | 'enrolled' | 'rejected' | 'revoked'
  decidedBy: number | null
}

export interface Issued {
  readonly who: number
  readonly ticket: number
  readonly version: number
  readonly at: number
  readonly ttl: number | null
  used: boolean
}

export interface Change {
  readonly by: number
  readonly rules: Rules
  state: 'pending' | 'applied' | 'rejected'
}

/** What an order is answered: done, or refused with a code. `skip`: there is nothing that it is about. */
export type Answer = 'done' | 'skip' | ErrorCode

const WRITERS: readonly Role[] = ['admin', 'ops', 'dev', 'employee']
const OF_ADMINS: readonly Asked['do'][] = ['approveKey', 'policy', 'approvePolicy', 'rejectPolicy', 'role']

export type Book = ReturnType<typeof openBook>

export function openBook(now: () => number) {
  const people = PEOPLE.map(({ role }): { role: Role; active: boolean } => ({ role, active: true }))
  const tickets: Ticket[] = []
  const keys: Key[] = []
  const issued: Issued[] = []
  const changes: Change[] = []
  let pairs = 0
  let rules: Rules = {
    ...{ four_eyes: true, approver_roles: ['admin'], require_signature: false },
    ...{ approve_in_person: false, approval_ttl_hours: null },
  }
  let changed: number | null = null

  const at = (all: readonly unknown[], back: number): number => all.length - 1 - (back % all.length)
  const approves = (who: number) => rules.approver_roles.includes(people[who]!.role)
  const active = () => people.flatMap((one, who) => (one.active ? [{ ...one, who }] : []))

  function refusedAtTheDoor(who: number, order: Asked): ErrorCode | undefined {
    const { active: isActive, role } = people[who]!
    if (!isActive) return 'USER_INACTIVE'
    if (OF_ADMINS.includes(order.do)) return role === 'admin' ? undefined : 'ADMIN_REQUIRED'
    return WRITERS.includes(role) ? undefined : 'ROLE_NOT_ALLOWED'
  }

  function mayDecide(who: number, ticket: Ticket): ErrorCode | undefined {
    if (!approves(who))
      return rules.approver_roles.every((role) => role === 'admin') ? 'ADMIN_REQUIRED' : 'ROLE_NOT_ALLOWED'
    return rules.four_eyes && (ticket.creator === who || ticket.editors.has(who)) ? 'APPROVER_EXCLUDED' : undefined
  }

  function agree(who: number, ticket: Ticket, key: number | null, token: boolean): void {
    ticket.status = 'approved'
    ticket.editors = new Set()
    ticket.decisions.push({
      ...{ by: who, decision: 'approved', version: ticket.version, key, token, rules, change: changed, voided: false },
    })
  }

  function unsatisfied(wanted: Rules): boolean {
    const asked = (of: Rules) =>
      JSON.stringify([of.four_eyes, of.require_signature, of.approve_in_person, of.approver_roles.toSorted()])
    if (asked(wanted) === asked(rules)) return false
    const approvers = active().filter(({ role }) => wanted.approver_roles.includes(role))
    const others = active().filter(({ role }) => !wanted.approver_roles.includes(role) && role !== 'auditor')
    // Who administers the instance counts as admin.
    if (approvers.length === 0 || (wanted.four_eyes && approvers.length === 1 && others.length === 0)) return true
    const hasKey = (who: number) => keys.some(({ owner, state }) => owner === who && state === 'enrolled')
    return wanted.require_signature && !approvers.some(({ who }) => hasKey(who))
  }

  function apply(index: number): void {
    for (const one of changes) if (one.state === 'pending') one.state = 'rejected'
    changes[index]!.state = 'applied'
    rules = changes[index]!.rules
    changed = index
  }

  /** With which key an order is signed; null if its person has none that is enrolled. */
  function keyOf(who: number, back: number | null): number | null {
    if (back !== null) return keys.length === 0 ? null : at(keys, back)
    const own = keys.findLastIndex(({ owner, state }) => owner === who && state === 'enrolled')
    return own < 0 ? null : own
  }

  function isAbsent(order: Asked): boolean {
    if ('ticket' in order) return tickets.length === 0
    if (order.do === 'hand') return issued.length === 0 || keys.length === 0
    if ('change' in order) return changes.length === 0
    if (order.do === 'propose') return order.again !== null && keys.length === 0
    return 'key' in order && keys.length === 0
  }

  /** A statement that comes back with a signature; once, if it is for this ticket as it is. */
  function hand(order: Extract<Order, { do: 'hand' }>, key: number): ErrorCode | 'done' {
    const { who } = order
    const statement = issued[at(issued, order.statement)]!
    const ticket = tickets[ticketOf(order)]!
    if (keys[key]!.owner !== who || keys[key]!.state !== 'enrolled') return 'SIGNING_KEY_NOT_ENROLLED'
    const refused = mayDecide(who, ticket)
    if (refused) return refused
    if (statement.used) return 'APPROVAL_USED'
    if (ticket.status !== 'submitted') return 'TICKET_NOT_SUBMITTED'
    if (statement.at + SIGN_MS <= now()) return 'SIGNATURE_LATE'
    const fits =
      statement.at <= now() &&
      statement.who === who &&
      statement.ticket === ticketOf(order) &&
      statement.version === ticket.version &&
      statement.ttl === rules.approval_ttl_hours
    if (!fits) return 'APPROVAL_STALE'
    statement.used = true
    agree(who, ticket, key, order.token)
    return 'done'
  }

  const ticketOf = (order: Extract<Asked, { do: 'hand' }>): number => {
    const { ticket } = issued[at(issued, order.statement)]!
    return order.elsewhere ? tickets.length - 1 - ticket : ticket
  }

  function act(order: Asked & { who: number; token: boolean }): Answer {
    const { who, token } = order
    const byToken = rules.approve_in_person && token
    switch (order.do) {
      case 'open':
        tickets.push({ creator: who, version: 1, status: 'submitted', editors: new Set(), decisions: [] })
        return 'done'
      case 'edit': {
        const ticket = tickets[at(tickets, order.ticket)]!
        if (people[who]!.role !== 'admin' && ticket.creator !== who) return 'TICKET_UPDATE_DENIED'
        ticket.version++
        ticket.editors.add(who)
        if (ticket.status === 'approved') {
          ticket.status = 'submitted'
          for (const one of ticket.decisions) if (one.decision === 'approved') one.voided = true
        }
        return 'done'
      }
      case 'submit': {
        const ticket = tickets[at(tickets, order.ticket)]!
        if (people[who]!.role !== 'admin' && ticket.creator !== who) return 'TICKET_UPDATE_DENIED'
        if (ticket.status !== 'draft') return 'TICKET_MOVE_ILLEGAL'
        ticket.status = 'submitted'
        return 'done'
      }
      case 'approve': {
        const ticket = tickets[at(tickets, order.ticket)]!
        const refused = mayDecide(who, ticket)
        if (refused) return refused
        if (ticket.status !== 'submitted') return 'TICKET_NOT_SUBMITTED'
        if (rules.require_signature) return 'SIGNATURE_REQUIRED'
        if (byToken) return 'APPROVAL_IN_PERSON'
        agree(who, ticket, null, token)
        return 'done'
      }
      case 'reject': {
        const ticket = tickets[at(tickets, order.ticket)]!
        const refused = mayDecide(who, ticket)
        if (refused) return refused
        if (ticket.status !== 'submitted') return 'TICKET_MOVE_ILLEGAL'
        ticket.status = 'draft'
        ticket.decisions.push({
          ...{ by: who, decision: 'rejected', version: ticket.version, key: null, token, rules, change: changed },
          voided: false,
        })
        return 'done'
      }
      case 'issue': {
        const ticket = tickets[at(tickets, order.ticket)]!
        const refused = mayDecide(who, ticket)
        if (refused) return refused
        if (ticket.status !== 'submitted') return 'TICKET_NOT_SUBMITTED'
        issued.push({
          ...{ who, ticket: tickets.indexOf(ticket), version: ticket.version, at: now() },
          ...{ ttl: rules.approval_ttl_hours, used: false },
        })
        return 'done'
      }
      case 'hand':
        return hand(order, keyOf(who, order.key) ?? at(keys, 0))
      case 'propose': {
        const pair = order.again === null ? pairs++ : keys[at(keys, order.again)]!.pair
        if (keys.some((one) => one.pair === pair && ['proposed', 'enrolled'].includes(one.state)))
          return 'SIGNING_KEY_TAKEN'
        const ever = keys.some(({ state }) => state === 'enrolled' || state === 'revoked')
        const bootstrap = people[who]!.role === 'admin' && !ever
        keys.push({ owner: who, pair, bootstrap, state: bootstrap ? 'enrolled' : 'proposed', decidedBy: null })
        return 'done'
      }
      case 'approveKey':
      case 'rejectKey':
      case 'revokeKey': {
        const key = keys[at(keys, order.key)]!
        if (key.state !== (order.do === 'revokeKey' ? 'enrolled' : 'proposed')) return 'SIGNING_KEY_SETTLED'
        if (order.do === 'approveKey') {
          if (key.owner === who) return 'APPROVER_EXCLUDED'
          if (byToken) return 'APPROVAL_IN_PERSON'
          key.decidedBy = who
          key.state = 'enrolled'
          return 'done'
        }
        if (people[who]!.role !== 'admin' && key.owner !== who) return 'SIGNING_KEY_DENIED'
        if (order.do === 'rejectKey') key.decidedBy = who
        key.state = order.do === 'rejectKey' ? 'rejected' : 'revoked'
        return 'done'
      }
      case 'policy': {
        if (unsatisfied(order.rules)) return 'POLICY_UNSATISFIABLE'
        const alone = active().every((one) => one.who === who || one.role !== 'admin')
        if (alone && byToken) return 'APPROVAL_IN_PERSON'
        changes.push({ by: who, rules: order.rules, state: 'pending' })
        if (alone) apply(changes.length - 1)
        return 'done'
      }
      case 'approvePolicy':
      case 'rejectPolicy': {
        const index = at(changes, order.change)
        const change = changes[index]!
        if (change.state !== 'pending') return 'POLICY_CHANGE_SETTLED'
        if (order.do === 'rejectPolicy') {
          change.state = 'rejected'
          return 'done'
        }
        if (change.by === who) return 'APPROVER_EXCLUDED'
        if (byToken) return 'APPROVAL_IN_PERSON'
        if (unsatisfied(change.rules)) return 'POLICY_UNSATISFIABLE'
        apply(index)
        return 'done'
      }
      case 'role':
        people[order.person]!.role = order.role
        return 'done'
    }
  }

  return {
    people,
    tickets,
    keys,
    issued,
    changes,
    rules: () => rules,
    at,
    keyOf,
    ticketOf,
    issuerOf: (order: Extract<Asked, { do: 'hand' }>) => issued[at(issued, order.statement)]?.who,
    /** Of `hand`, the answers of each of its `times`: one may be done, the others are late. */
    ask(order: Asked & { who: number; token: boolean }): Answer[] {
      if (isAbsent(order)) return ['skip']
      const refused = refusedAtTheDoor(order.who, order)
      const times = order.do === 'hand' ? order.times : 1
      return Array.from({ length: times }, () => refused ?? act(order))
    },
  }
}
