import type { ConcurrencyKey, Queue } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { Failure, usage } from '../failure.ts'
import { countOf, sayCount } from '../listing.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'
import { timeOf } from './ticket.ts'

const queueColumns: Column<Queue>[] = [
  { head: 'QUEUE', value: (q) => q.name },
  { head: 'STATE', value: stateOf, paint: (q) => (q.paused_at ? 'yellow' : 'green') },
  { head: 'AT ONCE', value: (q) => q.concurrency, right: true },
  { head: 'WAITING', value: (q) => q.waiting, right: true },
  { head: 'DELAYED', value: (q) => q.delayed, right: true },
  { head: 'IN FLIGHT', value: (q) => q.in_flight, right: true },
  { head: 'OLDEST', value: (q) => timeText(q.oldest_waiting_at) },
  { head: 'BECAUSE', value: (q) => q.paused_reason, shrink: true, spare: true },
]

function stateOf(queue: Queue): string {
  return queue.paused_at ? `paused since ${timeText(queue.paused_at)}` : 'open'
}

const keyColumns: Column<ConcurrencyKey>[] = [
  { head: 'KEY', value: (k) => k.key, shrink: true },
  { head: 'ACTIVE', value: (k) => k.active, right: true },
  { head: 'WAITING', value: (k) => k.waiting, right: true },
  {
    head: 'PAUSED UNTIL',
    value: (k) => timeText(k.paused_until),
    paint: (k) => (k.paused_until ? 'yellow' : undefined),
  },
  { head: 'BECAUSE', value: pausedWhy, shrink: true, spare: true },
  { head: 'LIMITS', value: (k) => k.limits.map(limitText).join('; ') || null, shrink: true },
]

/** A task pauses its key when it was told to wait. */
function pausedWhy(key: ConcurrencyKey): string | null {
  return key.paused_by_run_id === null ? key.paused_reason : `task ${key.paused_by_run_id} was told to wait`
}

function limitText({ handler, concurrency, rate, until }: ConcurrencyKey['limits'][number]): string {
  const said = [
    ...(concurrency === undefined ? [] : [concurrency === null ? 'any number at once' : `${concurrency} at once`]),
    ...(rate === undefined
      ? []
      : [
          rate === null
            ? 'any rate'
            : `${rate.limit} ${rate.limit === 1 ? 'start' : 'starts'} in ${rate.period_ms / 1_000} s`,
        ]),
  ].join(', ')
  return `${handler === null ? '' : `${handler}: `}${said}${until === null ? '' : ` until ${timeText(until)}`}`
}

/** `2/60`: two starts in sixty seconds. */
function rateOf(text: string): { limit: number; period_ms: number } | null {
  if (text === 'none') return null
  const [, limit, seconds] = /^([0-9]{1,7})\/([0-9]{1,5})$/.exec(text) ?? []
  if (limit === undefined)
    throw usage(`"${text}" is no rate`, 'It looks like 10/60: starts, and in how many seconds; or "none".')
  return { limit: Number(limit), period_ms: Number(seconds) * 1_000 }
}

