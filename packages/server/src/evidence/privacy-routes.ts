import type { Hold, privacyApi, UserErasure } from '@writ/api'
import { append, erasePayload, findEvent, isErasable, listEventsOfPerson } from '../audit/index.ts'
import { anonymiseUser, type Caller, findAccount, listProjects } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { belongingOf, findRun } from '../runs/index.ts'
import {
  endHold,
  findTicket,
  type HoldRow,
  heldBy,
  holdOn,
  listHolds,
  listLastingHolds,
  setHold,
} from '../tickets/index.ts'

const PAGE = 200

/** Erasing payloads and people, and what legal holds keep from it. */
export const privacyHandlers = (on: { db: Database }): Handlers<typeof privacyApi, Caller> => ({
  erasePayload: (ask) =>
    ask.change(async (tx) => {
      const event = await findEvent(tx, ask.params.id)
      if (!event) throw new AppError('EVENT_NOT_FOUND')
      if (!isErasable(event.event_type)) throw new AppError('EVENT_NOT_ERASABLE', { type: event.event_type })
      if (event.event === '') throw new AppError('PAYLOAD_ERASED')
      const hold = holdOn(await listLastingHolds(tx), await belongingOf(tx, event))
      if (hold) throw heldBy(hold)
      const erasedBy = await erasePayload(tx, ask.caller.at, ask.caller, event, ask.body.ground)
      if (!erasedBy) throw new AppError('PAYLOAD_ERASED')
      return { event_id: event.id, log_index: event.log_index, erased_by_id: erasedBy }
    }),

  /**
   * Everything about a person that Writ wrote down by itself: payloads of events in every log, and the account. Page by
   * page: stopped in the middle, the same request does the rest, and its preview says how much that is. The account comes
   * last, because its name is how the events are found.
   */
  async eraseUser(ask) {
    const { caller, body } = ask
    const user = await findAccount(on.db, ask.params.id)
    if (!user) throw new AppError('USER_NOT_FOUND')
    if (user.is_active && !body.preview) throw new AppError('USER_STILL_ACTIVE')
    const logs: UserErasure['logs'] = []
    const places = [{ id: INSTANCE, slug: '_instance' }, ...(await listProjects(on.db))]
    for (const { id, slug } of places) {
      let events = 0
      let held = 0
      for (let after = ''; ; ) {
        const page = await inProject(id, () =>
          on.db.write(async (tx) => {
            const found = await listEventsOfPerson(tx, user, after, PAGE)
            const holds = await listLastingHolds(tx)
            for (const event of found) {
              if (holdOn(holds, holds.length === 0 ? {} : await belongingOf(tx, event))) held++
              else if (body.preview || (await erasePayload(tx, caller.at, caller, event, body.ground))) events++
            }
            return found
          }),
        )
        const last = page.at(-1)
        if (!last) break
        after = last.id
      }
      if (events > 0 || held > 0) logs.push({ project: slug, events, held })
    }
    if (!body.preview)
      await ask.instance.change(async (tx) => {
        await anonymiseUser(tx, user, caller.at)
        await append(tx, caller.at, caller, {
          type: 'user.erased',
          resource: { type: 'user', id: user.id, number: user.number },
          action: `Erased user ${user.number}`,
          details: { ground: body.ground, logs },
        })
      })
    return { preview: body.preview ?? false, user_id: user.id, user_number: user.number, logs }
  },

  holds: async (ask) => (await ask.read(listHolds)).map(showHold),
  setHold: (ask) =>
    ask.change(async (tx) => showHold(await setHold(tx, ask.caller, await subjectOf(tx, ask.body), ask.body.reason))),
  releaseHold: (ask) =>
    ask.change(async (tx) => showHold(await endHold(tx, ask.caller, ask.params.id, ask.body.reason))),
})

async function subjectOf(
  tx: Tx,
  asked: { subject_type: HoldRow['subject_type']; subject_id?: string | number },
): Promise<Pick<HoldRow, 'subject_type' | 'subject_id' | 'subject_number'>> {
  const type = asked.subject_type
  if (type === 'project') return { subject_type: type, subject_id: tx.project, subject_number: null }
  if (asked.subject_id === undefined)
    throw new AppError('VALIDATION_FAILED', {}, { fields: [{ path: 'body.subject_id', message: 'required' }] })
  const found = type === 'ticket' ? await findTicket(tx, asked.subject_id) : await findRun(tx, asked.subject_id)
  if (!found) throw new AppError(type === 'ticket' ? 'TICKET_NOT_FOUND' : 'RUN_NOT_FOUND')
  return { subject_type: type, subject_id: found.id, subject_number: found.number }
}

const showHold = (row: HoldRow): Hold => ({
  id: row.id,
  subject_type: row.subject_type,
  subject_id: row.subject_id,
  subject_number: row.subject_number,
  reason: row.reason,
  set_by_id: row.set_by_id,
  created_at: rfc3339(row.created_at),
  released_by_id: row.released_by_id,
  released_at: rfc3339OrNull(row.released_at),
  release_reason: row.release_reason,
})
