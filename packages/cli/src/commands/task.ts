import { readFile } from 'node:fs/promises'
import type { Batch, ConcurrencyKey, NewTask, Queue, RunState, Task, TaskAttempt, TaskDetail, TaskLog } from '@writ/api'
import type { Client } from '@writ/sdk'
import { type Command, Option } from 'commander'
import { type App, refOf } from '../app.ts'
import { colourOf } from '../columns.ts'
import { exitCodes } from '../exit-codes.ts'
import { Failure, usage } from '../failure.ts'
import { allOption, countOf, type ListOptions, limitOption, listSome } from '../listing.ts'
import type { Field } from '../output.ts'
import type { Column } from '../table.ts'
import { safeText, timeText } from '../text.ts'
import { timeOf } from './ticket.ts'

const states = ['pending', 'running', 'completed', 'failed', 'cancelled', 'timeout']
const isFinal = (task: Task) => task.completed_at !== null

const columns: Column<Task>[] = [
  { head: '#', value: (t) => t.number, right: true },
  { head: 'STATE', value: (t) => t.state, paint: (t) => colourOf(t.state) },
  { head: 'HANDLER', value: (t) => t.handler, shrink: true },
  { head: 'QUEUE', value: (t) => t.queue },
  { head: 'ATTEMPT', value: (t) => `${t.attempt}/${t.max_attempts}`, right: true },
  { head: 'BY', value: (t) => t.executed_by_username },
  { head: 'ERROR', value: (t) => t.error ?? t.error_code, shrink: true },
  { head: 'DISPATCHED', value: (t) => timeText(t.created_at) },
]

const deadColumns: Column<Task>[] = [
  ...columns.filter(({ head }) => head !== 'STATE' && head !== 'DISPATCHED'),
  { head: 'DIED', value: (t) => timeText(t.dead_at) },
]

const fields = (t: Task): Field[] => [
  ['Task', `#${t.number}  ${t.handler}`, 'bold'],
  ['State', t.state, colourOf(t.state)],
  ['Queue', t.priority === 0 ? t.queue : `${t.queue}, priority ${t.priority}`],
  ['Attempt', `${t.attempt} of ${t.max_attempts}`],
  ['Error', t.error, 'red'],
  ['Code', t.error_code],
  ['Asked to stop', timeText(t.cancel_requested_at)],
  ['Dead since', timeText(t.dead_at), 'red'],
  ['Replays', t.replays_run_id],
  ['Unique key', t.unique_key],
  ['Concurrency key', t.concurrency_key],
  ['Waits for', isFinal(t) ? null : t.waiting_for === 'dependencies' ? 'other tasks' : t.waiting_for && 'its key'],
  ['Depends on', t.depends_on.join(' ')],
  ['Dispatched by task', t.parent_run_id],
  ['Tags', t.tags.join(' ')],
  ['Tells', t.callback?.url],
  ['Dispatched by', t.executed_by_username],
  ['Dispatched', timeText(t.created_at)],
  ['To start at', isFinal(t) ? null : timeText(t.run_at)],
  ['Deadline', timeText(t.deadline_at)],
  ['Started', timeText(t.started_at)],
  ['Ended', timeText(t.completed_at)],
  ['Id', t.id],
]

const attemptColumns: Column<TaskAttempt>[] = [
  { head: 'ATTEMPT', value: (a) => a.attempt, right: true },
  { head: 'OUTCOME', value: (a) => a.outcome, paint: (a) => colourOf(a.outcome === 'lost' ? 'failed' : a.outcome) },
  { head: 'ENDED', value: (a) => timeText(a.ended_at) },
  { head: 'ERROR', value: (a) => a.error ?? a.error_code, shrink: true },
  { head: 'NEXT', value: (a) => timeText(a.next_run_at) },
]

const queueColumns: Column<Queue>[] = [
  { head: 'QUEUE', value: (q) => q.name },
  { head: 'STATE', value: stateOf, paint: (q) => (q.paused_at ? 'yellow' : 'green') },
  { head: 'AT ONCE', value: (q) => q.concurrency, right: true },
  { head: 'WAITING', value: (q) => q.waiting, right: true },
  { head: 'DELAYED', value: (q) => q.delayed, right: true },
  { head: 'IN FLIGHT', value: (q) => q.in_flight, right: true },
  { head: 'OLDEST', value: (q) => timeText(q.oldest_waiting_at) },
]

