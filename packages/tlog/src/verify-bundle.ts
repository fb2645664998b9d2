import {
  BundleError,
  type BundleFiles,
  type BundlePrimitives,
  type BundleProgress,
  type BundleReport,
  type BundleTrust,
  checkAnchors,
  checkLogs,
  checkManifest,
  checkQuorum,
  noteUnknownFiles,
  noteUnwitnessed,
  readDescription,
  refuseStrayProofs,
} from './bundle.ts'
import {
  checkApprovals,
  checkArtifacts,
  checkAttestations,
  checkRecords,
  checkTasks,
  checkWhole,
  noteIdleKeys,
} from './bundle-content.ts'
import { checkSubject } from './bundle-subject.ts'
import { checkWholeLogs } from './bundle-whole-log.ts'
import { type CreateSha256, type Inflate, openZip, type ZipBytes, ZipError } from './zip.ts'

/**
 * Verifies an evidence bundle completely: manifest, logs, entries, payloads, attestations, people's signatures, files.
 * Needs no server and no network. Answers what was checked, what was erased or left out, and what all of it rests on;
 * at the first failure it stops and names it. Throws only what `files` throws. `onProgress` hears of each file, entry and attestation.
 */
export async function verifyBundle(
  given: BundleFiles,
  on: BundlePrimitives,
  trust: BundleTrust = {},
  onProgress: BundleProgress = () => {},
): Promise<BundleReport> {
  // In whichever order they were packed or listed, the first failure is the same.
  const files = { ...given, names: [...given.names].sort(), sha256: once(given.sha256) }
  const report: BundleReport = { ok: false, checks: [], rests: [] }
  const { checks, rests } = report
  try {
    const manifest = await checkManifest(files, on, trust, onProgress)
    checks.push(manifest.check, ...noteUnknownFiles(files))
    rests.push(manifest.rest)
    const described = await readDescription(files)
    const logs = await checkLogs(files, described, on, trust, onProgress)
    checks.push(...logs.checks)
    rests.push(...logs.rests)
    const { entries } = logs
    checks.push(...checkSubject(entries, described), ...checkWhole(entries, described.subject))
    checks.push(...(await checkWholeLogs(files, described, logs.logs, entries, on)))
    const anchored = await checkAnchors(files, entries, logs.logs, on)
    checks.push(...anchored.checks)
    refuseStrayProofs(files, logs.logs, anchored.anchors)
    checks.push(...noteUnwitnessed(logs.logs, trust.policy))
    if (trust.policy) checks.push(...checkQuorum(entries, anchored.anchors, trust.policy))
    const attested = await checkAttestations(files, entries, on, onProgress)
    checks.push(...attested.checks)
    const approved = await checkApprovals(files, entries, attested.attestations, on)
    checks.push(...approved.checks)
    checks.push(await checkArtifacts(files, described, entries, attested.attestations))
    checks.push(await checkRecords(files, entries, attested.attestations, on))
    const tasks = await checkTasks(files, entries, on)
    checks.push(...tasks.checks)
    const signers = new Set([...attested.rests, ...tasks.rests])
    checks.push(...noteIdleKeys(files, [...signers]))
    for (const value of signers)
      rests.push({ what: 'attestation key', code: 'attestation_key', value, expected: false })
    rests.push(...approved.rests)
    report.ok = true
  } catch (error) {
    if (!(error instanceof BundleError)) throw error
    report.fault = error.fault
  }
  return report
}

/**
 * Evidence is looked at twice, by the manifest and by what the log says of it, and may be all there is to read. Files of logs, most of a
 * large bundle, are looked at once.
 */
function once(sha256: BundleFiles['sha256']): BundleFiles['sha256'] {
  const known = new Map<string, Promise<string>>()
  return (name) => {
    if (name.startsWith('logs/')) return sha256(name)
    const digest = known.get(name) ?? sha256(name)
    known.set(name, digest)
    return digest
  }
}

/**
 * The same of a zipped bundle. An archive that is damaged, or that programs could unpack to different files, is the first failure, at `name`.
 * Throws only what reading `zip` throws.
 */
export async function verifyZip(
  zip: ZipBytes,
  name: string,
  on: BundlePrimitives & { inflate: Inflate; createSha256: CreateSha256 },
  trust: BundleTrust = {},
  onProgress: BundleProgress = () => {},
): Promise<BundleReport> {
  let at: Parameters<BundleProgress>[0] | null = null
  let read = 0
  const tell = () => {
    if (at?.step === 'files') onProgress({ ...at, bytes: { done: Math.min(read, zip.size), total: zip.size } })
    else if (at) onProgress(at)
  }
  const watched: ZipBytes = {
    size: zip.size,
    async read(from, length) {
      const bytes = await zip.read(from, length)
      if (at?.step === 'files') {
        read += bytes.length
        tell()
      }
      return bytes
    },
  }
  try {
    return await verifyBundle(await openZip(watched, on), on, trust, (step) => {
      at = step
      tell()
    })
  } catch (error) {
    if (!(error instanceof ZipError)) throw error
    const fault = new BundleError('BUNDLE_MALFORMED', name, 'archive', { said: error.message }).fault
    return { ok: false, fault, checks: [], rests: [] }
  }
}
