import type { NotReplayed, ReplayDead, Task } from '@writ/api'
import type { Client } from '@writ/sdk'
import type { Command } from 'commander'
import { type App, refOf } from '../app.ts'
import { Failure } from '../failure.ts'
import { allOption, bySteps, type ListOptions, limitOption, listSome, sayCount } from '../listing.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'
import { AT_ONCE, notReplayedText, sayReplayable } from './many-tasks.ts'
import { showTask, taskColumns } from './show-task.ts'
import { timeOf } from './ticket.ts'

const deadColumns: Column<Task>[] = [
  ...taskColumns.filter(({ head }) => head !== 'STATE' && head !== 'DISPATCHED'),
  { head: 'DIED', value: (t) => timeText(t.dead_at) },
]

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

/** Whoever names tasks means all of them: what is there no more, or never was, must not look like success. */
function mustBeAll(refs: readonly string[], done: number): void {
  const named = new Set(refs.map(refOf)).size
  if (done >= named) return
  const what =
    named === 1 ? `Task ${refs[0]} is` : `${named - done} of the ${named} tasks ${named - done === 1 ? 'is' : 'are'}`
  throw new Failure(`${what} not among the dead letters that were asked for.`, {
    code: 'TASK_NOT_DEAD',
    advice: '"writ dlq list" shows them; "writ task show" shows any task.',
  })
}

/** What stays of those that were asked for, and why. */
function leftOf({ not_replayed, left }: Replayed): string | null {
  return left === 0 ? null : [String(left), ...not_replayed.map(notReplayedText)].join('; ')
}

/** A thousand in a transaction, and no more than there are: what dies again meanwhile stays. Stopped in between, some were replayed. */
async function replayAll(client: Client, body: ReplayDead, did: (count: number) => void): Promise<Replayed> {
  const { count, not_replayed } = await client.deadLetters.preview({ body })
  const most = count - not_replayed.reduce((sum, one) => sum + one.count, 0)
  // One call at least: it says what stays, and refuses what is no filter.
  let done = await replayUpTo(client, body, Math.max(1, Math.min(most, AT_ONCE)))
  did(done.replayed.length)
  for (let before = 0; done.left > 0 && before < done.replayed.length && done.replayed.length < most; ) {
    before = done.replayed.length
    const next = await replayUpTo(client, body, Math.min(most - before, AT_ONCE))
    did(next.replayed.length)
    done = { ...next, replayed: [...done.replayed, ...next.replayed] }
  }
  return done
}

const replayUpTo = (client: Client, body: ReplayDead, limit: number): Promise<Replayed> =>
  client.deadLetters.replayMany({ body: { ...body, limit } })

interface Replayed {
  readonly replayed: readonly { readonly number: number }[]
  readonly not_replayed: readonly NotReplayed[]
  readonly left: number
}

export function addDeadLetterCommands(program: Command, app: App): void {
  const dlq = program
    .command('dlq')
    .description('Dead letters: tasks that failed for good')
    .addHelpText(
      'after',
      `
Examples:
  writ dlq list --handler proxy_forward
  writ dlq replay 214
  writ dlq replay --code FEISHU_UNREACHABLE --since 2026-01-01        count what would be replayed
  writ dlq replay --code FEISHU_UNREACHABLE --since 2026-01-01 --yes`,
    )
  withDeadFilter(dlq.command('list').description('List dead letters, newest first'))
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (o: ListOptions & DeadOptions) =>
      listSome(app, 'deadLetters.list', deadFilterOf(o), o, deadColumns, (t) => t.number),
    )
  dlq
    .command('show <task>')
    .description('Show a dead letter with its attempts')
    .option('--log', 'also what it logged')
    .action(async (ref: string, o: { log?: boolean }) => {
      showTask(app, await (await app.client()).deadLetters.get({ params: { id: refOf(ref) } }), o.log)
    })
  withDeadFilter(
    dlq
      .command('replay [tasks...]')
      .description('Dispatch dead letters again: those that are named at once, those that a filter takes with --yes'),
  )
    .option('--yes', 'with a filter: do it; otherwise what it takes is only counted')
    .option('--preview', 'only count, whatever else is said')
    .action(async (refs: string[], o: DeadOptions & { yes?: boolean; preview?: boolean }) => {
      const client = await app.client()
      const body = { ...deadFilterOf(o), ...(refs.length > 0 ? { ids: refs.map(refOf) } : {}) }
      if (o.preview || (refs.length === 0 && !o.yes))
        return sayReplayable(app, await client.deadLetters.preview({ body }))
      const done =
        refs.length > 0
          ? await replayUpTo(client, body, AT_ONCE)
          : await bySteps(app, (did) => replayAll(client, body, did))
      app.out().item(
        done,
        [
          ['Replayed', done.replayed.length],
          ['Left', leftOf(done)],
        ],
        done.replayed.map(({ number }) => number).join('\n'),
      )
      if (done.left > 0 && refs.length > 0 && refs.length <= AT_ONCE)
        throw new Failure(
          `Of those that were named, ${done.left} stayed as they are: ${done.not_replayed.map(notReplayedText).join('; ')}.`,
          { code: done.not_replayed[0]?.error_code ?? 'TASK_DUPLICATE' },
        )
      if (done.left === 0) mustBeAll(refs, done.replayed.length)
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
      const { purged } = await client.deadLetters.purge({ body })
      sayCount(app, 'Purged', purged)
      mustBeAll(refs, purged)
    })
}
