import type { Run, RunDetail, RunState, Verdict } from '@writ/api'
import { type Command, Option } from 'commander'
import { type App, refOf } from '../app.ts'
import { runColumns, runFields } from '../columns.ts'
import { usage } from '../failure.ts'
import { allOption, countOf, type ListOptions, limitOption, listSome } from '../listing.ts'
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
  writ run verify 12 --wait        judge the same evidence again, today`,
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
          ...(o.data ? { execution_context: objectOf(o.data) } : {}),
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
    .addOption(new Option('-s, --state <state>', 'only those in this state').choices(states))
    .addOption(new Option('--verdict <verdict>', 'only those with this verdict').choices(['passed', 'failed']))
    .option('--kind <kind>', 'only of this kind')
    .option(
      '--text <text>',
      'only those with this in check, error code, summary or title of the ticket; of the newest 20,000',
    )
    .option('--since <time>', 'started at or after')
    .option('--until <time>', 'started before')
    .addOption(limitOption())
    .addOption(allOption())
    .action(
      async (
        o: ListOptions & {
          ticket?: string
          state?: RunState
          verdict?: Verdict
          kind?: string
          text?: string
          since?: string
          until?: string
        },
      ) => {
        const query = {
          ticket_id: o.ticket,
          state: o.state,
          verdict: o.verdict,
          kind: o.kind,
          q: o.text,
          created_after: o.since && timeOf(o.since),
          created_before: o.until && timeOf(o.until),
        }
        app.out().list(await listSome(await app.client(), 'runs.list', query, o), runColumns, (r) => r.number)
      },
    )

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

  run
    .command('cancel <run>')
    .description('Cancel a run that waits')
    .option('--reason <text>', 'why')
    .action(async (ref: string, { reason }: { reason?: string }) => {
      const cancelled = await (await app.client()).runs.cancel({ params: { id: refOf(ref) }, body: { reason } })
      app.out().item(cancelled, runFields(cancelled), cancelled.number)
    })

  withWait(run.command('verify <run>').description('Judge the evidence of a settled run again, as a new run'))
    .option('--add <file...>', 'more evidence')
    .action(async (ref: string, o: WaitOptions & { add?: string[] }) => {
      const more = o.add ? await openEvidence(evidenceOf(o.add)) : []
      const client = await app.client()
      const body = more.length > 0 ? { finalize: 'manual' as const } : undefined
      let again: Run = await client.runs.verify({ params: { id: refOf(ref) }, body })
      if (more.length > 0) {
        await sendFiles(app, client, again.id, more)
        again = await client.runs.finalize({ params: { id: again.id } })
      }
      await showOrWait(app, again, o)
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

const withWait = (command: Command) =>
  command
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

function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json)
    // Checked: neither null nor a list.
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Said below, like any other text that is no object.
  }
  throw usage('--data is no JSON object', `For example: --data '{"site": "plant A"}'`)
}
