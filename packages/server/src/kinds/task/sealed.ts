import { hash } from 'node:crypto'
import type { Seal, SealedColumn } from '../../identity/index.ts'
import { redactor } from '../../platform/redact/index.ts'

/** A JSON text as it may be seen, with its digest; and as it is, sealed, if something in it is secret. */
export interface Hidden {
  readonly shown: string
  readonly sha256: string
  readonly sealed: string | null
}

/**
 * Inputs and results may hold secrets that work needs: a token to send, one that was fetched. What is stored in the open is
 * redacted, like everything that Writ writes; the exact text is sealed beside it, and opened only to do the work, for
 * the answer to whoever asked and waits, and for a callback.
 */
export interface Payloads {
  hide(project: string, text: string): Hidden
  /** @param sha256 of the text that is shown, to which the sealed one is bound */
  open(project: string, sealed: string, sha256: string): string
}

const about = (project: string, sha256: string) => `${project} ${sha256}`

export const createPayloads = (seal: Seal): Payloads => ({
  hide(project, text) {
    const shown = redactor.json(text)
    const sha256 = hash('sha256', shown, 'hex')
    return { shown, sha256, sealed: shown === text ? null : seal.seal(text, about(project, sha256)) }
  },
  open: (project, sealed, sha256) => seal.open(sealed, about(project, sha256)),
})

/** A column of sealed payloads, as `hide` made them. */
export const sealedPayloads = (
  at: Pick<SealedColumn, 'table' | 'column' | 'key' | 'neededBy'> & { readonly beside: string },
): SealedColumn => ({ ...at, purpose: 'payloads', about: ({ project, beside }) => about(project, beside) })

/** Where sealed payloads of tasks are. Of a task that ended nobody asks for its steps. */
export const sealedOfTasks: readonly SealedColumn[] = [
  sealedPayloads({ table: 'runs', column: 'input_sealed', key: 'id', beside: 'input_sha256' }),
  sealedPayloads({ table: 'runs', column: 'result_sealed', key: 'id', beside: 'output_sha256' }),
  sealedPayloads({
    table: 'steps',
    column: 'result_sealed',
    key: 'run_id',
    beside: 'sha256',
    neededBy:
      'exists (select 1 from runs where runs.project_id = ?1 and runs.id = steps.run_id and runs.completed_at is null)',
  }),
]
