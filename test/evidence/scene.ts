/** A ticket with everything that a bundle can hold, made by a real server. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Run, Ticket } from '@writ/api'
import {
  type BundleFiles,
  type BundleReport,
  type BundleTrust,
  formatSshSignature,
  parsePem,
  sshSigned,
  toUtf8,
  verifyZip,
} from '@writ/tlog'
import { createSha256, inflate, openZipFile } from '../../packages/cli/src/bundle-zip.ts'
import { sha256, sha512, verifySignature } from '../../packages/cli/src/verify-crypto.ts'
import type { openKeys } from '../../packages/server/src/audit/index.ts'
import type { TestSystem } from '../test-system.ts'
import { makeSshKey, proposeKey, type SshKey, signApproval } from './ssh-key.ts'

const run = promisify(execFile)

export interface Signer {
  readonly key: SshKey
  readonly id: string
}

/** An SSH key of the admin, enrolled: the first of the project. */
export async function enrolSigner(system: TestSystem): Promise<Signer> {
  const key = await makeSshKey(system.folder, 'approver')
  const enrolled = await proposeKey(system.admin, key)
  assert.equal(enrolled.status, 201, JSON.stringify(enrolled.body))
  return { key, id: enrolled.body.id }
}

const GOOD_AND_BAD = [
  ['core switch.json', '{"hostname":"sw1"}'],
  ['broken.json', '{'],
] as const

/** A ticket signed by an admin with an SSH key, proven by a run for each file. */
export async function makeTicket(
  system: TestSystem,
  signer?: Signer,
  files: readonly (readonly [string, string])[] = GOOD_AND_BAD,
): Promise<Ticket> {
  const { key, id } = signer ?? (await enrolSigner(system))
  const { body: ticket } = await system.employee.post<Ticket>('/tickets', {
    title: '更换主交换机',
    description: 'in hall 3',
  })
  const signed = await signApproval(system.admin, ticket.number, key, id)
  const approved = await system.admin.post(`/tickets/${ticket.number}/approve`, { signed, reason: 'window agreed' })
  assert.equal(approved.status, 200, JSON.stringify(approved.body))
  for (const [name, bytes] of files) {
    const script_id = 'proof.config_format'
    const opened = await system.employee.post<Run>('/runs', { run_type: 'proof', ticket_id: ticket.number, script_id })
    assert.equal(opened.status, 200, JSON.stringify(opened.body))
    assert.equal((await system.employee.upload(opened.body.number, name, bytes)).status, 200)
    await system.waitFor(opened.body.number)
  }
  return ticket
}

/** Exports a bundle into a file. */
export async function exportBundle(system: TestSystem, file: string, body: object): Promise<void> {
  const token = await system.admin.token()
  const answer = await fetch(`${system.base}/api/v1/evidence/export`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  assert.equal(answer.status, 200, answer.status === 200 ? '' : await answer.text())
  await writeFile(file, Buffer.from(await answer.arrayBuffer()))
}

/** Unpacks with the unzip that people have. */
export async function unpack(zip: string, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await run('unzip', ['-q', zip, '-d', folder])
}

/** The files of an unpacked bundle. */
export async function folderFiles(folder: string): Promise<BundleFiles> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  const names = found
    .filter((one) => one.isFile())
    .map((one) => path.relative(folder, path.join(one.parentPath, one.name)))
  const read = async (name: string) => new Uint8Array(await readFile(path.join(folder, name)))
  return { names: names.sort(), read, sha256: async (name) => Buffer.from(sha256(await read(name))).toString('hex') }
}

/** Runs the bundle's own script; what it said, and how it ended. */
export async function verifySh(folder: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await run('sh', [path.join(folder, 'verify.sh'), ...args])
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

export type Keys = Awaited<ReturnType<typeof openKeys>>

/** The folder of a bundle with a manifest that agrees with what is in it, signed by the real key. */
export async function signFolder(folder: string, keys: Keys): Promise<void> {
  const { sums, sig } = await manifestOf(await folderFiles(folder), keys)
  await writeFile(path.join(folder, 'SHA256SUMS'), sums)
  await writeFile(path.join(folder, 'SHA256SUMS.sig'), sig)
}

/** A manifest over files as they are, signed by the real key. */
export async function manifestOf(files: BundleFiles, keys: Keys): Promise<{ sums: Buffer; sig: Buffer }> {
  const lines = []
  for (const one of files.names.filter((file) => !file.startsWith('SHA256SUMS')))
    lines.push(`${await files.sha256(one)}  ${one}\n`)
  const sums = toUtf8(lines.join(''))
  const namespace = 'writ-evidence'
  const hashAlgorithm = 'sha512'
  const signature = keys.manifest.sign(sshSigned(sums, namespace, { sha256, sha512 }, hashAlgorithm))
  const spki = parsePem(keys.manifest.publicPem)
  const sig = formatSshSignature({ spki, namespace, hashAlgorithm, signature })
  return { sums: Buffer.from(sums), sig: Buffer.from(sig) }
}

/** What the library finds in a zipped bundle. */
export async function verifyZipFile(file: string, trust: BundleTrust = {}): Promise<BundleReport> {
  await using zip = await openZipFile(file)
  return await verifyZip(zip, file, { sha256, sha512, verify: verifySignature, inflate, createSha256 }, trust)
}
