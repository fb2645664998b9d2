import { type Command, InvalidArgumentError } from 'commander'
import type { App } from '../app.ts'
import { usage } from '../failure.ts'
import { counted, safeText } from '../text.ts'
import { addWitnessedLog, createWitness, openWitness } from '../witness/witness-folder.ts'

export function addWitnessCommands(program: Command, app: App): void {
  const witness = program
    .command('witness')
    .description('A witness for logs, on a machine that their operator does not administer')
    .addHelpText(
      'after',
      `
A witness remembers the newest state of each log that it saw, and cosigns only what continues it. So nobody can rewrite a
log unseen, not even whoever holds its key. It needs no server and no database, only this folder.

Examples:
  writ witness init --dir ./witness
  writ witness add-log --dir ./witness "writ.log/0123+89abcdef+AZuq..."
  writ witness serve --dir ./witness --host 0.0.0.0 --port 7380`,
    )

  witness
    .command('init')
    .description('Make a witness: a folder with a key of its own')
    .requiredOption('--dir <folder>', 'where it lives', folderNamed)
    .option('--name <name>', 'its name in cosignatures, such as witness.example.com/w1; random otherwise')
    .action(async (o: { dir: string; name?: string }) => {
      const vkey = await createWitness(o.dir, o.name)
      app.out().item(
        { vkey },
        [
          ['Verifier key', vkey, 'bold'],
          // Lines of several witnesses stand in one policy, where each has a name of its own.
          ['Policy line', `witness ${vkey.split('+')[0]!.split('/').at(-1)} ${vkey} http://<this machine>:7380`],
        ],
        vkey,
      )
    })

  witness
    .command('add-log <vkey>')
    .description('Let the witness cosign a log; a log whose key was rotated gets one line for each key')
    .requiredOption('--dir <folder>', 'where the witness lives', folderNamed)
    .action(async (vkey: string, { dir }: { dir: string }) => {
      const added = await addWitnessedLog(dir, vkey)
      app.out().note(added ? 'Added; a witness that is running knows it now.' : 'Known already.')
    })

  witness
    .command('serve')
    .description('Serve add-checkpoint of the C2SP tlog-witness protocol until interrupted')
    .requiredOption('--dir <folder>', 'where the witness lives', folderNamed)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', 'port to listen on; 0 takes a free one', '7380')
    .action(async (o: { dir: string; host: string; port: string }) => {
      if (!/^\d{1,5}$/.test(o.port) || Number(o.port) > 65_535) throw usage(`"${o.port}" is not a port`)
      // Of all commands it alone needs a server, with which Node loads its client too.
      const { serveWitness } = await import('../witness/serve-witness.ts')
      const folder = await openWitness(o.dir)
      const { stdout } = app.terminal
      // From here on: whoever reads that it is ready may ask it to stop at once.
      const stopped = app.terminal.stopped()
      const say = (line: string) => void stdout.write(`${app.terminal.now().toISOString()} ${safeText(line)}\n`)
      try {
        const served = await serveWitness(folder, { host: o.host, port: Number(o.port), now: app.terminal.now, say })
        stdout.write(
          `Witness ${folder.name} of ${counted((await folder.loadLogs()).size, 'log')} is ready at http://${o.host}:${served.port}\n`,
        )
        await stopped
        await served.close()
      } finally {
        folder.close()
      }
    })
}

/** Without this an empty variable of a script would be a witness spread over the folder that one stands in. */
function folderNamed(dir: string): string {
  if (dir.trim() === '') throw new InvalidArgumentError('It names no folder.')
  return dir
}
