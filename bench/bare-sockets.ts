/** The peer of the socket figures: a bare `ws` server that sends each message to all. `POST /?count=N` with a message broadcasts it N times. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

const server = createServer()
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
server.on('request', async (request, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const message = Buffer.concat(chunks)
  const count = Number(new URL(request.url ?? '/', 'http://bare').searchParams.get('count'))
  response.end()
  for (let n = 0; n < count; n++) {
    const clients = [...sockets.clients]
    const last = clients.pop()
    for (const client of clients) client.send(message, { binary: false })
    // What is written is bounded: the next goes out when this one has.
    await new Promise<void>((sent) => last!.send(message, { binary: false }, () => sent()))
  }
})
server.listen(0, '127.0.0.1', () =>
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`),
)
