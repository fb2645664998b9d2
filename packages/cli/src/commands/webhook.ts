import type { Delivery, DeliveryState, Webhook, WebhookFormat } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { colourOf } from '../columns.ts'
import { usage } from '../failure.ts'
import { allOption, bySteps, type ListOptions, limitOption } from '../listing.ts'
import type { Field } from '../output.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'
import { webhookRef } from '../who.ts'
import { timeOf } from './ticket.ts'

const columns: Column<Webhook>[] = [
  { head: 'ID', value: (w) => w.id },
  { head: 'STATE', value: (w) => w.state, paint: (w) => (w.state === 'active' ? 'green' : 'red') },
  { head: 'NAME', value: (w) => w.name, shrink: true },
  { head: 'EVENTS', value: (w) => [...w.events, ...w.handlers].join(' '), shrink: true, spare: true },
  { head: 'URL', value: (w) => w.url, shrink: true, spare: true },
  { head: 'FAILING SINCE', value: (w) => timeText(w.failing_since) },
]

const fields = (w: Webhook): Field[] => [
  ['Webhook', w.name, 'bold'],
  ['State', w.state, w.state === 'active' ? 'green' : 'red'],
  ['Because', w.disabled_reason],
  ['Url', w.url],
  ['Format', w.format],
  ['Events', w.events.join(' ')],
  ['Tasks of', w.handlers.join(' ')],
  ['Headers', w.header_names.join(' ')],
  ['In order', w.ordered ? 'yes' : null],
  ['Failing since', timeText(w.failing_since), 'red'],
  ['Held up by', w.held_up_by, 'red'],
  ['Old secret signs until', timeText(w.previous_secret_until)],
  ['Added', timeText(w.created_at)],
  ['Id', w.id],
]

const deliveryColumns: Column<Delivery>[] = [
  { head: 'ID', value: (d) => d.id },
  {
    head: 'STATE',
    value: (d) => d.state,
    paint: (d) => (d.state === 'delivered' ? 'green' : colourOf(d.state === 'waiting' ? 'pending' : d.state)),
  },
  { head: 'EVENT', value: (d) => d.event_type },
  { head: 'ATTEMPTS', value: (d) => d.attempts.length, right: true, spare: true },
  { head: 'LAST ANSWER', value: (d) => lastAnswer(d), shrink: true },
  { head: 'NEXT', value: (d) => timeText(d.next_attempt_at), spare: true },
  { head: 'MADE', value: (d) => timeText(d.created_at), spare: true },
]

function lastAnswer({ attempts }: Delivery): string {
  const last = attempts.at(-1)
  return last ? [last.error ?? last.status, `${last.duration_ms} ms`, last.answer].filter(Boolean).join(', ') : ''
}

interface AddOptions {
  events?: string[]
  handlers?: string[]
  name?: string
  format?: WebhookFormat
  ordered?: boolean
  header?: string[]
  botSecret?: string
}
interface ReplayOptions {
  delivery?: string[]
  state?: DeliveryState
  event?: string
  since?: string
  until?: string
  preview?: boolean
}

