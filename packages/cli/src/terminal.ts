import type { Readable, Writable } from 'node:stream'

/** Where a command reads and writes. A real terminal, or streams that a test holds. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(on: boolean): unknown }
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  now(): Date
  /** Milliseconds that only ever grow, for deadlines. */
  ticks(): number
  /** Aborts when the person interrupts. */
  readonly signal: AbortSignal
  /** Resolves when a person interrupts or a supervisor asks with SIGTERM, which ends whatever has not called this. For what serves. */
  stopped(): Promise<void>
}
