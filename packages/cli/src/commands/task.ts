import type { NewTask, RunState, TaskDetail } from '@writ/api'
import type { Client } from '@writ/sdk'
import { type Command, Option } from 'commander'
import { type App, refOf } from '../app.ts'
import { besideOthers } from '../beside.ts'
import { exitCodes } from '../exit-codes.ts'
import { Failure, usage } from '../failure.ts'
import { readGiven } from '../given-file.ts'
import { jsonOf, objectOf } from '../json-option.ts'
import { secondsOf } from '../length-of-time.ts'
import { allOption, countOf, dollarsOf, type ListOptions, limitOption, listSome } from '../listing.ts'
import type { Field } from '../output.ts'
import { usdText } from '../text.ts'
import { userRef } from '../who.ts'
import { addManyTaskCommands } from './many-tasks.ts'
import { createLogSayer, isFinal, showEnd, showTask, taskColumns } from './show-task.ts'
import { timeOf } from './ticket.ts'

type Query = NonNullable<Parameters<Client['tasks']['totals']>[0]>['query'] & object

const states = ['pending', 'running', 'completed', 'failed', 'cancelled', 'timeout']

interface RunOptions {
  input?: string
  queue?: string
  priority?: number
  delay?: number
  at?: string
  attempts?: number
  limit?: number
  deadline?: string
  ttl?: string
  key?: string
  keyPolicy?: NewTask['unique_policy']
  debounce?: number
  maxWait?: number
  concurrencyKey?: string
  after?: string[]
  afterAnyway?: boolean
  tag?: string[]
  metadata?: string
  callback?: string
  wait?: boolean
  timeout: number
  idempotencyKey?: string
}

