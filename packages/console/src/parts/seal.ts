import type { Run, Seal, Ticket } from '@writ/api'

/** The five stations of everything that was done under control. */
const STATIONS = ['asked', 'agreed', 'ran', 'proved', 'sealed'] as const
export type StationName = (typeof STATIONS)[number]

/**
 * `done` is reached, `now` is where it stands and waits, `failed` is broken, `open` was not reached, `needless` is passed without a stop,
 * `unknown` is not said here, or not yet. `witnessed` is the last station with somebody outside standing for it.
 */
export type StationState = 'done' | 'now' | 'failed' | 'open' | 'needless' | 'unknown' | 'witnessed'

export interface Station {
  readonly name: StationName
  readonly state: StationState
  /** Number of the person who did it, where one did. */
  readonly who?: number | null
  readonly when?: string | null
  /** Of the last station: place of the last entry in the log. */
  readonly index?: number | null
}

type TicketFacts = Pick<Ticket, 'status' | 'created_at' | 'created_by_number' | 'approved_by_number'>
type RunFacts = Pick<Run, 'state' | 'verdict' | 'started_at' | 'completed_at' | 'created_at' | 'executed_by_number'>

/** When things happened that the ticket itself does not tell. */
export interface TicketDetail {
  readonly approvedAt?: string | null
  /** The newest decision was a rejection. */
  readonly rejected?: { readonly who: number; readonly when: string } | undefined
  readonly lastRun?: RunFacts | undefined
}

/** Where a ticket stands. Says nothing that the server did not say: without `seal` it is not known whether a result is sealed. */
export function stationsOfTicket(ticket: TicketFacts, detail: TicketDetail = {}, seal?: Seal): Station[] {
  const { status } = ticket
  const agreed = ticket.approved_by_number !== null && status !== 'draft' && status !== 'submitted'
  const run = detail.lastRun
  const asked: StationState = status === 'draft' ? (detail.rejected ? 'failed' : 'now') : 'done'
  const ran: StationState = ranState(status, run)
  return [
    { name: 'asked', state: asked, who: ticket.created_by_number, when: ticket.created_at },
    {
      name: 'agreed',
      state: agreed ? 'done' : detail.rejected ? 'failed' : status === 'submitted' ? 'now' : 'open',
      who: agreed ? ticket.approved_by_number : (detail.rejected?.who ?? null),
      when: agreed ? (detail.approvedAt ?? null) : (detail.rejected?.when ?? null),
    },
    { name: 'ran', state: ran, who: run?.executed_by_number ?? null, when: run?.started_at ?? null },
    { name: 'proved', state: provedState(status, run), when: run?.completed_at ?? null },
    sealed(seal, provedState(status, run) !== 'open' || status === 'closed'),
  ]
}

function ranState(status: Ticket['status'], run: RunFacts | undefined): StationState {
  if (run) return runState(run)
  if (status === 'done' || status === 'failed') return 'done'
  return status === 'running' || status === 'approved' ? 'now' : 'open'
}

function provedState(status: Ticket['status'], run: RunFacts | undefined): StationState {
  if (run) return run.verdict === null ? 'open' : run.verdict === 'passed' ? 'done' : 'failed'
  return status === 'done' ? 'done' : status === 'failed' ? 'failed' : 'open'
}

const runState = ({ state }: RunFacts): StationState =>
  state === 'completed' ? 'done' : state === 'failed' || state === 'timeout' || state === 'cancelled' ? 'failed' : 'now'

/** Where a run stands. That its ticket was agreed to is the ticket's to say: without it nothing is said of that. */
export function stationsOfRun(
  run: RunFacts,
  ticket: TicketFacts | undefined,
  detail: TicketDetail = {},
  seal?: Seal,
): Station[] {
  const agreed = ticket !== undefined && ticket.approved_by_number !== null
  return [
    { name: 'asked', state: 'done', who: ticket?.created_by_number ?? run.executed_by_number, when: run.created_at },
    {
      name: 'agreed',
      state: ticket === undefined ? 'unknown' : agreed ? 'done' : 'open',
      who: agreed ? ticket.approved_by_number : null,
      when: agreed ? (detail.approvedAt ?? null) : null,
    },
    { name: 'ran', state: runState(run), who: run.executed_by_number, when: run.started_at },
    {
      name: 'proved',
      state: run.verdict === null ? 'open' : run.verdict === 'passed' ? 'done' : 'failed',
      when: run.verdict === null ? null : run.completed_at,
    },
    sealed(seal, run.verdict !== null || runState(run) === 'failed'),
  ]
}

// The log takes everything as it happens; this station is reached when there is a result to be sealed.
function sealed(seal: Seal | undefined, result: boolean): Station {
  if (!seal) return { name: 'sealed', state: result ? 'unknown' : 'open' }
  if (seal.last_index === null) return { name: 'sealed', state: result ? 'now' : 'open' }
  const state = seal.anchored ? 'witnessed' : seal.sealed ? 'done' : 'now'
  return { name: 'sealed', state: result ? state : 'open', index: seal.last_index }
}

/** Which station an event belongs to; the drawer shows it there. */
export function stationOfEvent(type: string): StationName {
  if (type === 'ticket.approved' || type === 'ticket.rejected' || type === 'ticket.approval_voided') return 'agreed'
  if (type.startsWith('signing_key.') || type.startsWith('approval.')) return 'agreed'
  if (type === 'run.completed' || type === 'run.failed' || type === 'artifact.verified') return 'proved'
  if (type.startsWith('run.') || type.startsWith('artifact.')) return 'ran'
  if (type.startsWith('ticket.')) return 'asked'
  return 'sealed'
}
