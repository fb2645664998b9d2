import type { Command } from 'commander'
import { type App, refOf } from '../app.ts'
import { besideOthers } from '../beside.ts'
import { runFields } from '../columns.ts'
import { usage } from '../failure.ts'
import { readGiven } from '../given-file.ts'
import { countOf } from '../listing.ts'
import { evidenceOf, expectationOf, openEvidence, sendFiles } from '../send-files.ts'
import { exitCodeOfRun, sayVerdict, waitForRun } from '../verdict.ts'
import { yamlOf } from '../yaml-file.ts'

interface ProofOptions {
  ticket: string
  script?: string
  rules?: string
  params?: string
  expect?: boolean
  before?: string[]
  after?: string[]
  wait?: boolean
  timeout: number
}

export function addProofCommands(program: Command, app: App): void {
  const run = program
    .command('proof')
    .description('Proofs: evidence that work was done as promised')
    .addHelpText('after', '\nExample:\n  writ proof run -t 1 *.cfg --rules access-switch --wait')
    .command('run [files...]')
    .description('Start a proof run, upload the evidence and have it judged')
    .requiredOption('-t, --ticket <ticket>', 'the ticket that this proves', refOf)
    .option('--script <script>', 'a built-in check, such as proof.config_format; "writ rules scripts" lists them')
    .option('--rules <name>', 'a rule set of the project, such as access-switch or access-switch@2')
    .option('--params <file>', 'parameters of the script, as YAML or JSON')
    .option('--expect', 'announce names and SHA-256 first: nothing else is taken, and nothing may be missing')
    .option('--before <file...>', 'how it was before the change')
    .option('--after <file...>', 'how it is after it')
    .option('-w, --wait', 'wait for the verdict; exits with 5 when it is "failed"')
    .option('--timeout <seconds>', 'with --wait: at most so long, then exit with 124', countOf, 300)
    .addHelpText(
      'after',
      `
Examples:
  writ proof run -t 1 running.cfg --script proof.config_format --wait
  writ proof run -t 1 sw1.cfg sw2.cfg --rules access-switch --expect --wait
  writ proof run -t 1 --before old.cfg --after new.cfg --script proof.config_diff --wait`,
    )
    .action((files: string[], options: ProofOptions) => prove(app, files, options))
  besideOthers(run, { timeout: 'wait' })
}

async function prove(app: App, paths: string[], options: ProofOptions): Promise<void> {
  if (options.script && options.rules) throw usage('--script and --rules name the same thing', 'Give one of them.')
  const files = await openEvidence(evidenceOf(paths, options.before, options.after))
  const script = options.rules ? `rules.${options.rules}` : options.script
  const scriptParams: unknown = options.params
    ? await yamlOf(options.params, await readGiven(options.params, { advice: 'Give parameters as YAML or JSON.' }))
    : undefined
  const expect = options.expect ? await expectationOf(files) : undefined
  const client = await app.client()
  const out = app.out()

  const run = await client.runs.start({
    body: {
      run_type: 'proof',
      ticket_id: options.ticket,
      ...(script ? { script_id: script } : {}),
      ...(scriptParams === undefined ? {} : { execution_context: { params: scriptParams } }),
      // With announced files the server knows when all are there; else we say so, rather than let it guess from a pause.
      ...(expect ? { expect } : { finalize: 'manual' as const }),
    },
  })
  const params = { id: run.id }
  try {
    await sendFiles(app, client, run.id, files)
    if (!expect) await client.runs.finalize({ params })
  } catch (error) {
    out.note(`Run #${run.number} still waits for evidence: "writ run cancel ${run.number}" ends it.`)
    throw error
  }
  if (!options.wait) {
    const now = await client.runs.get({ params })
    out.item(now, runFields(now), now.number)
    return out.note(`"writ run wait ${run.number}" waits for the verdict.`)
  }
  const done = await waitForRun(client, run.id, options.timeout, app.terminal)
  if (out.quiet || out.format !== 'table') out.item(done, [], done.number)
  sayVerdict(out, done)
  if (!script)
    out.note(
      'No --script or --rules: only the stored bytes were compared with their hashes. "writ rules scripts" lists the checks.',
    )
  app.exit(exitCodeOfRun(done))
}
