/**
 * Why a store cannot be used, in one word for operators: what the system or the store says, or the status where it says nothing, as in
 * the answer to a HEAD, which has no body, or in that of a proxy on the way.
 */
export function s3Reason(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  if ('code' in error && typeof error.code === 'string') return error.code
  const status = statusOf(error)
  return status !== undefined && /^(Unknown|UnknownError|Error)$/.test(error.name) ? `HTTP ${status}` : error.name
}

/** Of the answer, if the error is one. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { httpStatusCode } = error.$metadata as { httpStatusCode?: number } // the SDK sets it on every error from a response
  return httpStatusCode
}
