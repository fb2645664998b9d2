/**
 * What docs/lifecycles.md and the pages beside it promise, kept as a book: who may do what to which ticket, and what is true afterwards.
 * Nothing here is taken from the server's code.
 */
import type { ErrorCode, Role, TicketStatus } from '@writ/api'
import { FILES, type Order, PEOPLE, type Rules, SCRIPTS } from './program.ts'

export const SETTLE_MS = 5_000
export const EVIDENCE_MS = 168 * 3_600_000

export interface Person {
  role: Role
  active: boolean
}

export interface Decision {
  readonly decision: 'approved' | 'rejected'
  readonly by: number
  readonly version: number
  voided: boolean
}

export interface Ticket {
  readonly creator: number
  status: TicketStatus
  version: number
  title: string
  description: string | null
  assignee: number | null
  due: string | null
  approvedBy: number | null
  /** Who reworded it since it was approved last. */
  editors: Set<number>
  readonly decisions: Decision[]
  /** Events about the ticket itself, oldest first. */
  readonly events: string[]
  comments: number
}

export interface Run {
  readonly ticket: number
  readonly script: string
  readonly by: number
  readonly expect: readonly string[]
  readonly manual: boolean
  readonly verifies: number | null
  state: 'pending' | 'completed' | 'failed' | 'cancelled' | 'timeout'
  verdict: 'passed' | 'failed' | null
  /** When its check begins; null while it waits for evidence. */
  due: number | null
  /** When the wait ends; null of a check that waits for nothing. */
  readonly expires: number | null
  readonly files: number[]
}

export interface Artifact {
  readonly run: number
  readonly uploader: number | null
  /** Index into FILES; the report of run n is -1 - n. */
  readonly file: number
  deleted: boolean
  erased: boolean
}

export interface Hold {
  readonly on: 'project' | 'ticket' | 'run'
  readonly which: number
  released: boolean
}

export interface Change {
  readonly rules: Rules
  readonly by: number
  state: 'pending' | 'applied' | 'rejected'
}

/** What an order is answered: done, or refused with a code. `skip`: there is nothing that it is about. */
export type Answer = 'done' | 'skip' | ErrorCode

const WRITERS: readonly Role[] = ['admin', 'ops', 'dev', 'employee']
const SEE_ALL: readonly Role[] = ['admin', 'ops', 'auditor']
const EVERYBODY: readonly Role[] = [...WRITERS, 'auditor']
const OF_ADMINS: readonly Order['do'][] = [
  ...(['erase', 'erasePayload', 'hold', 'release', 'role', 'active'] as const),
  ...(['policy', 'approvePolicy', 'rejectPolicy', 'rotateLog'] as const),
]

/** Roles that may ask for this at all. */
function rolesFor(order: Order): readonly Role[] {
  // That a key is the instance's, and not a project's, is said of whoever has a role.
  if (order.do === 'look' || order.do === 'rotateKey') return EVERYBODY
  return OF_ADMINS.includes(order.do) ? ['admin'] : WRITERS
}

export type Book = ReturnType<typeof openBook>

