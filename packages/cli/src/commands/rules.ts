import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { App } from '../app.ts'
import { exitCodes } from '../exit-codes.ts'
import { usage } from '../failure.ts'
import { mustBeFile, readGiven } from '../given-file.ts'
import { type EvidenceFile, evidenceOf } from '../send-files.ts'
import { timeText } from '../text.ts'
import { sayReport } from '../verdict.ts'
import { yamlOf } from '../yaml-file.ts'

export function addRulesCommands(program: Command, app: App): void {
  const rules = program
    .command('rules')
    .description('Rule sets: what evidence must satisfy')
    .addHelpText(
      'after',
      `
A rule set is a file:
  name: access-switch
  rules:
    - validator: fields@5
      files: "*.cfg"
      params: { lines: { required: ["no ip http server"] } }

Examples:
  writ rules try access-switch.yaml sw1.cfg
  writ rules publish access-switch.yaml
  writ proof run -t 1 sw1.cfg --rules access-switch --wait`,
    )

  rules
    .command('list')
    .description('List the rule sets of this project, all versions')
    .action(async () =>
      app.out().list(
        await (await app.client()).all('rules.list'),
        [
          { head: 'NAME', value: (r) => r.name },
          { head: 'VERSION', value: (r) => r.version, right: true },
          { head: 'DIGEST', value: (r) => r.digest.slice(0, 16) },
          { head: 'PUBLISHED', value: (r) => timeText(r.created_at) },
          { head: 'NEWER CHECKS', value: (r) => newerText(r.superseded), shrink: true },
        ],
        (r) => `${r.name}@${r.version}`,
      ),
    )

  rules
    .command('scripts')
    .description('List what a run can be asked to check: built-in scripts and rule sets')
    .action(async () =>
      app.out().list(
        await (await app.client()).rules.scripts(),
        [
          { head: 'SCRIPT', value: (s) => s.script_id },
          { head: 'VERSION', value: (s) => s.version },
          { head: 'TYPE', value: (s) => s.script_type },
          { head: 'CHECKS', value: (s) => s.description, shrink: true },
        ],
        (s) => s.script_id,
      ),
    )

  rules
    .command('publish <file>')
    .description('Publish a rule set (YAML or JSON) as the next version of its name')
    .option('--name <name>', 'instead of the name in the file')
    .action(async (file: string, options: { name?: string }) => {
      const { name, definition } = await loadRuleSet(file, options.name)
      const made = await (await app.client()).rules.publish({ body: { name, definition } })
      app.out().item(
        made,
        [
          ['Rule set', `${made.name}@${made.version}`, 'bold'],
          ['Script', `rules.${made.name}`],
          ['Digest', made.digest],
          ['Newer checks', made.superseded.length > 0 ? newerText(made.superseded) : null],
        ],
        `${made.name}@${made.version}`,
      )
    })

  rules
    .command('try <file> [files...]')
    .description('Say what a rule set (YAML or JSON) finds in files, without publishing or keeping anything')
    .option('--before <file...>', 'how it was before the change')
    .option('--after <file...>', 'how it is after it')
    .action(async (file: string, paths: string[], options: { before?: string[]; after?: string[] }) => {
      const files = evidenceOf(paths, options.before, options.after)
      // Nothing is published, so it needs no name.
      const { definition } = await loadRuleSet(file, 'trial')
      const found = await (await app.client()).rules.try({ body: { definition, files: await contentsOf(files) } })
      const out = app.out()
      if (out.quiet || out.format !== 'table') out.item(found, [], found.verdict)
      else {
        sayReport(out, found.validation_report)
        out.say(`${out.paint(found.verdict, found.verdict === 'passed' ? 'green' : 'red')}  ${found.result_summary}`)
      }
      app.exit(found.verdict === 'passed' ? exitCodes.ok : exitCodes.verificationFailed)
    })
}

/** Checks of which there is a newer version than rules cite. */
const newerText = (superseded: readonly { readonly validator: string; readonly newest: string }[]): string =>
  superseded.map(({ validator, newest }) => `${newest} instead of ${validator}`).join(', ')

/** What a trial sends of each file: its bytes, which are little, for the whole request is. */
async function contentsOf(files: readonly EvidenceFile[]) {
  return Promise.all(
    files.map(async ({ path, name, role }) => {
      await mustBeFile(path, { advice: 'Files are tried one by one.', mayBeEmpty: true })
      return { name, content: (await readFile(path)).toString('base64'), ...(role && { role }) }
    }),
  )
}

/** Reads a rule set; versions are the server's to give, so one in the file is left out. Throws a usage failure. */
async function loadRuleSet(
  file: string,
  nameFlag?: string,
): Promise<{ name: string; definition: Record<string, unknown> }> {
  const value = await yamlOf(file, await readGiven(file, { advice: '"writ rules --help" shows a rule set.' }))
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usage(`${file} holds no rule set`, '"writ rules --help" shows one.')
  }
  const { name, version: _, ...definition } = value as Record<string, unknown> // checked to be an object
  const chosen = nameFlag ?? name
  if (typeof chosen !== 'string') throw usage(`${file} has no name`, 'Add "name:" to it, or give --name.')
  return { name: chosen, definition }
}