function stateOf(queue: Queue): string {
  return queue.paused_at ? `paused since ${timeText(queue.paused_at)}` : 'open'
}

interface RunOptions {
  input?: string
  queue?: string
  priority?: number
  delay?: number
  at?: string
  attempts?: number
  limit?: number
  deadline?: string
  key?: string
  keyPolicy?: NewTask['unique_policy']
  debounce?: number
  concurrencyKey?: string
  after?: string[]
  afterAnyway?: boolean
  tag?: string[]
  callback?: string
  wait?: boolean
  timeout: number
  idempotencyKey?: string
}

export function addTaskCommands(program: Command, app: App): void {
  const task = program
    .command('task')
    .description('Tasks: named work that is dispatched, done, retried and never lost')
    .addHelpText(
      'after',
      `
Examples:
  writ task run system.ping --wait
  writ task run proxy_forward --input '{"urls": ["https://example.com/hook"], "data": {"port": 7}}' --attempts 4
  writ task run script.execute --input @arguments.json --delay 600
  writ task list --state failed
  writ dlq replay --handler proxy_forward`,
    )

  task
    .command('run <handler>')
    .description('Dispatch a task')
    .option('-i, --input <json>', 'what the handler gets: JSON, or @file, or - for standard input')
    .option('--queue <queue>', "instead of the handler's own")
    .option('--priority <n>', 'higher first, from -100 to 100', priorityOf)
    .option('--delay <seconds>', 'start no sooner than so many seconds from now', countOf)
    .option('--at <time>', 'start no sooner than then')
    .option('--attempts <n>', 'how often it may be tried', countOf)
    .option('--limit <seconds>', 'how long one attempt may take', countOf)
    .option('--deadline <time>', 'not to be started or finished after that')
    .option('--key <key>', 'while a task with this key is open, another is not accepted but answered with it')
    .addOption(
      new Option('--key-policy <policy>', 'with --key, when one is open: answer it, refuse, or take its place').choices(
        ['return', 'reject', 'replace'],
      ),
    )
    .option('--debounce <seconds>', 'with --key: start so long after the last dispatch, with its input', countOf)
    .option('--concurrency-key <key>', 'under one key as many run, and start, as the handler allows')
    .option('--after <task...>', 'only when these have completed; if one does not, it is cancelled')
    .option('--after-anyway', 'with --after: when these have ended, however they did')
    .option('--tag <tag...>', 'words to find it by')
    .option('--callback <url>', 'tell this address how it ended')
    .option('-w, --wait', 'wait until it has ended; the exit code says how')
    .option('--timeout <seconds>', 'with --wait: at most so long, then exit with 124', countOf, 300)
    .option('--idempotency-key <key>', 'the same key again answers the same task instead of dispatching another')
    .action(async (handler: string, o: RunOptions) => {
      const client = await app.client()
      const body = await taskOf(app, handler, o)
      const submitted = await client.tasks.submit({ body, idempotencyKey: o.idempotencyKey })
      if (submitted.duplicate) app.out().note(`A task with the key "${o.key}" is open: #${submitted.number}.`)
      if (o.wait) return showEnd(app, await waitForTask(client, submitted.id, o.timeout, app))
      app.out().item(
        submitted,
        [
          ['Task', `#${submitted.number}`, 'bold'],
          ['Id', submitted.id],
        ],
        submitted.number,
      )
    })

  task
    .command('list')
    .description('List tasks, newest first')
    .addOption(new Option('-s, --state <state>', 'only those in this state').choices(states))
    .option('--handler <handler>', 'only of this handler')
    .option('--queue <queue>', 'only of this queue')
    .option('--tag <tag>', 'only with this tag')
    .option('--parent <id>', 'only those that this task dispatched')
    .option('--batch <batch>', 'only those of this batch')
    .option('--key <key>', 'only those with this unique key')
    .option('--error <code>', 'only those that failed with this code')
    .option(
      '--text <text>',
      'only those with this in handler, error, tags, keys, worker, metadata or input; of the newest 20,000',
    )
    .option('--since <time>', 'dispatched at or after')
    .option('--until <time>', 'dispatched before')
    .addOption(limitOption())
    .addOption(allOption())
    .action(
      async (
        o: ListOptions & {
          state?: RunState
          handler?: string
          queue?: string
          tag?: string
          parent?: string
          batch?: string
          key?: string
          error?: string
          text?: string
          since?: string
          until?: string
        },
      ) => {
        const query = {
          state: o.state,
          handler: o.handler,
          queue: o.queue,
          tag: o.tag,
          parent: o.parent,
          batch: o.batch,
          unique_key: o.key,
          error_code: o.error,
          q: o.text,
          created_after: o.since && timeOf(o.since),
          created_before: o.until && timeOf(o.until),
        }
        app.out().list(await listSome(await app.client(), 'tasks.list', query, o), columns, (t) => t.number)
      },
    )

  task
    .command('show <task>')
    .description('Show a task with its attempts')
    .option('--log', 'also what it logged')
    .action(async (ref: string, o: { log?: boolean }) => {
      show(app, await (await app.client()).tasks.get({ params: { id: refOf(ref) } }), o.log)
    })

  task
    .command('log <task>')
    .description('Print what a task prints, also while it runs')
    .option('--attempt <n>', 'of this attempt; of the newest when left out', countOf)
    .option('-f, --follow', 'go on as lines come, until nothing is still to come')
    .option('--tail <n>', 'begin with the newest so many lines', countOf)
    .addHelpText(
      'after',
      `
Followed without --attempt, the next attempts are printed too. With "-o json" each line is one object: attempt, line, text.

Examples:
  writ task log 12 --follow
  writ task log 12 --attempt 1 --tail 20`,
    )
    .action(async (ref: string, o: { attempt?: number; follow?: boolean; tail?: number }) => {
      const client = await app.client()
      const sayLog = createLogSayer(app)
      if (o.follow) {
        for await (const log of client.followLog({ task: refOf(ref), attempt: o.attempt, tail: o.tail })) sayLog(log)
        return
      }
      const params = { id: refOf(ref) }
      let log = await client.tasks.log({ params, query: { attempt: o.attempt, tail: o.tail, limit: 5_000 } })
      sayLog(log)
      while (log.more) {
        log = await client.tasks.log({ params, query: { attempt: log.attempt, after: log.last_line, limit: 5_000 } })
        sayLog(log)
      }
    })

  task
    .command('cancel <task>')
    .description('Cancel a task: one that waits at once, one that runs is asked to stop')
    .option('--reason <text>', 'why')
    .action(async (ref: string, { reason }: { reason?: string }) => {
      const params = { id: refOf(ref) }
      const cancelled = await (await app.client()).tasks.cancel({ params, body: { reason } })
      app.out().item(cancelled, fields(cancelled), cancelled.number)
    })

  task
    .command('wait <task>')
    .description('Wait until a task has ended; the exit code says how')
    .option('--timeout <seconds>', 'at most so long, then exit with 124', countOf, 300)
    .action(async (ref: string, o: { timeout: number }) =>
      showEnd(app, await waitForTask(await app.client(), refOf(ref), o.timeout, app)),
    )

  task
    .command('batch <file>')
    .description(
      'Dispatch many tasks at once, all or none: a JSON array of what POST /tasks takes, in a file or - for standard input',
    )
    .action(async (file: string) => {
      const text = await textOf(app, file === '-' || file.startsWith('@') ? file : `@${file}`)
      const tasks = jsonOf(text, 'the file')
      if (!Array.isArray(tasks)) throw usage('The file has to hold a JSON array of tasks')
      // What is in it the server examines.
      const submitted = await (await app.client()).tasks.submitMany({ body: { tasks: tasks as NewTask[] } })
      const id = submitted[0]?.batch_id ?? ''
      app.out().item(
        submitted,
        [
          ['Batch', id, 'bold'],
          ['Tasks', submitted.map(({ number }) => `#${number}`).join(' ')],
        ],
        id,
      )
    })

  task
    .command('handlers')
    .description('List what can be dispatched')
    .action(async () =>
      app.out().list(
        await (await app.client()).tasks.handlers(),
        [
          { head: 'HANDLER', value: (h) => h.name },
          { head: 'WHAT IT DOES', value: (h) => h.title, shrink: true },
          { head: 'QUEUE', value: (h) => h.queue },
          { head: 'ATTEMPTS', value: (h) => h.max_attempts, right: true },
          { head: 'LIMIT', value: (h) => `${h.timeout_ms / 1_000} s`, right: true },
          { head: 'SIDE EFFECT', value: (h) => h.side_effect },
        ],
        (h) => h.name,
      ),
    )

  addBatchCommands(program, app)
  addQueueCommands(program, app)
  addDeadLetterCommands(program, app)
}

