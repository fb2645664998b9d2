// One request of the protocol (c2sp.org/tlog-witness), and what its answer means for the next.

const TIMEOUT_MS = 10_000
const MAX_ANSWER = 64 * 1024
/** A witness that asks for more is asked again after an hour none the less: what it did not sign is nobody's evidence. */
const LONGEST_ASKED_MS = 3_600_000

/** A witness did not answer, or with an error of its own. */
export class WitnessFailed extends Error {
  override name = 'WitnessFailed'
  /** Milliseconds that it wants to be left alone for, no more than are granted. */
  readonly askedMs: number
  constructor(message: string, askedMs = 0) {
    super(message)
    this.askedMs = askedMs
  }
}

export interface WitnessAnswer {
  readonly status: number
  readonly body: string
  /** Milliseconds until the answer was here. */
  readonly took: number
}

/** Sends a submission. Throws WitnessFailed with a reason for whoever runs the witness. Redirects are not followed: the address was configured. */
export async function submitTo(
  prefix: string,
  submission: string,
  on: { signal: AbortSignal; now: () => number },
): Promise<WitnessAnswer> {
  const late = AbortSignal.timeout(TIMEOUT_MS)
  const began = performance.now()
  try {
    const response = await fetch(`${prefix.replace(/\/+$/, '')}/add-checkpoint`, {
      method: 'POST',
      body: submission,
      redirect: 'manual',
      signal: AbortSignal.any([late, on.signal]),
    })
    if (response.status >= 500 || response.status === 429) {
      // What a proxy shows for it may be long, and says less than the status. Broken off, the connection is free.
      await response.body?.cancel().catch(() => {})
      throw askingForTime(response, on.now())
    }
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true })
      if (text.length > MAX_ANSWER) throw new WitnessFailed('the answer is longer than any that the protocol knows')
    }
    return { status: response.status, body: text, took: performance.now() - began }
  } catch (error) {
    if (error instanceof WitnessFailed) throw error
    throw new WitnessFailed(late.aborted ? `no answer within ${TIMEOUT_MS / 1_000} s` : reasonOf(error))
  }
}

function askingForTime(response: Response, now: number): WitnessFailed {
  const said = `it answered ${response.status}`
  const asked = retryAfterMs(response.headers.get('retry-after'), now)
  if (asked === 0) return new WitnessFailed(said)
  const granted = Math.min(asked, LONGEST_ASKED_MS)
  const until = granted < asked ? `; it is asked again after ${granted / 1_000} s` : ''
  return new WitnessFailed(`${said} and wants ${Math.round(asked / 1_000)} s${until}`, granted)
}

/** Seconds or a date (RFC 9110, 10.2.3); 0 where it says neither, or a time that is over. */
function retryAfterMs(value: string | null, now: number): number {
  if (value === null) return 0
  const ms = /^\d{1,15}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now
  return Number.isFinite(ms) ? Math.max(0, ms) : 0
}

const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : error.message
}
