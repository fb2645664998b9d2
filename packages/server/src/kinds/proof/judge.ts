// The verdict on a run's evidence. Pure but for reading the evidence itself: the same files, rules and time give the same report.
// The strings and documented keys are contract: clients of the documented system compare them.
import { createHash } from 'node:crypto'
import { type LibraryVersions, versionsOf } from './libraries.ts'
import { findValidator } from './registry.ts'
import { appliesTo, type Rule, type RuleSet, ruleSetDigest } from './rule-set.ts'
import type { ScriptSpec } from './scripts.ts'
import type { Evidence, Finding } from './validator.ts'

/** A file put forward in a run: the evidence and its two ids. */
export interface EvidenceArtifact extends Evidence {
  /** UUID of the artifact. */
  readonly id: string
  /** The artifact's number in its project. */
  readonly number: number
}

export interface Question {
  /** UUID of the run. */
  runId: string
  runNumber: number
  ticketNumber: number
  ticketId?: string
  /** null: the run named no script. */
  script: ScriptSpec | null
  /** One that `examineRuleSet` accepted. */
  ruleSet: RuleSet
  evidence: readonly EvidenceArtifact[]
  /** The run's execution context: `expected_hash` for every file or `expected_hashes` by name are taken up here. */
  context: Readonly<Record<string, unknown>> | null
  /** Milliseconds since the epoch. */
  now: number
  /** Ends the judging between two reads; the abort's reason is thrown. */
  signal?: AbortSignal
}

export type Verdict = 'passed' | 'failed'

/** What one validator said about one file, or about the set. */
export interface RuleFinding extends Finding {
  validator: string
  /** Index in the rule set. */
  rule: number
  /** For a finding about the set: the files that were looked at. */
  files?: string[]
}

export interface ValidationResult {
  artifact_id: number
  artifact_uuid: string
  filename: string
  /** `error`: the file could not be read. */
  validation: 'passed' | 'failed' | 'error'
  hash_verified?: boolean
  error?: string
  sha256: string
  findings: RuleFinding[]
}

export interface ValidationReport {
  timestamp: string
  run_id: number
  run_uuid: string
  ticket_id: number
  ticket_uuid?: string
  validator: string
  validator_version: string
  rule_set: { name: string; version: string; digest: string }
  libraries: LibraryVersions
  total_artifacts: number
  validation_results: ValidationResult[]
  set_results: RuleFinding[]
  errors: string[]
  overall_result: Verdict
}

export interface InputsManifest {
  artifacts: {
    id: number
    artifact_uuid: string
    filename: string
    sha256: string
    size_bytes: number
    role?: string
  }[]
}

export type Judgement =
  | {
      state: 'completed'
      verdict: Verdict
      exitCode: 0 | 1
      resultSummary: string
      stdoutLog: string
      stderrLog: null
      inputsManifest: InputsManifest
      outputsManifest: { validation_report: ValidationReport }
      report: ValidationReport
    }
  | {
      /** The check did not run, so there is no verdict. */
      state: 'failed'
      verdict: null
      exitCode: null
      resultSummary: string
      stdoutLog: null
      stderrLog: string
      inputsManifest: null
      outputsManifest: null
      report: null
    }

/** A validator threw on evidence that could be read: our bug. The run has failed without a verdict. */
export class ValidatorCrashed extends Error {
  readonly validator: string
  constructor(validator: string, cause: unknown) {
    super(`Validator ${validator} crashed`, { cause })
    this.validator = validator
  }
}

