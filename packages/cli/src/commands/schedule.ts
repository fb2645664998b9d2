import type { ChangeSchedule, NewSchedule, PreviewSchedule, Schedule, ScheduleDetail, ScheduleFire } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { usage } from '../failure.ts'
import { jsonOf, objectOf } from '../json-option.ts'
import { secondsOf } from '../length-of-time.ts'
import { countOf } from '../listing.ts'
import type { Field } from '../output.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'
import { timeOf } from './ticket.ts'

const colour = (state: string) => (state === 'active' ? 'green' : state === 'paused' ? 'yellow' : undefined)

const columns: Column<Schedule>[] = [
  { head: 'ID', value: (s) => s.id },
  { head: 'STATE', value: (s) => s.state, paint: (s) => colour(s.state) },
  { head: 'NAME', value: (s) => s.name, shrink: true },
  { head: 'HANDLER', value: (s) => s.handler, shrink: true, spare: true },
  { head: 'TIMES', value: timesText, shrink: true, spare: true },
  { head: 'NEXT', value: (s) => timeText(s.next_at) },
]

const fireColumns: Column<ScheduleFire>[] = [
  { head: 'DUE', value: (f) => timeText(f.due_at) },
  {
    head: 'OUTCOME',
    value: (f) => f.outcome,
    paint: (f) => (f.outcome === 'started' ? 'green' : f.outcome === 'skipped' ? 'yellow' : 'red'),
  },
  { head: 'ERROR', value: (f) => f.error_code ?? '', shrink: true },
  { head: 'RUN', value: (f) => f.run_id ?? '' },
]

function timesText(s: Schedule): string {
  if (s.cron !== null) return `${s.cron} (${s.zone})`
  return s.every_seconds === null ? `once, ${timeText(s.at)}` : `every ${s.every_seconds} s`
}

