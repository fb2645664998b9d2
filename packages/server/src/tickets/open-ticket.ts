import type { CreateTicket, Ticket } from '@writ/api'
import { type Appended, appendDrafts, draftEvents, type NewEvent } from '../audit/index.ts'
import { type Caller, findUserRef, loadPolicyAndApprovers, personOf, type UserRef } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339OrNull } from '../platform/clock.ts'
import { type Command, type RequestKey, remember, type Tx, takeNumbers } from '../platform/db/index.ts'
import { answerOf } from '../platform/http/mount.ts'
import { uuidv7 } from '../platform/ids.ts'
import { showTicket } from './show.ts'
import { findAssetIds, insertTickets, type Ref, type TicketRow } from './store.ts'
import { digestOf } from './ticket.ts'

export interface OpenTicket {
  readonly caller: Caller
  readonly body: CreateTicket
  readonly remember: RequestKey | null
}

/**
 * Opens tickets: everything that callers ask for in the same few milliseconds is one row lock, one insert a table and
 * one commit, however many they are. Each ticket has its audit event in that same commit.
 * Throws ASSET_NOT_FOUND, USER_NOT_FOUND, ASSIGNEE_INACTIVE.
 */
export const openTickets: Command<OpenTicket, Ticket> = {
  name: 'openTickets',
  async run(tx, inputs) {
    const assetRefs = refsOf(inputs, 'asset_id')
    const userRefs = refsOf(inputs, 'assignee_id')
    // What does not depend on each other is asked for together: one trip to the database instead of three.
    const asked = Promise.all([
      assetRefs.length > 0 ? findAssetIds(tx, assetRefs) : NONE,
      userRefs.length > 0 ? findUsers(tx, userRefs) : NONE,
      loadPolicyAndApprovers(tx),
      takeNumbers(tx, 'tickets', inputs.length),
    ])
    // Whoever waits for it is below; what is thrown before that says more.
    asked.catch(() => {})
    // A number is no part of what is promised: tickets that name nothing are made, with their events, while theirs is on its way.
    tx.flush()
    const [assets, users] = assetRefs.length + userRefs.length > 0 ? await asked : [NONE, NONE]
    const made = inputs.map((input) => ticketOf(tx.project, input, assets, users))
    const events = draftEvents(
      tx.project,
      made.map(
        (ticket, i): Appended => ({ at: ticket.created_at, by: inputs[i]!.caller, event: createdEvent(ticket) }),
      ),
    )
    const [, , { policy, approvers }, last] = await asked
    const rows = made.map((ticket, i): TicketRow => ({ ...ticket, number: last - inputs.length + 1 + i }))
    tx.behind(insertTickets(tx, rows))
    await appendDrafts(
      tx,
      events,
      rows.map(({ number }) => number),
    )
    const replies = rows.map((row) => showTicket(row, row.status === 'submitted' ? { policy, approvers } : undefined))
    const keyed = inputs.flatMap((input, i) =>
      input.remember ? [{ ...input.remember, ...answerOf({ status: 200 }, replies[i]) }] : [],
    )
    if (keyed.length > 0) await remember(tx, inputs[0]!.caller.at, keyed)
    return replies
  },
}

const NONE: ReadonlyMap<Ref, never> = new Map<Ref, never>()

const refsOf = (inputs: readonly OpenTicket[], key: 'asset_id' | 'assignee_id'): Ref[] => [
  ...new Set(inputs.flatMap(({ body }) => body[key] ?? [])),
]

async function findUsers(tx: Tx, refs: readonly Ref[]): Promise<ReadonlyMap<Ref, UserRef | undefined>> {
  return new Map(await Promise.all(refs.map(async (ref) => [ref, await findUserRef(tx, ref)] as const)))
}

function ticketOf(
  project: string,
  { caller, body }: OpenTicket,
  assets: ReadonlyMap<Ref, { id: string; number: number }>,
  users: ReadonlyMap<Ref, UserRef | undefined>,
): Omit<TicketRow, 'number'> {
  const asset = body.asset_id == null ? null : assets.get(body.asset_id)
  if (asset === undefined) throw new AppError('ASSET_NOT_FOUND')
  const assignee = body.assignee_id == null ? null : users.get(body.assignee_id)
  if (assignee === undefined) throw new AppError('USER_NOT_FOUND')
  if (assignee?.is_active === false) throw new AppError('ASSIGNEE_INACTIVE')
  const promised = {
    id: uuidv7(caller.at),
    version: 1,
    title: body.title,
    description: body.description ?? null,
    asset_id: asset?.id ?? null,
    assignee_id: assignee?.id ?? null,
    created_by_id: personOf(caller),
    due_at: body.due_at == null ? null : Date.parse(body.due_at),
  }
  return {
    project_id: project,
    ...promised,
    status: body.status ?? 'submitted',
    approved_by_id: null,
    edited_by_ids: '[]',
    digest: digestOf({ project, ...promised }),
    created_at: caller.at,
    updated_at: caller.at,
    created_by_number: caller.number!,
    assignee_number: assignee?.number ?? null,
    approved_by_number: null,
    asset_number: asset?.number ?? null,
  }
}

const createdEvent = (ticket: Omit<TicketRow, 'number'>): NewEvent => ({
  type: 'ticket.created',
  resource: { type: 'ticket', id: ticket.id },
  action: `Created ticket: ${ticket.title}`,
  details: {
    asset_id: ticket.asset_id,
    status: ticket.status,
    assignee_id: ticket.assignee_id,
    due_at: rfc3339OrNull(ticket.due_at),
    digest: ticket.digest,
  },
})
