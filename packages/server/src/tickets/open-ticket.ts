import type { CreateTicket, Ticket } from '@writ/api'
import { type Appended, appendAll } from '../audit/index.ts'
import { type Caller, findUserRef, loadPolicyAndApprovers, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339OrNull } from '../platform/clock.ts'
import { type Command, type RequestKey, remember, takeNumbers } from '../platform/db/index.ts'
import { answerOf } from '../platform/http/mount.ts'
import { uuidv7 } from '../platform/ids.ts'
import { showTicket } from './show.ts'
import { findAssetIds, insertTickets, type TicketRow } from './store.ts'
import { digestOf } from './ticket.ts'

export interface OpenTicket {
  readonly caller: Caller
  readonly body: CreateTicket
  readonly remember: RequestKey | null
}

/**
 * Opens tickets: everything that callers ask for in the same few milliseconds is one row lock, one insert a table and
 * one commit, however many they are. Each ticket has its audit event in that same commit.
 * Throws ASSET_NOT_FOUND, USER_NOT_FOUND.
 */
export const openTickets: Command<OpenTicket, Ticket> = {
  name: 'openTickets',
  async run(tx, inputs) {
    const assetRefs = [...new Set(inputs.flatMap(({ body }) => (body.asset_id == null ? [] : [body.asset_id])))]
    // What does not depend on each other is asked for together: one trip to the database instead of three.
    const [assets, { policy, approvers }, last] = await Promise.all([
      assetRefs.length > 0 ? findAssetIds(tx, assetRefs) : new Map<never, never>(),
      loadPolicyAndApprovers(tx),
      takeNumbers(tx, 'tickets', inputs.length),
    ])
    const rows: TicketRow[] = []
    for (const [i, { caller, body }] of inputs.entries()) {
      const asset = body.asset_id == null ? undefined : assets.get(body.asset_id as never)
      if (body.asset_id != null && !asset) throw new AppError('ASSET_NOT_FOUND')
      const assignee = body.assignee_id == null ? undefined : await findUserRef(tx, body.assignee_id)
      if (body.assignee_id != null && !assignee) throw new AppError('USER_NOT_FOUND')
      const promised = {
        project: tx.project,
        id: uuidv7(caller.at),
        version: 1,
        title: body.title,
        description: body.description ?? null,
        asset_id: (asset as { id: string } | undefined)?.id ?? null,
        assignee_id: assignee?.id ?? null,
        created_by_id: personOf(caller),
        due_at: body.due_at == null ? null : Date.parse(body.due_at),
      }
      const { project, ...fields } = promised
      rows.push({
        project_id: project,
        ...fields,
        number: last - inputs.length + 1 + i,
        status: body.status ?? 'submitted',
        approved_by_id: null,
        digest: digestOf(promised),
        created_at: caller.at,
        updated_at: caller.at,
        created_by_number: caller.number!,
        assignee_number: assignee?.number ?? null,
        approved_by_number: null,
        asset_number: (asset as { number: number } | undefined)?.number ?? null,
      })
    }
    tx.behind(insertTickets(tx, rows))
    await appendAll(
      tx,
      rows.map(
        (row, i): Appended => ({
          at: row.created_at,
          by: inputs[i]!.caller,
          event: {
            type: 'ticket.created',
            resource: { type: 'ticket', id: row.id, number: row.number },
            action: `Created ticket: ${row.title}`,
            details: {
              asset_id: row.asset_id,
              status: row.status,
              assignee_id: row.assignee_id,
              due_at: rfc3339OrNull(row.due_at),
              digest: row.digest,
            },
          },
        }),
      ),
    )
    const replies = rows.map((row) => showTicket(row, row.status === 'submitted' ? { policy, approvers } : undefined))
    const keyed = inputs.flatMap((input, i) =>
      input.remember ? [{ ...input.remember, ...answerOf({ status: 200 }, replies[i]) }] : [],
    )
    if (keyed.length > 0) await remember(tx, inputs[0]!.caller.at, keyed)
    return replies
  },
}
