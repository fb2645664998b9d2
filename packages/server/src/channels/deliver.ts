import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery, Event } from '@writ/api'
import { append, findPlacedEvent, SYSTEM } from '../audit/index.ts'
import { type Clock, rfc3339, watchClock } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject, type Tx } from '../platform/db/index.ts'
import { type Egress, EgressRefused, EgressTimeout, type Incoming } from '../platform/egress.ts'
import { randomToken } from '../platform/ids.ts'
import type { Logger } from '../platform/log.ts'
import { redactor } from '../platform/redact/index.ts'
import { retryAfterOf } from '../platform/retry-after.ts'
import { spanIdOf, type Tracing, traceIdOf, traceparentOf } from '../platform/tracing.ts'
import { createTrouble } from '../platform/trouble.ts'
import { showEvent } from './event.ts'
import { type Mail, recipientsOf } from './mail.ts'
import { faultOf, writeDispatched, writeLetter, writeMessage } from './message.ts'
import type { Sealed } from './sealed.ts'
import * as store from './store.ts'

export interface Delivering {
  readonly db: Database
  readonly clock: Clock
  readonly log: Logger
  readonly egress: Egress
  /** Null if the operator set up none. */
  readonly mail: Mail | null
  readonly sealed: Sealed
  readonly timeoutMs: number
  readonly pollMs: number
  /** One process owns the store: leases of others are of processes that are gone. */
  readonly alone: boolean
  /** What the dispatch door says of a task that has ended; undefined if it is gone. */
  dispatchBody(tx: Tx, runId: string): Promise<Record<string, unknown> | undefined>
  /** The trace that a run is part of; undefined if it is gone. */
  traceOf(tx: Tx, runId: string): Promise<string | undefined>
  readonly tracing: Tracing
  /** CloudEvents source of a project. */
  sourceOf(project: string): Promise<string>
  /** A number in [0, 1); replaced in tests. */
  readonly random?: () => number
  sent?(outcome: 'delivered' | 'retried' | 'failed'): void
}

/** Attempts of one delivery: with the waits below, over about a day. */
const MAX_ATTEMPTS = 15
const FIRST_WAIT_MS = 5_000
const MOST_PATIENCE_MS = 3_600_000
const KEPT_BYTES = 1_024
/** How long a delivery stays ours beyond the limit for an answer; a letter, in many steps, gets half of it. */
const LEASE_BEYOND_MS = 30_000
const AT_ONCE = 64
/** Of one webhook; of one whose last message was taken within a second, more: what is quick keeps nobody waiting for long. */
const AT_ONCE_EACH = 4
const AT_ONCE_QUICK = 16
const QUICK_MS = 1_000
/** Of what is due so much is looked at for a claim. A webhook that has all it may is left out of the next look. */
const LOOK = 256

/**
 * Milliseconds to wait after a failed attempt (counted from 1): 5 s, doubled each time, with jitter of +-25 %; 15 attempts
 * take 22 h 45 min. What a receiver asks for with `Retry-After` is kept to up to an hour.
 */
function waitAfter(attempt: number, random: number, askedMs: number): number {
  const own = FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.75 + random / 2)
  return Math.round(Math.max(own, Math.min(askedMs, MOST_PATIENCE_MS)))
}

interface Attempt {
  readonly at: number
  readonly durationMs: number
  readonly status: number | null
  readonly error: string | null
  readonly answer: string
  /** How long the receiver asks to be left alone. */
  readonly askedMs?: number
}

/**
 * Sends what is due. A claim is a lease with a fence: of two processes one records the outcome. Each message is sent at
 * least once and carries the same `webhook-id` every time.
 *
 * Stopped between the claim and the record: the lease runs out and the message is sent again, though it may have arrived.
 */