const INPUT_ADVICE = `For example: --input '{"name": "switch 7"}'`

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
  writ task cancel --handler proxy_forward --since 2026-11-01        count what would be cancelled
  writ task replay --state failed --tag nightly --yes        dispatch these again
  writ dlq replay --handler proxy_forward        count what would be dispatched again`,
    )

  besideOthers(task.command('run <handler>').description('Dispatch a task'), {
    keyPolicy: 'key',
    debounce: 'key',
    maxWait: 'debounce',
    afterAnyway: 'after',
    timeout: 'wait',
  })
    .option('-i, --input <json>', 'what the handler gets: JSON, or @file, or - for standard input')
    .option('--queue <queue>', "instead of the handler's own")
    .option('--priority <n>', 'higher first, from -100 to 100; 0 otherwise', priorityOf)
    .option('--delay <seconds>', 'start no sooner than so many seconds from now', countOf)
    .option('--at <time>', 'start no sooner than then')
    .option('--attempts <n>', 'how often it may be tried; as its handler says otherwise', countOf)
    .option('--limit <seconds>', 'how long one attempt may take; as its handler says otherwise', countOf)
    .option('--deadline <time>', 'not to be started or finished after that')
    .option('--ttl <time>', 'has to end so long after it was due: 90s, 15m, 6h or 7d; as its handler says otherwise')
    .option('--key <key>', 'while a task with this key is open, another is not accepted but answered with it')
    .addOption(
      new Option(
        '--key-policy <policy>',
        'with --key, when one is open: answer it (otherwise, too), refuse, or take its place',
      ).choices(['return', 'reject', 'replace']),
    )
    .option('--debounce <seconds>', 'with --key: start so long after the last dispatch, with its input', countOf)
    .option('--max-wait <seconds>', 'with --debounce: at most so long after the first dispatch', countOf)
    .option('--concurrency-key <key>', 'under one key as many run, and start, as the handler allows')
    .option('--after <task...>', 'only when these have completed; if one does not, it is cancelled')
    .option('--after-anyway', 'with --after: when these have ended, however they did')
    .option('--tag <tag...>', 'words to find it by')
    .option('--metadata <json>', 'what of yours is kept with it: \'{"order": 17}\'')
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
    .option('--concurrency-key <key>', 'only those under this concurrency key')
    .option('--by <user>', 'only those that this user dispatched, by name, number or id')
    .option('--cost <usd>', 'only those that cost at least so many US dollars', dollarsOf)
    .option('--error <code>', 'only those that failed with this code')
    .option(
      '--text <text>',
      'only those with this in handler, error, tags, keys, worker, metadata or input; of the newest 20,000',
    )
    .option('--since <time>', 'dispatched at or after')
    .option('--until <time>', 'dispatched before')
    .option('--totals', 'how many are in which state, and what they cost, instead of the tasks')
    .addOption(limitOption())
    .addOption(allOption())
    .action(
      async (
        o: ListOptions & {
          totals?: boolean
          state?: RunState
          handler?: string
          queue?: string
          tag?: string
          parent?: string
          batch?: string
          key?: string
          concurrencyKey?: string
          by?: string
          cost?: number
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
          concurrency_key: o.concurrencyKey,
          executed_by_id: o.by && (await userRef(app, o.by)),
          cost_min: o.cost,
          error_code: o.error,
          q: o.text,
          created_after: o.since && timeOf(o.since),
          created_before: o.until && timeOf(o.until),
        }
        if (!o.totals) return listSome(app, 'tasks.list', query, o, taskColumns, (t) => t.number)
        // What was not given is left out by the client.
        const totals = await (await app.client()).tasks.totals({ query: query as Query })
        app
          .out()
          .item(
            totals,
            [
              ['Tasks', totals.tasks],
              ...totals.states.map(
                ({ state, tasks, cost_usd }): Field => [
                  `  ${state}`,
                  cost_usd > 0 ? `${tasks}  (${usdText(cost_usd)})` : tasks,
                ],
              ),
              ['Cost', totals.cost_usd > 0 ? usdText(totals.cost_usd) : null],
            ],
            totals.tasks,
          )
      },
    )

  task
    .command('show <task>')
    .description('Show a task with its attempts')
    .option('--log', 'also what it logged')
    .action(async (ref: string, o: { log?: boolean }) => {
      showTask(app, await (await app.client()).tasks.get({ params: { id: refOf(ref) } }), o.log)
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

  addManyTaskCommands(task, app)

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
      const tasks = jsonOf('the file', text, INPUT_ADVICE)
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
        await (await app.client()).all('tasks.handlers'),
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
    input: o.input === undefined ? {} : jsonOf('--input', await textOf(app, o.input), INPUT_ADVICE),
    ...(o.queue ? { queue: o.queue } : {}),
    ...(o.priority === undefined ? {} : { priority: o.priority }),
    ...(at ? { run_at: at } : {}),
    ...(o.attempts ? { max_attempts: o.attempts } : {}),
    ...(o.limit ? { timeout_ms: o.limit * 1_000 } : {}),
    ...(o.deadline ? { deadline_at: timeOf(o.deadline) } : {}),
    ...(o.ttl ? { ttl_ms: secondsOf(o.ttl) * 1_000 } : {}),
    ...(o.key ? { unique_key: o.key } : {}),
    ...(o.keyPolicy ? { unique_policy: o.keyPolicy } : {}),
    ...(o.debounce
      ? { debounce: { wait_ms: o.debounce * 1_000, ...(o.maxWait ? { max_wait_ms: o.maxWait * 1_000 } : {}) } }
      : {}),
    ...(o.concurrencyKey ? { concurrency_key: o.concurrencyKey } : {}),
    ...(o.after ? { depends_on: o.after.map(refOf) } : {}),
    ...(o.afterAnyway ? { depends_on_policy: 'run' } : {}),
    ...(o.tag ? { tags: o.tag } : {}),
    ...(o.metadata === undefined ? {} : { metadata: objectOf('--metadata', o.metadata) }),
    ...(o.callback ? { callback: { url: o.callback } } : {}),
  }
}

async function textOf(app: App, given: string): Promise<string> {
  if (given === '-') return (await app.terminal.stdin.setEncoding('utf8').toArray()).join('')
  return given.startsWith('@') ? readGiven(given.slice(1), { mayBeEmpty: true }) : given
}

function priorityOf(text: string): number {
  const value = Number(text)
  if (!/^-?\d+$/.test(text) || value < -100 || value > 100) throw usage(`"${text}" is no whole number from -100 to 100`)
  return value
}
