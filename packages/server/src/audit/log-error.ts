/**
 * Refusals of the log's files and signer.
 *
 * - `LOG_FORK`: a file of the log exists with other bytes than those that belong there. Nothing was overwritten.
 * - `LOG_DAMAGED`: the files do not add up to the published checkpoint.
 * - `LOG_GAP`: entries were offered for another index than the log's next one.
 * - `LOG_MISMATCH`: a checkpoint was offered for publishing that is not the state of these files.
 * - `LOG_STORE_UNFIT`: the store of the tiles cannot keep two leaders apart.
 * - `KEY_ROTATION_UNDERWAY`: the overlap of the last rotation has not ended.
 * - `SIGNER_REFUSED`: the signer will not sign this, because it would contradict what it signed before.
 */
export type LogErrorCode =
  | 'LOG_FORK'
  | 'LOG_DAMAGED'
  | 'LOG_GAP'
  | 'LOG_MISMATCH'
  | 'LOG_STORE_UNFIT'
  | 'KEY_ROTATION_UNDERWAY'
  | 'SIGNER_REFUSED'

export class LogError extends Error {
  readonly code: LogErrorCode

  constructor(code: LogErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'LogError'
    this.code = code
  }
}

/** The store of a log's files cannot be reached or refuses (503): nothing is wrong with the log, and it may be tried again. */
export class LogStoreUnavailable extends Error {
  /** Told apart by this: an error that comes out of the verification thread has lost its class. */
  readonly code = 'LOG_UNAVAILABLE'

  constructor(reason: string, cause?: unknown) {
    super(`The files of the log cannot be reached now (${reason}).`, { cause })
    this.name = 'LogStoreUnavailable'
  }
}

export const isLogStoreUnavailable = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'LOG_UNAVAILABLE'
