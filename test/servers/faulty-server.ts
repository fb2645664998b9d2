/** A way to an HTTP server on which things go wrong, request by request. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Fault =
  /** Answered so here, with nothing behind. */
  | { readonly status: number }
  /** The connection is reset before anything goes on. */
  | { readonly reset: true }
  /** Goes on, and its answer comes so much later. */
  | { readonly afterMs: number }
  /** Of the answer's body so much arrives; then the connection is reset, or stays and says nothing more. */
  | { readonly bodyBytes: number; readonly then: 'reset' | 'silence' }

export interface FaultyServer extends AsyncDisposable {
  readonly endpoint: string
  /** What goes wrong with a request; undefined for one that goes on as it is. */
  fault: (asked: IncomingMessage) => Fault | undefined
  /** Requests of which something went wrong, as `GET /path`. */
  readonly met: string[]
}

/** Before an HTTP server at `behind`. */
export async function startFaulty(behind: string): Promise<FaultyServer> {
  const met: string[] = []
  const server = createServer((asked, reply) => {
    const fault = faulty.fault(asked)
    if (fault) met.push(`${asked.method} ${asked.url}`)
    if (fault && 'reset' in fault) return void asked.socket.resetAndDestroy()
    if (fault && 'status' in fault) return refuse(fault.status, asked, reply)
    const { method, headers } = asked
    const further = request(new URL(asked.url!, behind), { method, headers }, (answer) => {
      const tell = () => {
        if (fault && 'bodyBytes' in fault && fault.bodyBytes === 0 && fault.then === 'reset')
          return void asked.socket.resetAndDestroy()
        reply.writeHead(answer.statusCode!, answer.headers)
        if (fault && 'bodyBytes' in fault) cutShort(answer, reply, fault)
        else answer.pipe(reply)
      }
      if (fault && 'afterMs' in fault) setTimeout(tell, fault.afterMs)
      else tell()
    })
    further.on('error', () => reply.destroy())
    asked.on('error', () => further.destroy())
    asked.pipe(further)
  })
  const faulty: FaultyServer = {
    endpoint: '',
    fault: () => undefined,
    met,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return Object.assign(faulty, { endpoint: `http://127.0.0.1:${port}` })
}

/** As S3 says it, or as a proxy before it: a HEAD has no body, and a PUT is read to its end. */
function refuse(status: number, asked: IncomingMessage, reply: ServerResponse): void {
  asked.resume()
  asked.on('end', () => {
    const code = status === 503 ? 'SlowDown' : status === 500 ? 'InternalError' : undefined
    const text = code ? `<Error><Code>${code}</Code><Message>later</Message></Error>` : 'The gateway is away.'
    reply.writeHead(status, { 'content-type': code ? 'application/xml' : 'text/plain' })
    reply.end(asked.method === 'HEAD' ? undefined : text)
  })
}

function cutShort(answer: IncomingMessage, reply: ServerResponse, fault: { bodyBytes: number; then: string }): void {
  let left = fault.bodyBytes
  answer.on('data', (chunk: Buffer) => {
    if (left <= 0) return
    const part = chunk.subarray(0, left)
    left -= part.length
    reply.write(part, () => {
      if (left > 0) return
      answer.destroy()
      if (fault.then === 'reset') reply.socket?.resetAndDestroy()
    })
  })
  answer.on('end', () => left > 0 && reply.end())
}
