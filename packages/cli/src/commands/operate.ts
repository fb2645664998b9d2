import { type Command, Option } from 'commander'
import type { App } from '../app.ts'
import { exitCodes } from '../exit-codes.ts'
import { usage } from '../failure.ts'
import { loadOperation, type RowFlaw } from '../operations.ts'
import { bytesText, counted, safeText } from '../text.ts'

const dataDirOption = () => new Option('--data-dir <folder>', "the server's data folder; as configured otherwise")

export function addOperateCommands(program: Command, app: App): void {
  const { signal } = app.terminal

  program
    .command('config')
    .description('Configuration of the server on this host')
    .command('check')
    .description('Show every setting with its source, secrets masked, and all that is wrong; changes nothing')
    .addOption(dataDirOption())
    .action(async ({ dataDir }: { dataDir?: string }) => {
      const checkConfig = await loadOperation('checkConfig')
      const { ok, problems, settings } = await checkConfig({ dataDir, signal })
      const out = app.out()
      if (out.format !== 'table') out.item({ ok, problems, settings }, [], 'config')
      // Where something is wrong there are none, and "nothing found" would be read as that nothing is wrong.
      else if (ok || settings.length > 0)
        out.list(
          settings,
          [
            { head: 'SETTING', value: (s) => s.name },
            { head: 'VALUE', value: (s) => s.value, shrink: true },
            { head: 'FROM', value: (s) => s.source },
          ],
          (s) => s.name,
        )
      for (const problem of problems) app.terminal.stderr.write(`writ: ${safeText(problem)}\n`)
      app.exit(ok ? exitCodes.ok : exitCodes.failure)
    })

  program
    .command('backup <folder>')
    .description('Back up database, evidence, log and keys of the server on this host into a new folder')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      '\nThe server may go on meanwhile. The folder holds the signing key: keep it as you keep the key.\nExample:\n  writ backup /backups/writ-monday',
    )
    .action(async (to: string, { dataDir }: { dataDir?: string }) => {
      const backup = await loadOperation('backup')
      const bar = app.progress('Backing up')
      const made = await backup({
        dataDir,
        to,
        onProgress: ({ done, size }) => bar.update(done, size),
        signal,
      }).finally(() => bar.end())
      app.out().item(
        made,
        [
          ['Backup', made.path],
          ['Size', `${bytesText(made.bytes)} in ${counted(made.files, 'file')}`],
        ],
        made.path,
      )
      for (const note of made.notes) app.out().note(safeText(note))
    })

  program
    .command('restore [backup]')
    .description(
      'Restore a backup into an empty data folder, or continue the log after a database was put back by hand',
    )
    .requiredOption('--reason <text>', 'why; it stands in the first entry of the new log')
    .option('--accept-loss', 'without a backup: what was published beyond the database is lost')
    .option(
      '--all-logs',
      'with --accept-loss: close every log, as when a key leaked, or keys/ or signer/ cannot be put back',
    )
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
The old log is closed and a new one opened that names it: verifiers learn that what came after the backup is gone.
Example:
  writ restore /backups/writ-monday --data-dir ./data --reason "the disk failed"
  writ restore --accept-loss --reason "database put back from a dump"
  writ restore --accept-loss --all-logs --reason "the log keys were on a lost disk"`,
    )
    .action(
      async (
        from: string | undefined,
        o: { dataDir?: string; reason: string; acceptLoss?: boolean; allLogs?: boolean },
      ) => {
        const restore = await loadOperation('restore')
        const bar = app.progress('Restoring')
        const done = await restore({
          dataDir: o.dataDir,
          from,
          reason: o.reason,
          acceptLoss: o.acceptLoss === true,
          allLogs: o.allLogs === true,
          onProgress: (step) => bar.update(step.done, step.size),
          signal,
        }).finally(() => bar.end())
        app.out().item(
          done,
          [
            ['Restored', done.dataDir],
            ['Entries', done.size],
            ['Old log', done.old_origin],
            ['New log', done.new_origin],
          ],
          done.dataDir,
        )
        for (const note of done.notes) app.out().note(safeText(note))
        app
          .out()
          .note(
            'Who has seen more of the old log than the backup holds verifies once with "writ audit verify --trust-new-log".',
          )
        app
          .out()
          .note('Witnesses know none of the new logs: "writ keys list" shows their keys for "writ witness add-log".')
      },
    )

  program
    .command('init')
    .description('Prepare a data folder')
    .option('--sample', 'with three assets and an employee to try things with')
    .addOption(dataDirOption())
    .action(async ({ sample, dataDir }: { sample?: boolean; dataDir?: string }) => {
      if (!sample)
        throw usage('A server prepares its data folder itself when it starts', 'Add --sample for things to try.')
      const initSample = await loadOperation('initSample')
      const done = await initSample({ dataDir, signal })
      const out = app.out()
      if (out.format !== 'table') return out.item(done, [], 'init')
      for (const line of done.created) out.say(`Created ${safeText(line)}`)
      for (const line of done.notes) out.note(safeText(line))
    })

  program
    .command('doctor')
    .description('Look for what is wrong with the server on this host, and say what to do')
    .addOption(dataDirOption())
    .action(async ({ dataDir }: { dataDir?: string }) => {
      const doctor = await loadOperation('doctor')
      const { ok, checks } = await doctor({ dataDir, signal })
      app.out().list(
        checks,
        [
          { head: '', value: (c) => (c.ok ? 'ok' : 'BAD'), paint: (c) => (c.ok ? 'green' : 'red') },
          { head: 'CHECK', value: (c) => c.name },
          { head: 'FOUND', value: (c) => c.detail, shrink: true },
          { head: 'DO', value: (c) => c.advice, shrink: true },
          { head: 'CODE', value: (c) => c.code },
        ],
        (c) => `${c.ok ? 'ok' : 'bad'} ${c.name}`,
      )
      app.exit(ok ? exitCodes.ok : exitCodes.failure)
    })

  program
    .command('import <source> <from>')
    .description(
      'Take over users, tickets, runs and files of another system; the source is "tep", <from> its PostgreSQL URL',
    )
    .option('--artifacts <folder>', 'its ARTIFACT_STORAGE_PATH; without it no files are taken over')
    .option('--dry-run', 'read every row and file, and only say what would come into an empty Writ')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      '\nExample:\n  writ import tep postgresql://user@host/tep --artifacts ./old/artifacts --dry-run',
    )
    .action(async (source: string, from: string, o: { dryRun?: boolean; dataDir?: string; artifacts?: string }) => {
      const importFrom = await loadOperation('importFrom')
      const bar = app.progress('Importing', 'entries')
      const made: { username: string; password: string }[] = []
      const passwordLines = () =>
        made.map(({ username, password }) => `One-time password of ${safeText(username)}: ${password}\n`).join('')
      const done = await importFrom({
        dataDir: o.dataDir,
        source,
        from,
        artifacts: o.artifacts,
        dryRun: o.dryRun === true,
        onProgress: (step) => bar.update(step.done, step.size),
        onPassword: (one) => made.push(one),
        signal,
      })
        // They are kept nowhere, and an import that is called again leaves these accounts as they are.
        .catch((error: unknown) => {
          app.terminal.stderr.write(passwordLines())
          throw error
        })
        .finally(() => bar.end())
      const out = app.out()
      out.item(
        done,
        Object.entries(done.imported).map(([what, count]) => [what, count] as const),
        'import',
      )
      if (out.quiet || out.format === 'table') out.raw(passwordLines())
      const say = (did: string, flaws: readonly RowFlaw[]) => {
        for (const { what, field, code, why } of flaws)
          out.note(`${did} ${safeText(`${what}, ${field}: ${why}`)} [${code}]`)
      }
      const already = Object.entries(done.already).filter(([, ids]) => ids.length > 0)
      if (already.length > 0) {
        const counts = already.map(([what, { length }]) => counted(length, what.slice(0, -1)))
        out.note(`Taken over before, and as they are here: ${counts.join(', ')}. Their ids there are in -o json.`)
      }
      say('Changed', done.changed)
      say(o.dryRun ? 'Would skip' : 'Skipped', done.skipped)
    })
}