function addBatchCommands(program: Command, app: App): void {
  const batch = program.command('batch').description('Batches: tasks that were dispatched together')
  const show = (found: Batch) =>
    app.out().item(
      found,
      [
        ['Batch', found.id, 'bold'],
        ['Tasks', found.total],
        ['Waiting', found.pending],
        ['Running', found.running],
        ['Completed', found.completed],
        ['Failed', found.failed],
        ['Timed out', found.timeout],
        ['Cancelled', found.cancelled],
      ],
      found.id,
    )
  batch
    .command('list')
    .description('List batches, newest first')
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (o: ListOptions) =>
      app.out().list(
        await listSome(await app.client(), 'tasks.batches', {}, o),
        [
          { head: 'BATCH', value: (b) => b.id },
          { head: 'TASKS', value: (b) => b.total, right: true },
          { head: 'ENDED', value: (b) => b.total - b.pending - b.running, right: true },
          { head: 'FAILED', value: (b) => b.failed + b.timeout, right: true },
          { head: 'DISPATCHED', value: (b) => timeText(b.created_at) },
        ],
        (b) => b.id,
      ),
    )
  batch
    .command('show <batch>')
    .description('Show how far the tasks of a batch are')
    .action(async (id: string) => show(await (await app.client()).tasks.batch({ params: { id } })))
  batch
    .command('cancel <batch>')
    .description('Cancel what of a batch has not ended')
    .action(async (id: string) =>
      show(await (await app.client()).tasks.cancelBatch({ params: { id }, body: { limit: 10_000 } })),
    )
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
  { head: 'LIMITS', value: (k) => k.limits.map(limitText).join('; ') || null },
]

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

