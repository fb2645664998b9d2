import type { ErrorCode, SelfCheckReport, VerifyReport } from '@writ/api'
import { errors, retryable } from '@writ/api/errors'
import { ConnectionLost, refusalOf, WritError } from './errors.ts'
import { blocksOf, createSilence } from './watch.ts'

/** How far the server is: entries that it has hashed and rows that it has compared, of a log of `size` entries. */
export interface VerifyProgress {
  readonly entries: number
  readonly rows: number
  readonly size: number
}

export interface SelfCheckArgs {
  /** Everything, not only what is new and a share of the old. */
  readonly full?: boolean | undefined
  readonly onProgress?: ((done: VerifyProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface VerifyArgs {
  /** A checkpoint of this log, or of one that it continues, that was kept elsewhere. */
  readonly kept_checkpoint?: string | undefined
  readonly onProgress?: ((done: VerifyProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

type Watching = Pick<VerifyArgs, 'onProgress' | 'signal'>

type Said<R> =
  | ({ readonly state: 'running' } & VerifyProgress)
  | { readonly state: 'done'; readonly report: R }
  | { readonly state: 'failed'; readonly code: ErrorCode }

/**
 * What the server finds, however long it takes: it says all the time how far it is, because fetch gives up an answer that does not begin
 * within five minutes. One that does not know that answers once. Throws `WritError` when it refuses or cannot, and `ConnectionLost`
 * when it broke off: then nothing was found, and it is asked again.
 */
export async function readVerification<R extends VerifyReport | SelfCheckReport>(
  url: string,
  open: (signal: AbortSignal) => Promise<Response>,
  { onProgress, signal }: Watching,
): Promise<R> {
  const connection = new AbortController()
  const silence = createSilence(() => connection.abort(new Error('silence')))
  try {
    return await readAnswer(
      url,
      await open(signal ? AbortSignal.any([signal, connection.signal]) : connection.signal),
      {
        onProgress,
        heard: silence.broken,
      },
    )
  } catch (error) {
    signal?.throwIfAborted()
    // fetch ends a stream that broke with a TypeError; our own abort has its own reason.
    throw error instanceof TypeError || connection.signal.aborted ? new ConnectionLost(url, error) : error
  } finally {
    silence.pause()
    connection.abort()
  }
}

async function readAnswer<R>(
  url: string,
  response: Response,
  { onProgress, heard }: Pick<Watching, 'onProgress'> & { heard(): void },
): Promise<R> {
  if (!response.ok) throw await refusalOf(response)
  // Written by the server from its own shapes.
  if (!response.body || !/^text\/event-stream\b/.test(response.headers.get('content-type') ?? ''))
    return (await response.json()) as R
  for await (const { data } of blocksOf(response.body, heard)) {
    if (data === undefined) continue
    const said = JSON.parse(data) as Said<R>
    if (said.state === 'done') return said.report
    if (said.state === 'failed') throw failureOf(said.code, url, response)
    onProgress?.(said)
  }
  throw new ConnectionLost(url, new Error('the answer broke off'))
}

function failureOf(code: ErrorCode, url: string, response: Response): WritError {
  const { status, text } = errors[code]
  return new WritError({
    type: `/docs/errors#${code}`,
    title: text,
    status,
    detail: text,
    instance: new URL(url).pathname,
    code,
    request_id: response.headers.get('x-request-id') ?? '',
    retryable: retryable.has(code),
  })
}
