import { hash } from 'node:crypto'
import type { TicketStatus } from '@writ/api'
import { canonicalize } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'

/**
 * What may follow what. `running`, `done` and `failed` are reached by runs, `approved` by an approval, `draft` by a
 * rejection; nobody reaches a state by editing. The diagram in docs/lifecycles.md is tested against this table.
 */
export const moves = {
  draft: ['submitted'],
  submitted: ['approved', 'draft', 'running', 'closed'],
  approved: ['running', 'submitted', 'closed'],
  running: ['done', 'failed'],
  done: ['running', 'submitted', 'closed'],
  failed: ['running', 'submitted', 'closed'],
  closed: ['submitted'],
} as const satisfies Record<TicketStatus, readonly TicketStatus[]>

const mayMove = (from: TicketStatus, to: TicketStatus): boolean => (moves[from] as readonly TicketStatus[]).includes(to)

/** Throws TICKET_MOVE_ILLEGAL unless the table has this move. */
export function requireMove(from: TicketStatus, to: TicketStatus): void {
  if (!mayMove(from, to)) throw new AppError('TICKET_MOVE_ILLEGAL', { status: from, to })
}

/** What a person promises and an approver agrees to; an approval binds the digest of exactly this. */
export interface Promised {
  readonly project: string
  readonly id: string
  readonly version: number
  readonly title: string
  readonly description: string | null
  readonly asset_id: string | null
  readonly assignee_id: string | null
  readonly created_by_id: string
  /** Milliseconds. */
  readonly due_at: number | null
}

/** The RFC 8785 form of a ticket version. */
export function promiseOf(promised: Promised): string {
  const { project, id, version, title, description, asset_id, assignee_id, created_by_id, due_at } = promised
  return canonicalize({ project, id, version, title, description, asset_id, assignee_id, created_by_id, due_at })
}

/** SHA-256 of that, in hex. */
export const digestOf = (promised: Promised): string => hash('sha256', promiseOf(promised), 'hex')

/** Who changed what a ticket says since it was approved last. */
export const editorsOf = ({ edited_by_ids }: { readonly edited_by_ids: string }): string[] =>
  // Written by `editTicket` alone: an array of ids.
  JSON.parse(edited_by_ids) as string[]

/** Why four eyes keep a person from deciding about a ticket; undefined if they do not. Whoever wrote it, in part, is one of two as well. */
export function whyExcluded(
  ticket: Pick<Promised, 'created_by_id' | 'assignee_id'> & { readonly edited_by_ids: string },
  person: string,
): string | undefined {
  if (ticket.created_by_id === person) return 'you opened this ticket'
  if (ticket.assignee_id === person) return 'you are assigned to this ticket'
  return editorsOf(ticket).includes(person) ? 'you changed this ticket since it was approved last' : undefined
}

/** The settled outcome of the newest run in each chain; null where a chain has settled nothing yet. */
export type ChainOutcome = 'passed' | 'failed'

/**
 * Where a running ticket goes when its last open run has settled: done if the newest result of every chain is good.
 * A chain is the runs of one script on the ticket, so a second try of the same check replaces the first, and a failed
 * check is not hidden by another one that passes. With nothing proven the promise is not kept.
 */
export const outcomeOf = (chains: readonly ChainOutcome[]): 'done' | 'failed' =>
  chains.length > 0 && chains.every((outcome) => outcome === 'passed') ? 'done' : 'failed'
