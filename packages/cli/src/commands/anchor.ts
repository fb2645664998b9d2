import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ConnectionLost } from '@writ/sdk'
import { parseCheckpoint, parseNote } from '@writ/tlog'
import type { Command } from 'commander'
import type { App } from '../app.ts'
import { exitCodes } from '../exit-codes.ts'
import { Failure, usage } from '../failure.ts'
import { mustBeFile } from '../given-file.ts'
import { loadKeyChanges, verifyWhileKeysChange } from '../served-log.ts'
import { entriesText, safeText } from '../text.ts'
import { checkTimeStampReply, timeStampNonce, timeStampRequest } from '../time-stamp.ts'

const run = promisify(execFile)
// A token with its certificates has a few kilobytes.
const MAX_REPLY = 1024 * 1024

export function addAnchorCommands(program: Command, app: App): void {
  const anchor = program
    .command('anchor')
    .description('Put a mark of the log, or of a file, where its operator cannot reach it')
    .addHelpText(
      'after',
      `
Examples:
  writ anchor timestamp --tsa https://tsa.example.com/tsr evidence.zip
  openssl ts -verify -in evidence.zip.tsr -data evidence.zip -CAfile tsa-root.pem
  writ anchor git --repo ./checkpoints`,
    )

  anchor
    .command('timestamp <file>')
    .description(
      'Have a time-stamping authority (RFC 3161) sign the digest of a file; only the digest leaves this machine',
    )
    .requiredOption('--tsa <url>', 'the address of the authority')
    .option('--to <file>', 'where the token goes; beside the file, as <file>.tsr, otherwise')
    .action(async (file: string, o: { tsa: string; to?: string }) => {
      if (!URL.canParse(o.tsa) || !/^https?:/.test(o.tsa)) throw usage(`"${o.tsa}" is not an http(s) URL`)
      await mustBeFile(file, { advice: 'Give the file whose digest is to be signed; of a folder, an archive.' })
      const to = o.to ?? `${file}.tsr`
      const isThere = new Failure(`${to} is there already`, { advice: 'Choose another with --to.' })
      // Before the authority is asked, who may count or be paid by the stamp.
      if (await stat(to).catch(() => null)) throw isThere
      const hash = createHash('sha256')
      for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array)
      const digest = hash.digest()
      const nonce = timeStampNonce()
      const reply = await askAuthority(o.tsa, timeStampRequest(digest, nonce), app.terminal.signal)
      const stamp = checked(reply, digest, nonce, new URL(o.tsa).host)
      await writeFile(to, reply, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'EEXIST' ? isThere : error
      })
      const check = `openssl ts -verify -in ${quoted(to)} -data ${quoted(file)} -CAfile <certificate of the authority>`
      app.out().item(
        { file, token: to, sha256: digest.toString('hex'), ...stamp },
        [
          ['Token', to, 'bold'],
          ['Time', stamp.time.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)/, '$1-$2-$3 $4:$5:')],
          [
            'Signed by',
            stamp.signer?.replaceAll('\n', ', ') ?? 'not checked: of a kind that only the command below knows',
          ],
          ['Check', check],
        ],
        to,
      )
      app.out().note("Whether that certificate is the authority's was not checked: the command above does.")
    })

  anchor
    .command('git')
    .description('Commit the newest checkpoint of the log into a git repository, after verifying it')
    .requiredOption('--repo <folder>', 'a repository that is there; push it to where the operator has no rights')
    .action(async ({ repo }: { repo: string }) => {
      const client = await app.client()
      const info = await client.audit.log()
      await git(repo, 'rev-parse', '--git-dir')
      const path = `checkpoints/${info.origin.replaceAll('/', '_')}.checkpoint`
      const kept = await committedFile(repo, path)
      // The first key leads to the one in use, so that what was committed under an earlier one is still good.
      const trusted = info.vkeys?.[0] ?? info.vkey
      const { signal } = app.terminal
      const keys = await loadKeyChanges(client, { origin: info.origin, trusted }, signal)
      // What was committed before must be the beginning of what is committed now.
      const { verdict, checkpoint } = await verifyWhileKeysChange(
        client,
        { origin: info.origin, trusted, kept, keys },
        { signal },
      )
      if (!verdict.ok || checkpoint === null)
        throw new Failure(`The log does not verify: ${verdict.ok ? 'no checkpoint' : verdict.reason}`, {
          exit: exitCodes.verificationFailed,
          ...(verdict.ok ? {} : { code: verdict.code }),
        })
      if (kept === checkpoint) return app.out().note('Nothing new since the last commit.')
      await mkdir(dirname(join(repo, path)), { recursive: true })
      await writeFile(join(repo, `${path}.tmp`), checkpoint)
      await rename(join(repo, `${path}.tmp`), join(repo, path))
      const { size } = parseCheckpoint(parseNote(checkpoint).text)
      await git(repo, 'add', '--', path)
      await git(repo, 'commit', '--quiet', '-m', `checkpoint: ${info.origin} with ${entriesText(size)}`, '--', path)
      const commit = (await git(repo, 'rev-parse', 'HEAD')).trim()
      app.out().item(
        { commit, path, size },
        [
          ['Commit', commit, 'bold'],
          ['File', path],
          ['Entries', size],
        ],
        commit,
      )
    })
}

