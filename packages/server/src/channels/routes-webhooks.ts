import type { Delivery, Webhook, webhooksApi } from '@writ/api'
import { append, appendOne, endOfLog, requireEventPatterns, requireEventType } from '../audit/index.ts'
import { type Caller, personOf } from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { type Egress, type EgressOf, EgressRefused } from '../platform/egress.ts'
import type { Handlers } from '../platform/http/mount.ts'
import { uuidv7 } from '../platform/ids.ts'
import { versionOf } from '../platform/json.ts'
import { redactor } from '../platform/redact/index.ts'
import { newSecret } from '../platform/webhook-signature.ts'
import { listensAlike, sinceMade, withEarlier } from './listening.ts'
import { recipientsOf } from './mail.ts'
import type { Sealed } from './sealed.ts'
import * as store from './store.ts'

export interface WebhooksOn {
  readonly egressOf: EgressOf
  readonly sealed: Sealed
  /** Whether this server can send e-mail. */
  readonly hasMail: boolean
  /** Something is due. */
  wake(): void
}

const OVERLAP_MS = 24 * 3_600_000
const MOST_REPLAYED = 1_000
/** What the message itself sets, or what would make another message of it. */
const RESERVED =
  /^(host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|content-.*|webhook-.*|user-agent)$/i