/** Judges all the evidence of a run. Throws ValidatorCrashed, or the signal's reason; unreadable files are results. */
export async function judge(question: Question): Promise<Judgement> {
  const { ruleSet, script, signal } = question
  if (question.evidence.length === 0) return nothingToJudge()

  const errors: string[] = []
  const evidence = question.evidence.map((artifact) => withExpectation(artifact, question.context))
  for (const name of expectedNames(question.context)) {
    if (!evidence.some((artifact) => artifact.name === name)) errors.push(`Expected file is missing: ${name}`)
  }

  const results: ValidationResult[] = []
  for (const artifact of evidence) results.push(await verifyStored(artifact, signal))
  const setResults: RuleFinding[] = []
  for (const [index, rule] of ruleSet.rules.entries()) {
    errors.push(...(await applyRule(rule, index, evidence, results, setResults, signal)))
  }
  for (const result of results) summarise(result, setResults)

  const passed =
    errors.length === 0 &&
    setResults.every(({ valid }) => valid) &&
    results.every(({ validation }) => validation === 'passed')
  const verdict: Verdict = passed ? 'passed' : 'failed'
  const report: ValidationReport = {
    timestamp: new Date(question.now).toISOString(),
    run_id: question.runNumber,
    run_uuid: question.runId,
    ticket_id: question.ticketNumber,
    ...(question.ticketId !== undefined && { ticket_uuid: question.ticketId }),
    validator: script?.name ?? 'default',
    validator_version: script?.version ?? '1.0.0',
    rule_set: { name: ruleSet.name, version: ruleSet.version, digest: ruleSetDigest(ruleSet) },
    libraries: librariesOf(ruleSet),
    total_artifacts: results.length,
    validation_results: results,
    set_results: setResults,
    errors,
    overall_result: verdict,
  }
  return {
    state: 'completed',
    verdict,
    exitCode: passed ? 0 : 1,
    resultSummary: `Validation ${verdict}: ${results.length} artifact(s) checked`,
    stdoutLog: [
      `Validated ${results.length} artifacts`,
      ...results.map((result) => `- ${oneLine(result.filename)}: ${result.validation}`),
    ].join('\n'),
    stderrLog: null,
    inputsManifest: { artifacts: evidence.map(manifestEntry) },
    outputsManifest: { validation_report: report },
    report,
  }
}

function nothingToJudge(): Judgement {
  return {
    state: 'failed',
    verdict: null,
    exitCode: null,
    resultSummary: 'No artifacts found to validate',
    stdoutLog: null,
    stderrLog: 'Proof run requires at least one artifact',
    inputsManifest: null,
    outputsManifest: null,
    report: null,
  }
}

/** The bytes in storage are those that were recorded at upload: every proof run begins with this. */
async function verifyStored(artifact: EvidenceArtifact, signal: AbortSignal | undefined): Promise<ValidationResult> {
  const result: ValidationResult = {
    artifact_id: artifact.number,
    artifact_uuid: artifact.id,
    filename: artifact.name,
    validation: 'passed',
    sha256: artifact.sha256,
    findings: [],
  }
  try {
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of artifact.stream()) {
      signal?.throwIfAborted()
      hash.update(chunk)
      size += chunk.byteLength
    }
    const computed = hash.digest('hex')
    result.hash_verified = computed === artifact.sha256 && size === artifact.size
    if (computed !== artifact.sha256) fail(result, `Hash mismatch: expected ${artifact.sha256}, got ${computed}`)
    else if (size !== artifact.size) fail(result, `Size mismatch: expected ${artifact.size}, got ${size}`)
    // What somebody announced holds under every rule set, or a rule set without file_hash would pass another file.
    const announced = artifact.expectedSha256?.trim().toLowerCase()
    if (announced !== undefined && announced !== computed)
      fail(result, `Hash mismatch: expected ${artifact.expectedSha256}, got ${computed}`)
  } catch (error) {
    signal?.throwIfAborted()
    unreadable(result, error)
  }
  return result
}

// Applies one rule to the files that it is for; returns errors that belong to no file.
async function applyRule(
  rule: Rule,
  index: number,
  evidence: readonly EvidenceArtifact[],
  results: readonly ValidationResult[],
  setResults: RuleFinding[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const validator = findValidator(rule.validator)
  if (!validator) throw new Error(`rule set was never examined: ${rule.validator}`)
  const named = evidence
    .map((artifact, at) => ({ artifact, at }))
    .filter(({ artifact }) => appliesTo(rule, artifact.name))
  if (named.length === 0) return rule.optional ? [] : [`No file matches ${rule.files} (${rule.validator})`]
  // Altered or unreadable bytes are judged already, and whatever a validator said of them would be about another file.
  const sound = named.filter(({ at }) => results[at]?.hash_verified === true)

  if (validator.scope === 'set') {
    if (sound.length < named.length) return [`${rule.validator} was not applied: a file could not be verified`]
    const files = named.map(({ artifact }) => guarded(artifact))
    const outcome = await run(rule, signal, () => validator.check(files, rule.params ?? {}))
    if (outcome instanceof Unreadable) return [`${rule.validator} was not applied: ${outcome.message}`]
    setResults.push({ validator: rule.validator, rule: index, files: files.map(({ name }) => name), ...outcome })
    return []
  }
  for (const { artifact, at } of sound) {
    const result = results[at]
    if (!result) continue
    const outcome = await run(rule, signal, () => validator.check(guarded(artifact), rule.params ?? {}))
    if (outcome instanceof Unreadable) unreadable(result, outcome.cause)
    else result.findings.push({ validator: rule.validator, rule: index, ...outcome })
  }
  return []
}

async function run(
  rule: Rule,
  signal: AbortSignal | undefined,
  check: () => Promise<Finding>,
): Promise<Finding | Unreadable> {
  signal?.throwIfAborted()
  try {
    const { valid, errors, warnings, report } = await check()
    if (valid !== (errors.length === 0)) throw new Error('the finding contradicts itself')
    return { valid, errors, warnings, report }
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof Unreadable) return error
    throw new ValidatorCrashed(rule.validator, error)
  }
}

