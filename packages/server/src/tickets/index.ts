/** Tickets, assets and approvals: what people promise, what it touches, who agreed. */
export { mayWorkOn, seeTicket } from './access.ts'
export { addAsset } from './asset.ts'
export { beginWork, endWork } from './change-ticket.ts'
export { endHold, heldBy, holdOn, refuseIfHeld, setHold } from './hold.ts'
export { assetHandlers, ticketHandlers } from './routes.ts'
export { findAsset, findTicket, lockTicket, type Ref, type TicketRow } from './store.ts'
export { countHolds, type HoldRow, listHolds, listLastingHolds } from './store-holds.ts'
export { digestOf as ticketDigest, promiseOf as ticketPromise } from './ticket.ts'
