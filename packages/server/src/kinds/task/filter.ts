import type { RunState } from '@writ/api'
import type { Caller } from '../../identity/index.ts'
import { AppError } from '../../platform/app-error.ts'
import type { Tx } from '../../platform/db/index.ts'
import type { Ref } from '../../tickets/index.ts'

// Which tasks somebody asks for.

/** Who asks, and how the project is read: `Ask` of the routes is one. */
export interface Asked {
  readonly caller: Caller
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
}

export interface TaskFilter {
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  /** `running` is a task whose lease is held. */
  readonly state?: RunState | undefined
  readonly error_code?: string | undefined
  readonly tag?: string | undefined
  /** US dollars. */
  readonly cost_min?: number | undefined
  readonly concurrency_key?: string | undefined
  readonly unique_key?: string | undefined
  /** Who dispatched them. */
  readonly executed_by_id?: string | undefined
  /** Children of this task. */
  readonly parent?: string | undefined
  /** Tasks that were dispatched together. */
  readonly batch?: string | undefined
  readonly created_after?: number | undefined
  readonly created_before?: number | undefined
  readonly q?: string | undefined
}

/** `before`: the number of the last row of the page before, newest first. */
export interface TaskPage {
  readonly limit: number
  readonly skip: number
  readonly before?: number | undefined
}

/** Which dead letters. One that was replayed or purged is none any more. */
export interface DeadFilter {
  readonly ids?: readonly Ref[] | undefined
  readonly queue?: string | undefined
  readonly handler?: string | undefined
  readonly error_code?: string | undefined
  readonly died_after?: number | undefined
  readonly died_before?: number | undefined
}

/** A state alone would take all of them. Throws TASKS_UNFILTERED. */
export function requireTaskFilter({ state: _, ...filter }: TaskFilter): void {
  if (Object.values(filter).every((value) => value === undefined)) throw new AppError('TASKS_UNFILTERED')
}

/** Throws DEAD_LETTERS_UNFILTERED. */
export function requireDeadFilter(filter: DeadFilter): void {
  if (Object.values(filter).every((value) => value === undefined)) throw new AppError('DEAD_LETTERS_UNFILTERED')
}