/** Storage failed under a validator. Kept apart from the validator's own exceptions. */
class Unreadable extends Error {}

function guarded(artifact: EvidenceArtifact): Evidence {
  const failed = (error: unknown) => new Unreadable(`cannot read ${artifact.name}`, { cause: error })
  return {
    name: artifact.name,
    size: artifact.size,
    sha256: artifact.sha256,
    role: artifact.role,
    expectedSha256: artifact.expectedSha256,
    bytes: () =>
      artifact.bytes().catch((error: unknown) => {
        throw failed(error)
      }),
    async *stream() {
      try {
        yield* artifact.stream()
      } catch (error) {
        throw failed(error)
      }
    },
  }
}

function summarise(result: ValidationResult, setResults: readonly RuleFinding[]): void {
  for (const { errors } of result.findings) for (const error of errors) fail(result, error)
  for (const { errors, files } of setResults) {
    if (errors.length > 0 && files?.includes(result.filename)) fail(result, errors.join('; '))
  }
}

// An unreadable file stays an error, whatever else is wrong with it.
function fail(result: ValidationResult, error: string): void {
  if (result.validation === 'passed') result.validation = 'failed'
  if (result.error === undefined) result.error = error
  else if (!result.error.includes(error)) result.error += `; ${error}`
}

function unreadable(result: ValidationResult, cause: unknown): void {
  result.validation = 'error'
  // The cause may name a path or a host of the store, which is for the log, not for the report.
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : ''
  result.error = `File could not be read${code}`
}

function withExpectation(artifact: EvidenceArtifact, context: Question['context']): EvidenceArtifact {
  const hashes = context?.expected_hashes
  const named = isRecord(hashes) && Object.hasOwn(hashes, artifact.name) ? hashes[artifact.name] : undefined
  const expected = named ?? artifact.expectedSha256 ?? context?.expected_hash
  if (expected === undefined || expected === null) return artifact
  return {
    id: artifact.id,
    number: artifact.number,
    name: artifact.name,
    size: artifact.size,
    sha256: artifact.sha256,
    role: artifact.role,
    expectedSha256: String(expected),
    bytes: () => artifact.bytes(),
    stream: () => artifact.stream(),
  }
}

function expectedNames(context: Question['context']): string[] {
  return isRecord(context?.expected_hashes) ? Object.keys(context.expected_hashes) : []
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function manifestEntry(artifact: EvidenceArtifact): InputsManifest['artifacts'][number] {
  return {
    id: artifact.number,
    artifact_uuid: artifact.id,
    filename: artifact.name,
    sha256: artifact.sha256,
    size_bytes: artifact.size,
    ...(artifact.role && { role: artifact.role }),
  }
}

function librariesOf(ruleSet: RuleSet): LibraryVersions {
  const used = ruleSet.rules.flatMap((rule) => Object.entries(findValidator(rule.validator)?.libraries ?? {}))
  if (ruleSet.rules.some((rule) => rule.files !== undefined)) used.push(...Object.entries(versionsOf('picomatch')))
  return Object.fromEntries(used.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

// A file name with a line break in it must not write a line of its own into the log.
function oneLine(name: string): string {
  return name.replace(/[\u0000-\u001f\u007f\u0085\u2028\u2029]/g, '?')
}
