import { saveDownload } from '@writ/sdk/node'
import {
  type BundleCheck,
  type BundleDescription,
  type BundleReport,
  parseVkey,
  readDescription,
  verifyZip,
} from '@writ/tlog'
import { type Command, Option } from 'commander'
import { loadPolicy } from '../anchors.ts'
import { type App, refOf } from '../app.ts'
import { createSha256, inflate, openBundle, openZipFile } from '../bundle-zip.ts'
import { exitCodes } from '../exit-codes.ts'
import { Failure, usage } from '../failure.ts'
import { fileFault, requireFree } from '../given-file.ts'
import type { Field } from '../output.ts'
import type { Paint } from '../table.ts'
import { bytesText, safeLine, spellOut } from '../text.ts'
import { sha256, sha512, verifySignature } from '../verify-crypto.ts'

export function addEvidenceCommands(program: Command, app: App): void {
  const evidence = program
    .command('evidence')
    .description('Evidence for people who do not trust this server: bundles that anybody can check offline')
    .addHelpText('after', '\nExamples:\n  writ evidence export ticket 1\n  writ verify evidence-ticket-1.zip')

  evidence
    .command('export <subject> <ref>')
    .description('Export all evidence of a ticket, a run or a task as one zip; the export is itself recorded')
    .option('--to <file>', 'a new file; evidence-<subject>-<number>.zip otherwise')
    .option('--include-flagged', 'files in which secrets were found, too')
    .option('--whole-log', 'every entry of the log, too: then nothing about the subject can be left out unnoticed')
    .addHelpText(
      'after',
      '\nExamples:\n  writ evidence export ticket 1\n  writ evidence export run 7 --to run-7.zip\n  writ evidence export task 12\n  writ evidence export ticket 1 --whole-log',
    )
    .action(async (subject: string, ref: string, o: { to?: string; includeFlagged?: boolean; wholeLog?: boolean }) => {
      if (subject !== 'ticket' && subject !== 'run' && subject !== 'task')
        throw usage('Evidence is of a ticket, of a run or of a task')
      const id = refOf(ref)
      // A task is a run without a ticket, and has a number of the same sequence.
      const body = {
        subject: subject === 'task' ? 'run' : subject,
        id,
        include_flagged: o.includeFlagged,
        whole_log: o.wholeLog,
      } as const
      const path = o.to ?? `evidence-${subject}-${id}.zip`
      await requireFree(path, 'Choose another name with --to.')
      const file = await (await app.client()).evidence.export({ body })
      const bar = app.progress(path)
      const saved = await saveDownload(file, path, {
        onProgress: ({ bytes, size }) => bar.update(bytes, size),
        signal: app.terminal.signal,
      })
        .catch((error: unknown) => {
          if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
          throw new Failure(`${path} exists already`, { advice: 'Choose another name with --to.' })
        })
        .finally(() => bar.end())
      const leftOut = await leftOutOf(path)
      app
        .out()
        .item(
          { path, ...saved, left_out: leftOut },
          [
            ['Saved', path],
            ['Size', bytesText(saved.bytes)],
            ['SHA-256', saved.sha256],
            ...leftOut.map(
              ({ number, why }): Field => ['Left out', `artifact ${number}: ${leftOutTexts[why]}`, 'yellow'],
            ),
            ['Next', `writ verify ${path}`],
          ],
          path,
        )
    })

  program
    .command('verify <bundle>')
    .description('Verify an evidence bundle here, without a server or a network; exits with 5 when anything is wrong')
    .option('--fingerprint <fingerprint>', 'the key that the manifest must be signed with: SHA256:...')
    .addOption(new Option('--vkey <key...>', 'the keys that the logs must be signed with').default(undefined))
    .option('--policy <file>', 'a policy (c2sp.org/tlog-policy) whose witnesses must have cosigned what is in it')
    .addHelpText(
      'after',
      `
The keys inside a bundle prove nothing by themselves: compare those that are printed at the end with a copy from
elsewhere, or give them here. Only witnesses of a policy of your own stand against whoever runs the server.

Examples:
  writ verify evidence-ticket-1.zip --fingerprint SHA256:2Cv...
  writ verify evidence-ticket-1.zip --policy witnesses.policy`,
    )
    .action((path: string, o: Expected) => verify(app, path, o))
}