export const webhookHandlers = (on: WebhooksOn): Handlers<typeof webhooksApi, Caller> => ({
  list: (ask) =>
    ask.page({
      async rows(tx, page) {
        const rows = await store.listWebhooks(tx, page)
        const heads = await headsOf(tx, rows)
        return rows.map((row) => showWebhook(row, heads))
      },
      total: store.countWebhooks,
      key: ({ id }) => id,
      show: (webhook) => webhook,
    }),
  get: (ask) =>
    ask.read(async (tx) => {
      const row = known(await store.findWebhook(tx, ask.params.id))
      ask.tag(versionOfWebhook(row))
      return showWebhook(row, await headsOf(tx, [row]))
    }),

  async create(ask) {
    const { caller, body } = ask
    const format = body.format ?? 'cloudevents'
    mustReach(on, await on.egressOf(caller.project!), format, body.url)
    const id = uuidv7(caller.at)
    const secret = format === 'cloudevents' ? newSecret() : (body.bot_secret ?? null)
    const { events = [], handlers = [] } = body
    if (events.length === 0 && handlers.length === 0) throw invalid('body.events', 'or handlers must name something')
    requireEventPatterns('body.events', events)
    if (body.bot_secret !== undefined && format !== 'feishu')
      throw invalid('body.bot_secret', 'only bots of Feishu or Lark have one')
    return ask.change(async (tx) => {
      const row: Omit<store.WebhookRow, 'project_id'> = {
        id,
        name: body.name,
        format,
        ...addressed(on, id, format, body.url),
        ...withHeaders(on, id, body.headers ?? {}),
        sealed_secret: secret === null ? null : on.sealed.seal(id, 'secret', secret),
        sealed_previous_secret: null,
        previous_secret_until: null,
        events: JSON.stringify(events),
        state: 'active',
        disabled_reason: null,
        disabled_by_id: null,
        failing_since: null,
        created_by_id: personOf(caller),
        created_at: caller.at,
        updated_at: caller.at,
        callback: null,
        url_mac: null,
        ordered: body.ordered === true ? 1 : 0,
        handlers: JSON.stringify(handlers),
        earlier: null,
      }
      await store.insertWebhook(tx, row)
      await store.beginReading(tx, await endOfLog(tx))
      const made = await appendOne(tx, caller.at, caller, {
        type: 'webhook.created',
        resource: { type: 'webhook', id },
        action: `Added webhook: ${row.name}`,
        details: {
          format,
          url: row.url,
          events,
          ...(handlers.length > 0 ? { handlers } : {}),
          ...(body.ordered ? { ordered: true } : {}),
        },
      })
      await store.updateWebhook(tx, id, { earlier: sinceMade(made) })
      // A bot's secret is not ours to show: whoever sent it has it.
      return { ...showWebhook(row), secret: format === 'cloudevents' ? secret : null }
    })
  },

  async update(ask) {
    const { caller, params } = ask
    const { reason, ...body } = ask.body
    requireEventPatterns('body.events', body.events ?? [])
    const egress = await on.egressOf(caller.project!)
    const [changed, heads] = await ask.change(async (tx) => {
      const row = known(await store.lockWebhook(tx, params.id))
      ask.mustMatch(versionOfWebhook(row))
      if (row.callback !== null) mustBeOfCallback(body)
      if (body.url !== undefined) mustReach(on, egress, row.format, body.url)
      const change = {
        ...(body.name === undefined ? {} : { name: body.name }),
        ...(body.url === undefined ? {} : addressed(on, row.id, row.format, body.url)),
        ...(body.headers === undefined ? {} : withHeaders(on, row.id, body.headers)),
        ...(body.events === undefined ? {} : { events: JSON.stringify(body.events) }),
        ...(body.handlers === undefined ? {} : { handlers: JSON.stringify(body.handlers) }),
        ...(body.ordered === undefined ? {} : { ordered: body.ordered ? 1 : 0 }),
        ...(body.state === undefined
          ? {}
          : {
              state: body.state,
              disabled_reason:
                body.state === 'active' ? null : (reason ?? `disabled by ${caller.username ?? 'a user'}`),
              disabled_by_id: body.state === 'active' ? null : personOf(caller),
              failing_since: body.state === 'active' ? null : row.failing_since,
            }),
        updated_at: caller.at,
      }
      await store.updateWebhook(tx, row.id, change)
      if (body.ordered === false) await store.endTurns(tx, row.id, caller.at)
      if (body.state === 'disabled') await store.failWaiting(tx, row.id, caller.at)
      const after = known(await store.findWebhook(tx, row.id))
      const told = await appendOne(tx, caller.at, caller, {
        type: 'webhook.updated',
        resource: { type: 'webhook', id: row.id },
        action: `Changed webhook: ${after.name}`,
        details: {
          changed: Object.keys(body),
          url: after.url,
          events: JSON.parse(after.events),
          ...(after.handlers === '[]' ? {} : { handlers: JSON.parse(after.handlers) }),
          state: after.state,
          ...(reason === undefined ? {} : { reason }),
        },
      })
      if (row.callback === null && !listensAlike(row, after))
        await store.updateWebhook(tx, row.id, { earlier: withEarlier(row, told) })
      return [after, await headsOf(tx, [after])] as const
    })
    ask.tag(versionOfWebhook(changed))
    return showWebhook(changed, heads)
  },

  async delete(ask) {
    const { caller } = ask
    await ask.change(async (tx) => {
      const row = known(await store.lockWebhook(tx, ask.params.id))
      ask.mustMatch(versionOfWebhook(row))
      await store.failWaiting(tx, row.id, caller.at)
      await store.updateWebhook(tx, row.id, {
        state: 'deleted',
        url: '',
        sealed_url: '',
        sealed_headers: '',
        header_names: '[]',
        sealed_secret: null,
        sealed_previous_secret: null,
        earlier: null,
        updated_at: caller.at,
      })
      await append(tx, caller.at, caller, {
        type: 'webhook.deleted',
        resource: { type: 'webhook', id: row.id },
        action: `Deleted webhook: ${row.name}`,
      })
    })
    return undefined
  },

  rotate: (ask) =>
    ask.change(async (tx) => {
      const { caller } = ask
      const row = known(await store.lockWebhook(tx, ask.params.id))
      if (row.format !== 'cloudevents') throw new AppError('WEBHOOK_UNSIGNED', { format: row.format })
      const secret = newSecret()
      const until = caller.at + OVERLAP_MS
      await store.updateWebhook(tx, row.id, {
        sealed_secret: on.sealed.seal(row.id, 'secret', secret),
        sealed_previous_secret: row.sealed_secret,
        previous_secret_until: until,
        updated_at: caller.at,
      })
      const after = known(await store.findWebhook(tx, row.id))
      await append(tx, caller.at, caller, {
        type: 'webhook.secret_rotated',
        resource: { type: 'webhook', id: row.id },
        action: `Replaced the secret of webhook: ${row.name}`,
        details: { previous_until: rfc3339(until) },
      })
      return { ...showWebhook(after), secret }
    }),

  async test(ask) {
    const { caller } = ask
    const sent = await ask.change(async (tx) => {
      const row = active(await store.lockWebhook(tx, ask.params.id))
      const event = await appendOne(tx, caller.at, caller, {
        type: 'webhook.tested',
        resource: { type: 'webhook', id: row.id },
        action: `Tested webhook: ${row.name}`,
      })
      const delivery = deliveryOf(caller, { webhook_id: row.id, event_id: event, event_type: 'webhook.tested' }, null)
      await store.insertDeliveries(tx, [delivery], caller.at)
      return showDelivery((await store.findDelivery(tx, delivery.id))!)
    })
    on.wake()
    return sent
  },

  async deliveries(ask) {
    const { state, event_type } = ask.query
    if (event_type !== undefined) requireEventType('query.event_type', event_type)
    const webhook = await ask.read(async (tx) => known(await store.findWebhook(tx, ask.params.id)))
    const filter = { webhook_id: webhook.id, state, event_type }
    return ask.page({
      rows: (tx, page) => store.listDeliveries(tx, filter, { ...page, before: page.after }),
      total: (tx) => store.countDeliveries(tx, filter),
      key: (row) => row.id,
      show: showDelivery,
    })
  },

  async replay(ask) {
    const { caller, body } = ask
    const { preview = false, ...asked } = body
    if (asked.event_type !== undefined) requireEventType('body.event_type', asked.event_type)
    const answer = await ask.change(async (tx) => {
      const webhook = known(await store.lockWebhook(tx, ask.params.id))
      // What would be everything is more often a mistake than a wish.
      if (Object.keys(asked).length === 0) throw new AppError('REPLAY_UNFILTERED')
      const filter: store.DeliveryFilter = {
        webhook_id: webhook.id,
        ids: asked.delivery_ids,
        state: asked.state,
        event_type: asked.event_type,
        since: asked.since === undefined ? undefined : Date.parse(asked.since),
        until: asked.until === undefined ? undefined : Date.parse(asked.until),
        // What failed stays failed: whoever asks for more than are sent at a time would get the same ones each time.
        once: asked.state === 'failed' && asked.delivery_ids === undefined,
      }
      const matched = await store.countDeliveries(tx, filter)
      if (preview) return { matched, replayed: 0 }
      active(webhook)
      const old = await store.listDeliveriesForward(tx, filter, MOST_REPLAYED)
      await store.insertDeliveries(
        tx,
        old.map((one) => deliveryOf(caller, one, one.id)),
        caller.at,
      )
      await append(tx, caller.at, caller, {
        type: 'webhook.replayed',
        resource: { type: 'webhook', id: webhook.id },
        action: `Sent deliveries again: ${webhook.name}`,
        details: { ...asked, matched, replayed: old.length },
      })
      return { matched, replayed: old.length }
    })
    on.wake()
    return answer
  },
})

