import type { Artifact, ExpectedFile, Run, RunContract, RunDetail } from '@writ/api'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import { statusOf } from './run.ts'
import type { ArtifactRow, RunRow } from './store.ts'

const parsed = <T>(json: string | null): T | null => (json === null ? null : (JSON.parse(json) as T))

export function showRun(row: RunRow): Run {
  return {
    id: row.id,
    number: row.number,
    kind: row.kind,
    run_type: row.run_type,
    script_id: row.script_id,
    state: row.state,
    status: statusOf(row),
    verdict: row.verdict,
    waiting_for: row.waiting_for,
    ticket_id: row.ticket_id,
    ticket_number: row.ticket_number,
    executed_by_id: row.executed_by_id,
    executed_by_number: row.executed_by_number,
    parent_run_id: row.parent_run_id,
    verifies_run_id: row.verifies_run_id,
    verifies_run_number: row.verifies_run_number,
    expect: parsed<ExpectedFile[]>(row.expect),
    finalize: row.finalize,
    execution_context: parsed(row.execution_context),
    validator_version: row.validator_version,
    rules_version: row.rules_version,
    inputs_manifest: parsed(row.inputs_manifest),
    outputs_manifest: parsed(row.outputs_manifest),
    result_summary: row.result_summary,
    exit_code: row.exit_code,
    error_code: row.error_code,
    step_count: row.step_count,
    attempt: row.attempt,
    trace_id: row.trace_id,
    input_sha256: row.input_sha256,
    output_sha256: row.output_sha256,
    report_artifact_id: row.report_artifact_id,
    created_at: rfc3339(row.created_at),
    updated_at: rfc3339(row.updated_at),
    started_at: rfc3339OrNull(row.started_at),
    completed_at: rfc3339OrNull(row.completed_at),
    timeout_at: rfc3339OrNull(row.timeout_at),
  }
}

export const showRunDetail = (row: RunRow): RunDetail => ({
  ...showRun(row),
  stdout_log: row.stdout_log,
  stderr_log: row.stderr_log,
})

/** What a row of any kind tells of its run. */
type ContractRow = Pick<
  RunRow,
  | 'id'
  | 'kind'
  | 'handler'
  | 'state'
  | 'trace_id'
  | 'parent_run_id'
  | 'trigger'
  | 'input_sha256'
  | 'output_sha256'
  | 'started_at'
  | 'completed_at'
  | 'timeout_at'
  | 'error_code'
  | 'cost_usd'
  | 'step_count'
>

/** The projection onto the run contract; validates against `runtime_run_state` as it stands. */
export function showContract(row: ContractRow, slug: string): RunContract {
  return {
    run_id: row.id,
    project_id: slug,
    agent_id: `${row.kind}:${row.handler}`,
    state: row.state,
    trace_id: row.trace_id,
    parent_run_id: row.parent_run_id,
    trigger: JSON.parse(row.trigger) as RunContract['trigger'],
    ...(row.input_sha256 === null ? {} : { input_sha256: row.input_sha256 }),
    output_sha256: row.output_sha256,
    started_at: rfc3339OrNull(row.started_at),
    completed_at: rfc3339OrNull(row.completed_at),
    timeout_at: rfc3339OrNull(row.timeout_at),
    error_code: row.error_code,
    cost_usd: row.cost_usd,
    step_count: row.step_count,
  }
}

export const showArtifact = (row: ArtifactRow): Artifact => ({
  id: row.id,
  number: row.number,
  filename: row.filename,
  artifact_type: row.artifact_type,
  role: row.role,
  description: row.description,
  content_type: row.content_type,
  size_bytes: row.size_bytes,
  sha256_hash: row.sha256,
  run_id: row.run_id,
  run_number: row.run_number,
  uploaded_by_id: row.uploaded_by_id,
  uploaded_by_number: row.uploaded_by_number,
  is_deleted: row.is_deleted === 1,
  findings: parsed<Artifact['findings']>(row.findings),
  erased_at: rfc3339OrNull(row.erased_at),
  created_at: rfc3339(row.created_at),
})