/** What a schedule says of its tasks beside their input, as it is given. */
function optionsText(options: Record<string, unknown>): string | null {
  const parts = Object.entries(options).map(
    ([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
  )
  return parts.length === 0 ? null : parts.join('\n')
}

/** What paused it, and for what the server paused by itself, what to do. A server of before gives a sentence alone. */
function pausedWhy({ name, paused_cause, paused_reason }: ScheduleDetail): string | null {
  if (!paused_cause) return paused_reason
  const { code, refusals, error_code } = paused_cause
  return code === 'owner_denied'
    ? `The server paused it: its owner may not dispatch tasks here any more.\nIn your name it goes on with: writ schedule resume ${name}`
    : `The server paused it: it started nothing ${refusals} times in a row, the last time ${error_code}.\nOnce that is mended: writ schedule resume ${name}`
}

const fields = (s: ScheduleDetail): Field[] => [
  ['Schedule', s.name, 'bold'],
  ['State', s.state, colour(s.state)],
  ['Paused', timeText(s.paused_at)],
  ['Because', pausedWhy(s)],
  ['Handler', s.handler],
  ['Input', s.input === undefined ? null : JSON.stringify(s.input)],
  ['Its tasks', optionsText(s.options)],
  ['Tells', s.callback?.url],
  ['Times', timesText(s)],
  ['Clocks forward, back', s.cron === null ? null : `${s.dst_gap}, ${s.dst_overlap}`],
  ['Missed times', s.catch_up === 'all' ? `all, up to ${s.catch_up_limit}` : s.catch_up],
  ['While it runs', s.when_running],
  ['Not before', timeText(s.starts_at)],
  ['Not after', timeText(s.ends_at)],
  ['Next', s.next.map((time) => timeText(time)).join('\n')],
  ['Last run', s.last_run_id],
  ['Version', s.version],
  ['Id', s.id],
]

interface TimesOptions {
  cron?: string
  every?: string
  at?: string
  zone?: string
  gap?: 'skip' | 'after'
  overlap?: 'first' | 'both'
  from?: string | false
  until?: string | false
}
/** False, of a change: what was said of it is dropped. */
interface TaskOptions {
  input?: string
  queue?: string | false
  priority?: string | false
  attempts?: number | false
  limit?: number | false
  concurrencyKey?: string | false
  ttl?: string | false
  callback?: string | false
  tag?: string[] | false
  metadata?: string | false
  catchUp?: 'none' | 'last' | 'all'
  catchUpLimit?: string
  whenRunning?: 'allow' | 'skip'
}
type ChangeOptions = TimesOptions & TaskOptions & { name?: string; handler?: string }

export function addScheduleCommands(program: Command, app: App): void {
  const schedule = program
    .command('schedule')
    .description('Schedules: times that dispatch a task')
    .addHelpText(
      'after',
      `
Examples:
  writ schedule add nightly system.ping --cron '30 2 * * *' --zone Europe/Berlin
  writ schedule add often system.ping --every 90s --when-running skip
  writ schedule next --cron '0 9 * * MON-FRI' --zone Asia/Shanghai
  writ schedule change nightly --cron '0 3 * * *'
  writ schedule pause nightly`,
    )

  withTask(
    withTimes(
      schedule.command('add <name> <handler>').description('Add a schedule; its tasks are dispatched in your name'),
    ),
  ).action(async (name: string, handler: string, o: TimesOptions & TaskOptions) => {
    // Nothing can be dropped from what is not there: those options are of a change.
    const body = { name, handler, ...timesOf(o), ...taskOf(o) } as NewSchedule
    show(app, await (await app.client()).schedules.create({ body }))
  })

  droppingSome(
    withTask(
      withTimes(
        schedule
          .command('change <schedule>')
          .description('Change what is given and keep the rest; from now on it dispatches in your name')
          .option('--name <name>', 'another name')
          .option('--handler <name>', 'another handler'),
      ),
    ),
  ).action(async (id: string, o: ChangeOptions) => {
    const body: ChangeSchedule = {
      ...(o.name ? { name: o.name } : {}),
      ...(o.handler ? { handler: o.handler } : {}),
      ...givenTimes(o),
      ...taskOf(o),
    }
    if (Object.keys(body).length === 0) throw usage('Say what to change.', 'See writ schedule change --help.')
    show(app, await (await app.client()).schedules.update({ params: { id }, body }))
  })

  schedule
    .command('list')
    .description('List the schedules of the project')
    .action(async () => app.out().list(await (await app.client()).all('schedules.list'), columns, (s) => s.id))

  schedule
    .command('show <schedule>')
    .description('Show a schedule, with its next ten times')
    .action(async (id: string) => show(app, await (await app.client()).schedules.get({ params: { id } })))

  schedule
    .command('fires <schedule>')
    .description('List what became of its last twenty times')
    .action(async (id: string) => {
      const { fires } = await (await app.client()).schedules.get({ params: { id } })
      app.out().list(fires, fireColumns, (fire) => fire.due_at)
    })

  withTimes(
    schedule
      .command('next [schedule]')
      .description('Show the next ten times, of a schedule or of times that are not saved'),
  ).action(async (id: string | undefined, o: TimesOptions) => {
    const client = await app.client()
    const next =
      id === undefined
        ? (await client.schedules.preview({ body: timesOf(o) })).next
        : (await client.schedules.get({ params: { id } })).next
    app.out().list(next, [{ head: 'NEXT', value: (time) => timeText(time) }], (time) => time)
  })

  schedule
    .command('pause <schedule>')
    .description('Dispatch nothing until it is resumed')
    .option('--reason <text>', 'why')
    .action(async (id: string, o: { reason?: string }) =>
      show(
        app,
        await (await app.client()).schedules.pause({ params: { id }, body: o.reason ? { reason: o.reason } : null }),
      ),
    )

  schedule
    .command('resume <schedule>')
    .description('Go on from now, in your name')
    .action(async (id: string) => show(app, await (await app.client()).schedules.resume({ params: { id } })))

  schedule
    .command('trigger <schedule>')
    .description('Dispatch its task now')
    .action(async (id: string) => {
      const task = await (await app.client()).schedules.trigger({ params: { id } })
      app.out().item(
        task,
        [
          ['Task', task.number, 'bold'],
          ['Open already', task.duplicate ? 'yes' : null],
          ['Id', task.id],
        ],
        task.id,
      )
    })

  schedule
    .command('delete <schedule>')
    .description('Delete a schedule; its tasks stay')
    .action(async (id: string) => {
      await (await app.client()).schedules.delete({ params: { id } })
      app.out().note(`Deleted ${id}.`)
    })
}

const show = (app: App, found: ScheduleDetail) => app.out().item(found, fields(found), found.id)

/** What is left out of a change stays as it is; of a new schedule it is the default that the option names. */
const byDefault = (command: Command, value: string) => (command.name() === 'change' ? '' : `; "${value}" otherwise`)

const withTimes = (command: Command): Command =>
  command
    .option('--cron <pattern>', 'at these times: five fields, or six with seconds first')
    .option('--every <time>', 'again and again: 90s, 15m, 6h or 7d')
    .option('--at <time>', 'once: 2026-12-01T18:00:00Z')
    .option('--zone <name>', `IANA time zone${byDefault(command, 'UTC')}`)
    .addOption(
      new Option('--gap <what>', `when clocks go forward over a time${byDefault(command, 'after')}`).choices([
        'skip',
        'after',
      ]),
    )
    .addOption(
      new Option(
        '--overlap <what>',
        `when clocks go back, of a time that comes twice${byDefault(command, 'first')}`,
      ).choices(['first', 'both']),
    )
    .option('--from <time>', 'not before; intervals are counted from it')
    .option('--until <time>', 'not after')

const withTask = (command: Command): Command =>
  command
    .option('--input <json>', 'what the handler is given')
    .option('--queue <name>', "instead of the handler's")
    .option('--priority <number>', `-100 to 100, higher first${byDefault(command, '0')}`)
    .option('--attempts <n>', 'how often each may be tried; as its handler says otherwise', countOf)
    .option('--limit <seconds>', 'how long one attempt may take; as its handler says otherwise', countOf)
    .option('--concurrency-key <key>', 'under one key as many run, and start, as the handler allows')
    .option('--ttl <time>', 'each has to end so long after its time: 90s, 15m, 6h or 7d')
    .option('--callback <url>', 'tell this address how each ended')
    .option('--tag <tag...>', 'of its tasks')
    .option(
      '--metadata <json>',
      `of its tasks${command.name() === 'change' ? '; a field that is null is dropped' : ''}`,
    )
    .addOption(
      new Option('--catch-up <what>', `times that were missed${byDefault(command, 'last')}`).choices([
        'none',
        'last',
        'all',
      ]),
    )
    .option('--catch-up-limit <number>', `with --catch-up all: at most so many${byDefault(command, '10')}`)
    .addOption(
      new Option('--when-running <what>', `while the last run is open${byDefault(command, 'allow')}`).choices([
        'allow',
        'skip',
      ]),
    )

const droppingSome = (command: Command): Command =>
  command
    .option('--no-queue', "the handler's again")
    .option('--no-priority', '0 again')
    .option('--no-attempts', 'as often as its handler says')
    .option('--no-limit', 'as long as its handler says')
    .option('--no-concurrency-key', 'under no key any more')
    .option('--no-ttl', 'whenever they end')
    .option('--no-callback', 'tell nobody any more')
    .option('--no-tag', 'no tags any more')
    .option('--no-metadata', 'no metadata any more')
    .option('--no-from', 'from whenever')
    .option('--no-until', 'without end')

/** What an option says: left out it says nothing, and of a change false is null, which drops it. */
const said = <const Name extends string, G, V>(name: Name, given: G | false | undefined, read: (given: G) => V) =>
  (given === undefined ? {} : { [name]: given === false ? null : read(given) }) as { [_ in Name]?: V | null }

function taskOf(o: TaskOptions) {
  const options = {
    ...said('queue', o.queue, String),
    ...said('priority', o.priority, wholeOf),
    ...said('max_attempts', o.attempts, Number),
    ...said('timeout_ms', o.limit, (seconds) => seconds * 1_000),
    ...said('concurrency_key', o.concurrencyKey, String),
    ...said('ttl_ms', o.ttl, (text) => secondsOf(text) * 1_000),
    ...said('tags', o.tag, (tags) => tags),
    ...said('metadata', o.metadata, (text) => objectOf('--metadata', text)),
  }
  return {
    ...(o.input === undefined ? {} : { input: jsonOf('--input', o.input) }),
    ...(Object.keys(options).length > 0 ? { options } : {}),
    ...said('callback', o.callback, (url) => ({ url })),
    ...(o.catchUp ? { catch_up: o.catchUp } : {}),
    ...(o.catchUpLimit ? { catch_up_limit: wholeOf(o.catchUpLimit) } : {}),
    ...(o.whenRunning ? { when_running: o.whenRunning } : {}),
  }
}

const waysOf = ({ cron, every, at }: TimesOptions) => [cron, every, at].filter((way) => way !== undefined).length

function timesOf(o: TimesOptions): PreviewSchedule {
  if (waysOf(o) !== 1) throw usage('Say when: one of --cron, --every and --at.')
  // Bounds are dropped by a change alone.
  return givenTimes(o) as PreviewSchedule
}

function givenTimes(o: TimesOptions) {
  if (waysOf(o) > 1) throw usage('Say when in one way: --cron, --every or --at.')
  return {
    ...(o.cron ? { cron: o.cron } : {}),
    ...(o.every ? { every_seconds: secondsOf(o.every) } : {}),
    ...(o.at ? { at: timeOf(o.at) } : {}),
    ...(o.zone ? { zone: o.zone } : {}),
    ...(o.gap ? { dst_gap: o.gap } : {}),
    ...(o.overlap ? { dst_overlap: o.overlap } : {}),
    ...said('starts_at', o.from, timeOf),
    ...said('ends_at', o.until, timeOf),
  }
}

function wholeOf(text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw usage(`"${text}" is no whole number`)
  return Number(text)
}
