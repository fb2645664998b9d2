import { Command, CommanderError, Help, Option } from 'commander'
import { type App, createApp } from './app.ts'
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
import { addExamples } from './examples.ts'
import { exitCodeHelp, exitCodes } from './exit-codes.ts'
import { exitCodeOf, failureLine } from './failure.ts'
import { meantBy } from './synonyms.ts'
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

type Adder = (program: Command, app: App) => void

/** Commands as the help of all of them lists them: by what somebody came for. Some add to the commands of those before them. */
const groups: readonly (readonly [heading: string, ...adders: Adder[]])[] = [
  ['Logging in:', addLoginCommands],
  [
    'Work and its evidence:',
    addTicketCommands,
    addProofCommands,
    addRunCommands,
    addArtifactCommands,
    addAssetCommands,
    addRulesCommands,
    addSigningKeyCommands,
  ],
  [
    'Tasks:',
    addTaskCommands,
    addBatchCommands,
    addQueueCommands,
    addDeadLetterCommands,
    addHandlerCommands,
    addScheduleCommands,
    addWebhookCommands,
    addWatchCommand,
  ],
  ['Projects, people, programs:', addProjectCommands, addUserCommands, addTokenCommands],
  [
    'What was recorded, and who can check it:',
    addAuditCommands,
    addEvidenceCommands,
    addPrivacyCommands,
    addKeysCommands,
    addWitnessCommands,
    addAnchorCommands,
  ],
  ['The server on this host:', addOperateCommands],
  ['This command:', addCompletionCommand],
]

/** All commands, as they are declared, with what they work with. */
export function createProgram(
  terminal: Terminal,
  settings: Settings,
  args: readonly string[] = [],
): { program: Command; app: ReturnType<typeof createApp> } {
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
    .configureHelp({ showGlobalOptions: true, optionDescription, minWidthToWrap: 20 })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
      // Both as the terminal says: chalk-like guessing is left to nobody.
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
      outputError(text, write) {
        const meant = text.startsWith('error: unknown command') ? meantBy(program, args) : []
        const said = text.replace(/^error: /, 'writ: ')
        // Commander knows what is written alike: it would say "erase" to who says "create".
        write(meant.length === 0 ? said : `${said.split('\n')[0]}\n(Did you mean ${meant.join(' or ')}?)\n`)
      },
    })
    .showHelpAfterError('Add --help for usage and examples.')
    .addHelpText('after', `${examples}\n${exitCodeHelp}`)
  for (const [heading, ...adders] of groups) {
    program.commandsGroup(heading)
    for (const add of adders) add(program, app)
  }
  program.helpCommand(true)
  addExamples(program)
  return { program, app }
}

/** Runs one command line. Answers the exit code; never throws, never ends the process. */
export async function runWrit(args: readonly string[], settings: Settings, terminal: Terminal): Promise<number> {
  const { program, app } = createProgram(terminal, settings, args)
  try {
    await program.parseAsync(spelledOut(program, args), { from: 'user' })
    return app.exitCode()
  } catch (error) {
    // Commander has printed what there is to say; asking for help is no mistake.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    terminal.stderr.write(`${failureLine(error)}\n`)
    return exitCodeOf(error)
  }
}

/** What an option is for, and whether it has to be given. Flags are off by default, which need not be said. */
function optionDescription(this: Help, option: Option): string {
  const flag = option.isBoolean() && option.defaultValue === false
  const said = flag ? option.description : Help.prototype.optionDescription.call(this, option)
  return option.mandatory && option.defaultValue === undefined ? `${said} (required)`.trim() : said
}

/** "help ticket open" as "ticket open --help": Commander's own goes one word deep and passes over a word that is no command. */
function spelledOut(program: Command, args: readonly string[]): string[] {
  const [first, ...words] = args
  if (first !== 'help') return [...args]
  let command = program
  for (const word of words) {
    if (command.commands.length === 0) break
    const below = command.commands.find((one) => one.name() === word)
    // Refused as it would be without "help", with the command that may be meant.
    if (below === undefined) return words
    command = below
  }
  return [...words, '--help']
}
