/** A server behind which packets are lost: it takes connections, and hears what is said for which `answers` is true. */
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SilentServer extends AsyncDisposable {
  readonly endpoint: string
  /** Requests that were heard and not answered. */
  readonly unanswered: readonly string[]
}

/** Before an HTTP server at `behind`, if there is one: what `hold` resolves for goes on to it, and comes back. */
export async function startSilent(
  behind?: string,
  hold: (asked: IncomingMessage) => Promise<void> | undefined = () => undefined,
): Promise<SilentServer> {
  const unanswered: string[] = []
  const server = createServer((asked, reply) => {
    const goes = behind === undefined ? undefined : hold(asked)
    if (goes === undefined) return void unanswered.push(`${asked.method} ${asked.url}`)
    const { method, headers } = asked
    void goes.then(() => {
      const further = request(new URL(asked.url!, behind), { method, headers }, (answer) => {
        reply.writeHead(answer.statusCode!, answer.headers)
        answer.pipe(reply)
      })
      further.on('error', () => reply.destroy())
      asked.pipe(further)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `http://127.0.0.1:${port}`,
    unanswered,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
