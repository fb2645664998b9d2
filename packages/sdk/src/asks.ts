import type { WaitedFor, WorkedStep, WorkerDispatch, WorkerDispatched, WorkerStep, WorkerWait } from '@writ/api'
import type { Client } from './calls.ts'
import { WritError } from './errors.ts'

interface Asked {
  readonly step: WorkerStep
  readonly dispatch: WorkerDispatch
  readonly wait: WorkerWait
}
interface Answered {
  readonly step: WorkedStep
  readonly dispatch: WorkerDispatched
  readonly wait: WaitedFor
}
type Kind = keyof Asked

/**
 * Asks the server something for a handler, and answers what it answers; all of it is the same when it is asked for twice. What is asked
 * for at once, of whatever tasks, travels together. Throws what a call of the client does, and the signal's reason as soon as it aborts.
 */
export type Ask = <K extends Kind>(kind: K, body: Asked[K], signal: AbortSignal) => Promise<Answered[K]>

interface Question {
  readonly kind: Kind
  readonly body: Asked[Kind]
  readonly chars: number
  readonly signal: AbortSignal
  /** It was refused among others: by itself it is told why. */
  alone: boolean
  over: boolean
  /** Hears that nobody waits for the answer any more. */
  whenOver: (() => void) | undefined
  resolve(answer: unknown): void
  reject(error: unknown): void
}

/** The most that a server takes. */
const MOST_TOGETHER = 100
/** A server takes a body of 1 MiB. */
const MOST_CHARS = 256 * 1024
/** Requests under way at a time. Each has a connection of its own meanwhile, and a server has a backlog for some hundreds. */
const MOST_REQUESTS = 16
/** Of those that ask one thing each. */
const MOST_ALONE = 64

export function createAsk(client: Client): Ask {
  const single: { [K in Kind]: (body: Asked[K], signal: AbortSignal) => Promise<Answered[K]> } = {
    step: (body, signal) => client.workers.step({ body, signal }),
    dispatch: (body, signal) => client.workers.dispatch({ body, signal }),
    wait: (body, signal) => client.workers.wait({ body, signal }),
  }
  const waiting: Question[] = []
  /** What was asked for each task and not answered yet, so that one listener hears for all of it that the task is to stop. */
  const open = new Map<AbortSignal, Set<Question>>()
  let requests = 0
  let scheduled = false
  /** A server of before knows no questions together. */
  let together = true

  function add(question: Question): void {
    const { signal } = question
    const others = open.get(signal)
    if (others) return void others.add(question)
    open.set(signal, new Set([question]))
    signal.addEventListener('abort', stop)
  }

  function remove(question: Question): void {
    const { signal } = question
    const others = open.get(signal)!
    others.delete(question)
    if (others.size > 0) return
    open.delete(signal)
    signal.removeEventListener('abort', stop)
  }

  function stop(this: AbortSignal): void {
    for (const question of [...open.get(this)!]) question.reject(this.reason)
  }

  function pump(): void {
    scheduled = false
    while (requests < (together ? MOST_REQUESTS : MOST_ALONE)) {
      const batch = take()
      if (batch.length === 0) return
      void send(batch)
    }
  }

  function take(): Question[] {
    const batch: Question[] = []
    let chars = 0
    let at = 0
    for (; at < waiting.length && batch.length < MOST_TOGETHER; at++) {
      const question = waiting[at]!
      if (question.over) continue
      chars += question.chars
      if (batch.length > 0 && (question.alone || chars > MOST_CHARS)) break
      batch.push(question)
      if (question.alone || !together) {
        at++
        break
      }
    }
    waiting.splice(0, at)
    return batch
  }

  async function send(batch: readonly Question[]): Promise<void> {
    requests++
    const again: Question[] = []
    const [first] = batch as [Question]
    try {
      if (batch.length === 1) {
        const call = single[first.kind] as (body: unknown, signal: AbortSignal) => Promise<unknown>
        first.resolve(await call(first.body, first.signal))
      } else {
        // For those that are still waited for the answer is worth having.
        const request = new AbortController()
        let left = batch.length
        for (const question of batch)
          question.whenOver = () => {
            if (--left === 0) request.abort()
          }
        const asks = batch.map(({ kind, body }) => ({ [kind]: body }))
        const { answers } = await client.workers.ask({ body: { asks }, signal: request.signal })
        for (const [i, question] of batch.entries()) {
          const answer = answers[i]
          if (answer) question.resolve(answer[question.kind])
          else again.push(question)
        }
      }
    } catch (error) {
      const isRefused = error instanceof WritError && error.status < 500 && error.status !== 429
      if (batch.length > 1 && isRefused) {
        if (error.status === 404 || error.status === 405) together = false
        // One of them spoils it for all: each by itself tells which.
        again.push(...batch)
      } else for (const question of batch) question.reject(error)
    } finally {
      requests--
      for (const question of again) question.alone = true
      waiting.unshift(...again)
      pump()
    }
  }

  return <K extends Kind>(kind: K, body: Asked[K], signal: AbortSignal) =>
    new Promise<Answered[K]>((resolve, reject) => {
      signal.throwIfAborted()
      const settle = (end: () => void) => {
        if (question.over) return
        question.over = true
        question.whenOver?.()
        remove(question)
        end()
      }
      const question: Question = {
        kind,
        body,
        chars: JSON.stringify(body).length,
        signal,
        alone: false,
        over: false,
        whenOver: undefined,
        resolve: (answer) => settle(() => resolve(answer as Answered[K])),
        reject: (error) => settle(() => reject(error)),
      }
      add(question)
      waiting.push(question)
      if (scheduled) return
      // After the handlers of this turn have asked as well.
      scheduled = true
      queueMicrotask(pump)
    })
}
