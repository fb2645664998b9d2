/** A file that is not a Blob, as a stream of known length. `open` is called once per sending, so that a retry reads from the start again. */
export interface UploadSource {
  readonly name: string
  /** Bytes; the sending fails if the stream gives more or fewer. */
  readonly size: number
  readonly type?: string | undefined
  open(): ReadableStream<Uint8Array> | Promise<ReadableStream<Uint8Array>>
}

/** Told after each piece has been handed to the connection. */
export type OnProgress = (sent: { bytes: number; size: number }) => void

/**
 * A `multipart/form-data` body with one part called `file`, streamed: only the pieces in flight are in memory.
 * `onSourceFailure` hears why the source could not be read, which fetch hides.
 * Source: RFC 7578; the file name is sent as UTF-8 in quotes, with `"`, CR and LF percent-encoded as browsers do.
 */
export async function multipartBody(
  source: UploadSource,
  onProgress?: OnProgress,
  onSourceFailure?: (error: unknown) => void,
): Promise<{ body: ReadableStream<Uint8Array>; length: number; contentType: string }> {
  const boundary = `writ-${crypto.randomUUID()}`
  const encoder = new TextEncoder()
  const name = source.name.replace(/[\r\n"]/g, (c) => encodeURIComponent(c))
  const head = encoder.encode(
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n` +
      `Content-Type: ${source.type ?? 'application/octet-stream'}\r\n\r\n`,
  )
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`)
  const stream = await source.open()
  const reader = stream.getReader()
  let sent = 0
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        controller.enqueue(head)
      },
      async pull(controller) {
        try {
          const piece = await reader.read()
          // Other than announced would break the framing of the request, and of the next one on this connection.
          const bytes = sent + (piece.value?.length ?? 0)
          if (bytes > source.size || (piece.done && bytes < source.size)) {
            throw new Error(`${source.name} changed while it was read: it had ${source.size} bytes`)
          }
          if (piece.done) {
            controller.enqueue(tail)
            controller.close()
            return
          }
          sent = bytes
          controller.enqueue(piece.value)
          onProgress?.({ bytes, size: source.size })
        } catch (error) {
          onSourceFailure?.(error)
          await reader.cancel(error).catch(() => {})
          throw error
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    // Nothing is read ahead of the connection.
    { highWaterMark: 0 },
  )
  return {
    body,
    length: head.length + source.size + tail.length,
    contentType: `multipart/form-data; boundary=${boundary}`,
  }
}
