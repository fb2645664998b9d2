// What a re-verification found that the first verdict did not. Pure: two reports in, differences out.
import { canonicalJson } from './canonical-json.ts'
import type { ValidationReport, ValidationResult } from './judge.ts'

export interface Difference {
  /** What it is about: `verdict`, `rule_set`, `library:<name>`, `artifact:<number>`, `finding:<number>:<validator>`, `set:<validator>`, `errors`. */
  readonly subject: string
  readonly before: unknown
  readonly after: unknown
  /** A sentence for people. */
  readonly message: string
}

export interface Comparison {
  /** Whether the verdict, the files and all findings are the same. Other libraries alone leave this true. */
  readonly confirmed: boolean
  readonly verdict_changed: boolean
  readonly differences: Difference[]
}

/** Compares an earlier report with a fresh one over the same run. Times and run ids are no difference. */
export function compareReports(earlier: ValidationReport, fresh: ValidationReport): Comparison {
  const differences: Difference[] = []
  const note = (subject: string, before: unknown, after: unknown, message: string) => {
    if (canonicalJson(before ?? null) !== canonicalJson(after ?? null))
      differences.push({ subject, before: before ?? null, after: after ?? null, message })
  }
  note(
    'verdict',
    earlier.overall_result,
    fresh.overall_result,
    `Verdict was ${earlier.overall_result}, is ${fresh.overall_result}`,
  )
  note('rule_set', earlier.rule_set, fresh.rule_set, 'Another rule set was applied')
  note('errors', earlier.errors, fresh.errors, 'Errors about the run as a whole differ')
  for (const number of numbersIn(earlier, fresh)) {
    const old = earlier.validation_results.find((result) => result.artifact_id === number)
    const now = fresh.validation_results.find((result) => result.artifact_id === number)
    if (!old || !now)
      note(
        `artifact:${number}`,
        old && essence(old),
        now && essence(now),
        old ? `${old.filename} is missing` : `${now?.filename} was added`,
      )
    else {
      note(
        `artifact:${number}`,
        essence(old),
        essence(now),
        `${old.filename}: was ${old.validation}, is ${now.validation}`,
      )
      compareFindings(old, now, note)
    }
  }
  const longest = Math.max(earlier.set_results.length, fresh.set_results.length)
  for (let index = 0; index < longest; index++) {
    const old = earlier.set_results[index]
    const now = fresh.set_results[index]
    note(`set:${(old ?? now)?.validator}`, old, now, 'The finding about the files together differs')
  }
  const confirmed = differences.length === 0
  for (const name of new Set([...Object.keys(earlier.libraries), ...Object.keys(fresh.libraries)])) {
    const [was, is] = [earlier.libraries[name], fresh.libraries[name]]
    note(`library:${name}`, was, is, `${name} was ${was ?? 'not used'}, is ${is ?? 'not used'}`)
  }
  return { confirmed, verdict_changed: earlier.overall_result !== fresh.overall_result, differences }
}

type Note = (subject: string, before: unknown, after: unknown, message: string) => void

function compareFindings(old: ValidationResult, now: ValidationResult, note: Note): void {
  const longest = Math.max(old.findings.length, now.findings.length)
  for (let index = 0; index < longest; index++) {
    const before = old.findings[index]
    const after = now.findings[index]
    const validator = (before ?? after)?.validator
    note(`finding:${old.artifact_id}:${validator}`, before, after, `${old.filename}: ${validator} finds something else`)
  }
}

function essence({ filename, validation, hash_verified, sha256, error }: ValidationResult) {
  return { filename, validation, hash_verified, sha256, error }
}

function numbersIn(...reports: ValidationReport[]): number[] {
  const numbers = reports.flatMap((report) => report.validation_results.map((result) => result.artifact_id))
  return [...new Set(numbers)].sort((a, b) => a - b)
}
