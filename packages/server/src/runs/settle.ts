import type { RunState, Verdict } from '@writ/api'
import { testResultStatement } from '@writ/tlog'
import { type Actor, type Attest, append, SYSTEM } from '../audit/index.ts'
import { rfc3339, rfc3339OrNull } from '../platform/clock.ts'
import type { Tx } from '../platform/db/index.ts'
import { redactor } from '../platform/redact/index.ts'
import { endWork } from '../tickets/index.ts'
import { digestOf, recordArtifact } from './artifact.ts'
import type { Outcome } from './kind.ts'
import { requireMove, settledEvent, statusOf } from './run.ts'
import * as store from './store.ts'
import type { Waiting } from './waiting.ts'

/** How a run ends, as its row will say. */
export interface Ending {
  readonly state: Extract<RunState, 'completed' | 'failed' | 'timeout' | 'cancelled'>
  readonly verdict?: Verdict | null
  readonly summary: string
  readonly stdout?: string | null
  readonly stderr?: string | null
  readonly exitCode?: number | null
  readonly errorCode?: string | null
  readonly inputs?: Record<string, unknown> | null
  readonly outputs?: Record<string, unknown> | null
}

/** A report whose bytes are in the blob store already. */
export interface StoredReport {
  readonly filename: string
  readonly contentType: string
  readonly sha256: string
  readonly size: number
}

export const endingOf = (outcome: Outcome): Ending =>
  outcome.type === 'completed'
    ? {
        state: 'completed',
        verdict: outcome.verdict,
        summary: outcome.summary,
        stdout: outcome.stdout,
        stderr: outcome.stderr,
        exitCode: outcome.exitCode,
        inputs: outcome.inputs,
        outputs: outcome.outputs,
      }
    : {
        state: 'failed',
        summary: outcome.summary,
        stdout: outcome.stdout,
        stderr: outcome.stderr,
        exitCode: outcome.exitCode,
        errorCode: outcome.code,
      }

/**
 * Settles a run: state, result, manifests, report, audit event and the ticket's move in one transaction, so nobody reads
 * a status whose manifests are still to come. A proof run is attested in the same transaction, and the event names the
 * attestation. The caller has ended the lease, or knows that there is none.
 */
export async function settleRun(
  tx: Tx,
  on: { readonly attest: Attest; readonly settled: Waiting['settled'] },
  run: store.RunRow,
  by: Actor,
  found: Ending,
  now: number,
  report: StoredReport | null = null,
): Promise<void> {
  // What a check says may quote the evidence that it read.
  const ending = redactor.value(found)
  requireMove(run.state, ending.state)
  const reportId = report
    ? await recordArtifact(tx, SYSTEM, run, { ...report, artifactType: 'report', uploadedBy: null }, report, now)
    : null
  const outputs = ending.outputs ? JSON.stringify(ending.outputs) : null
  const verdict = ending.verdict ?? null
  await store.updateRun(tx, run.id, {
    state: ending.state,
    verdict,
    waiting_for: null,
    result_summary: ending.summary,
    stdout_log: ending.stdout ?? null,
    stderr_log: ending.stderr ?? null,
    exit_code: ending.exitCode ?? null,
    error_code: ending.errorCode ?? null,
    inputs_manifest: ending.inputs ? JSON.stringify(ending.inputs) : null,
    outputs_manifest: outputs,
    output_sha256: outputs === null ? null : digestOf(outputs),
    report_artifact_id: reportId,
    step_count: run.step_count + 1,
    completed_at: now,
    updated_at: now,
  })
  await store.clearTimers(tx, run.id)
  const settled = { state: ending.state, verdict }
  const att =
    run.run_type === 'proof' ? [await attestProof(tx, on.attest, run, ending, now, outputs, report)] : undefined
  await append(tx, now, by, {
    type: settledEvent(settled),
    resource: { type: 'run', id: run.id, number: run.number },
    action: `Run status updated to ${statusOf(settled)}`,
    details: {
      ticket_id: run.ticket_id,
      exit_code: ending.exitCode ?? null,
      success: statusOf(settled) === 'success',
      state: ending.state,
      verdict,
      ...(outputs === null ? {} : { output_sha256: digestOf(outputs) }),
      ...(ending.errorCode ? { error_code: ending.errorCode } : {}),
    },
    success: statusOf(settled) === 'success',
    ...(statusOf(settled) === 'success' ? {} : { error: ending.summary }),
    run: { id: run.id, seq: await store.nextEvent(tx, run.id) },
    ...(att ? { att } : {}),
  })
  tx.afterCommit(() => on.settled(run.id, run.kind, ending.state))
  if (run.verifies_run_id === null && (await store.countOpenRuns(tx, run.ticket_id)) === 0) {
    const chains = await store.newestOfChains(tx, run.ticket_id)
    await endWork(
      tx,
      run.ticket_id,
      chains.map((one) => (statusOf(one) === 'success' ? 'passed' : 'failed')),
      now,
    )
  }
}

async function attestProof(
  tx: Tx,
  attest: Attest,
  run: store.RunRow,
  ending: Ending,
  now: number,
  outputs: string | null,
  report: StoredReport | null,
): Promise<string> {
  const evidence = await store.listEvidence(tx, run.id)
  const statement = testResultStatement({
    run: {
      id: run.id,
      ticket: run.ticket_id,
      project: tx.project,
      state: ending.state,
      verdict: ending.verdict ?? null,
      errorCode: ending.errorCode ?? null,
    },
    startedAt: rfc3339OrNull(run.started_at),
    finishedAt: rfc3339(now),
    evidence: evidence.map(({ id, sha256 }) => ({ id, sha256 })),
    inputSha256: run.input_sha256 ?? digestOf(run.trigger),
    rules: {
      name: `${run.kind}:${run.handler}`,
      version: run.validator_version,
      sha256: digestOf(run.rules ?? ''),
    },
    outputSha256: outputs === null ? null : digestOf(outputs),
    reportSha256: report?.sha256 ?? null,
  })
  return attest(tx, { type: 'run', id: run.id }, statement, now)
}
