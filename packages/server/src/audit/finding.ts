/** What verification found wrong: a stable code, a sentence, and where. */
export interface Fault {
  readonly code: string
  readonly reason: string
  readonly index?: number
  readonly path?: string
}

/** Carries a fault out of a comparison; never leaves the audit folder. */
export class Found extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.reason)
    this.fault = fault
  }
}
