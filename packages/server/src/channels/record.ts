import type { Delivery } from '@writ/api'
import { appendOne, SYSTEM } from '../audit/index.ts'
import { type Clock, rfc3339 } from '../platform/clock.ts'
import type { Command, Tx } from '../platform/db/index.ts'
import { withEarlier } from './listening.ts'
import * as store from './store.ts'

/** What came of sending a message once. */
export interface Attempt {
  readonly at: number
  readonly durationMs: number
  readonly status: number | null
  readonly error: string | null
  readonly answer: string
  /** How long the receiver asks to be left alone. */
  readonly askedMs?: number
  /** What failed was on our side, before the receiver was asked: nothing is said against it. */
  readonly isOurs?: true
}

export interface Claimed {
  readonly claim: store.DeliveryClaim
  /** An attempt; or none was made: `later` it is claimed again, `pointless` there is nothing to send or nobody to send it to. */
  readonly came: Attempt | 'later' | 'pointless'
}

/** Undefined: no attempt was made, the lease was lost, or nobody waits for the message any more. */
export type Recorded = 'delivered' | 'retried' | 'failed' | undefined

/** Attempts of one delivery: with the waits below, over about a day. */
const MAX_ATTEMPTS = 15
export const FIRST_WAIT_MS = 5_000
const MOST_PATIENCE_MS = 3_600_000

/**
 * Milliseconds to wait after a failed attempt (counted from 1): 5 s, doubled each time, with jitter of +-25 %; 15 attempts
 * take 22 h 45 min. What a receiver asks for with `Retry-After` is kept to up to an hour.
 */
function waitAfter(attempt: number, random: number, askedMs: number): number {
  const own = FIRST_WAIT_MS * 2 ** (attempt - 1) * (0.75 + random / 2)
  return Math.round(Math.max(own, Math.min(askedMs, MOST_PATIENCE_MS)))
}

/** A webhook while attempts are judged, one after the other. */
interface Standing {
  readonly row: store.WebhookRow
  failingSince: number | null
  disabledBy: Attempt | null
}

/** Keeps what came of claims, and moves deliveries and webhooks on: in one transaction, each only while its lease is ours. */
export function createRecordDeliveries(on: { clock: Clock; random: () => number }): Command<Claimed, Recorded> {
  return {
    name: 'recordDeliveries',
    async run(tx, all) {
      const now = on.clock.now()
      const webhooks = await store.lockWebhooks(tx, [...new Set(all.map(({ claim }) => claim.webhook_id))])
      const held = await store.lockHeld(
        tx,
        all.map(({ claim }) => claim),
      )
      const deliveries = await store.findDeliveries(
        tx,
        all.map(({ claim }) => claim.delivery_id),
      )
      const standing = new Map<string, Standing>(
        webhooks.map((row) => [row.id, { row, failingSince: row.failing_since, disabledBy: null }]),
      )
      const over: string[] = []
      const deferred: { id: string; dueAt: number }[] = []
      const changed: store.DeliveryChange[] = []
      const turns: string[] = []
      /** Webhooks that get no more, of which more may wait. */
      const silenced = new Set<string>()
      const recorded = all.map(({ claim, came }): Recorded => {
        if (!held(claim)) return undefined
        if (came === 'later') {
          deferred.push({ id: claim.delivery_id, dueAt: now })
          return undefined
        }
        const webhook = standing.get(claim.webhook_id)
        const delivery = deliveries.get(claim.delivery_id)
        const finish = () => {
          over.push(claim.delivery_id)
          if (webhook?.row.ordered === 1) turns.push(claim.webhook_id)
        }
        if (webhook?.disabledBy || delivery?.state !== 'waiting') {
          finish()
          return undefined
        }
        const { id } = delivery
        // Deleted: who did that did not see a delivery that was made in the same moment, or left it.
        if (!webhook || came === 'pointless') {
          finish()
          if (webhook?.row.state !== 'active') silenced.add(claim.webhook_id)
          changed.push({ id, state: 'failed', attempts: delivery.attempts, next_attempt_at: null, settled_at: now })
          return undefined
        }
        const before = JSON.parse(delivery.attempts) as Delivery['attempts']
        const attempts = JSON.stringify([...before, shown(came, before.length + 1)])
        if (came.error === null) {
          finish()
          changed.push({ id, state: 'delivered', attempts, next_attempt_at: null, settled_at: now })
          webhook.failingSince = null
          return 'delivered'
        }
        if (!came.isOurs) webhook.failingSince ??= came.at
        const gone = came.status === 410
        if (gone || before.length + 1 >= MAX_ATTEMPTS) {
          finish()
          changed.push({ id, state: 'failed', attempts, next_attempt_at: null, settled_at: now })
          // Not one message got through since before this one was tried first: nobody is there.
          const nobodyIsThere = webhook.failingSince !== null && webhook.failingSince <= Date.parse(before[0]?.at ?? '')
          if (gone || (nobodyIsThere && !came.isOurs)) webhook.disabledBy = came
          return 'failed'
        }
        const dueAt = now + waitAfter(before.length + 1, on.random(), came.askedMs ?? 0)
        deferred.push({ id, dueAt })
        changed.push({ id, state: 'waiting', attempts, next_attempt_at: dueAt, settled_at: null })
        return 'retried'
      })
      await Promise.all([
        store.finishDeliveries(tx, over),
        store.deferDeliveries(tx, deferred),
        store.updateDeliveries(tx, changed),
      ])
      for (const webhook of new Set(turns)) await store.nextInTurn(tx, webhook, now)
      for (const webhook of silenced) await store.failWaiting(tx, webhook, now)
      for (const one of standing.values()) {
        if (one.disabledBy) await disable(tx, one.row, one.disabledBy, one.failingSince!, now)
        else if (one.failingSince !== one.row.failing_since)
          await store.updateWebhook(tx, one.row.id, { failing_since: one.failingSince })
      }
      return recorded
    },
  }
}

const shown = (attempt: Attempt, number: number): Delivery['attempts'][number] => ({
  attempt: number,
  at: rfc3339(attempt.at),
  duration_ms: attempt.durationMs,
  status: attempt.status,
  error: attempt.error,
  answer: attempt.answer,
})

async function disable(tx: Tx, webhook: store.WebhookRow, attempt: Attempt, since: number, now: number): Promise<void> {
  const reason = attempt.status === 410 ? 'the receiver answered 410 Gone' : `nothing was taken since ${rfc3339(since)}`
  await store.updateWebhook(tx, webhook.id, {
    state: 'disabled',
    disabled_reason: reason,
    disabled_by_id: null,
    failing_since: since,
    updated_at: now,
  })
  await store.failWaiting(tx, webhook.id, now)
  const told = await appendOne(tx, now, SYSTEM, {
    type: 'webhook.disabled',
    resource: { type: 'webhook', id: webhook.id },
    action: `Disabled webhook: ${webhook.name}`,
    details: { reason, last_error: attempt.error },
    success: false,
    error: reason,
  })
  if (webhook.callback === null) await store.updateWebhook(tx, webhook.id, { earlier: withEarlier(webhook, told) })
}
