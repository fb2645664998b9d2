import { hash } from 'node:crypto'
import { canonicalize } from '../../audit/index.ts'
import { rfc3339, rfc3339OrNull } from '../../platform/clock.ts'

/** What is known of a task when it was accepted and when it is settled. */
export interface Journal {
  readonly run: string
  readonly handler: string
  readonly queue: string
  readonly askedBy: string | null
  readonly acceptedAt: number
  readonly inputSha256: string | null
  readonly attempts: readonly {
    readonly attempt: number
    readonly outcome: string
    readonly startedAt: number | null
    readonly endedAt: number
    readonly errorCode: string | null
  }[]
  readonly state: string
  readonly errorCode: string | null
  readonly outputSha256: string | null
  readonly settledAt: number
}

/**
 * The journal of a task as RFC 8785 text, version 1: accepted, every attempt that is known of, settled. The leaf of the
 * settled task commits to its digest, so these bytes never change for what is there; another form is another version.
 */
export const journalText = (of: Journal): string =>
  canonicalize({
    v: 1,
    run: of.run,
    handler: of.handler,
    queue: of.queue,
    asked_by: of.askedBy,
    accepted_at: rfc3339(of.acceptedAt),
    input_sha256: of.inputSha256,
    attempts: of.attempts.map((one) => ({
      attempt: one.attempt,
      outcome: one.outcome,
      started_at: rfc3339OrNull(one.startedAt),
      ended_at: rfc3339(one.endedAt),
      error_code: one.errorCode,
    })),
    state: of.state,
    error_code: of.errorCode,
    output_sha256: of.outputSha256,
    settled_at: rfc3339(of.settledAt),
  })

export const journalDigest = (of: Journal): string => hash('sha256', journalText(of), 'hex')
