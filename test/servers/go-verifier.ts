/** The verifier of test/independent/verify, built by Debian's Go from Debian's packages: log checks that are not our code. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SOURCE = path.join(import.meta.dirname, '../independent/verify')
const GOPATH = '/usr/share/gocode'

/** Why it cannot be built here, or undefined if it can. */
export function missingGo(): string | undefined {
  if (!['/usr/bin/go', '/usr/local/go/bin/go'].some((file) => existsSync(file))) return 'no go in /usr/bin'
  return existsSync(`${GOPATH}/src/golang.org/x/mod/sumdb/tlog`)
    ? undefined
    : `no golang.org/x/mod in ${GOPATH} (Debian: golang-golang-x-mod-dev)`
}

export type Independent = {
  /** Verifies a log folder against a vkey and, if given, a folder of checkpoints seen earlier; what it said, and whether all held. */
  verify(log: string, vkey: string, earlier?: string): Promise<{ ok: boolean; said: string }>
  /** Makes the root anew from the entries and compares it with the signed one: quicker than a proof of each. */
  makeRoot(log: string, vkey: string): Promise<{ ok: boolean; said: string }>
}

/** Builds it into a folder of the test's own. */
export async function buildVerifier(folder: string): Promise<Independent> {
  const program = path.join(folder, 'verify')
  await run('go', ['build', '-o', program, '.'], {
    cwd: SOURCE,
    env: { ...process.env, GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOCACHE: path.join(folder, 'go-cache') },
  })
  const ask = (...args: string[]) =>
    run(program, args).then(
      ({ stdout }) => ({ ok: true, said: stdout.trim() }),
      (error: { stdout?: string }) => {
        if (typeof error.stdout !== 'string') throw error
        return { ok: false, said: error.stdout.trim() }
      },
    )
  return {
    verify: (log, vkey, earlier) => ask(log, vkey, ...(earlier === undefined ? [] : [earlier])),
    makeRoot: (log, vkey) => ask('-root', log, vkey),
  }
}
