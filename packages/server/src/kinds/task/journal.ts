import { hash } from 'node:crypto'
import { totalUsd, usdOf } from '@writ/api/costs'
import { rfc3339, rfc3339OrNull } from '../../platform/clock.ts'
import type { AttemptRow } from './store.ts'

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
  /** What its attempts cost, by attempt and what was paid for; empty for most. */
  readonly costs: readonly { readonly attempt: number; readonly what: string; readonly nanos: number }[]
  readonly state: string
  readonly errorCode: string | null
  readonly outputSha256: string | null
  readonly settledAt: number
}

/** What a journal says of an attempt, from its row. */
export const triedOf = (
  row: Pick<AttemptRow, 'attempt' | 'started_at' | 'ended_at' | 'error_code'> & { readonly outcome: string },
): Journal['attempts'][number] => ({
  attempt: row.attempt,
  outcome: row.outcome,
  startedAt: row.started_at,
  endedAt: row.ended_at,
  errorCode: row.error_code,
})

/**
 * The journal of a task as RFC 8785 text: accepted, every attempt that is known of, settled. Version 2 has what they cost; a task
 * that cost nothing has version 1. The leaf of the settled task commits to its digest, so these bytes never change for what is
 * there; another form is another version.
 * Keys stand here in the order of RFC 8785, and no value needs more than JSON.stringify: a fifth of the canonicaliser's cost.
 */
export const journalText = (of: Journal): string =>
  JSON.stringify({
    accepted_at: rfc3339(of.acceptedAt),
    asked_by: of.askedBy,
    attempts: of.attempts.map((one) => ({
      attempt: one.attempt,
      ended_at: rfc3339(one.endedAt),
      error_code: one.errorCode,
      outcome: one.outcome,
      started_at: rfc3339OrNull(one.startedAt),
    })),
    ...(of.costs.length === 0 ? {} : costsOf(of.costs)),
    error_code: of.errorCode,
    handler: of.handler,
    input_sha256: of.inputSha256,
    output_sha256: of.outputSha256,
    queue: of.queue,
    run: of.run,
    settled_at: rfc3339(of.settledAt),
    state: of.state,
    v: of.costs.length === 0 ? 1 : 2,
  })

/** In dollars, and their sum: numbers as RFC 8785 has them. */
const costsOf = (costs: Journal['costs']) => ({
  cost_usd: totalUsd(costs),
  costs: costs.map(({ attempt, what, nanos }) => ({
    attempt,
    cost_usd: usdOf(nanos),
    what: what === '' ? null : what,
  })),
})

export const journalDigest = (of: Journal): string => hash('sha256', journalText(of), 'hex')