export function openBook(now: () => number) {
  const people: Person[] = PEOPLE.map(({ role }) => ({ role, active: true }))
  const tickets: Ticket[] = []
  const runs: Run[] = []
  const artifacts: Artifact[] = []
  const holds: Hold[] = []
  const changes: Change[] = []
  let rules: Rules = { four_eyes: true, approver_roles: ['admin'] }

  const at = <T>(all: readonly T[], back: number): number => all.length - 1 - (back % all.length)

  const approves = (who: number) => rules.approver_roles.includes(people[who]!.role)
  const hasPart = (who: number, ticket: Ticket) => ticket.creator === who || ticket.assignee === who
  const sees = (who: number, ticket: Ticket) =>
    SEE_ALL.includes(people[who]!.role) || approves(who) || hasPart(who, ticket)
  const worksOn = (who: number, ticket: Ticket) => ['admin', 'ops'].includes(people[who]!.role) || hasPart(who, ticket)
  const edits = (who: number, ticket: Ticket) => people[who]!.role === 'admin' || ticket.creator === who

  /** Who is in, and has a role that may. */
  function refusedAtTheDoor(who: number, roles: readonly Role[]): ErrorCode | undefined {
    const { active, role } = people[who]!
    if (!active) return 'USER_INACTIVE'
    if (roles.includes(role)) return undefined
    return roles.length === 1 && roles[0] === 'admin' ? 'ADMIN_REQUIRED' : 'ROLE_NOT_ALLOWED'
  }

  function mayDecide(who: number, ticket: Ticket): ErrorCode | undefined {
    if (!approves(who))
      return rules.approver_roles.every((role) => role === 'admin') ? 'ADMIN_REQUIRED' : 'ROLE_NOT_ALLOWED'
    const excluded = ticket.creator === who || ticket.assignee === who || ticket.editors.has(who)
    return rules.four_eyes && excluded ? 'APPROVER_EXCLUDED' : undefined
  }

  function voidApprovals(ticket: Ticket): void {
    ticket.approvedBy = null
    for (const one of ticket.decisions) if (one.decision === 'approved') one.voided = true
  }

  /** The last run of a ticket that was under way has ended. */
  function endWork(run: Run): void {
    if (run.verifies !== null) return
    const ticket = tickets[run.ticket]!
    const own = runs.filter((one) => one.ticket === run.ticket && one.verifies === null)
    if (ticket.status !== 'running' || own.some(({ state }) => state === 'pending')) return
    const newest = new Map<string, Run>()
    for (const one of own) if (one.state !== 'cancelled') newest.set(one.script, one)
    const good = [...newest.values()].every((one) => one.state === 'completed' && one.verdict === 'passed')
    ticket.status = newest.size > 0 && good ? 'done' : 'failed'
  }

  function end(index: number, state: Run['state']): void {
    const run = runs[index]!
    run.state = state
    run.due = null
    endWork(run)
  }

  const there = (run: Run) => run.files.filter((file) => !artifacts[file]!.deleted)

  /** What was announced and is not there yet. */
  function missing(run: Run): boolean {
    const names = there(run).map((file) => FILES[artifacts[file]!.file]!.name)
    return run.expect.some((name) => !names.some((one) => one === name))
  }

  const isEnough = (run: Run) => there(run).length > 0 && !missing(run)

  /** A check that waits for evidence begins after the last of it. */
  function expectCheck(run: Run): void {
    if (run.manual) return
    if (!isEnough(run)) run.due = null
    else run.due = run.expect.length > 0 ? now() : now() + SETTLE_MS
  }

  function check(index: number): void {
    const run = runs[index]!
    const files = there(run)
    if (files.length === 0) {
      end(index, 'failed')
      return
    }
    const good = run.script === 'proof.file_hash' || files.every((file) => FILES[artifacts[file]!.file]!.good)
    run.verdict = good ? 'passed' : 'failed'
    artifacts.push({ run: index, uploader: null, file: -1 - index, deleted: false, erased: false })
    end(index, 'completed')
  }

  const isWaiting = (run: Run) => run.state === 'pending' && run.expires !== null

  const holdOn = (run: number | null, ticket: number): boolean =>
    holds.some(
      (one) =>
        !one.released &&
        (one.on === 'project' ||
          (one.on === 'ticket' && one.which === ticket) ||
          (one.on === 'run' && one.which === run)),
    )

  const active = () => people.flatMap((one, who) => (one.active ? [{ ...one, who }] : []))

  function satisfiable(wanted: Rules): boolean {
    const alike =
      wanted.four_eyes === rules.four_eyes &&
      [...wanted.approver_roles].sort().join() === [...rules.approver_roles].sort().join()
    if (alike) return true
    const approvers = active().filter(({ role }) => wanted.approver_roles.includes(role))
    const others = active().filter((one) => one.role !== 'auditor' && !approvers.some(({ who }) => who === one.who))
    return approvers.length > 0 && !(wanted.four_eyes && approvers.length === 1 && others.length === 0)
  }

  const titleOf = (n: number) => `Replace switch ${n}`

  /** Those of which an order names one; undefined of an order that names none. */
  function subjectsOf(order: Order): readonly unknown[] | undefined {
    if ('ticket' in order) return tickets
    if ('run' in order) return runs
    if ('artifact' in order) return artifacts
    if ('change' in order) return changes
    if ('hold' in order) return holds
    return order.do === 'hold' && order.on !== 'project' ? (order.on === 'ticket' ? tickets : runs) : undefined
  }

  function carryOut(order: Order): Answer {
    if (subjectsOf(order)?.length === 0) return 'skip'
    const refused = 'who' in order ? refusedAtTheDoor(order.who, rolesFor(order)) : undefined
    if (refused) return refused
    switch (order.do) {
      case 'open': {
        const { who, assignee } = order
        if (assignee !== null && !people[assignee]!.active) return 'ASSIGNEE_INACTIVE'
        tickets.push({
          creator: who,
          status: order.draft ? 'draft' : 'submitted',
          version: 1,
          title: titleOf(order.title),
          description: null,
          assignee,
          due: null,
          approvedBy: null,
          editors: new Set(),
          decisions: [],
          events: ['ticket.created'],
          comments: 0,
        })
        return 'done'
      }
      case 'edit': {
        const { who, edit } = order
        const ticket = tickets[at(tickets, order.ticket)]!
        if (!edits(who, ticket)) return 'TICKET_UPDATE_DENIED'
        if (order.stale) return 'TICKET_CHANGED'
        if (ticket.status === 'closed') return 'TICKET_CLOSED'
        const { assignee = ticket.assignee } = edit
        if (assignee !== null && assignee !== ticket.assignee && !people[assignee]!.active) return 'ASSIGNEE_INACTIVE'
        const title = titleOf(edit.title)
        const description =
          edit.description === undefined
            ? ticket.description
            : edit.description === null
              ? null
              : `How: ${edit.description}`
        const due = edit.due === undefined ? ticket.due : edit.due === null ? null : dueOf(edit.due)
        const rewords = title !== ticket.title || description !== ticket.description
        if (!rewords && due === ticket.due && assignee === ticket.assignee) return 'done'
        Object.assign(ticket, { title, description, due, assignee, version: ticket.version + 1 })
        ticket.events.push('ticket.updated')
        if (rewords) ticket.editors.add(who)
        if (ticket.approvedBy !== null) {
          voidApprovals(ticket)
          ticket.events.push('ticket.approval_voided')
          if (ticket.status === 'approved') ticket.status = 'submitted'
        }
        return 'done'
      }
      case 'submit': {
        const ticket = tickets[at(tickets, order.ticket)]!
        if (!edits(order.who, ticket)) return 'TICKET_UPDATE_DENIED'
        if (ticket.status !== 'draft') return 'TICKET_MOVE_ILLEGAL'
        ticket.status = 'submitted'
        ticket.events.push('ticket.submitted')
        return 'done'
      }
      case 'approve': {
        const { who } = order
        const ticket = tickets[at(tickets, order.ticket)]!
        const excluded = mayDecide(who, ticket)
        if (excluded) return excluded
        if (ticket.status !== 'submitted') return 'TICKET_NOT_SUBMITTED'
        if (order.stale) return 'APPROVAL_STALE'
        ticket.decisions.push({ decision: 'approved', by: who, version: ticket.version, voided: false })
        ticket.status = 'approved'
        ticket.approvedBy = who
        ticket.editors.clear()
        ticket.events.push('ticket.approved')
        return 'done'
      }
      // Of two that come at once one is first; the caller says which.
      case 'rivals':
        return 'skip'
      case 'reject': {
        const { who } = order
        const ticket = tickets[at(tickets, order.ticket)]!
        const excluded = mayDecide(who, ticket)
        if (excluded) return excluded
        if (ticket.status !== 'submitted') return 'TICKET_MOVE_ILLEGAL'
        ticket.decisions.push({ decision: 'rejected', by: who, version: ticket.version, voided: false })
        ticket.status = 'draft'
        ticket.events.push('ticket.rejected')
        return 'done'
      }
      case 'close':
      case 'reopen': {
        const ticket = tickets[at(tickets, order.ticket)]!
        if (!worksOn(order.who, ticket)) return 'TICKET_UPDATE_DENIED'
        const from: readonly TicketStatus[] =
          order.do === 'close' ? ['submitted', 'approved', 'done', 'failed'] : ['done', 'failed', 'closed']
        if (!from.includes(ticket.status)) return 'TICKET_MOVE_ILLEGAL'
        if (order.do === 'reopen') voidApprovals(ticket)
        ticket.status = order.do === 'close' ? 'closed' : 'submitted'
        ticket.events.push(order.do === 'close' ? 'ticket.closed' : 'ticket.reopened')
        return 'done'
      }
      case 'comment': {
        const ticket = tickets[at(tickets, order.ticket)]!
        if (!sees(order.who, ticket)) return 'TICKET_VIEW_DENIED'
        ticket.comments++
        ticket.events.push('ticket.commented')
        return 'done'
      }
      case 'look': {
        return sees(order.who, tickets[at(tickets, order.ticket)]!) ? 'done' : 'TICKET_VIEW_DENIED'
      }
      case 'start': {
        const { who } = order
        const index = at(tickets, order.ticket)
        const ticket = tickets[index]!
        if (!worksOn(who, ticket)) return 'RUN_TICKET_DENIED'
        if (ticket.status === 'closed') return 'TICKET_CLOSED'
        if (ticket.status === 'draft') return 'TICKET_MOVE_ILLEGAL'
        ticket.status = 'running'
        runs.push({
          ticket: index,
          script: SCRIPTS[order.script]!,
          by: who,
          expect: ['vlans.json', 'ports.json'].slice(0, order.expect),
          manual: order.manual,
          verifies: null,
          state: 'pending',
          verdict: null,
          due: null,
          expires: now() + EVIDENCE_MS,
          files: [],
        })
        return 'done'
      }
      case 'upload': {
        const { who, file } = order
        const index = at(runs, order.run)
        const run = runs[index]!
        if (!worksOn(who, tickets[run.ticket]!)) return 'ARTIFACT_UPLOAD_DENIED'
        if (!isWaiting(run)) return 'RUN_SETTLED'
        if (run.expect.length > 0 && !run.expect.includes(FILES[file]!.name)) return 'ARTIFACT_UNEXPECTED'
        run.files.push(artifacts.push({ run: index, uploader: who, file, deleted: false, erased: false }) - 1)
        expectCheck(run)
        return 'done'
      }
      case 'finalize': {
        const run = runs[at(runs, order.run)]!
        if (!worksOn(order.who, tickets[run.ticket]!)) return 'ARTIFACT_UPLOAD_DENIED'
        if (!isWaiting(run)) return 'RUN_SETTLED'
        if (missing(run)) return 'EVIDENCE_MISSING'
        run.due = now()
        return 'done'
      }
      case 'cancel': {
        const index = at(runs, order.run)
        const run = runs[index]!
        if (!worksOn(order.who, tickets[run.ticket]!)) return 'RUN_TICKET_DENIED'
        if (run.state !== 'pending') return 'RUN_NOT_CANCELLABLE'
        end(index, 'cancelled')
        return 'done'
      }
      case 'cancelMany': {
        const ticket = at(tickets, order.ticket)
        if (worksOn(order.who, tickets[ticket]!))
          for (const [i, run] of runs.entries())
            if (run.ticket === ticket && run.state === 'pending') end(i, 'cancelled')
        return 'done'
      }
      case 'verify': {
        const index = at(runs, order.run)
        const run = runs[index]!
        if (!worksOn(order.who, tickets[run.ticket]!)) return 'RUN_TICKET_DENIED'
        if (run.state === 'pending' || run.state === 'cancelled') return 'RUN_NOT_SETTLED'
        runs.push({
          ...{ ticket: run.ticket, script: run.script, by: order.who, expect: [], manual: false, verifies: index },
          ...{ state: 'pending', verdict: null, due: now(), expires: null, files: there(run) },
        })
        return 'done'
      }
      case 'delete': {
        const { who } = order
        const artifact = artifacts[at(artifacts, order.artifact)]!
        const run = runs[artifact.run]!
        if (!sees(who, tickets[run.ticket]!)) return 'ARTIFACT_VIEW_DENIED'
        if (artifact.deleted) return 'ARTIFACT_DELETED'
        const own = artifact.uploader === who && run.state === 'pending'
        if (people[who]!.role !== 'admin' && !own) return 'ARTIFACT_DELETE_DENIED'
        if (holdOn(artifact.run, run.ticket)) return 'LEGAL_HOLD'
        artifact.deleted = true
        withdrawn(artifact)
        return 'done'
      }
      case 'erase': {
        const artifact = artifacts[at(artifacts, order.artifact)]!
        if (artifact.erased) return 'ARTIFACT_ERASED'
        const same = artifacts.filter((one) => one.file === artifact.file && !one.erased)
        if (same.some((one) => holdOn(one.run, runs[one.run]!.ticket))) return 'LEGAL_HOLD'
        for (const one of same) {
          one.deleted = true
          one.erased = true
        }
        for (const one of same) withdrawn(one)
        return 'done'
      }
      case 'hold': {
        const { on } = order
        const all = on === 'ticket' ? tickets : runs
        holds.push({ on, which: on === 'project' ? 0 : at<unknown>(all, order.which), released: false })
        return 'done'
      }
      case 'release': {
        const hold = holds[at(holds, order.hold)]!
        if (hold.released) return 'HOLD_RELEASED'
        hold.released = true
        return 'done'
      }
      case 'role': {
        people[order.person]!.role = order.role
        return 'done'
      }
      case 'active': {
        people[order.person]!.active = order.active
        return 'done'
      }
      case 'policy': {
        if (!satisfiable(order.rules)) return 'POLICY_UNSATISFIABLE'
        const alone = active().every(({ who, role }) => who === order.who || role !== 'admin')
        changes.push({ rules: order.rules, by: order.who, state: alone ? 'applied' : 'pending' })
        if (alone) apply(changes.at(-1)!)
        return 'done'
      }
      case 'approvePolicy':
      case 'rejectPolicy': {
        const change = changes[at(changes, order.change)]!
        if (change.state !== 'pending') return 'POLICY_CHANGE_SETTLED'
        if (order.do === 'rejectPolicy') {
          change.state = 'rejected'
          return 'done'
        }
        if (change.by === order.who) return 'APPROVER_EXCLUDED'
        if (!satisfiable(change.rules)) return 'POLICY_UNSATISFIABLE'
        apply(change)
        return 'done'
      }
      case 'rotateKey':
        return order.who === 0 ? 'done' : 'INSTANCE_ADMIN_REQUIRED'
      case 'rotateLog':
      case 'erasePayload':
      case 'advance':
      case 'restart':
        return 'done'
    }
  }

  /** What else waits was asked for while other rules held. */
  function apply(change: Change): void {
    for (const one of changes) if (one.state === 'pending') one.state = 'rejected'
    change.state = 'applied'
    rules = change.rules
  }

  /** Evidence that a run was waiting with is gone: it waits on, unless enough is left. */
  function withdrawn(artifact: Artifact): void {
    const run = runs[artifact.run]!
    if (isWaiting(run) && !run.manual && !isEnough(run)) run.due = null
  }

  return {
    people,
    tickets,
    runs,
    artifacts,
    holds,
    changes,
    rules: () => rules,
    at,
    sees,
    carryOut,
    /** What falls due by now, in the order of its time. Answers the runs that end by it. */
    fallsDue(): number[] {
      const ended: number[] = []
      for (;;) {
        const next = runs
          .map(({ state, due, expires }, index) => ({
            index,
            check: state === 'pending' ? due : null,
            expires: state === 'pending' ? expires : null,
          }))
          .map((one) => ({ ...one, at: Math.min(one.check ?? Infinity, one.expires ?? Infinity) }))
          .filter((one) => one.at <= now())
          .sort((a, b) => a.at - b.at)[0]
        if (!next) return ended
        ended.push(next.index)
        if (next.check === next.at) check(next.index)
        else end(next.index, 'timeout')
      }
    },
    /** Whether the payload of an event about this ticket is kept by a hold. */
    isHeld: (ticket: number) => holdOn(null, ticket),
  }
}

/** In whole days from a moment that no clock of a program reaches. */
export const dueOf = (days: number): string => new Date(Date.UTC(2090, 0, 1 + days)).toISOString()
