import type { CancelTasks, NotReplayed, ReplayTasks } from '@writ/api'
import type { Client } from '@writ/sdk'
import { type Command, Option } from 'commander'
import { type App, refOf } from '../app.ts'
import { usage } from '../failure.ts'
import { bySteps, dollarsOf, sayCount } from '../listing.ts'
import { userRef } from '../who.ts'
import { taskFields } from './show-task.ts'
import { timeOf } from './ticket.ts'

interface ChoiceOptions {
  handler?: string
  queue?: string
  tag?: string
  error?: string
  concurrencyKey?: string
  by?: string
  cost?: number
  since?: string
  until?: string
}
interface CancelOptions extends ChoiceOptions {
  state?: NonNullable<CancelTasks['state']>
  reason?: string
  yes?: boolean
}
interface ReplayOptions extends ChoiceOptions {
  state: ReplayTasks['state']
  yes?: boolean
}

/** As many as one call takes. */
export const AT_ONCE = 1_000

/** What is done to tasks that a filter takes: counted first, and done with --yes. */
export function addManyTaskCommands(task: Command, app: App): void {
  withChoice(
    task
      .command('cancel [task]')
      .description(
        'Cancel a task, or all that a filter takes: what waits is cancelled at once, what runs is asked to stop',
      ),
  )
    .addOption(new Option('-s, --state <state>', 'with a filter: only these').choices(['pending', 'running']))
    .option('--reason <text>', 'why')
    .action(async (ref: string | undefined, o: CancelOptions) => {
      const { reason, state } = o
      const choice = await choiceOf(app, o)
      if (ref !== undefined) {
        if (Object.keys(choice).length > 0 || state) throw usage('name a task or a filter, not both')
        const cancelled = await (await app.client()).tasks.cancel({ params: { id: refOf(ref) }, body: { reason } })
        return app.out().item(cancelled, taskFields(cancelled), cancelled.number)
      }
      const body = { ...bounded(app, choice, 'name a task, or say which'), ...(state ? { state } : {}) }
      const client = await app.client()
      const { count, more } = await client.tasks.preview({ body: { ...body, open: true } })
      if (!o.yes) return sayCount(app, 'Would be cancelled', count, nextOf(count, more))
      const wanted = { ...body, ...(reason ? { reason } : {}) }
      const done = await bySteps(app, (did) => cancelAll(client, wanted, count, did))
      app.out().item(
        done,
        [
          ['Cancelled', done.cancelled],
          ['Asked to stop', done.stopping],
        ],
        String(done.cancelled),
      )
    })

  withChoice(
    task
      .command('replay')
      .description(
        'Dispatch again what ended so and a filter takes, each as a new task; "writ dlq replay" takes single ones',
      ),
  )
    .addOption(
      new Option('-s, --state <state>', 'how they ended')
        .choices(['completed', 'failed', 'timeout', 'cancelled'])
        .makeOptionMandatory(),
    )
    .action(async (o: ReplayOptions) => {
      const body = { ...bounded(app, await choiceOf(app, o)), state: o.state }
      const client = await app.client()
      const found = await client.tasks.preview({ body })
      if (!o.yes) return sayReplayable(app, found, { more: found.more, most: AT_ONCE })
      const { count, more } = found
      // Not for the rest as well: a server of before takes those that it replayed a second time.
      const { replayed, not_replayed } = await client.tasks.replayMany({
        body: { ...body, limit: Math.max(1, Math.min(AT_ONCE, count)) },
      })
      app.out().item(
        { replayed, not_replayed },
        [
          ['Replayed', replayed.length],
          ['Not replayed', not_replayed.map(notReplayedText).join('; ') || null],
          ['Left', more || count > AT_ONCE ? `the newest; the same command replays the next ${AT_ONCE}` : null],
        ],
        replayed.map(({ number }) => number).join('\n'),
      )
    })
}

/**
 * Up to `most`, a thousand in a transaction, oldest first. Those that wait before those that run: what was asked to stop is open until it
 * has, and would stand before the others in every page. Stopped in between, some were cancelled and the rest goes on.
 */
