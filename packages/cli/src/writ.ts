import { Command, CommanderError, Option } from 'commander'
import { createApp } from './app.ts'
import { addAnchorCommands } from './commands/anchor.ts'
import { addArtifactCommands } from './commands/artifact.ts'
import { addAssetCommands } from './commands/asset.ts'
import { addAuditCommands } from './commands/audit.ts'
import { addBatchCommands } from './commands/batch.ts'
import { addCompletionCommand } from './commands/completion.ts'
import { addDeadLetterCommands } from './commands/dead-letter.ts'
import { addEvidenceCommands } from './commands/evidence.ts'
import { addHandlerCommands } from './commands/handler.ts'
import { addKeysCommands } from './commands/keys.ts'
import { addLoginCommands } from './commands/login.ts'
import { addOperateCommands } from './commands/operate.ts'
import { addPrivacyCommands } from './commands/privacy.ts'
import { addProjectCommands } from './commands/project.ts'
import { addProofCommands } from './commands/proof.ts'
import { addQueueCommands } from './commands/queue.ts'
import { addRulesCommands } from './commands/rules.ts'
import { addRunCommands } from './commands/run.ts'
import { addScheduleCommands } from './commands/schedule.ts'
import { addSigningKeyCommands } from './commands/signing-key.ts'
import { addTaskCommands } from './commands/task.ts'
import { addTicketCommands } from './commands/ticket.ts'
import { addTokenCommands } from './commands/token.ts'
import { addUserCommands } from './commands/user.ts'
import { addWatchCommand } from './commands/watch.ts'
import { addWebhookCommands } from './commands/webhook.ts'
import { addWitnessCommands } from './commands/witness.ts'
import type { Settings } from './config.ts'
import { exitCodeHelp, exitCodes } from './exit-codes.ts'
import { exitCodeOf, failureLine } from './failure.ts'
import type { Terminal } from './terminal.ts'

const examples = `
A first day with Writ:
  writ login                                     say where the server is and who you are
  writ asset add "Main switch" --type switch     what work touches
  writ ticket open "Replace the main switch"     what you promise to do
  writ proof run -t 1 running.cfg --script proof.config_format --wait
                                                 show that it was done: upload evidence, have it judged
  writ audit verify                              check that nobody changed the record since

Every list and every answer is also data: add -o json or -o yaml. Numbers and ids mean the same everywhere.`

/** Runs one command line. Answers the exit code; never throws, never ends the process. */
export async function runWrit(args: readonly string[], settings: Settings, terminal: Terminal): Promise<number> {
  const program = new Command('writ')
  const app = createApp(program, terminal, settings)
  program
    .description('Controlled, traceable execution: tickets, runs, evidence and a log that anybody can check.')
    .addOption(
      new Option('-o, --output <format>', 'how results are printed')
        .choices(['table', 'json', 'yaml'])
        .default('table'),
    )
    .option('-q, --quiet', 'print only numbers or ids, no progress and no remarks')
    .option('--url <url>', 'the server, instead of that of the context (WRIT_URL)')
    .option('--project <slug>', 'the project (WRIT_PROJECT)')
    .option('--context <name>', 'a saved login (WRIT_CONTEXT); "writ context list" shows them')
    .version('0.1.0')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
      // Both as the terminal says: chalk-like guessing is left to nobody.
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
      outputError: (text, write) => write(text.replace(/^error: /, 'writ: ')),
    })
    .showHelpAfterError('Add --help for usage and examples.')
    .addHelpText('after', `${examples}\n${exitCodeHelp}`)
  for (const add of [
    addLoginCommands,
    addTicketCommands,
    addProofCommands,
    addRunCommands,
    addTaskCommands,
    addBatchCommands,
    addQueueCommands,
    addDeadLetterCommands,
    addHandlerCommands,
    addArtifactCommands,
    addAssetCommands,
    addRulesCommands,
    addAuditCommands,
    addEvidenceCommands,
    addSigningKeyCommands,
    addProjectCommands,
    addUserCommands,
    addTokenCommands,
    addPrivacyCommands,
    addKeysCommands,
    addWitnessCommands,
    addAnchorCommands,
    addWebhookCommands,
    addScheduleCommands,
    addWatchCommand,
    addOperateCommands,
    addCompletionCommand,
  ]) {
    add(program, app)
  }
  try {
    await program.parseAsync([...args], { from: 'user' })
    return app.exitCode()
  } catch (error) {
    // Commander has printed what there is to say; asking for help is no mistake.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    terminal.stderr.write(`${failureLine(error)}\n`)
    return exitCodeOf(error)
  }
}