export function addWebhookCommands(program: Command, app: App): void {
  const webhook = program
    .command('webhook')
    .description('Webhooks: what others are told of this project as it happens')
    .addHelpText(
      'after',
      `
Messages are CloudEvents, signed as Standard Webhooks say; "--format slack" and "--format feishu" write to chats, and a
mailto: url to people.

Examples:
  writ webhook add https://hooks.example.com/writ --events 'run.*' ticket.approved
  writ webhook test hooks.example.com
  writ webhook deliveries hooks.example.com --state failed
  writ webhook replay hooks.example.com --state failed`,
    )

  webhook
    .command('add <url>')
    .description('Add a webhook; its signing secret is shown once')
    .option('--events <pattern...>', "event types, groups such as 'run.*', or '*'")
    .option('--handlers <handler...>', 'how tasks of these handlers ended, unless their dispatch names a callback')
    .option('--name <name>', 'as people call it; the host otherwise')
    .addOption(
      new Option('--format <format>', 'what is sent; "cloudevents" otherwise, "email" to a mailto: url').choices([
        'cloudevents',
        'slack',
        'feishu',
        'email',
      ]),
    )
    .option('--ordered', 'one message at a time, in the order of the log')
    .option('--header <header...>', "sent with each message, such as 'Authorization: Bearer ...'")
    .option('--bot-secret <secret>', 'of a Feishu or Lark bot that checks signatures')
    .action(async (url: string, o: AddOptions) => {
      if (!URL.canParse(url)) throw usage(`"${url}" is not a url`)
      if (!o.events && !o.handlers) throw usage('say what it is told: --events, --handlers, or both')
      const made = await (await app.client()).webhooks.create({
        body: {
          url,
          name: o.name ?? (new URL(url).host || url),
          ...(o.events ? { events: o.events } : {}),
          ...(o.handlers ? { handlers: o.handlers } : {}),
          ...(o.ordered ? { ordered: true } : {}),
          ...(o.format ? { format: o.format } : url.startsWith('mailto:') ? { format: 'email' } : {}),
          ...(o.header ? { headers: headersOf(o.header) } : {}),
          ...(o.botSecret ? { bot_secret: o.botSecret } : {}),
        },
      })
      app.out().item(made, [['Secret', made.secret, 'yellow'], ...fields(made)], made.id)
    })

  webhook
    .command('list')
    .description('List the webhooks of the project')
    .action(async () => app.out().list(await (await app.client()).all('webhooks.list'), columns, (w) => w.id))

  webhook
    .command('show <webhook>')
    .description('Show a webhook, by name or id')
    .action(async (ref: string) => {
      const { id } = await webhookRef(app, ref)
      show(app, await (await app.client()).webhooks.get({ params: { id } }))
    })

  webhook
    .command('test <webhook>')
    .description('Send a test message; "deliveries" shows the answer')
    .action(async (ref: string) => {
      const { id } = await webhookRef(app, ref)
      const sent = await (await app.client()).webhooks.test({ params: { id } })
      app.out().item(sent, [['Delivery', sent.id]], sent.id)
    })

  webhook
    .command('deliveries <webhook>')
    .description('List what was sent, with how it was answered, newest first')
    .addOption(new Option('-s, --state <state>', 'only those').choices(['waiting', 'delivered', 'failed']))
    .option('--event <type>', 'only of this type')
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (ref: string, o: ListOptions & { state?: DeliveryState; event?: string }) => {
      const { id } = await webhookRef(app, ref)
      const query = { state: o.state, event_type: o.event }
      const client = await app.client()
      const wanted = o.all ? Number.POSITIVE_INFINITY : o.limit
      const found: Delivery[] = []
      for await (const page of client.pages('webhooks.deliveries', {
        params: { id },
        query: { ...query, limit: 500 },
      })) {
        found.push(...page.slice(0, wanted - found.length))
        if (found.length >= wanted) break
      }
      app.out().list(found, deliveryColumns, (d) => d.id)
    })

  webhook
    .command('replay <webhook>')
    .description('Send deliveries again: some by id, or all that match')
    .option('--delivery <id...>', 'these')
    .addOption(new Option('-s, --state <state>', 'in this state').choices(['waiting', 'delivered', 'failed']))
    .option('--event <type>', 'of this type')
    .option('--since <time>', 'made at or after')
    .option('--until <time>', 'made before')
    .option('--preview', 'only count')
    .action(async (ref: string, o: ReplayOptions) => {
      const { id } = await webhookRef(app, ref)
      const client = await app.client()
      const body = {
        ...(o.delivery ? { delivery_ids: o.delivery } : {}),
        ...(o.state ? { state: o.state } : {}),
        ...(o.event ? { event_type: o.event } : {}),
        ...(o.since ? { since: timeOf(o.since) } : {}),
        ...(o.until ? { until: timeOf(o.until) } : {}),
      }
      const replay = (preview: boolean) =>
        client.webhooks.replay({ params: { id }, body: { ...body, ...(preview ? { preview } : {}) } })
      const done =
        o.preview || o.delivery || o.state !== 'failed'
          ? await replay(o.preview ?? false)
          : await bySteps(app, (did) => replayFailed(() => replay(false), did))
      const left = done.matched - done.replayed
      app.out().item(
        done,
        [
          ['Matched', done.matched],
          ['Sent again', done.replayed],
          [
            'Left',
            !o.preview && left > 0
              ? `the newest ${left}; at most 1000 are sent at a time, the oldest first: take them by --since`
              : null,
          ],
        ],
        String(done.replayed),
      )
    })

  for (const [name, state, what] of [
    ['disable', 'disabled', 'Stop sending; what waits fails and can be replayed'],
    ['enable', 'active', 'Send again from now on'],
  ] as const) {
    webhook
      .command(`${name} <webhook>`)
      .description(what)
      .option('--reason <text>', 'why; it stands in the audit log')
      .action(async (ref: string, { reason }: { reason?: string }) => {
        const { id } = await webhookRef(app, ref)
        const body = { state, ...(reason ? { reason } : {}) }
        show(app, await (await app.client()).webhooks.update({ params: { id }, body }))
      })
  }

  webhook
    .command('rotate <webhook>')
    .description('Make a new secret; for 24 hours both sign')
    .action(async (ref: string) => {
      const { id } = await webhookRef(app, ref)
      const made = await (await app.client()).webhooks.rotate({ params: { id } })
      app.out().item(made, [['Secret', made.secret, 'yellow'], ...fields(made)], made.id)
    })

  webhook
    .command('delete <webhook>')
    .description('Delete a webhook and its secrets')
    .action(async (ref: string) => {
      const { id, said } = await webhookRef(app, ref)
      await (await app.client()).webhooks.delete({ params: { id } })
      app.out().note(`Deleted ${said}.`)
    })
}

interface Replayed {
  readonly matched: number
  readonly replayed: number
}

/** As many as had failed when it began: those that fail again meanwhile are not sent a third time. */
async function replayFailed(replay: () => Promise<Replayed>, did: (count: number) => void): Promise<Replayed> {
  const first = await replay()
  let { replayed } = first
  did(replayed)
  while (replayed < first.matched) {
    const next = await replay()
    if (next.replayed === 0) break
    replayed += next.replayed
    did(next.replayed)
  }
  return { matched: first.matched, replayed }
}

const show = (app: App, found: Webhook) => app.out().item(found, fields(found), found.id)

function headersOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const [, name, value] = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(text) ?? []
      if (name === undefined || value === undefined)
        throw usage(`"${text}" is no header`, "It looks like 'Name: value'.")
      return [name, value]
    }),
  )
}
