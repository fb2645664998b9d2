import { setTimeout as sleep } from 'node:timers/promises'
import type { Event } from '@writ/api'
import { findPlacedEvents, type PlacedEvent } from '../audit/index.ts'
import { AppError } from '../platform/app-error.ts'
import { type Clock, watchClock } from '../platform/clock.ts'
import { coalesceIn } from '../platform/coalesce.ts'
import {
  type Database,
  DatabaseConflict,
  DatabaseUnavailable,
  INSTANCE,
  inProject,
  type Tx,
} from '../platform/db/index.ts'
import { type Egress, type EgressOf, EgressRefused, EgressTimeout, type Incoming } from '../platform/egress.ts'
import { randomToken } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { redactor } from '../platform/redact/index.ts'
import { retryAfterOf } from '../platform/retry-after.ts'
import {
  beginTrace,
  type StoredTrace,
  spanIdOf,
  type Tracing,
  traceHeaders,
  traceIdOf,
  traceOf,
} from '../platform/tracing.ts'
import { createTrouble } from '../platform/trouble.ts'
import { createTurns, type Turns } from '../platform/turns.ts'
import { showEvent } from './event.ts'
import { type Mail, recipientsOf } from './mail.ts'
import { faultOf, writeDispatched, writeLetter, writeMessage } from './message.ts'
import { type Attempt, createRecordDeliveries, FIRST_WAIT_MS } from './record.ts'
import type { Sealed } from './sealed.ts'
import * as store from './store.ts'

export interface Delivering {
  readonly db: Database
  readonly clock: Clock
  readonly log: Logger
  readonly egressOf: EgressOf
  /** Null if the operator set up none. */
  readonly mail: Mail | null
  readonly sealed: Sealed
  readonly timeoutMs: number
  readonly pollMs: number
  /** One process owns the store: leases of others are of processes that are gone. */
  readonly alone: boolean
  /** What the dispatch door says of a task that has ended; undefined if it is gone. */
  dispatchBody(tx: Tx, runId: string): Promise<Record<string, unknown> | undefined>
  /** The traces that runs are part of, without those that are gone. */
  tracesOf(tx: Tx, runIds: readonly string[]): Promise<ReadonlyMap<string, StoredTrace>>
  readonly tracing: Tracing
  /** CloudEvents source of a project. */
  sourceOf(project: string): Promise<string>
  /** A number in [0, 1); replaced in tests. */
  readonly random?: () => number
  sent?(outcome: 'delivered' | 'retried' | 'failed'): void
}

const KEPT_BYTES = 1_024
/** How long a delivery stays ours beyond the limit for an answer; a letter, in many steps, gets half of it. */
const LEASE_BEYOND_MS = 30_000
/** Claimed at a time. */
const AT_ONCE = 128
/** Sent at a time to one webhook; to one whose last message was taken within a second, more: what is quick keeps nobody waiting for long. */
const AT_ONCE_EACH = 4
const AT_ONCE_QUICK = 16
const QUICK_MS = 1_000
/** Claimed of one that is quick, so that a claim, and what is read for it, is for many messages. The next is made when half of them are sent. */
const AHEAD_QUICK = 64
/** What was read so long ago is read again before it is sent: somebody may have disabled the webhook. */
const FRESH_MS = 1_000
/** Of what is due so much is looked at for a claim. A webhook that has all it may is left out of the next look. */
const LOOK = 256

/** What there is to send, and to whom. */
interface Due {
  readonly webhook: store.WebhookRow | undefined
  readonly event: PlacedEvent
  readonly trace: StoredTrace | undefined
}

/**
 * Sends what is due. A claim is a lease with a fence: of two processes one records the outcome. Each message is sent at
 * least once and carries the same `webhook-id` every time.
 *
 * Stopped between the claim and the record: the lease runs out and the message is sent again, though it may have arrived.
 */
