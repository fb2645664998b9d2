import { hash } from 'node:crypto'
import type { Seal } from '../../identity/index.ts'
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

export const createPayloads = (seal: Seal): Payloads => ({
  hide(project, text) {
    const shown = redactor.json(text)
    const sha256 = hash('sha256', shown, 'hex')
    return { shown, sha256, sealed: shown === text ? null : seal.seal(text, `${project} ${sha256}`) }
  },
  open: (project, sealed, sha256) => seal.open(sealed, `${project} ${sha256}`),
})