function addQueueCommands(program: Command, app: App): void {
  const queue = program.command('queue').description('Queues: where tasks wait')
  queue
    .command('list')
    .description('List the queues of the project')
    .action(async () => app.out().list(await (await app.client()).queues.list(), queueColumns, (q) => q.name))
  for (const [name, what] of [
    ['pause', 'Start nothing of it any more; what runs goes on'],
    ['resume', 'Start what waits, in its order'],
  ] as const) {
    queue
      .command(`${name} <queue>`)
      .description(what)
      .action(async (of: string) => {
        const changed = await (await app.client()).queues[name]({ params: { name: of } })
        app.out().item(
          changed,
          [
            ['Queue', changed.name, 'bold'],
            ['State', stateOf(changed)],
          ],
          changed.name,
        )
      })
  }
  queue
    .command('limit <queue> <n>')
    .description('So many of its tasks run at once, over all servers and workers; "none" takes the limit away')
    .action(async (of: string, n: string) => {
      const concurrency = n === 'none' ? null : countOf(n)
      const changed = await (await app.client()).queues.limit({ params: { name: of }, body: { concurrency } })
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
          ...key.limits.map((one): [string, string] => ['Limit', `${limitText(one)} (${one.reason})`]),
        ],
        key.key,
      )
  queue
    .command('keys')
    .description('List the concurrency keys that tasks have now, or that are paused or limited')
    .action(async () => app.out().list(await (await app.client()).concurrencyKeys.list(), keyColumns, (k) => k.key))
  queue
    .command('pause-key <key>')
    .description('Start nothing with this concurrency key for a while; what runs goes on')
    .requiredOption('--until <time>', 'when it goes on by itself')
    .action(async (key: string, o: { until: string }) =>
      showKey(await (await app.client()).concurrencyKeys.pause({ body: { key, until: timeOf(o.until) } })),
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
      const found = (await client.queues.list()).find(({ name }) => name === of)
      const waiting = found ? found.waiting + found.delayed : 0
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

interface DeadOptions {
  handler?: string
  queue?: string
  code?: string
  since?: string
  until?: string
}

const withDeadFilter = (command: Command) =>
  command
    .option('--handler <handler>', 'only of this handler')
    .option('--queue <queue>', 'only of this queue')
    .option('--code <code>', 'only with this error code')
    .option('--since <time>', 'died at or after')
    .option('--until <time>', 'died before')

const deadFilterOf = (o: DeadOptions) => ({
  ...(o.handler ? { handler: o.handler } : {}),
  ...(o.queue ? { queue: o.queue } : {}),
  ...(o.code ? { error_code: o.code } : {}),
  ...(o.since ? { died_after: timeOf(o.since) } : {}),
  ...(o.until ? { died_before: timeOf(o.until) } : {}),
})

function addDeadLetterCommands(program: Command, app: App): void {
  const dlq = program
    .command('dlq')
    .description('Dead letters: tasks that failed for good')
    .addHelpText(
      'after',
      `
Examples:
  writ dlq list --handler proxy_forward
  writ dlq replay 214
  writ dlq replay --code FEISHU_UNREACHABLE --since 2026-01-01 --preview`,
    )
  withDeadFilter(dlq.command('list').description('List dead letters, newest first'))
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (o: ListOptions & DeadOptions) =>
      app
        .out()
        .list(await listSome(await app.client(), 'deadLetters.list', deadFilterOf(o), o), deadColumns, (t) => t.number),
    )
  dlq
    .command('show <task>')
    .description('Show a dead letter with its attempts')
    .option('--log', 'also what it logged')
    .action(async (ref: string, o: { log?: boolean }) => {
      show(app, await (await app.client()).deadLetters.get({ params: { id: refOf(ref) } }), o.log)
    })
  withDeadFilter(dlq.command('replay [tasks...]').description('Dispatch dead letters again: some, or all that match'))
    .option('--preview', 'only count')
    .action(async (refs: string[], o: DeadOptions & { preview?: boolean }) => {
      const client = await app.client()
      const body = { ...deadFilterOf(o), ...(refs.length > 0 ? { ids: refs.map(refOf) } : {}) }
      if (o.preview) return sayCount(app, 'Would be replayed', (await client.deadLetters.preview({ body })).count)
      const done = await client.deadLetters.replayMany({ body: { ...body, limit: 1_000 } })
      app.out().item(
        done,
        [
          ['Replayed', done.replayed.length],
          ['Left', done.left === 0 ? null : `${done.left}; at most 1000 are replayed at a time`],
        ],
        done.replayed.map(({ number }) => number).join('\n'),
      )
    })
  withDeadFilter(dlq.command('purge [tasks...]').description('Take dead letters off the list; their record stays'))
    .option('--yes', 'do it; otherwise what would be purged is only counted')
    .action(async (refs: string[], o: DeadOptions & { yes?: boolean }) => {
      const client = await app.client()
      const body = { ...deadFilterOf(o), ...(refs.length > 0 ? { ids: refs.map(refOf) } : {}) }
      if (!o.yes) {
        const { count } = await client.deadLetters.preview({ body })
        return sayCount(app, 'Would be purged', count, 'say --yes to do it')
      }
      sayCount(app, 'Purged', (await client.deadLetters.purge({ body })).purged)
    })
}

const sayCount = (app: App, what: string, count: number, next: string | null = null) =>
  app.out().item(
    { count },
    [
      [what, count],
      ['Next', next],
    ],
    String(count),
  )

function show(app: App, task: TaskDetail, withLog?: boolean): void {
  const out = app.out()
  out.item(task, fields(task), task.number)
  if (out.quiet || out.format !== 'table') return
  out.say(`\nInput:  ${JSON.stringify(task.input)}`)
  if (isFinal(task) && task.error_code === null) out.say(`Result: ${JSON.stringify(task.result)}`)
  if (task.attempts.length > 0) {
    out.say('')
    out.list(task.attempts, attemptColumns, (a) => a.attempt)
  }
  if (withLog && task.log) out.say(`\n${safeText(task.log)}`)
}

/** Prints logs that follow each other, and says where lines are missing and where another attempt begins. */
function createLogSayer(app: App): (log: TaskLog) => void {
  const out = app.out()
  let attempt: number | undefined
  let next: number | undefined
  return (log) => {
    if (attempt !== undefined && attempt !== log.attempt) {
      out.note(`Attempt ${log.attempt}:`)
      next = 1
    }
    attempt = log.attempt
    for (const { first_line, lines } of log.chunks) {
      if (next !== undefined && first_line > next) out.note(`Lines ${next} to ${first_line - 1} were not kept.`)
      next = first_line + lines.length
      for (const [i, text] of lines.entries()) {
        if (out.format === 'table') out.say(safeText(text))
        else out.raw(`${JSON.stringify({ attempt: log.attempt, line: first_line + i, text })}\n`)
      }
    }
    if (log.complete && !log.more && log.outcome === 'lost')
      out.note(`Attempt ${log.attempt} was lost with its worker; its last lines may be missing.`)
  }
}

function showEnd(app: App, task: TaskDetail): void {
  const out = app.out()
  if (out.quiet || out.format !== 'table') out.item(task, [], task.number)
  else if (task.state === 'completed') out.say(JSON.stringify(task.result, null, 2))
  else
    out.say(`${out.paint(task.state, 'red')}  task #${task.number}: ${safeText(task.error ?? task.error_code ?? '')}`)
  app.exit(task.state === 'completed' ? exitCodes.ok : task.state === 'timeout' ? exitCodes.timeout : exitCodes.failure)
}

/** Waits until the task is final. Throws a Failure that exits with 124 after `seconds`; the task itself goes on then. */
async function waitForTask(client: Client, id: string, seconds: number, app: App): Promise<TaskDetail> {
  const until = app.terminal.ticks() + seconds * 1_000
  for (;;) {
    const left = Math.max(0, Math.ceil((until - app.terminal.ticks()) / 1_000))
    const task = await client.tasks.wait({ params: { id }, query: { timeout: Math.min(25, left) } })
    if (isFinal(task)) return task
    if (left === 0) {
      throw new Failure(`Task #${task.number} still is ${task.state} after ${seconds} s`, {
        advice: `It goes on; "writ task wait ${task.number}" waits again.`,
        exit: exitCodes.timeout,
      })
    }
  }
}

async function taskOf(app: App, handler: string, o: RunOptions): Promise<NewTask> {
  if (o.delay !== undefined && o.at !== undefined) throw usage('--delay and --at say the same thing; give one')
  const at =
    o.delay === undefined
      ? o.at && timeOf(o.at)
      : new Date(app.terminal.now().getTime() + o.delay * 1_000).toISOString()
  return {
    handler,
    input: o.input === undefined ? {} : jsonOf(await textOf(app, o.input)),
    ...(o.queue ? { queue: o.queue } : {}),
    ...(o.priority === undefined ? {} : { priority: o.priority }),
    ...(at ? { run_at: at } : {}),
    ...(o.attempts ? { max_attempts: o.attempts } : {}),
    ...(o.limit ? { timeout_ms: o.limit * 1_000 } : {}),
    ...(o.deadline ? { deadline_at: timeOf(o.deadline) } : {}),
    ...(o.key ? { unique_key: o.key } : {}),
    ...(o.keyPolicy ? { unique_policy: o.keyPolicy } : {}),
    ...(o.debounce ? { debounce: { wait_ms: o.debounce * 1_000 } } : {}),
    ...(o.concurrencyKey ? { concurrency_key: o.concurrencyKey } : {}),
    ...(o.after ? { depends_on: o.after.map(refOf) } : {}),
    ...(o.afterAnyway ? { depends_on_policy: 'run' } : {}),
    ...(o.tag ? { tags: o.tag } : {}),
    ...(o.callback ? { callback: { url: o.callback } } : {}),
  }
}

async function textOf(app: App, given: string): Promise<string> {
  if (given === '-') return (await app.terminal.stdin.setEncoding('utf8').toArray()).join('')
  return given.startsWith('@') ? readFile(given.slice(1), 'utf8') : given
}

function jsonOf(text: string, what = '--input'): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw usage(`${what} is no JSON`, `For example: --input '{"name": "switch 7"}'`)
  }
}

function priorityOf(text: string): number {
  const value = Number(text)
  if (!/^-?\d+$/.test(text) || value < -100 || value > 100) throw usage(`"${text}" is no whole number from -100 to 100`)
  return value
}