export function createDeliverer(on: Delivering): { run(stop: AbortSignal): Promise<void>; wake(): void } {
  const name = randomToken(9)
  const recordDeliveries = createRecordDeliveries({ clock: on.clock, random: on.random ?? Math.random })
  // What was claimed together is read together.
  const findDue = coalesceIn<Due>(on.db, async (tx, ids) => {
    const deliveries = [...(await store.findDeliveries(tx, ids)).values()]
    const [webhooks, events] = await Promise.all([
      store.findWebhooks(tx, [...new Set(deliveries.map(({ webhook_id }) => webhook_id))]),
      findPlacedEvents(tx, [...new Set(deliveries.map(({ event_id }) => event_id))]),
    ])
    const traces = await on.tracesOf(tx, [...new Set([...events.values()].flatMap(({ run_id }) => run_id ?? []))])
    const found = new Map<string, Due>()
    for (const { id, webhook_id, event_id } of deliveries) {
      const [webhook, event] = [webhooks.get(webhook_id), events.get(event_id)]
      if (event) found.set(id, { webhook, event, trace: event.run_id ? traces.get(event.run_id) : undefined })
    }
    return found
  })
  /** Of each webhook of which something is claimed: how much, and the turns in which it is sent. */
  const running = new Map<string, { claimed: number; readonly inTurn: Turns }>()
  const underway = new Set<Promise<void>>()
  const quick = new Set<string>()
  let wakeUp = new AbortController()
  const leaseMs = on.timeoutMs + LEASE_BEYOND_MS
  const lookAtClock = watchClock(on.clock, Math.min(leaseMs / 3, FIRST_WAIT_MS))

  function roomOf(webhook: string): number {
    const { claimed } = running.get(webhook) ?? { claimed: 0 }
    if (!quick.has(webhook)) return AT_ONCE_EACH - claimed
    return claimed > AHEAD_QUICK / 2 ? 0 : AHEAD_QUICK - claimed
  }

  async function claimAndSend(stop: AbortSignal): Promise<void> {
    for (let claimed = 1; claimed > 0 && underway.size < AT_ONCE && !stop.aborted; ) {
      const now = on.clock.now()
      // Before a single lease of others is taken for over.
      await lookAtClock(now, (change) => countAnew(on.db, { ...change, leaseUntil: now + leaseMs }))
      // On a clock that nobody sets. A letter takes longest.
      const sendBefore = performance.now() + leaseMs - (on.timeoutMs + LEASE_BEYOND_MS / 2)
      const full = [...running.keys()].filter((webhook) => roomOf(webhook) <= 0)
      // A claim is a change, and there is one writer: it is not asked five times a second for nothing.
      const due = await inProject(INSTANCE, () => on.db.read((tx) => store.listDue(tx, now, { limit: LOOK, full })))
      const ids = inTurns(due, roomOf).slice(0, AT_ONCE - underway.size)
      if (ids.length === 0) return
      const claims = await inProject(INSTANCE, () =>
        on.db.write((tx) => store.claimDeliveries(tx, name, { ids, now, leaseUntil: now + leaseMs })),
      )
      for (const claim of claims) send(claim, sendBefore, stop)
      claimed = claims.length
    }
  }

  function send(claim: store.DeliveryClaim, before: number, stop: AbortSignal): void {
    const { webhook_id: webhook } = claim
    const mostAtOnce = () => (quick.has(webhook) ? AT_ONCE_QUICK : AT_ONCE_EACH)
    const of = running.get(webhook) ?? { claimed: 0, inTurn: createTurns(mostAtOnce) }
    running.set(webhook, of)
    of.claimed++
    const done = inProject(claim.project_id, () => deliver(claim, { inTurn: of.inTurn, before, stop }))
      .then((attempt) => {
        if (attempt?.error === null && attempt.durationMs < QUICK_MS) quick.add(webhook)
        else quick.delete(webhook)
      })
      .catch((err) => on.log.error({ err, delivery: claim.delivery_id }, 'a delivery could not be recorded'))
      .finally(() => {
        underway.delete(done)
        if (--of.claimed === 0) running.delete(webhook)
        wakeUp.abort()
      })
    underway.add(done)
  }

  /** Answers the attempt that was made; undefined if there was nothing to send, or it is claimed again later. */
  async function deliver(
    claim: store.DeliveryClaim,
    { inTurn, before, stop }: { readonly inTurn: Turns; readonly before: number; readonly stop: AbortSignal },
  ): Promise<Attempt | undefined> {
    const find = () => findDue(claim.project_id, claim.delivery_id)
    const read = performance.now()
    const first = await find()
    const came = await inTurn(async () => {
      if (stop.aborted || performance.now() > before) return 'later'
      const due = performance.now() - read > FRESH_MS ? await find() : first
      // Deleted, or disabled in the moment before the claim: whoever did that has ended the delivery. Or the event is gone,
      // with a log that was dropped.
      if (due?.webhook?.state !== 'active') return 'pointless'
      return (await sendTo(claim, { ...due, webhook: due.webhook }, stop)) ?? 'later'
    })
    const outcome = await on.db.submit(recordDeliveries, { claim, came })
    if (outcome) on.sent?.(outcome)
    return typeof came === 'string' ? undefined : came
  }

  /** Undefined if the server is stopping: then it was no attempt. */
  async function sendTo(
    claim: store.DeliveryClaim,
    { webhook, event, trace }: Due & { readonly webhook: store.WebhookRow },
    stop: AbortSignal,
  ): Promise<Attempt | undefined> {
    const told = webhook.callback === 'dispatch' ? event.resource_id : null
    const at = on.clock.now()
    let body: Record<string, unknown> | undefined
    try {
      // By itself: a result that cannot be read holds up no other message.
      body = told === null ? undefined : await on.db.read((tx) => on.dispatchBody(tx, told))
    } catch (err) {
      // Nothing can be recorded either: it is claimed again.
      if (err instanceof DatabaseUnavailable || err instanceof DatabaseConflict) throw err
      on.log.error({ err, delivery: claim.delivery_id }, 'what a callback tells cannot be read')
      return { at, durationMs: 0, ...unread(err), isOurs: true }
    }
    const source = await on.sourceOf(claim.project_id)
    const egress = await on.egressOf(claim.project_id)
    const spanId = spanIdOf(`${claim.delivery_id}/${claim.fence}`)
    const within = trace ?? beginningWith(on.tracing, event.id, spanId)
    const sending = {
      egress,
      event: showEvent(event, { source }),
      dispatched: body,
      trace: traceHeaders(traceOf(within, spanId)),
    }
    const attempt = await sendOnce(on, webhook, sending, stop)
    if (attempt === undefined) return undefined
    if (within.traceparent === null)
      on.tracing.record(() => ({
        name: 'deliver',
        kind: 'client',
        traceId: within.trace_id,
        spanId,
        parentSpanId: trace !== undefined && event.run_id ? spanIdOf(event.run_id) : null,
        start: attempt.at,
        end: attempt.at + attempt.durationMs,
        attributes: {
          'writ.webhook': webhook.id,
          'writ.event': event.event_type,
          ...(webhook.format === 'email' ? {} : { 'http.request.method': 'POST' }),
          ...(attempt.status === null
            ? {}
            : { [webhook.format === 'email' ? 'writ.smtp_status' : 'http.response.status_code']: attempt.status }),
        },
        error: attempt.error,
      }))
    return attempt
  }

  const trouble = createTrouble(on.log, { stopped: 'nothing delivered', again: 'deliveries go on' })
  return {
    wake: () => wakeUp.abort(),
    async run(stop) {
      if (on.alone) await inProject(INSTANCE, () => on.db.write((tx) => store.endDeliveryLeases(tx, on.clock.now())))
      while (!stop.aborted) {
        wakeUp = new AbortController()
        await claimAndSend(stop).then(trouble.over, trouble.met)
        await sleep(on.pollMs, undefined, { signal: AbortSignal.any([stop, wakeUp.signal]) }).catch(() => {})
      }
      await Promise.allSettled(underway)
    },
  }
}

