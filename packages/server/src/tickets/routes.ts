import type { assetsApi, ticketsApi } from '@writ/api'
import { type Attest, append } from '../audit/index.ts'
import { type Caller, findUserRef, openSigned, personOf, type RelyingParty } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { NOBODY, uuidv7 } from '../platform/ids.ts'
import { seesEveryTicket, seeTicket } from './access.ts'
import { addAsset, assetVersion, editAsset, showAsset } from './asset.ts'
import * as change from './change-ticket.ts'
import { type OpenTicket, openTickets } from './open-ticket.ts'
import { showApproval, showTicket } from './show.ts'
import { changesSinceApproval } from './since-approval.ts'
import * as store from './store.ts'

export const assetHandlers: Handlers<typeof assetsApi, Caller> = {
  create: (ask) => ask.change((tx) => addAsset(tx, ask.caller, ask.body)),
  list(ask) {
    const { asset_type, q, cursor } = ask.query
    // With a cursor from the oldest on, stretch by stretch; without one among the newest.
    const spanFrom = async (tx: Tx, after: string | undefined) =>
      q === undefined ? undefined : store.assetSearchSpan(tx, cursor === undefined ? undefined : (placeOf(after) ?? 0))
    const filterFrom = async (tx: Tx, after: string | undefined) => ({ asset_type, q, ...(await spanFrom(tx, after)) })
    return ask.page({
      rows: async (tx, page) =>
        store.listAssets(tx, await filterFrom(tx, page.after), { ...page, after: placeOf(page.after) }),
      total: async (tx) => store.countAssets(tx, await filterFrom(tx, undefined)),
      key: (row) => String(row.number),
      show: showAsset,
      async further(tx, after) {
        const span = await spanFrom(tx, after)
        return span === undefined || span.upTo >= span.last ? null : String(span.upTo)
      },
    })
  },
  async get(ask) {
    const row = await ask.read((tx) => store.findAsset(tx, ask.params.id))
    if (!row) throw new AppError('ASSET_NOT_FOUND')
    ask.tag(assetVersion(row))
    return showAsset(row)
  },
  async update(ask) {
    const row = await ask.change((tx) => editAsset(tx, ask.caller, ask.params.id, ask.body, ask.mustMatch.bind(ask)))
    ask.tag(assetVersion(row))
    return showAsset(row)
  },
}

/** What approvals need: the key that attests them, and where passkeys belong. */
export interface TicketsOn {
  readonly attest: Attest
  readonly party: RelyingParty
}

