import { append } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339 } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import * as store from './store-holds.ts'

/** What something belongs to; a hold on any of them, or on the project, protects it. */
export interface Belonging {
  readonly ticket?: string | null
  /** Its run; of a file every run that it is evidence of. */
  readonly runs?: readonly string[]
}

/** The hold that protects something, or undefined; asked of a list that was read once. */
export const holdOn = (holds: readonly store.HoldRow[], of: Belonging): store.HoldRow | undefined =>
  holds.find(
    ({ subject_type: type, subject_id: id }) =>
      type === 'project' ||
      (type === 'ticket' && id === of.ticket) ||
      (type === 'run' && id !== null && of.runs?.includes(id)),
  )

/** What is under legal hold is not erased, deleted or dropped. Throws LEGAL_HOLD, which names the hold. */
export async function refuseIfHeld(tx: Tx, of: Belonging): Promise<void> {
  const hold = holdOn(await store.listLastingHolds(tx), of)
  if (hold) throw heldBy(hold)
}

export const heldBy = (hold: store.HoldRow): AppError =>
  new AppError('LEGAL_HOLD', { hold: hold.id, subject: subjectText(hold) })

const subjectText = (hold: Pick<store.HoldRow, 'subject_type' | 'subject_number'>): string =>
  hold.subject_type === 'project' ? 'the project' : `${hold.subject_type} ${hold.subject_number ?? ''}`.trim()

/** Puts a ticket with all that belongs to it, a run, or the whole project under legal hold. */
export async function setHold(
  tx: Tx,
  caller: Caller,
  subject: Pick<store.HoldRow, 'subject_type' | 'subject_id' | 'subject_number'>,
  reason: string,
): Promise<store.HoldRow> {
  const id = uuidv7(caller.at)
  await store.insertHold(tx, { ...subject, id, reason, set_by_id: personOf(caller), created_at: caller.at })
  await append(tx, caller.at, caller, {
    type: 'hold.set',
    resource: { type: 'hold', id },
    action: `Set a legal hold on ${subjectText(subject)}`,
    details: { ...subject, reason },
  })
  return (await store.findHold(tx, id))!
}

/** Ends a hold. Throws HOLD_NOT_FOUND, HOLD_RELEASED. */
export async function endHold(tx: Tx, caller: Caller, id: string, reason: string): Promise<store.HoldRow> {
  const hold = await store.findHold(tx, id)
  if (!hold) throw new AppError('HOLD_NOT_FOUND')
  if (!(await store.releaseHold(tx, id, { by: personOf(caller), reason, now: caller.at })))
    throw new AppError('HOLD_RELEASED')
  await append(tx, caller.at, caller, {
    type: 'hold.released',
    resource: { type: 'hold', id },
    action: `Released the legal hold on ${subjectText(hold)}`,
    details: { set_at: rfc3339(hold.created_at), reason },
  })
  return (await store.findHold(tx, id))!
}