/** Of what can be changed of it: what is delivered, and how that goes, makes no other version. */
const versionOfWebhook = ({ sealed_url, sealed_headers, ...row }: store.WebhookRow): string =>
  versionOf(row.name, sealed_url, sealed_headers, row.events, row.handlers, row.ordered, row.state)

function known(row: store.WebhookRow | undefined): store.WebhookRow {
  if (!row) throw new AppError('WEBHOOK_NOT_FOUND')
  return row
}

function active(row: store.WebhookRow | undefined): store.WebhookRow {
  const found = known(row)
  if (found.state !== 'active') throw new AppError('WEBHOOK_NOT_ACTIVE')
  return found
}

/**
 * A callback is its address: it is found again by it. With another one, those who name the old one would be told somewhere else, without a
 * word. And nothing but the end of a task that names it is told there.
 */
function mustBeOfCallback(change: object): void {
  const field = ['url', 'events', 'handlers', 'ordered'].find((one) => one in change)
  if (field !== undefined) throw invalid(`body.${field}`, 'is of webhooks that are listed, not of a callback')
}

/** Refuses early what can be told from the url alone; the address of a name is checked at each delivery. */
function mustReach(on: WebhooksOn, egress: Egress, format: store.WebhookRow['format'], url: string): void {
  if (format === 'email') {
    if (!on.hasMail) throw new AppError('MAIL_NOT_CONFIGURED')
    if (recipientsOf(url) === undefined) throw invalid('body.url', 'must be mailto: and at most 20 addresses')
    return
  }
  if (/^mailto:/i.test(url)) throw invalid('body.url', 'is of people: to write to them, "format" must be "email"')
  try {
    egress.check(url)
  } catch (error) {
    if (!(error instanceof EgressRefused)) throw error
    throw new AppError('DESTINATION_REFUSED', { reason: error.message })
  }
}