async function cancelAll(client: Client, choice: CancelTasks, most: number, did: (count: number) => void) {
  let [cancelled, stopping] = [0, 0]
  const states = choice.state ? [choice.state] : (['pending', 'running'] as const)
  for (const state of states) {
    while (cancelled + stopping < most) {
      const limit = Math.min(AT_ONCE, most - cancelled - stopping)
      const done = await client.tasks.cancelMany({ body: { ...choice, state, limit } })
      cancelled += done.cancelled
      stopping += done.stopping
      did(done.cancelled + done.stopping)
      if (done.left === 0 || done.cancelled === 0) break
    }
  }
  return { cancelled, stopping }
}

const withChoice = (command: Command) =>
  command
    .option('--handler <handler>', 'all of this handler')
    .option('--queue <queue>', 'all of this queue')
    .option('--tag <tag>', 'all with this tag')
    .option('--error <code>', 'all whose last attempt failed with this code')
    .option('--concurrency-key <key>', 'all under this concurrency key')
    .option('--by <user>', 'all that this user dispatched, by name, number or id')
    .option('--cost <usd>', 'all that cost at least so many US dollars', dollarsOf)
    .option('--since <time>', 'dispatched at or after')
    .option('--until <time>', 'dispatched before')
    .option('--yes', 'with a filter: do it; otherwise what it takes is only counted')

const choiceOf = async (app: App, o: ChoiceOptions) => ({
  ...(o.handler ? { handler: o.handler } : {}),
  ...(o.queue ? { queue: o.queue } : {}),
  ...(o.tag ? { tag: o.tag } : {}),
  ...(o.error ? { error_code: o.error } : {}),
  ...(o.concurrencyKey ? { concurrency_key: o.concurrencyKey } : {}),
  ...(o.by ? { executed_by_id: await userRef(app, o.by) } : {}),
  ...(o.cost === undefined ? {} : { cost_min: o.cost }),
  ...(o.since ? { created_after: timeOf(o.since) } : {}),
  ...(o.until ? { created_before: timeOf(o.until) } : {}),
})

/** Bounded by now, so that what is dispatched later is not among those that were counted. */
function bounded(app: App, choice: Awaited<ReturnType<typeof choiceOf>>, ask = 'say which tasks') {
  if (Object.keys(choice).length === 0)
    throw usage(`${ask} by --handler, --queue, --tag, --error, --concurrency-key, --by, --cost, --since or --until`)
  return { created_before: app.terminal.now().toISOString(), ...choice }
}

/** Why some were passed over, and the oldest of them. */
export function notReplayedText({ error_code, handler, count, first }: NotReplayed): string {
  const which = `${first.map(({ number }) => `#${number}`).join(' ')}${count > first.length ? ' ...' : ''}`
  const why =
    error_code === 'TASK_DUPLICATE'
      ? 'another task with the same unique key has not ended'
      : `handler ${handler} is ${error_code === 'HANDLER_DISABLED' ? 'disabled' : 'not there any more'}`
  return `${count}, because ${why} (${which})`
}

/** How many of those that a filter takes would be replayed, and why not the others. `more` and `most` as `nextOf` has them. */
export function sayReplayable(
  app: App,
  { count, not_replayed }: { readonly count: number; readonly not_replayed: readonly NotReplayed[] },
  { more = false, most }: { readonly more?: boolean; readonly most?: number | undefined } = {},
): void {
  const able = count - not_replayed.reduce((sum, one) => sum + one.count, 0)
  sayCount(app, 'Would be replayed', able, nextOf(able, more, most), {
    said: { not_replayed },
    rows: [['Not replayed', not_replayed.map(notReplayedText).join('; ') || null]],
  })
}

/** What to say next after a count; `most` is how many --yes takes, if not all. */
function nextOf(count: number, more: boolean, most?: number): string | null {
  if (count === 0) return null
  const all = more ? 'there are more than these; ' : ''
  return most !== undefined && count > most ? `${all}--yes replays the oldest ${most}` : `${all}say --yes to do it`
}