export function createDeliverer(on: Delivering): { run(stop: AbortSignal): Promise<void>; wake(): void } {
  const name = randomToken(9)
  /** How many are under way, by webhook. */
  const running = new Map<string, number>()
  const underway = new Set<Promise<void>>()
  const quick = new Set<string>()
  let wakeUp = new AbortController()
  const leaseMs = on.timeoutMs + LEASE_BEYOND_MS
  const lookAtClock = watchClock(on.clock, Math.min(leaseMs / 3, FIRST_WAIT_MS))

  const roomOf = (webhook: string): number =>
    (quick.has(webhook) ? AT_ONCE_QUICK : AT_ONCE_EACH) - (running.get(webhook) ?? 0)

  async function claimAndSend(stop: AbortSignal): Promise<void> {
    for (let claimed = 1; claimed > 0 && underway.size < AT_ONCE && !stop.aborted; ) {
      const now = on.clock.now()
      // Before a single lease of others is taken for over.
      await lookAtClock(now, (change) => countAnew(on.db, { ...change, leaseUntil: now + leaseMs }))
      const full = [...running.keys()].filter((webhook) => roomOf(webhook) <= 0)
      // A claim is a change, and there is one writer: it is not asked five times a second for nothing.
      const due = await inProject(INSTANCE, () => on.db.read((tx) => store.listDue(tx, now, { limit: LOOK, full })))
      const ids = inTurns(due, roomOf).slice(0, AT_ONCE - underway.size)
      if (ids.length === 0) return
      const claims = await inProject(INSTANCE, () =>
        on.db.write((tx) => store.claimDeliveries(tx, name, { ids, now, leaseUntil: now + leaseMs })),
      )
      for (const claim of claims) send(claim, stop)
      claimed = claims.length
    }
  }

  function send(claim: store.DeliveryClaim, stop: AbortSignal): void {
    const { webhook_id: webhook } = claim
    running.set(webhook, (running.get(webhook) ?? 0) + 1)
    const done = inProject(claim.project_id, () => deliver(on, claim, stop))
      .then((attempt) => {
        if (attempt?.error === null && attempt.durationMs < QUICK_MS) quick.add(webhook)
        else quick.delete(webhook)
      })
      .catch((err) => on.log.error({ err, delivery: claim.delivery_id }, 'a delivery could not be recorded'))
      .finally(() => {
        underway.delete(done)
        const left = running.get(webhook)! - 1
        if (left > 0) running.set(webhook, left)
        else running.delete(webhook)
        wakeUp.abort()
      })
    underway.add(done)
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

/** Answers the attempt that was made; undefined if there was nothing to send, or the server is stopping. */
async function deliver(on: Delivering, claim: store.DeliveryClaim, stop: AbortSignal): Promise<Attempt | undefined> {
  const [webhook, event, body, trace] = await on.db.read(async (tx) => {
    const delivery = await store.findDelivery(tx, claim.delivery_id)
    const webhook = await store.findWebhook(tx, claim.webhook_id)
    const event = delivery && (await findPlacedEvent(tx, delivery.event_id))
    const asDispatched = webhook?.callback === 'dispatch' && event?.resource_id
    return [
      webhook,
      event,
      asDispatched ? await on.dispatchBody(tx, event.resource_id!) : undefined,
      event?.run_id ? await on.traceOf(tx, event.run_id) : undefined,
    ] as const
  })
  // Deleted, or disabled in the moment before the claim: whoever did that has ended the delivery. Or the event is gone,
  // with a log that was dropped.
  if (webhook?.state !== 'active' || event === undefined) {
    const now = on.clock.now()
    await on.db.write(async (tx) => {
      const locked = await store.lockWebhook(tx, claim.webhook_id)
      if (!(await store.finishDelivery(tx, claim))) return
      if (locked?.ordered === 1) await store.nextInTurn(tx, claim.webhook_id, now)
      await store.updateDelivery(tx, claim.delivery_id, { state: 'failed', next_attempt_at: null, settled_at: now })
    })
    return undefined
  }
  const source = await on.sourceOf(claim.project_id)
  const spanId = spanIdOf(`${claim.delivery_id}/${claim.fence}`)
  const traceId = trace ?? traceIdOf(event.id)
  const sending = { event: showEvent(event, { source }), dispatched: body, traceparent: traceparentOf(traceId, spanId) }
  const attempt = await sendOnce(on, webhook, sending, stop)
  if (attempt === undefined) {
    await on.db.write((tx) => store.deferDelivery(tx, claim, on.clock.now()))
    return undefined
  }
  on.tracing.record(() => ({
    name: 'deliver',
    kind: 'client',
    traceId,
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
  const outcome = await on.db.write((tx) => record(tx, on, claim, attempt))
  if (outcome) on.sent?.(outcome)
  return attempt
}

/** Undefined if the server is stopping: then it was no attempt. */
async function sendOnce(
  on: Delivering,
  webhook: store.WebhookRow,
  what: { event: Event; dispatched: Record<string, unknown> | undefined; traceparent: string },
  stop: AbortSignal,
): Promise<Attempt | undefined> {
  const { event, dispatched, traceparent } = what
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
    answer = await on.egress.send({
      url,
      method: 'POST',
      headers: { 'user-agent': 'Writ-Webhooks/1', traceparent, ...headers },
      credentials: own,
      body,
      timeoutMs: on.timeoutMs,
      maxBytes: 4 * KEPT_BYTES,
      signal: stop,
    })
  } catch (error) {
    if (stop.aborted) return undefined
    return ended({ status: null, error: codeOf(error), answer: error instanceof EgressRefused ? error.message : '' })
  }
  return ended({
    status: answer.status,
    error: faultOf(webhook.format, answer),
    answer: shownAnswer(answer.body, [...secrets, ...Object.values(own)]),
    askedMs: retryAfterOf(answer.headers, on.clock.now()) ?? 0,
  })
}

/** Keeps the attempt, and moves delivery and webhook on: in one transaction, and only while the lease is ours. */
async function record(
  tx: Tx,
  on: Delivering,
  claim: store.DeliveryClaim,
  attempt: Attempt,
): Promise<'delivered' | 'retried' | 'failed' | undefined> {
  const now = on.clock.now()
  const webhook = await store.lockWebhook(tx, claim.webhook_id)
  const delivery = await store.findDelivery(tx, claim.delivery_id)
  if (!webhook || delivery?.state !== 'waiting') {
    if ((await store.finishDelivery(tx, claim)) && webhook?.ordered === 1)
      await store.nextInTurn(tx, claim.webhook_id, now)
    return undefined
  }
  const before = JSON.parse(delivery.attempts) as Delivery['attempts']
  const attempts = JSON.stringify([
    ...before,
    {
      attempt: before.length + 1,
      at: rfc3339(attempt.at),
      duration_ms: attempt.durationMs,
      status: attempt.status,
      error: attempt.error,
      answer: attempt.answer,
    },
  ])
  if (attempt.error === null) {
    if (!(await store.finishDelivery(tx, claim))) return undefined
    if (webhook.ordered === 1) await store.nextInTurn(tx, webhook.id, now)
    await store.updateDelivery(tx, delivery.id, {
      state: 'delivered',
      attempts,
      next_attempt_at: null,
      settled_at: now,
    })
    if (webhook.failing_since !== null) await store.updateWebhook(tx, webhook.id, { failing_since: null })
    return 'delivered'
  }
  const failingSince = webhook.failing_since ?? attempt.at
  const gone = attempt.status === 410
  if (gone || before.length + 1 >= MAX_ATTEMPTS) {
    if (!(await store.finishDelivery(tx, claim))) return undefined
    if (webhook.ordered === 1) await store.nextInTurn(tx, webhook.id, now)
    await store.updateDelivery(tx, delivery.id, { state: 'failed', attempts, next_attempt_at: null, settled_at: now })
    // Not one message got through since before this one was tried first: nobody is there.
    if (gone || failingSince <= Date.parse(before[0]?.at ?? '')) await disable(tx, webhook, attempt, failingSince, now)
    else if (webhook.failing_since === null) await store.updateWebhook(tx, webhook.id, { failing_since: failingSince })
    return 'failed'
  }
  const next = now + waitAfter(before.length + 1, (on.random ?? Math.random)(), attempt.askedMs ?? 0)
  if (!(await store.deferDelivery(tx, claim, next))) return undefined
  await store.updateDelivery(tx, delivery.id, { attempts, next_attempt_at: next })
  if (webhook.failing_since === null) await store.updateWebhook(tx, webhook.id, { failing_since: failingSince })
  return 'retried'
}

async function disable(tx: Tx, webhook: store.WebhookRow, attempt: Attempt, since: number, now: number): Promise<void> {
  const reason = attempt.status === 410 ? 'the receiver answered 410 Gone' : `nothing was taken since ${rfc3339(since)}`
  await store.updateWebhook(tx, webhook.id, {
    state: 'disabled',
    disabled_reason: reason,
    failing_since: since,
    updated_at: now,
  })
  await store.failWaiting(tx, webhook.id, now)
  await append(tx, now, SYSTEM, {
    type: 'webhook.disabled',
    resource: { type: 'webhook', id: webhook.id },
    action: `Disabled webhook: ${webhook.name}`,
    details: { reason, last_error: attempt.error },
    success: false,
    error: reason,
  })
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

/** The beginning of an answer for people: no secret of ours that was echoed, nothing that moves a cursor. */
function shownAnswer(body: Buffer, secrets: readonly string[]): string {
  let text = body.toString('utf8')
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, '[redacted]')
  return redactor
    .text(text)
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
    .slice(0, KEPT_BYTES)
}