/**
 * Somebody set the clock: what is under way is not sent a second time beside itself, and nothing waits for hours because the time went
 * back. Stopped between the two: messages are sent by the new time, and shown with the old one.
 */
async function countAnew(db: Database, change: store.ClockChange): Promise<void> {
  await inProject(INSTANCE, () => db.write((tx) => store.countAnew(tx, change)))
  if (change.to >= change.from) return
  for (const project of await inProject(INSTANCE, () => db.read(store.listQueuedProjects)))
    await inProject(project, () => db.write(store.showDueTimes))
}

/** The ids of those that their webhooks have room for: the first of each, then the second of each, and so on. */
function inTurns(
  due: readonly Pick<store.DeliveryClaim, 'delivery_id' | 'webhook_id'>[],
  roomOf: (webhook: string) => number,
): string[] {
  const seen = new Map<string, number>()
  const placed = due.map(({ delivery_id, webhook_id }) => {
    const place = (seen.get(webhook_id) ?? 0) + 1
    seen.set(webhook_id, place)
    return { delivery_id, webhook_id, place }
  })
  return placed
    .filter(({ webhook_id, place }) => place <= roomOf(webhook_id))
    .sort((a, b) => a.place - b.place)
    .map(({ delivery_id }) => delivery_id)
}

/** A message about what belongs to no run begins a trace, which all its attempts are part of. */
function beginningWith(tracing: Tracing, event: string, spanId: string): StoredTrace {
  const { traceId, traceparent } = beginTrace(tracing, traceIdOf(event), spanId)
  return { trace_id: traceId, traceparent, tracestate: null }
}