export function addQueueCommands(program: Command, app: App): void {
  const queue = program.command('queue').description('Queues: where tasks wait')
  queue
    .command('list')
    .description('List the queues of the project')
    .action(async () => app.out().list(await (await app.client()).all('queues.list'), queueColumns, (q) => q.name))
  const showState = (changed: Queue) =>
    app.out().item(
      changed,
      [
        ['Queue', changed.name, 'bold'],
        ['State', stateOf(changed)],
        ['Because', changed.paused_reason],
      ],
      changed.name,
    )
  const createOption = () => new Option('--create', 'also if no task was put on it yet')
  const reasonOption = () => new Option('--reason <text>', 'why; it stands beside what is paused, and in the audit log')
  queue
    .command('pause <queue>')
    .description('Start nothing of it any more; what runs goes on')
    .addOption(createOption())
    .addOption(reasonOption())
    .action(async (of: string, { create, reason }: { create?: boolean; reason?: string }) =>
      showState(
        await (await app.client()).queues.pause({
          params: { name: of },
          body: { ...(create ? { create } : {}), ...(reason ? { reason } : {}) },
        }),
      ),
    )
  queue
    .command('resume <queue>')
    .description('Start what waits, in its order')
    .action(async (of: string) => showState(await (await app.client()).queues.resume({ params: { name: of } })))
  queue
    .command('limit <queue> <n>')
    .description('So many of its tasks run at once, over all servers and workers; "none" takes the limit away')
    .addOption(createOption())
    .action(async (of: string, n: string, o: { create?: boolean }) => {
      const concurrency = n === 'none' ? null : countOf(n)
      const body = { concurrency, ...(o.create ? { create: true } : {}) }
      const changed = await (await app.client()).queues.limit({ params: { name: of }, body })
      app.out().item(
        changed,
        [
          ['Queue', changed.name, 'bold'],
          ['At once', changed.concurrency ?? 'any number'],
        ],
        changed.name,
      )
    })
  const showKey = (key: ConcurrencyKey) =>
    app
      .out()
      .item(
        key,
        [
          ['Key', key.key, 'bold'],
          ['Active', key.active],
          ['Waiting', key.waiting],
          ['Paused until', timeText(key.paused_until)],
          ['Because', pausedWhy(key)],
          ...key.limits.map((one): [string, string] => ['Limit', `${limitText(one)} (${one.reason})`]),
        ],
        key.key,
      )
  queue
    .command('keys')
    .description('List the concurrency keys that tasks have now, or that are paused or limited')
    .action(async () =>
      app.out().list(await (await app.client()).all('concurrencyKeys.list'), keyColumns, (k) => k.key),
    )
  queue
    .command('pause-key <key>')
    .description('Start nothing with this concurrency key for a while; what runs goes on')
    .requiredOption('--until <time>', 'when it goes on by itself')
    .addOption(reasonOption())
    .action(async (key: string, { until, reason }: { until: string; reason?: string }) =>
      showKey(
        await (await app.client()).concurrencyKeys.pause({
          body: { key, until: timeOf(until), ...(reason ? { reason } : {}) },
        }),
      ),
    )
  queue
    .command('resume-key <key>')
    .description('Start what waits with this concurrency key, as its limits allow')
    .action(async (key: string) => showKey(await (await app.client()).concurrencyKeys.resume({ body: { key } })))
  queue
    .command('limit-key <key>')
    .description('Allow something else with this concurrency key than its handlers say')
    .option('--concurrency <n>', 'so many tasks at once, or "none" for any number')
    .option('--rate <starts/seconds>', 'so many starts in so many seconds, such as 10/60, or "none"')
    .option('--handler <name>', 'for tasks of this handler only')
    .option('--until <time>', 'what the handlers say holds again from then on')
    .requiredOption('--reason <text>', 'why; it stands in the audit log')
    .action(
      async (
        key: string,
        o: {
          concurrency?: string
          rate?: string
          handler?: string
          until?: string
          reason: string
        },
      ) =>
        showKey(
          await (await app.client()).concurrencyKeys.limit({
            body: {
              key,
              ...(o.handler === undefined ? {} : { handler: o.handler }),
              ...(o.concurrency === undefined
                ? {}
                : { concurrency: o.concurrency === 'none' ? null : countOf(o.concurrency) }),
              ...(o.rate === undefined ? {} : { rate: rateOf(o.rate) }),
              ...(o.until === undefined ? {} : { until: timeOf(o.until) }),
              reason: o.reason,
            },
          }),
        ),
    )
  queue
    .command('lift-key-limit <key>')
    .description('Let what the handlers say hold again for this concurrency key')
    .option('--handler <name>', 'the limit of this handler, not the one of all')
    .action(async (key: string, o: { handler?: string }) =>
      showKey(
        await (await app.client()).concurrencyKeys.liftLimit({
          body: { key, ...(o.handler === undefined ? {} : { handler: o.handler }) },
        }),
      ),
    )
  queue
    .command('drain <queue>')
    .description('Cancel what waits in it; what runs goes on')
    .option('--yes', 'do it; otherwise what would be cancelled is only counted')
    .action(async (of: string, o: { yes?: boolean }) => {
      const client = await app.client()
      const found = (await client.all('queues.list')).find(({ name }) => name === of)
      if (!found)
        throw new Failure(`This project has no queue called "${of}".`, {
          code: 'QUEUE_UNKNOWN',
          advice: '"writ queue list" shows them.',
        })
      const waiting = found.waiting + found.delayed
      if (!o.yes) return sayCount(app, 'Would be cancelled', waiting, 'say --yes to do it; it cannot be undone')
      let cancelled = 0
      for (;;) {
        const done = await client.queues.drain({ params: { name: of }, body: { limit: 1_000 } })
        cancelled += done.cancelled
        if (done.left === 0 || done.cancelled === 0) break
      }
      app.out().item({ cancelled }, [['Cancelled', cancelled]], String(cancelled))
    })
}
