import { AppError } from '../../platform/app-error.ts'
import type { Blobs } from '../../platform/blobs/index.ts'
import type { Clock } from '../../platform/clock.ts'
import { projectInContext, type Tx } from '../../platform/db/index.ts'
import type { Outcome, Prepared, RunKind, RunningRun } from '../../runs/index.ts'
import { compareReports } from './compare.ts'
import type { Judgement, ValidationReport } from './judge.ts'
import type { JudgeThread } from './judge-thread.ts'
import type { Problem } from './problem.ts'
import type { Examined, RuleSet } from './rule-set.ts'
import type { ScriptSpec } from './scripts.ts'
import { findRuleSet } from './store.ts'

/** What a proof run keeps of its rules: enough to judge the same evidence again in ten years. */
interface Kept {
  readonly script: ScriptSpec | null
  readonly ruleSet: RuleSet
}

/** The kind whose product is a verdict on evidence. Validators run in a thread of their own; nothing here writes state. */
export function createProofKind(on: { blobs: Blobs; clock: Clock; judges: JudgeThread }): RunKind {
  return {
    name: 'proof',
    async ready() {
      await import('./rules.ts')
    },
    async prepare(tx, { scriptId, context }) {
      const kept = await rulesOf(tx, scriptId, context)
      // Evidence comes next; the thread starts meanwhile.
      on.judges.warm()
      return preparedFrom(scriptId, kept)
    },
    async execute(running) {
      const { script, ruleSet } = JSON.parse(running.run.rules ?? '{}') as Kept
      const project = projectInContext()
      const context =
        running.run.execution_context === null
          ? null
          : (JSON.parse(running.run.execution_context) as Record<string, unknown>)
      const judgement = await on.judges.judge(
        {
          runId: running.run.id,
          runNumber: running.run.number,
          ticketNumber: running.ticketNumber,
          ticketId: running.run.ticket_id,
          script,
          ruleSet,
          context,
          now: on.clock.now(),
          evidence: running.evidence.map((file) => ({
            id: file.id,
            number: file.number,
            name: file.filename,
            size: file.size_bytes,
            sha256: file.sha256,
            ...(file.role === null ? {} : { role: file.role }),
            ...(file.expected_sha256 === null ? {} : { expectedSha256: file.expected_sha256 }),
          })),
        },
        (id) => on.blobs.open(project, running.evidence.find((file) => file.id === id)!.sha256),
        running.signal,
      )
      return outcomeOf(judgement, running)
    },
  }
}

async function rulesOf(tx: Tx, scriptId: string | null, context: Record<string, unknown> | null): Promise<Kept> {
  const { defaultRuleSet, examineRuleSet, findScript, scriptRuleSet } = await import('./rules.ts')
  if (scriptId === null) return { script: null, ruleSet: defaultRuleSet }
  const named = /^rules\.([a-z][a-z0-9_-]*)(?:@([1-9][0-9]*))?$/.exec(scriptId)
  if (named) {
    const row = await findRuleSet(tx, named[1]!, named[2] === undefined ? undefined : Number(named[2]))
    if (!row) throw new AppError('SCRIPT_UNKNOWN', { script: scriptId })
    const examined = examineRuleSet({
      ...(JSON.parse(row.definition) as object),
      name: row.name,
      version: `${row.version}.0.0`,
    })
    return { script: null, ruleSet: accepted(examined) }
  }
  const script = findScript(scriptId)
  if (!script) throw new AppError('SCRIPT_UNKNOWN', { script: scriptId })
  return { script, ruleSet: accepted(scriptRuleSet(script, context)) }
}

const accepted = (examined: Examined): RuleSet => {
  if (examined.ok) return examined.ruleSet
  throw new AppError('RULE_SET_INVALID', {}, { fields: fieldsOf(examined.problems, 'body.execution_context') })
}

/** The problems of a rule set as field errors. */
export const fieldsOf = (problems: readonly Problem[], under: string) =>
  problems.map((problem) => ({
    path: `${under}${problem.path.replace(/\//g, '.')}`,
    message: problem.message,
    code: problem.code,
  }))

function preparedFrom(scriptId: string | null, kept: Kept): Prepared {
  return {
    handler: scriptId?.replace(/@.*$/, '') ?? 'default',
    scriptId,
    version: kept.script?.version ?? kept.ruleSet.version,
    rulesVersion: `${kept.ruleSet.name}@${kept.ruleSet.version}`,
    rules: JSON.stringify(kept),
  }
}

function outcomeOf(judgement: Judgement, running: RunningRun): Outcome {
  if (judgement.state === 'failed') {
    return {
      type: 'failed',
      code: 'NO_EVIDENCE',
      summary: judgement.resultSummary,
      stdout: judgement.stdoutLog,
      stderr: judgement.stderrLog,
      exitCode: judgement.exitCode,
    }
  }
  const earlier = running.earlier?.validation_report as ValidationReport | undefined
  const comparison = earlier ? compareReports(earlier, judgement.report) : null
  const outputs = { ...judgement.outputsManifest, ...(comparison ? { comparison } : {}) }
  return {
    type: 'completed',
    verdict: judgement.verdict,
    exitCode: judgement.exitCode,
    summary: judgement.resultSummary,
    stdout: judgement.stdoutLog,
    stderr: judgement.stderrLog,
    inputs: { ...judgement.inputsManifest },
    outputs,
    report: {
      filename: `report-${running.run.number}.json`,
      contentType: 'application/json',
      bytes: Buffer.from(
        `${JSON.stringify({ ...outputs, context: running.run.execution_context === null ? null : JSON.parse(running.run.execution_context) }, null, 2)}\n`,
      ),
    },
    verified: judgement.report.validation_results.map((result) => ({
      artifactId: result.artifact_uuid,
      number: result.artifact_id,
      expected: result.sha256,
      computed: result.hash_verified ? result.sha256 : null,
      passed: result.hash_verified === true,
    })),
  }
}
