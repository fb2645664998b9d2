import type { RunDetail } from '@writ/api'
import type { Client } from '@writ/sdk'
import { exitCodes } from './exit-codes.ts'
import { Failure } from './failure.ts'
import type { Output } from './output.ts'
import type { Terminal } from './terminal.ts'
import { safeLine, safeText } from './text.ts'

const final = ['completed', 'failed', 'cancelled', 'timeout']

/** How a command that waited for this run exits. */
export function exitCodeOfRun(run: Pick<RunDetail, 'state' | 'verdict'>): number {
  if (run.state === 'waiting_approval') return exitCodes.waitingForApproval
  if (run.state === 'timeout') return exitCodes.timeout
  if (run.state === 'failed' || run.state === 'cancelled') return exitCodes.failure
  return run.verdict === 'failed' ? exitCodes.verificationFailed : exitCodes.ok
}

/**
 * Waits until the run is final or waits for an approval. Throws a Failure that exits with 124 after `seconds`; the run
 * itself goes on then.
 */
export async function waitForRun(client: Client, id: string, seconds: number, terminal: Terminal): Promise<RunDetail> {
  const until = terminal.ticks() + seconds * 1000
  for (;;) {
    const left = Math.max(0, Math.ceil((until - terminal.ticks()) / 1000))
    const run = await client.runs.wait({ params: { id }, query: { timeout: Math.min(25, left) } })
    if (final.includes(run.state) || run.state === 'waiting_approval') return run
    if (left === 0) {
      const why = run.waiting_for ? `waits for ${run.waiting_for}` : `is ${run.state}`
      throw new Failure(`Run #${run.number} still ${why} after ${seconds} s`, {
        advice: `It goes on; "writ run wait ${run.number}" waits again.`,
        exit: exitCodes.timeout,
      })
    }
  }
}

interface Finding {
  validator: string
  valid: boolean
  errors: string[]
  warnings: string[]
}

/** Prints verdict and findings for people: each file, and below it what is wrong with it. */
export function sayVerdict(out: Output, run: RunDetail): void {
  const report = recordOf(run.outputs_manifest?.validation_report)
  sayReport(out, report)
  if (!report && run.stderr_log) out.say(safeText(run.stderr_log))
  const word = run.verdict ?? run.state
  out.say(
    `${out.paint(word, exitCodeOfRun(run) === exitCodes.ok ? 'green' : 'red')}  run #${run.number}: ${safeLine(run.result_summary ?? run.error_code ?? run.state)}`,
  )
  if (run.verifies_run_number && report) sayComparison(out, run, run.verifies_run_number)
}

/** What a run that judged old evidence again found that the one before did not. */
function sayComparison(out: Output, run: RunDetail, before: number): void {
  const comparison = recordOf(run.outputs_manifest?.comparison)
  if (!comparison) {
    out.say(`Run #${before} has no report to compare with.`)
    return
  }
  const confirmed = comparison.confirmed === true
  out.say(
    confirmed
      ? `${out.paint('confirmed', 'green')}  verdict, files and findings are those of run #${before}`
      : `${out.paint('CHANGED', 'red')}  since run #${before}:`,
  )
  for (const difference of listOf(comparison.differences).map(recordOf))
    out.say(`        ${safeLine(String(difference?.message))}`)
}

/** Prints the findings of a report, whether a run made it or a trial. */
export function sayReport(out: Output, report: Record<string, unknown> | undefined): void {
  for (const result of listOf(report?.validation_results).map(recordOf)) {
    if (!result) continue
    const passed = result.validation === 'passed'
    out.say(
      `${out.paint(passed ? 'passed' : 'FAILED', passed ? 'green' : 'red')}  ${safeLine(String(result.filename))}`,
    )
    const findings = listOf(result.findings).map(findingOf)
    sayFindings(out, findings)
    // The documented `error` repeats the first finding; it stands alone when the bytes themselves were wrong.
    const said = findings.flatMap(({ errors }) => errors)
    const error = typeof result.error === 'string' ? result.error : undefined
    if (error && !said.some((text) => error.includes(text))) out.say(`        ${safeLine(error)}`)
  }
  sayFindings(out, listOf(report?.set_results).map(findingOf))
  for (const result of listOf(report?.set_results)) sayDifference(out, recordOf(recordOf(result)?.report))
  for (const error of listOf(report?.errors)) out.say(`        ${safeLine(String(error))}`)
}

/** So many lines of a difference are read on a terminal; the report has all. */
const MOST_LINES = 200

/** What changed between the files before and after, line by line. */
function sayDifference(out: Output, report: Record<string, unknown> | undefined): void {
  if (typeof report?.unified_diff !== 'string') return
  // The line above the names is for programs that patch.
  const lines = report.unified_diff.replace(/^=+\n/, '').trimEnd().split('\n')
  for (const line of lines.slice(0, MOST_LINES)) {
    const colour = /^\+(?!\+\+ )/.test(line) ? 'green' : /^-(?!-- )/.test(line) ? 'red' : undefined
    out.say(`        ${colour ? out.paint(safeLine(line), colour) : safeLine(line)}`)
  }
  if (lines.length > MOST_LINES)
    out.say(
      `        ${lines.length - MOST_LINES} more lines stand in the report: "writ artifact get" of it, or -o json.`,
    )
}

function sayFindings(out: Output, findings: readonly Finding[]): void {
  for (const { validator, errors, warnings } of findings) {
    for (const error of errors)
      out.say(`        ${out.paint('error', 'red')}    ${safeLine(validator)}: ${safeLine(error)}`)
    for (const warning of warnings)
      out.say(`        ${out.paint('warning', 'yellow')}  ${safeLine(validator)}: ${safeLine(warning)}`)
  }
}

// Manifests are free-form JSON to the API: each part is looked at before it is used.
const recordOf = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
function findingOf(value: unknown): Finding {
  const finding = recordOf(value)
  return {
    validator: String(finding?.validator ?? ''),
    valid: finding?.valid === true,
    errors: listOf(finding?.errors).map(String),
    warnings: listOf(finding?.warnings).map(String),
  }
}
