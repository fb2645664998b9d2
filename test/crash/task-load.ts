/** Dispatchers who do not give up: each task carries an Idempotency-Key and is asked for again until it is accepted. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Writ } from '../servers/writ.ts'

export type TaskLoad = {
  /** Ids of tasks whose acceptance was answered. */
  readonly accepted: ReadonlySet<string>
  /** Answers that were neither success nor "try again". */
  readonly refused: readonly string[]
  /** Resolves after that many more acceptances; a few more may follow, and then the load rests. */
  more(count: number): Promise<void>
  /** Resolves when whatever was asked for is accepted. The server must be up. */
  end(): Promise<void>
  abandon(): void
}

const RETRY_MS = 15
/** Tasks that are dispatched beyond those that somebody waits for, so that what happens next happens under load. */
const AHEAD = 60

/** `task` makes the body of the n-th request. */
export function startTaskLoad(writ: Writ, dispatchers: number, task: (n: number) => object): TaskLoad {
  const accepted = new Set<string>()
  const refused: string[] = []
  let asked = 0
  let allowed = 0
  let ending = false
  let abandoned = false
  let resume = Promise.withResolvers<void>()
  let waiting: { at: number; resolve(): void }[] = []

  async function insist(body: object): Promise<string | undefined> {
    const key = { 'idempotency-key': randomUUID() }
    while (!abandoned) {
      try {
        const answer = await writ.call('POST', '/tasks', body, key)
        if (answer.status === 200 || answer.status === 201) return String(answer.body.id)
        if (answer.status !== 503 && answer.body.code !== 'IDEMPOTENCY_IN_FLIGHT') {
          refused.push(`${answer.status} ${JSON.stringify(answer.body)}`)
          return undefined
        }
      } catch {
        // The connection broke: it may have been accepted, and the same key finds out.
      }
      await pause(RETRY_MS)
    }
    return undefined
  }

  async function dispatcher(): Promise<void> {
    for (;;) {
      while (accepted.size >= allowed && !ending) await resume.promise
      if (ending) return
      const id = await insist(task(asked++))
      if (id === undefined) return
      accepted.add(id)
      for (const one of waiting) if (one.at <= accepted.size) one.resolve()
      waiting = waiting.filter((one) => one.at > accepted.size)
    }
  }
  const working = Promise.all(Array.from({ length: dispatchers }, dispatcher))
  return {
    accepted,
    refused,
    more(count) {
      const at = accepted.size + count
      allowed = at + AHEAD
      resume.resolve()
      resume = Promise.withResolvers()
      return Promise.race([new Promise<void>((resolve) => waiting.push({ at, resolve })), working.then(() => {})])
    },
    async end() {
      ending = true
      resume.resolve()
      await working
    },
    abandon() {
      abandoned = true
      ending = true
      resume.resolve()
    },
  }
}