export const ticketHandlers = (on: TicketsOn): Handlers<typeof ticketsApi, Caller> => ({
  create: (ask) =>
    ask.submit<OpenTicket, Awaited<ReturnType<typeof openTickets.run>>[number]>(openTickets, {
      caller: ask.caller,
      body: ask.body,
    }),
  async list(ask) {
    const { status, q, due_before, ...refs } = ask.query
    const [every, asset, creator, assignee] = await ask.read((tx) =>
      Promise.all([
        seesEveryTicket(tx, ask.caller),
        refs.asset_id === undefined ? undefined : store.findAsset(tx, refs.asset_id),
        refs.created_by_id === undefined ? undefined : findUserRef(tx, refs.created_by_id),
        refs.assignee_id === undefined ? undefined : findUserRef(tx, refs.assignee_id),
      ]),
    )
    // A filter on something that does not exist matches nothing; the nil id is nobody's.
    const idOf = (ref: unknown, found: { id: string } | undefined) =>
      ref === undefined ? undefined : (found?.id ?? NOBODY)
    const filter: store.TicketFilter = {
      of: every ? undefined : personOf(ask.caller),
      status,
      q,
      due_before: due_before === undefined ? undefined : Date.parse(due_before),
      asset_id: idOf(refs.asset_id, asset),
      created_by_id: idOf(refs.created_by_id, creator),
      assignee_id: idOf(refs.assignee_id, assignee),
    }
    const floorFrom = async (tx: Tx, before: number | undefined) =>
      q === undefined ? undefined : store.ticketSearchFloor(tx, before)
    return ask.page({
      async rows(tx, page) {
        const before = placeOf(page.after)
        return store.listTickets(tx, { ...filter, above: await floorFrom(tx, before) }, { ...page, before })
      },
      total: async (tx) => store.countTickets(tx, { ...filter, above: await floorFrom(tx, undefined) }),
      key: (row) => String(row.number),
      show: (row) => showTicket(row),
      async further(tx, after) {
        const floor = await floorFrom(tx, placeOf(after))
        return floor === undefined || floor < 1 ? null : String(floor + 1)
      },
    })
  },
  async get(ask) {
    const row = await ask.read((tx) => seeTicket(tx, ask.caller, ask.params.id))
    ask.tag(row.digest)
    return showTicket(row)
  },
  async update(ask) {
    const mustMatch = ask.mustMatch.bind(ask)
    const edited = await ask.change((tx) => change.editTicket(tx, ask.caller, ask.params.id, ask.body, mustMatch))
    ask.tag(edited.digest)
    return edited
  },
  submit: (ask) => ask.change((tx) => change.submitTicket(tx, ask.caller, ask.params.id)),
  approvalStatement: (ask) => ask.read((tx) => change.approvalToSign(tx, ask.caller, ask.params.id)),
  async approve(ask) {
    const { caller, params, body } = ask
    // Before the transaction: in it nothing is awaited but the database.
    const signed = body?.signed ? await openSigned((work) => ask.read(work), caller, on.party, body.signed) : null
    return ask.change((tx) => change.approveTicket(tx, caller, params.id, body, on.attest, signed))
  },
  reject: (ask) => ask.change((tx) => change.rejectTicket(tx, ask.caller, ask.params.id, ask.body.reason, on.attest)),
  close: (ask) => ask.change((tx) => change.closeTicket(tx, ask.caller, ask.params.id, ask.body?.reason ?? null)),
  reopen: (ask) => ask.change((tx) => change.reopenTicket(tx, ask.caller, ask.params.id, ask.body?.reason ?? null)),
  approvals: (ask) =>
    ask.page({
      rows: async (tx, page) => store.listApprovals(tx, (await seeTicket(tx, ask.caller, ask.params.id)).id, page),
      total: async (tx) => store.countApprovals(tx, (await seeTicket(tx, ask.caller, ask.params.id)).id),
      key: ({ id }) => id,
      show: showApproval,
    }),
  changes: (ask) => ask.read((tx) => changesSinceApproval(tx, ask.caller, ask.params.id)),
  comments: (ask) =>
    ask.page({
      rows: async (tx, page) => store.listComments(tx, (await seeTicket(tx, ask.caller, ask.params.id)).id, page),
      total: async (tx) => store.countComments(tx, (await seeTicket(tx, ask.caller, ask.params.id)).id),
      key: ({ id }) => id,
      show: (row) => ({ ...row, created_at: rfc3339(row.created_at) }),
    }),
  comment: (ask) =>
    ask.change(async (tx) => {
      const { caller } = ask
      const ticket = await seeTicket(tx, caller, ask.params.id)
      const comment = { id: uuidv7(caller.at), author_id: personOf(caller), body: ask.body.body, created_at: caller.at }
      await store.insertComment(tx, { ...comment, ticket_id: ticket.id })
      await append(tx, caller.at, caller, {
        type: 'ticket.commented',
        resource: { type: 'ticket', id: ticket.id, number: ticket.number },
        action: `Commented on ticket ${ticket.number}`,
        details: { comment_id: comment.id },
      })
      return {
        ...comment,
        author_number: caller.number!,
        author_username: caller.username!,
        created_at: rfc3339(comment.created_at),
      }
    }),
})

const placeOf = (after: string | undefined): number | undefined => (after === undefined ? undefined : Number(after))
