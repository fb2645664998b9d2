import { basename } from 'node:path'
import type { Artifact } from '@writ/api'
import type { Client } from '@writ/sdk'
import { digestFile, openFileSource } from '@writ/sdk/node'
import type { App } from './app.ts'
import { exitCodes } from './exit-codes.ts'
import { Failure, usage } from './failure.ts'
import { mustBeFile } from './given-file.ts'

/** A file of this machine that goes into a run. */
export interface EvidenceFile {
  readonly path: string
  readonly name: string
  readonly role?: 'before' | 'after'
}

/** The files that a command line names. Throws a usage failure when two would have the same name and role in the run. */
export function evidenceOf(paths: readonly string[], before: readonly string[] = [], after: readonly string[] = []) {
  const files: EvidenceFile[] = [
    ...paths.map((path) => ({ path, name: basename(path) })),
    ...before.map((path) => ({ path, name: basename(path), role: 'before' as const })),
    ...after.map((path) => ({ path, name: basename(path), role: 'after' as const })),
  ]
  if (files.length === 0) throw usage('No files were given')
  const seen = new Set<string>()
  for (const { name, role, path } of files) {
    const key = `${role ?? ''}/${name}`
    if (seen.has(key))
      throw usage(`Two files are called ${name}, the second is ${path}`, 'Rename one, or start two runs.')
    seen.add(key)
  }
  return files
}

/** Measures every file before anything is asked of the server, so that a typing mistake leaves no run behind. */
export async function openEvidence(files: readonly EvidenceFile[]) {
  return Promise.all(
    files.map(async (file) => {
      await mustBeFile(file.path, { advice: 'Evidence is sent file by file.', mayBeEmpty: true })
      return { ...file, source: await openFileSource(file.path, { name: file.name }) }
    }),
  )
}

export const expectationOf = (files: readonly EvidenceFile[]) =>
  Promise.all(
    files.map(async ({ name, path, role }) => ({ name, sha256: await digestFile(path), ...(role ? { role } : {}) })),
  )

/** Uploads one after the other, each with a bar, and compares what the server hashed with what was read here. */
export async function sendFiles(
  app: App,
  client: Client,
  run: string | number,
  files: Awaited<ReturnType<typeof openEvidence>>,
  about: { artifact_type?: string | undefined; description?: string | undefined } = {},
): Promise<Artifact[]> {
  const sent: Artifact[] = []
  for (const { name, role, source } of files) {
    const bar = app.progress(name)
    try {
      const { artifact } = await client.artifacts.upload({
        query: { run_id: run, role, ...about },
        file: source,
        onProgress: ({ bytes, size }) => bar.update(bytes, size),
      })
      const digest = source.digest()
      if (digest !== undefined && digest !== artifact.sha256_hash) {
        throw new Failure(`${name} arrived with another SHA-256: ${artifact.sha256_hash}, not ${digest}`, {
          advice: 'Cancel the run and upload again.',
          exit: exitCodes.verificationFailed,
          code: 'DIGEST_MISMATCH',
        })
      }
      sent.push(artifact)
    } finally {
      bar.end()
    }
  }
  return sent
}