/** Undefined if the server is stopping: then it was no attempt. */
async function sendOnce(
  on: Delivering,
  webhook: store.WebhookRow,
  what: {
    egress: Egress
    event: Event
    dispatched: Record<string, unknown> | undefined
    trace: Readonly<Record<string, string>>
  },
  stop: AbortSignal,
): Promise<Attempt | undefined> {
  const { egress, event, dispatched, trace } = what
  const at = on.clock.now()
  const started = performance.now()
  const ended = (rest: Pick<Attempt, 'status' | 'error' | 'answer' | 'askedMs'>): Attempt => ({
    at,
    durationMs: Math.round(performance.now() - started),
    ...rest,
  })
  let opened: { url: string; secrets: string[]; own: Record<string, string> }
  try {
    const [url, secrets, own] = [
      on.sealed.urlOf(webhook),
      on.sealed.secretsOf(webhook, at),
      on.sealed.headersOf(webhook),
    ]
    opened = { url, secrets, own }
  } catch (err) {
    on.log.error({ err, webhook: webhook.id }, 'what a webhook keeps secret cannot be opened')
    return ended({ status: null, error: 'SECRETS_UNREADABLE', answer: '' })
  }
  const { url, secrets, own } = opened
  if (webhook.format === 'email') {
    try {
      if (!on.mail) return ended({ status: null, error: 'MAIL_NOT_CONFIGURED', answer: '' })
      const limit = { stepMs: on.timeoutMs, wholeMs: on.timeoutMs + LEASE_BEYOND_MS / 2 }
      const sent = await on.mail.send({ to: recipientsOf(url) ?? [], ...writeLetter(event) }, limit)
      return ended({ status: sent.status, error: null, answer: shownAnswer(Buffer.from(sent.answer), []) })
    } catch (error) {
      return ended(refusedLetter(error))
    }
  }
  let answer: Incoming
  try {
    const { body, headers } = dispatched
      ? writeDispatched(event.id, dispatched, secrets, at)
      : writeMessage(webhook.format, event, secrets, at)
    answer = await egress.send({
      url,
      method: 'POST',
      headers: { 'user-agent': 'Writ-Webhooks/1', ...trace, ...headers },
      credentials: own,
      body,
      timeoutMs: on.timeoutMs,
      maxBytes: 4 * KEPT_BYTES,
      // A receiver tells by its id a message that came twice.
      reuse: true,
      signal: stop,
    })
  } catch (error) {
    if (stop.aborted) return undefined
    return ended({ status: null, error: codeOf(error), answer: error instanceof EgressRefused ? error.message : '' })
  }
  return ended({
    status: answer.status,
    error: faultOf(webhook.format, answer),
    answer: shownAnswer(answer.body, [...secrets, ...secretPartsOf(webhook.format, url, own)]),
    askedMs: retryAfterOf(answer.headers, on.clock.now()) ?? 0,
  })
}

/** Of what is to be sent, which is elsewhere (a blob store, a key) and may come back. */
function unread(error: unknown): Pick<Attempt, 'status' | 'error' | 'answer'> {
  const code = error instanceof AppError && error.code === 'SECRETS_UNREADABLE' ? error.code : 'RESULT_UNREADABLE'
  return {
    status: null,
    error: code,
    answer: error instanceof Error ? shownAnswer(Buffer.from(error.message), []) : '',
  }
}

function codeOf(error: unknown): string {
  if (error instanceof EgressRefused) return 'DESTINATION_REFUSED'
  if (error instanceof EgressTimeout) return 'TIMEOUT'
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : 'CONNECTION_FAILED'
}

/** What a mail server, or the way to it, said. Source: nodemailer sets `responseCode` and `response` on its errors. */
function refusedLetter(error: unknown): Pick<Attempt, 'status' | 'error' | 'answer'> {
  const { responseCode, response } = error as { responseCode?: unknown; response?: unknown }
  const status = typeof responseCode === 'number' ? responseCode : null
  // Before a server answers, its code says only that it was the connection (ESOCKET): a certificate, a name, a port.
  const said = typeof response === 'string' ? response : error instanceof Error ? error.message : ''
  const answer = shownAnswer(Buffer.from(said), [])
  return { status, error: status === null ? codeOf(error) : `SMTP_${status}`, answer }
}

/** Shorter parts are words that others use too. */
const SECRET_LENGTH = 12

/**
 * What a receiver must not have echoed into the answer that people see: of headers the values, also without their scheme, and of the
 * address what is not shown of it, whole and in parts. The longest first, so that none is found in pieces.
 */
function secretPartsOf(
  format: store.WebhookRow['format'],
  url: string,
  headers: Readonly<Record<string, string>>,
): string[] {
  const { pathname, search, searchParams } = new URL(url)
  const path = format === 'cloudevents' ? [] : [pathname, `${pathname}${search}`, ...pathname.split('/')]
  const words = [...Object.values(headers).flatMap((value) => value.split(/\s+/)), ...path, ...searchParams.values()]
  return [...Object.values(headers), search, ...words.filter(({ length }) => length >= SECRET_LENGTH)].sort(
    (a, b) => b.length - a.length,
  )
}

/** The beginning of an answer for people: no secret of ours that was echoed, nothing that moves a cursor. */
function shownAnswer(body: Buffer, secrets: readonly string[]): string {
  let text = body.toString('utf8')
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, '[redacted]')
  return redactor
    .text(text)
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
    .slice(0, KEPT_BYTES)
}
