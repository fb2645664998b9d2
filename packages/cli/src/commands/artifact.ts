import { basename } from 'node:path'
import { saveDownload } from '@writ/sdk/node'
import { type Command, Option } from 'commander'
import { type App, refOf } from '../app.ts'
import { artifactColumns, artifactFields } from '../columns.ts'
import { exitCodes } from '../exit-codes.ts'
import { Failure } from '../failure.ts'
import { requireFree } from '../given-file.ts'
import { loadOperation, storeTypes } from '../operations.ts'
import { pipeChecked } from '../pipe-checked.ts'
import type { Progress } from '../progress.ts'
import { evidenceOf, openEvidence, sendFiles } from '../send-files.ts'
import { bytesText, counted, safeText } from '../text.ts'

interface UploadOptions {
  run: string
  role?: 'before' | 'after'
  type?: string
  description?: string
  finalize?: boolean
}

export function addArtifactCommands(program: Command, app: App): void {
  const artifact = program
    .command('artifact')
    .description('Artifacts: the bytes of evidence, kept exactly')
    .addHelpText(
      'after',
      '\nExamples:\n  writ artifact upload -r 12 sw1.cfg sw2.cfg\n  writ artifact get 31 --to sw1.cfg',
    )

  artifact
    .command('upload <files...>')
    .description('Upload evidence into a run that waits for it')
    .requiredOption('-r, --run <run>', 'the run', refOf)
    .addOption(new Option('--role <role>', 'which side of a change they show').choices(['before', 'after']))
    .option('--type <type>', 'what they are, in a word')
    .option('--description <text>', 'what they show')
    .option('--finalize', 'this is all: the check may start')
    .action(async (paths: string[], o: UploadOptions) => {
      const files = o.role
        ? evidenceOf([], o.role === 'before' ? paths : [], o.role === 'after' ? paths : [])
        : evidenceOf(paths)
      const opened = await openEvidence(files)
      const client = await app.client()
      const sent = await sendFiles(app, client, o.run, opened, { artifact_type: o.type, description: o.description })
      if (o.finalize) await client.runs.finalize({ params: { id: o.run } })
      app.out().list(sent, artifactColumns, (a) => a.number)
    })

  artifact
    .command('list')
    .description('List the artifacts of a run')
    .requiredOption('-r, --run <run>', 'the run', refOf)
    .action(async ({ run }: { run: string }) =>
      app
        .out()
        .list(
          await (await app.client()).all('artifacts.ofRun', { params: { id: run } }),
          artifactColumns,
          (a) => a.number,
        ),
    )

  artifact
    .command('show <artifact>')
    .description('Show what is known of an artifact, deleted ones too')
    .action(async (ref: string) => {
      const found = await (await app.client()).artifacts.get({ params: { id: refOf(ref) } })
      app.out().item(found, artifactFields(found), found.number)
    })

  artifact
    .command('get <artifact>')
    .description('Download an artifact and check its SHA-256')
    .option('--to <path>', 'where to; its own name otherwise, "-" for standard output')
    .option('--force', 'overwrite a file that is there')
    .action((ref: string, o: { to?: string; force?: boolean }) => download(app, refOf(ref), o))

  artifact
    .command('delete <artifact>')
    .description('Delete an artifact: it is served no longer, its record and hash stay')
    .action(async (ref: string) => {
      await (await app.client()).artifacts.delete({ params: { id: refOf(ref) } })
      app.out().note(`Deleted artifact ${ref}.`)
    })

  artifact
    .command('move')
    .description('Copy all artifacts of the server on this host into another store, digests checked')
    .addOption(new Option('--to <store>', 'where to').choices(storeTypes).makeOptionMandatory())
    .addOption(new Option('--from <store>', 'where from; the store of the configuration otherwise').choices(storeTypes))
    .option('--delete-source', 'delete the originals, after all were read back from the new store and found right')
    .option('--data-dir <folder>', "the server's data folder; as configured otherwise")
    .addHelpText(
      'after',
      `
Both stores have to be configured (artifacts.*, minio.*, s3.*). Stopped anywhere, the same command goes on where it was.
Stop the server before --delete-source.
Example:
  writ artifact move --to s3`,
    )
    .action((o: MoveOptions) => move(app, o))
}

interface MoveOptions {
  to: (typeof storeTypes)[number]
  from?: (typeof storeTypes)[number]
  deleteSource?: boolean
  dataDir?: string
}

async function move(app: App, o: MoveOptions): Promise<void> {
  const moveArtifacts = await loadOperation('moveArtifacts')
  const bars = new Map<string, Progress>()
  const done = await moveArtifacts({
    ...o,
    signal: app.terminal.signal,
    onProgress: ({ done, size, what }) => {
      if (!bars.has(what)) {
        for (const before of bars.values()) before.end()
        bars.set(what, app.progress(what))
      }
      bars.get(what)?.update(done, size)
    },
  }).finally(() => {
    for (const bar of bars.values()) bar.end()
  })
  app.out().item(
    done,
    [
      ['From', done.from],
      ['To', done.to],
      ['Size', `${bytesText(done.bytes)} in ${counted(done.blobs, 'blob')}`],
      ['Copied', done.copied],
      ['There already', done.skipped],
      ['Deleted', done.deleted],
      ['Gone since', done.removed],
      ['Next', done.advice],
    ],
    done.to,
  )
  for (const problem of done.problems) app.terminal.stderr.write(`writ: ${safeText(problem)}\n`)
  app.exit(done.ok ? exitCodes.ok : exitCodes.failure)
}

async function download(app: App, id: string, { to, force }: { to?: string; force?: boolean }): Promise<void> {
  const client = await app.client()
  const out = app.out()
  const known = await client.artifacts.get({ params: { id } })
  // Somebody else chose the name: only its last part is used, whatever separators it has.
  const path = to ?? basename(known.filename.replaceAll('\\', '/')).replace(/[\u0000-\u001f\u007f-\u009f]/g, '_')
  if (path === '' || path === '.' || path === '..') {
    throw new Failure(`Artifact #${known.number} has no name that could be a file`, { advice: 'Give one with --to.' })
  }
  if (path !== '-' && !force) await requireFree(path, 'Choose another name with --to, or overwrite it with --force.')
  const file = await client.artifacts.download({ params: { id } })
  if (path === '-') return pipeChecked(file.stream, app.terminal.stdout, known.sha256_hash)
  const bar = app.progress(path)
  try {
    const saved = await saveDownload(file, path, {
      sha256: known.sha256_hash,
      overwrite: force === true,
      onProgress: ({ bytes }) => bar.update(bytes, known.size_bytes),
      signal: app.terminal.signal,
    })
    bar.end()
    out.item(
      { path, ...saved },
      [
        ['Saved', path],
        ['Size', bytesText(saved.bytes)],
        ['SHA-256', `${saved.sha256} (checked)`],
      ],
      path,
    )
  } catch (error) {
    bar.end()
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new Failure(`${path} exists already`, {
        advice: 'Choose another name with --to, or overwrite it with --force.',
      })
    }
    throw error
  }
}