interface LeftOut {
  readonly number: number
  readonly why: NonNullable<BundleDescription['artifacts'][number]['left_out']>
}

const leftOutTexts: Record<LeftOut['why'], string> = {
  deleted: 'it was deleted',
  flagged: 'secrets were found in it; --include-flagged takes it along',
  erased: 'it was erased',
  dropped: 'the log that recorded it was dropped',
}

/** What a bundle that was just saved says it was made without: whoever hands it over has to know before the auditor asks. */
async function leftOutOf(path: string): Promise<LeftOut[]> {
  const bundle = await openBundle(path)
  try {
    const { artifacts } = await readDescription(bundle)
    return artifacts.flatMap(({ number, left_out: why }) => (why === null ? [] : [{ number, why }]))
  } finally {
    await bundle.close()
  }
}

interface Expected {
  fingerprint?: string
  vkey?: string[]
  policy?: string
}

/** A key that is mistyped must not look like a bundle that was forged. Throws a usage failure. */
function requireKeys(o: Expected): void {
  if (o.fingerprint !== undefined && !/^SHA256:[A-Za-z0-9+/]{43}$/.test(o.fingerprint))
    throw usage(
      `${o.fingerprint} is no fingerprint`,
      'It is SHA256: and 43 characters, as "writ keys list" and ssh-keygen -l print it.',
    )
  for (const vkey of o.vkey ?? []) {
    try {
      parseVkey(vkey, sha256)
    } catch {
      throw usage(`${vkey} is no verifier key`, 'It is <origin>+<id>+<key>, as "writ audit log" prints it.')
    }
  }
}

async function verify(app: App, path: string, o: Expected): Promise<void> {
  requireKeys(o)
  const policy = o.policy === undefined ? undefined : await loadPolicy(o.policy)
  const zip = await openZipFile(path).catch((error: unknown) => {
    const advice = 'Give the zip itself; an unpacked bundle is checked by the verify.sh in it.'
    throw fileFault(error, path, { advice }) ?? error
  })
  const bar = app.progress(path, 'files')
  const on = { sha256, sha512, verify: verifySignature, inflate, createSha256 }
  const trust = { fingerprint: o.fingerprint, vkeys: o.vkey, policy }
  const report = await verifyZip(zip, path, on, trust, ({ done, total }) => bar.update(done, total)).finally(() => {
    bar.end()
    return zip[Symbol.asyncDispose]()
  })
  const out = app.out()
  if (out.format !== 'table') out.item(report, [], path)
  for (const check of report.checks) sayCheck(app, check, 0)
  if (report.fault) throw notVerified(report.fault, path)
  out.say('\nIt rests on these keys; compare them with a copy from elsewhere:')
  for (const { what, value, expected } of report.rests)
    out.say(`  ${spellOut(what)}: ${spellOut(value)}${expected ? '  (as expected)' : ''}`)
  out.say(`\n${out.paint('verified', 'green')}  ${path}`)
}

const colours: Partial<Record<BundleCheck['state'], Paint>> = {
  verified: 'green',
  erased: 'yellow',
  'left out': 'yellow',
}

function sayCheck(app: App, check: BundleCheck, depth: number): void {
  const out = app.out()
  out.say(`${'  '.repeat(depth)}${out.paint(check.state, colours[check.state])}  ${spellOut(check.what)}`)
  for (const part of check.parts ?? []) sayCheck(app, part, depth + 1)
}

const notVerified = (fault: NonNullable<BundleReport['fault']>, zip: string) =>
  // Names in a bundle are ASCII; that of the zip is the reader's own.
  new Failure(
    `The bundle does not verify: ${fault.path === zip ? safeLine(zip) : spellOut(fault.path)}: ${spellOut(fault.reason)}`,
    {
      advice:
        fault.code === 'QUORUM_NOT_MET'
          ? 'Ask for a bundle that was exported after your witnesses had cosigned.'
          : 'Keep it as it is, and ask for another copy.',
      exit: exitCodes.verificationFailed,
      code: fault.code,
    },
  )
