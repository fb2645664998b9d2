import type { Run, RunDetail, RunState, Verdict } from '@writ/api'
import { type Command, Option } from 'commander'
import { type App, refOf } from '../app.ts'
import { besideOthers } from '../beside.ts'
import { runColumns, runFields } from '../columns.ts'
import { usage } from '../failure.ts'
import { objectOf } from '../json-option.ts'
import { allOption, bySteps, countOf, type ListOptions, limitOption, listSome } from '../listing.ts'
import { evidenceOf, openEvidence, sendFiles } from '../send-files.ts'
import { safeText } from '../text.ts'
import { exitCodeOfRun, sayVerdict, waitForRun } from '../verdict.ts'
import { timeOf } from './ticket.ts'

const states = ['pending', 'running', 'waiting_approval', 'waiting_tool', 'completed', 'failed', 'cancelled', 'timeout']

interface StartOptions extends WaitOptions {
  ticket: string
  type: 'proof' | 'action'
  script?: string
  data?: string
  manual?: boolean
  idempotencyKey?: string
}
interface WaitOptions {
  wait?: boolean
  timeout: number
}

export function addRunCommands(program: Command, app: App): void {
  const run = program
    .command('run')
    .description('Runs: what was done, with what evidence')
    .addHelpText(
      'after',
      `
"writ proof run" starts a proof run and uploads its evidence in one go.

Examples:
  writ run list --ticket 1
  writ run show 12
  writ run verify 12 --wait        judge the same evidence again, today
  writ run verify --script rules.access-switch --since 2026-11-01        count what would be judged again
  writ run cancel --asset 7 --until 2026-11-20 --yes        cancel all of these that still wait`,
    )

  withWait(run.command('start').description('Start a run on a ticket'))
    .requiredOption('-t, --ticket <ticket>', 'the ticket that this run is for', refOf)
    .addOption(new Option('--type <type>', 'what kind of run').choices(['proof', 'action']).default('proof'))
    .option('--script <script>', 'what to check or do; "writ rules scripts" lists them')
    .option('--data <json>', 'what you want to say about where and how, kept with the run')
    .option('--manual', 'check only when told so with "writ run finalize"')
    .option('--idempotency-key <key>', 'the same key again answers the same run instead of starting another')
    .action(async (o: StartOptions) => {
      const client = await app.client()
      const started = await client.runs.start({
        body: {
          run_type: o.type,
          ticket_id: o.ticket,
          ...(o.script ? { script_id: o.script } : {}),
          ...(o.data ? { execution_context: objectOf('--data', o.data) } : {}),
          ...(o.manual ? { finalize: 'manual' } : {}),
        },
        idempotencyKey: o.idempotencyKey,
      })
      await showOrWait(app, started, o)
      if (!o.wait && started.waiting_for === 'evidence') {
        app.out().note(`Waits for evidence: "writ artifact upload -r ${started.number} <files>".`)
      }
    })

  run
    .command('list')
    .description('List runs, newest first')
    .option('-t, --ticket <ticket>', 'only those of this ticket', refOf)
    .option('--asset <asset>', 'only those on tickets of this asset', refOf)
    .option('--script <script>', 'only those of this check')
    .addOption(new Option('-s, --state <state>', 'only those in this state').choices(states))
    .addOption(new Option('--verdict <verdict>', 'only those with this verdict').choices(['passed', 'failed']))
    .option('--kind <kind>', 'only of this kind')
    .option('--text <text>', TEXT)
    .option('--since <time>', 'started at or after')
    .option('--until <time>', 'started before')
    .addOption(limitOption())
    .addOption(allOption())
    .action(async (o: ListOptions & ChoiceOptions & { state?: RunState; verdict?: Verdict; kind?: string }) => {
      const query = { ...choiceOf(o), state: o.state, verdict: o.verdict, kind: o.kind }
      await listSome(app, 'runs.list', query, o, runColumns, (r) => r.number)
    })

  run
    .command('show <run>')
    .description('Show a run with its findings')
    .option('--log', 'also what it printed')
    .option('--contract', 'the projection that fits the runtime_run_state schema, as JSON')
    .action(async (ref: string, o: { log?: boolean; contract?: boolean }) => {
      const client = await app.client()
      const params = { id: refOf(ref) }
      if (o.contract) return app.out().raw(`${JSON.stringify(await client.runs.contract({ params }), null, 2)}\n`)
      const found = await client.runs.get({ params })
      const out = app.out()
      out.item(found, runFields(found), found.number)
      if (found.outputs_manifest) {
        out.say('')
        sayVerdict(out, found)
      }
      if (o.log) for (const log of [found.stdout_log, found.stderr_log]) if (log) out.say(`\n${safeText(log)}`)
    })

  withWait(run.command('finalize <run>').description('Say that all evidence is there; the check starts')).action(
    async (ref: string, o: WaitOptions) =>
      showOrWait(app, await (await app.client()).runs.finalize({ params: { id: refOf(ref) } }), o),
  )

  withChoice(run.command('cancel [run]').description('Cancel a run that waits, or all that a filter takes'))
    .option('--reason <text>', 'why')
    .action(async (ref: string | undefined, o: ChoiceOptions & { reason?: string; yes?: boolean }) => {
      const { reason } = o
      const choice = oneOrMany(ref, o)
      const client = await app.client()
      if (ref !== undefined) {
        const cancelled = await client.runs.cancel({ params: { id: refOf(ref) }, body: { reason } })
        return app.out().item(cancelled, runFields(cancelled), cancelled.number)
      }
      const { count, more } = await client.runs.preview({ body: { act: 'cancel', ...choice } })
      if (!o.yes) return sayCount(app, 'Would be cancelled', count, more)
      let cancelled = 0
      // Each call is a transaction: stopped in between, the oldest are cancelled and the others still wait.
      await bySteps(app, async (did) => {
        while (cancelled < count) {
          const limit = Math.min(AT_ONCE, count - cancelled)
          const done = await client.runs.cancelMany({ body: { ...choice, limit, ...(reason ? { reason } : {}) } })
          cancelled += done.cancelled
          did(done.cancelled)
          if (done.left === 0 || done.cancelled === 0) break
        }
      })
      app.out().item({ cancelled }, [['Cancelled', cancelled]], String(cancelled))
    })

  withWait(
    withChoice(
      run
        .command('verify [run]')
        .description('Judge the evidence of a settled run again, as a new run; or that of all that a filter takes'),
    ),
  )
    .option('--add <file...>', 'more evidence, for one run')
    .addOption(
      new Option('-s, --state <state>', 'only those that ended so').choices(['completed', 'failed', 'timeout']),
    )
    .addOption(new Option('--verdict <verdict>', 'only those with this verdict').choices(['passed', 'failed']))
    .action(async (ref: string | undefined, o: VerifyOptions) => {
      const choice = oneOrMany(ref, o)
      if (ref !== undefined) return verifyOne(app, ref, o)
      if (o.add || o.wait) throw usage('--add and --wait go with one run')
      const client = await app.client()
      const body = { ...choice, ...(o.state ? { state: o.state } : {}), ...(o.verdict ? { verdict: o.verdict } : {}) }
      const { count, more } = await client.runs.preview({ body: { act: 'verify', ...body } })
      if (!o.yes) return sayCount(app, 'Would be judged again', count, more)
      const started: { number: number }[] = []
      let after = 0
      while (started.length < count) {
        const limit = Math.min(AT_ONCE, count - started.length)
        const done = await client.runs.verifyMany({ body: { ...body, after, limit } })
        started.push(...done.started)
        if (done.left === 0 || done.last === null) break
        after = done.last
      }
      app.out().item({ started }, [['Judged again', started.length]], started.map(({ number }) => number).join('\n'))
    })

  run
    .command('wait <run>')
    .description('Wait until a run has ended; the exit code says how')
    .option('--timeout <seconds>', 'at most so long, then exit with 124', countOf, 300)
    .action(async (ref: string, o: { timeout: number }) => {
      const client = await app.client()
      showEnd(app, await waitForRun(client, refOf(ref), o.timeout, app.terminal))
    })
}