/** The url sealed, and as much of it as may be seen: no query, of chats no path, of people no name. */
function addressed(on: WebhooksOn, id: string, format: store.WebhookRow['format'], url: string) {
  return { url: redactor.text(shownUrl(format, url)), sealed_url: on.sealed.seal(id, 'url', url) }
}

function shownUrl(format: store.WebhookRow['format'], url: string): string {
  if (format === 'email') return url.replace(/[^:,@]*@/g, '…@')
  const { origin, pathname, search } = new URL(url)
  return format === 'cloudevents' ? `${origin}${pathname}${search && '?…'}` : `${origin}/…`
}

function withHeaders(on: WebhooksOn, id: string, headers: Readonly<Record<string, string>>) {
  for (const name of Object.keys(headers))
    if (RESERVED.test(name)) throw invalid(`body.headers.${name}`, 'is set by the message itself')
  return {
    header_names: JSON.stringify(Object.keys(headers)),
    sealed_headers: on.sealed.seal(id, 'headers', JSON.stringify(headers)),
  }
}

const invalid = (path: string, message: string) =>
  new AppError('VALIDATION_FAILED', {}, { fields: [{ path, message }] })

const deliveryOf = (
  caller: Caller,
  of: Pick<store.DeliveryRow, 'webhook_id' | 'event_id' | 'event_type'>,
  replayOf: string | null,
): store.NewDelivery => ({
  id: uuidv7(caller.at),
  webhook_id: of.webhook_id,
  event_id: of.event_id,
  event_type: of.event_type,
  replay_of: replayOf,
})

const headsOf = (tx: Tx, rows: readonly store.WebhookRow[]): Promise<Map<string, string>> =>
  store.listHeads(
    tx,
    rows.filter((row) => row.ordered === 1).map(({ id }) => id),
  )

function showWebhook(row: Omit<store.WebhookRow, 'project_id'>, heads?: ReadonlyMap<string, string>): Webhook {
  return {
    id: row.id,
    name: row.name,
    format: row.format,
    url: row.url,
    events: JSON.parse(row.events) as string[],
    header_names: JSON.parse(row.header_names) as string[],
    state: row.state === 'active' ? 'active' : 'disabled',
    disabled_reason: row.disabled_reason,
    disabled_by_id: row.disabled_by_id,
    failing_since: rfc3339OrNull(row.failing_since),
    previous_secret_until: rfc3339OrNull(row.previous_secret_until),
    handlers: JSON.parse(row.handlers) as string[],
    ordered: row.ordered === 1,
    held_up_by: heads?.get(row.id) ?? null,
    created_by_id: row.created_by_id,
    created_at: rfc3339(row.created_at),
    updated_at: rfc3339(row.updated_at),
  }
}

function showDelivery(row: store.DeliveryRow): Delivery {
  return {
    id: row.id,
    webhook_id: row.webhook_id,
    event_id: row.event_id,
    event_type: row.event_type,
    state: row.state,
    replay_of: row.replay_of,
    next_attempt_at: rfc3339OrNull(row.next_attempt_at),
    attempts: JSON.parse(row.attempts) as Delivery['attempts'],
    created_at: rfc3339(row.created_at),
    settled_at: rfc3339OrNull(row.settled_at),
  }
}
