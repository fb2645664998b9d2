import { DatabaseUnavailable } from './db/index.ts'
import type { Logger } from './log.ts'

export interface Trouble {
  met(error: unknown): void
  /** The work goes well. */
  over(): void
}

/**
 * What keeps a loop from its work: said once, however often the loop tries again, and once that it goes on. A store may be away for
 * hours, and a line with a stack for every try hides what else happens.
 */
export function createTrouble(log: Logger, words: { readonly stopped: string; readonly again: string }): Trouble {
  let reason: string | null = null
  return {
    met(error) {
      const met = textOf(error)
      if (met === reason) return
      reason = met
      // Every loop meets this one, and where in it says nothing.
      if (error instanceof DatabaseUnavailable)
        log.warn({ reason: textOf(error.cause) }, `${words.stopped}, the database is away`)
      else log.error({ err: error }, words.stopped)
    },
    over() {
      if (reason === null) return
      reason = null
      log.info(words.again)
    },
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
