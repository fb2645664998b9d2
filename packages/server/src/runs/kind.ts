import type { Verdict } from '@writ/api'
import type { Tx } from '../platform/db/index.ts'
import type { ArtifactRow, RunRow } from './store.ts'

/** What a kind decides when a run is asked for: what will run, exactly. Kept with the run and never changed. */
export interface Prepared {
  /** Names the work within the kind; `<kind>:<handler>` is the contract's agent id. */
  readonly handler: string
  readonly scriptId: string | null
  readonly version: string
  readonly rulesVersion: string | null
  /** JSON that the kind needs to run it, also in ten years. */
  readonly rules: string
}

export interface RunningRun {
  readonly run: RunRow
  readonly ticketNumber: number
  readonly evidence: readonly ArtifactRow[]
  /** What an earlier run over the same evidence found, for a re-verification. */
  readonly earlier: Record<string, unknown> | null
  readonly signal: AbortSignal
}

/**
 * How the work ended. `completed` says that it was done, not that it pleased: a verdict may be bad. A kind returns an
 * outcome; it cannot write run state.
 */
export type Outcome =
  | {
      readonly type: 'completed'
      readonly verdict: Verdict | null
      readonly exitCode: number
      readonly summary: string
      readonly stdout: string | null
      readonly stderr: string | null
      readonly inputs: Record<string, unknown> | null
      readonly outputs: Record<string, unknown> | null
      /** Stored as an artifact of type `report`. */
      readonly report: { readonly filename: string; readonly contentType: string; readonly bytes: Uint8Array } | null
      /** What the platform itself saw of each file; becomes `artifact.verified`. */
      readonly verified: readonly {
        readonly artifactId: string
        readonly number: number
        readonly expected: string
        readonly computed: string | null
        readonly passed: boolean
      }[]
    }
  | {
      readonly type: 'failed'
      readonly code: string
      readonly summary: string
      readonly stdout: string | null
      readonly stderr: string | null
      readonly exitCode: number | null
    }

/** A kind of run: the hands that do the work. `runs` knows kinds only as this. */
export interface RunKind {
  readonly name: string
  /** Loads what `prepare` needs. Called before a transaction begins, because loading would hold it up. */
  ready(): Promise<void>
  /** Finds out what is asked for. Throws SCRIPT_UNKNOWN and the like; writes nothing. */
  prepare(tx: Tx, asked: { scriptId: string | null; context: Record<string, unknown> | null }): Promise<Prepared>
  /** Does it. Stops when the signal aborts; what it returns then is not looked at. */
  execute(run: RunningRun): Promise<Outcome>
}