function checked(reply: Uint8Array, digest: Uint8Array, nonce: Uint8Array, host: string) {
  try {
    return checkTimeStampReply(reply, digest, nonce)
  } catch (error) {
    throw new Failure(`No time stamp from ${host}: ${error instanceof Error ? error.message : error}`, {
      code: 'TIMESTAMP_REFUSED',
    })
  }
}

/** As a shell takes it for one word. */
const quoted = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)

async function askAuthority(url: string, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  const lost = (cause: unknown) => {
    throw new Failure(`No answer from ${new URL(url).host}`, {
      code: new ConnectionLost(url, cause).reason.slice(0, 60),
    })
  }
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/timestamp-query' },
    body: new Uint8Array(request),
    // A question that is followed elsewhere becomes a GET on the way, and the answer to that says nothing of the cause.
    redirect: 'manual',
    signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)]),
  }).catch(lost)
  const bytes = new Uint8Array(await answer.arrayBuffer().catch(lost))
  const elsewhere = answer.status >= 300 && answer.status < 400 ? answer.headers.get('location') : null
  if (elsewhere !== null)
    throw new Failure(`${new URL(url).host} answered ${answer.status}: it is now at ${safeText(elsewhere)}`, {
      code: 'TIMESTAMP_REFUSED',
      advice: 'Give that address with --tsa, if it is one that you trust.',
    })
  if (!answer.ok || bytes.length > MAX_REPLY)
    throw new Failure(`${new URL(url).host} answered ${answer.status}`, { code: 'TIMESTAMP_REFUSED' })
  return bytes
}

/**
 * What the newest commit holds; undefined if it has no such file, or there is none yet. Not the file in the folder: a commit that failed left
 * it there, and then nothing would ever be committed; and whoever removes it would be rid of the comparison.
 */
async function committedFile(repo: string, path: string): Promise<string | undefined> {
  const born = await git(repo, 'rev-parse', '--verify', '--quiet', 'HEAD').catch(() => null)
  if (born === null || (await git(repo, 'ls-tree', '--name-only', 'HEAD', '--', path)) === '') return undefined
  return await git(repo, 'cat-file', 'blob', `HEAD:./${path}`)
}

async function git(repo: string, ...args: string[]): Promise<string> {
  if (!(await stat(repo).catch(() => null))?.isDirectory()) throw usage(`There is no folder ${repo}`)
  try {
    return (await run('git', ['-C', repo, ...args])).stdout
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    const first = said.split('\n')[0] || 'it said nothing, as a hook may'
    throw new Failure(`git ${args[0]} failed in ${repo}: ${first}`, {
      code: 'GIT_FAILED',
      ...(said.includes('user.email') ? { advice: 'Set user.name and user.email with "git config" there.' } : {}),
    })
  }
}