interface ChoiceOptions {
  ticket?: string
  asset?: string
  script?: string
  text?: string
  since?: string
  until?: string
}
interface VerifyOptions extends WaitOptions, ChoiceOptions {
  add?: string[]
  state?: 'completed' | 'failed' | 'timeout'
  verdict?: Verdict
  yes?: boolean
}

/** As many as one call takes. */
const AT_ONCE = 100
const TEXT = 'only those with this in check, error code, summary or title of the ticket; of the newest 20,000'

const withChoice = (command: Command) =>
  command
    .option('-t, --ticket <ticket>', 'all of this ticket', refOf)
    .option('--asset <asset>', 'all on tickets of this asset', refOf)
    .option('--script <script>', 'all of this check')
    .option('--text <text>', TEXT)
    .option('--since <time>', 'started at or after')
    .option('--until <time>', 'started before')
    .option('--yes', 'with a filter: do it; otherwise what it takes is only counted')

const choiceOf = (o: ChoiceOptions) => ({
  ...(o.ticket ? { ticket_id: o.ticket } : {}),
  ...(o.asset ? { asset_id: o.asset } : {}),
  ...(o.script ? { script_id: o.script } : {}),
  ...(o.text ? { q: o.text } : {}),
  ...(o.since ? { created_after: timeOf(o.since) } : {}),
  ...(o.until ? { created_before: timeOf(o.until) } : {}),
})

