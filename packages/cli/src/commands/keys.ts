import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Keys } from '@writ/api'
import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { usage } from '../failure.ts'
import { timeText } from '../text.ts'

export function addKeysCommands(program: Command, app: App): void {
  const keys = program
    .command('keys')
    .description('Keys that logs, attestations and manifests are signed with; for the instance administrator')
    .addHelpText(
      'after',
      '\nExamples:\n  writ keys list\n  writ keys rotate log --project default --overlap-hours 168\n  writ keys export --to ./public-keys',
    )

  keys
    .command('list')
    .description('List public keys, with those that were replaced')
    .action(async () => {
      const all = await (await app.client()).keys.list()
      const out = app.out()
      if (out.format !== 'table') return out.item(all, [], 'keys')
      out.list(
        rowsOf(all),
        [
          { head: 'FOR', value: (row) => row.what },
          { head: 'KEY', value: (row) => row.key, shrink: true },
          { head: 'STATE', value: (row) => row.state, paint: (row) => (row.state === 'in use' ? 'green' : undefined) },
        ],
        (row) => row.key,
      )
    })

  keys
    .command('rotate')
    .description('Take a new key into use; the old public key stays known for ever')
    .addArgument(program.createArgument('<purpose>', 'which key').choices(['log', 'attestation', 'manifest']))
    .addOption(new Option('--instance', "with log: the instance's log instead of a project's"))
    .option('--overlap-hours <hours>', 'with log: how long the old key signs beside the new one', '168')
    .action(async (purpose: 'log' | 'attestation' | 'manifest', o: { instance?: boolean; overlapHours: string }) => {
      if (!/^\d{1,4}$/.test(o.overlapHours)) throw usage(`"${o.overlapHours}" is not a number of hours`)
      const project = o.instance ? undefined : ((await app.target()).project ?? 'default')
      const body =
        purpose === 'log'
          ? { purpose, overlap_hours: Number(o.overlapHours), ...(project === undefined ? {} : { project }) }
          : { purpose }
      const done = await (await app.client()).keys.rotate({ body })
      app.out().item(
        done,
        [
          ['Old key', done.old_key],
          ['New key', done.new_key, 'bold'],
          ['Both sign until', timeText(done.overlap_until)],
        ],
        done.new_key,
      )
      // Logs of projects are shown to witnesses only where the operator wants that; all are anchored through the instance's.
      const told =
        project === undefined ? 'your witnesses' : 'witnesses that are shown this log (WRIT_WITNESS_PROJECTS)'
      if (purpose === 'log') app.out().note(`Give the new key to ${told}: "writ witness add-log" on each.`)
    })

  keys
    .command('export')
    .description('Write the public keys into a new folder: what an auditor takes along')
    .requiredOption('--to <folder>', 'a folder that is not there yet')
    .action(async ({ to }: { to: string }) => {
      const all = await (await app.client()).keys.list()
      await mkdir(to)
      const files: [string, string][] = [
        ['log.vkeys', all.logs.flatMap((log) => log.vkeys.map((vkey) => `${vkey}\n`)).join('')],
        ['allowed_signers', all.allowed_signers],
        ...all.signing.map((key): [string, string] => [`${key.purpose}-${key.keyid.slice(0, 16)}.pem`, key.public_pem]),
      ]
      for (const [name, text] of files) await writeFile(join(to, name), text, { flag: 'wx' })
      app.out().note(`Wrote ${files.map(([name]) => name).join(', ')} to ${to}.`)
    })
}

const rowsOf = (all: Keys): { what: string; key: string; state: string }[] => [
  ...all.logs.flatMap((log) =>
    log.vkeys.map((key, i) => ({
      what: `log of ${log.project ?? 'the instance'}${log.closed ? ', closed' : ''}`,
      key,
      state:
        i === log.vkeys.length - 1
          ? log.closed
            ? 'signs no more'
            : 'in use'
          : i === log.vkeys.length - 2 && log.overlap_until
            ? `signs until ${log.overlap_until}`
            : 'replaced',
    })),
  ),
  ...all.signing.map((key) => ({
    what: `${key.purpose}s`,
    key: key.keyid,
    state: key.valid_until === null ? 'in use' : `replaced ${key.valid_until}`,
  })),
]
