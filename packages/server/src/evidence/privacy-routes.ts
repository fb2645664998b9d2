import type { Hold, privacyApi, Log as ShownLog, UserErasure } from '@writ/api'
import {
  append,
  countLogs,
  dropOldestLog,
  erasePayload,
  findEvent,
  isErasable,
  type Log,
  LogBusy,
  listEvents,
  listEventsOfPerson,
  listLogs,
  listLogsPart,
  readLine,
  type Sequencer,
} from '../audit/index.ts'
import {
  anonymiseUser,
  type Caller,
  countOtherAdmins,
  findAccount,
  forgetAnswers,
  listProjects,
  personOf,
} from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject, type RequestMark, type Tx } from '../platform/db/index.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { belongingOf, findRun, taskToSee } from '../runs/index.ts'
import {
  countHolds,
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
const WEEK_MS = 7 * 86_400_000

/** Erasing payloads and people, and what legal holds keep from it. */
export const privacyHandlers = (on: { db: Database; sequencer: Sequencer }): Handlers<typeof privacyApi, Caller> => ({
  erasePayload: (ask) =>
    ask.change(async (tx) => {
      const event = await findEvent(tx, ask.params.id, ask.body.shard)
      if (!event) throw new AppError('EVENT_NOT_FOUND')
      if (!isErasable(event.event_type)) throw new AppError('EVENT_NOT_ERASABLE', { type: event.event_type })
      if (event.event === '') throw new AppError('PAYLOAD_ERASED')
      const hold = holdOn(await listLastingHolds(tx), await belongingOf(tx, event))
      if (hold) throw heldBy(hold)
      const erasedBy = await erasePayload(tx, ask.caller.at, ask.caller, event, ask.body.ground)
      if (!erasedBy) throw new AppError('PAYLOAD_ERASED')
      return { event_id: event.id, shard: event.shard, log_index: event.log_index, erased_by_id: erasedBy }
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
      if (!body.preview) await inProject(id, () => on.db.write((tx) => forgetAnswers(tx, user.username)))
      if (events > 0 || held > 0) logs.push({ project: slug, events, held })
    }
    const answer = { preview: body.preview ?? false, user_id: user.id, user_number: user.number, logs }
    if (!body.preview)
      await ask.instance.change(async (tx) => {
        await anonymiseUser(tx, user, caller.at)
        await append(tx, caller.at, caller, {
          type: 'user.erased',
          resource: { type: 'user', id: user.id, number: user.number },
          action: `Erased user ${user.number}`,
          details: { ground: body.ground, logs },
        })
        return answer
      })
    return answer
  },

  logs: (ask) => ask.page({ rows: listLogsPart, total: countLogs, key: ({ shard }) => String(shard), show: showLog }),
  async rotateLog(ask) {
    const { caller, mark } = ask
    // Stopped behind the rotation, its answer was not remembered: the log that it opened says who had asked for it.
    const before = mark && (await ask.read((tx) => findContinuation(tx, mark.request)))
    const origin = ask.isRepeatOf(before?.asked_by)
      ? before!.new_origin
      : (
          await on.sequencer.rotate(caller.project!, caller, ask.body.reason, mark).catch((error: unknown) => {
            throw error instanceof LogBusy ? new AppError('LOG_BUSY', { reason: error.message }) : error
          })
        ).new_origin
    return ask.change(async (tx) => {
      const logs = await listLogs(tx)
      const at = logs.findIndex((log) => log.origin === origin)
      const opened = logs[at]!
      // Until it is published for the first time, only the old log says with which key it will be.
      const vkey = opened.vkey ?? (await findSuccessorKey(tx, origin))
      return { closed: showLog(logs[at - 1]!), opened: showLog({ ...opened, vkey }) }
    })
  },
  dropLog: (ask) =>
    ask.change(async (tx) => {
      const { caller } = ask
      const logs = await listLogs(tx)
      const oldest = logs.find((log) => log.dropped_at === null)
      if (oldest?.shard !== ask.params.shard || oldest.closed_at === null) throw new AppError('LOG_NOT_DROPPABLE')
      const [hold] = await listLastingHolds(tx)
      if (hold) throw heldBy(hold)
      const filter = { event_type: 'log.drop_requested', since: caller.at - WEEK_MS }
      const asked = (await listEvents(tx, filter, { limit: 100 })).filter(
        (event) => event.event !== '' && detailsOf(event.event).origin === oldest.origin,
      )
      // Two persons, not two sessions or tokens of one.
      const alone = (await countOtherAdmins(tx, personOf(caller))) === 0
      if (!alone && !asked.some((event) => detailsOf(event.event).requested_by_id !== personOf(caller))) {
        await append(tx, caller.at, caller, {
          type: 'log.drop_requested',
          resource: { type: 'log', id: tx.project },
          action: `Asked for log ${oldest.origin} to be dropped`,
          details: {
            shard: oldest.shard,
            origin: oldest.origin,
            size: oldest.size,
            reason: ask.body.reason,
            requested_by_id: personOf(caller),
          },
        })
        return { state: 'requested' as const, log: showLog(oldest) }
      }
      await dropOldestLog(tx, caller.at, caller, oldest, ask.body.reason)
      return {
        state: 'dropped' as const,
        log: showLog((await listLogs(tx)).find((log) => log.shard === oldest.shard)!),
      }
    }),

  holds: (ask) => ask.page({ rows: listHolds, total: countHolds, key: ({ id }) => id, show: showHold }),
  setHold: (ask) =>
    ask.change(async (tx) =>
      showHold(await setHold(tx, ask.caller, await subjectOf(tx, ask.caller, ask.body), ask.body.reason)),
    ),
  releaseHold: (ask) =>
    ask.change(async (tx) => showHold(await endHold(tx, ask.caller, ask.params.id, ask.body.reason))),
})

async function subjectOf(
  tx: Tx,
  caller: Caller,
  asked: { subject_type: HoldRow['subject_type']; subject_id?: string | number },
): Promise<Pick<HoldRow, 'subject_type' | 'subject_id' | 'subject_number'>> {
  const type = asked.subject_type
  if (type === 'project') return { subject_type: type, subject_id: tx.project, subject_number: null }
  if (asked.subject_id === undefined)
    throw new AppError('VALIDATION_FAILED', {}, { fields: [{ path: 'body.subject_id', message: 'required' }] })
  const found =
    type === 'ticket'
      ? await findTicket(tx, asked.subject_id)
      : ((await findRun(tx, asked.subject_id)) ?? (await taskToSee(tx, caller, asked.subject_id)))
  if (!found) throw new AppError(type === 'ticket' ? 'TICKET_NOT_FOUND' : 'RUN_NOT_FOUND')
  return { subject_type: type, subject_id: found.id, subject_number: found.number }
}

/** The newest hundred: what was asked for and not answered is asked for again soon. */
async function findContinuation(
  tx: Tx,
  request: string,
): Promise<{ new_origin: string; asked_by: RequestMark } | undefined> {
  const events = await listEvents(tx, { event_type: 'log.continued' }, { limit: 100 })
  return events
    .map((row) => detailsOf(row.event) as { new_origin: string; asked_by?: RequestMark })
    .find((one): one is { new_origin: string; asked_by: RequestMark } => one.asked_by?.request === request)
}

/** The key of the log that continues another, as that one has named it: what the event says may be erased, with whoever closed a log. */
async function findSuccessorKey(tx: Tx, origin: string): Promise<string | null> {
  const events = await listEvents(tx, { event_type: 'log.succeeded' }, { limit: 100 })
  return events.find((row) => row.resource_id?.startsWith(`${origin}+`))?.resource_id ?? null
}

const detailsOf = (event: string): { origin?: unknown; requested_by_id?: unknown } => readLine(event)?.details ?? {}

const showLog = (row: Log): ShownLog => ({
  shard: row.shard,
  origin: row.origin,
  vkey: row.vkey ?? '',
  size: row.size,
  root: row.root,
  checkpoint: row.checkpoint,
  opened_at: rfc3339(row.opened_at),
  closed_at: rfc3339OrNull(row.closed_at),
  dropped_at: rfc3339OrNull(row.dropped_at),
})

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
