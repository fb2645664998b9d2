import {
  BundleError,
  type BundleFiles,
  type BundlePrimitives,
  type BundleReport,
  type BundleTrust,
  checkAnchors,
  checkLogs,
  checkManifest,
  checkQuorum,
  noteUnknownFiles,
  readDescription,
} from './bundle.ts'
import {
  checkApprovals,
  checkArtifacts,
  checkAttestations,
  checkRecords,
  checkTasks,
  checkWhole,
} from './bundle-content.ts'
import { checkSubject } from './bundle-subject.ts'
import { checkWholeLogs } from './bundle-whole-log.ts'

/**
 * Verifies an evidence bundle completely: manifest, logs, entries, payloads, attestations, people's signatures, files.
 * Needs no server and no network. Answers what was checked, what was erased or left out, and what all of it rests on;
 * at the first failure it stops and names it. Throws only what `files` throws.
 */
export async function verifyBundle(
  files: BundleFiles,
  on: BundlePrimitives,
  trust: BundleTrust = {},
): Promise<BundleReport> {
  const report: BundleReport = { ok: false, checks: [], rests: [] }
  const { checks, rests } = report
  try {
    const manifest = await checkManifest(files, on, trust)
    checks.push(manifest.check, ...noteUnknownFiles(files))
    rests.push(manifest.rest)
    const described = await readDescription(files)
    const logs = await checkLogs(files, described, on, trust)
    checks.push(...logs.checks)
    rests.push(...logs.rests)
    const { entries } = logs
    checks.push(...checkSubject(entries, described), ...checkWhole(entries, described.subject))
    checks.push(...(await checkWholeLogs(files, described, logs.logs, entries, on)))
    const anchored = await checkAnchors(files, entries, logs.logs, on)
    checks.push(...anchored.checks)
    if (trust.policy) checks.push(...checkQuorum(entries, anchored.anchors, trust.policy))
    const attested = await checkAttestations(files, entries, on)
    checks.push(...attested.checks)
    const approved = await checkApprovals(files, entries, attested.attestations, on)
    checks.push(...approved.checks)
    checks.push(await checkArtifacts(files, described, entries, attested.attestations))
    checks.push(await checkRecords(files, entries, attested.attestations, on))
    const tasks = await checkTasks(files, entries, on)
    checks.push(...tasks.checks)
    for (const value of new Set([...attested.rests, ...tasks.rests]))
      rests.push({ what: 'attestation key', code: 'attestation_key', value, expected: false })
    rests.push(...approved.rests)
    report.ok = true
  } catch (error) {
    if (!(error instanceof BundleError)) throw error
    report.fault = error.fault
  }
  return report
}