/** The filter, which stands instead of a run; bounded by now, so that what is started later is not among those that were counted. */
function oneOrMany(ref: string | undefined, o: ChoiceOptions) {
  const choice = choiceOf(o)
  const named = Object.keys(choice).length > 0
  if (ref !== undefined && named) throw usage('name a run or a filter, not both')
  if (ref === undefined && !named)
    throw usage('name a run, or which ones by --script, --ticket, --asset, --text, --since or --until')
  return { created_before: new Date().toISOString(), ...choice }
}

const sayCount = (app: App, what: string, count: number, more: boolean): void =>
  app.out().item(
    { count, more },
    [
      [what, more ? `${count}, and more` : count],
      ['Next', count > 0 ? 'say --yes to do it' : null],
    ],
    String(count),
  )

async function verifyOne(app: App, ref: string, o: VerifyOptions): Promise<void> {
  const files = o.add ? await openEvidence(evidenceOf(o.add)) : []
  const client = await app.client()
  const body = files.length > 0 ? { finalize: 'manual' as const } : undefined
  let again: Run = await client.runs.verify({ params: { id: refOf(ref) }, body })
  if (files.length > 0) {
    await sendFiles(app, client, again.id, files)
    again = await client.runs.finalize({ params: { id: again.id } })
  }
  await showOrWait(app, again, o)
}

const withWait = (command: Command) =>
  besideOthers(command, { timeout: 'wait' })
    .option('-w, --wait', 'wait until it has ended; the exit code says how')
    .option('--timeout <seconds>', 'with --wait: at most so long, then exit with 124', countOf, 300)

async function showOrWait(app: App, run: Run, { wait, timeout }: WaitOptions): Promise<void> {
  if (wait) return showEnd(app, await waitForRun(await app.client(), run.id, timeout, app.terminal))
  app.out().item(run, runFields(run), run.number)
}

function showEnd(app: App, run: RunDetail): void {
  const out = app.out()
  if (out.quiet || out.format !== 'table') out.item(run, [], run.number)
  sayVerdict(out, run)
  app.exit(exitCodeOfRun(run))
}
