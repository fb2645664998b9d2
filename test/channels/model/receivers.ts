/** Receivers of webhooks at paths of one server, each of which takes, refuses, redirects or drops what comes as it is told. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Answer, Format } from './program.ts'

export interface Received {
  readonly at: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Whether it was looked at. */
  isChecked: boolean
}

export interface Receivers extends AsyncDisposable {
  url(path: string): string
  answer(path: string, format: Format, answer: Answer): void
  received(path: string): readonly Received[]
}

export async function startReceivers(now: () => number): Promise<Receivers> {
  const received = new Map<string, Received[]>()
  const answers = new Map<string, { format: Format; answer: Answer }>()
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const path = request.url!
      const one = {
        at: now(),
        headers: request.headers,
        body: Buffer.concat(chunks).toString('utf8'),
        isChecked: false,
      }
      received.set(path, [...(received.get(path) ?? []), one])
      // Where others are sent on to, everything is taken.
      const { format, answer } = answers.get(path) ?? { format: 'feishu', answer: 'takes' }
      give(response, path, format, answer)
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: (path) => `http://127.0.0.1:${port}${path}`,
    answer: (path, format, answer) => void answers.set(path, { format, answer }),
    received: (path) => received.get(path) ?? [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

const REFUSALS: Record<Format, string> = {
  cloudevents: '{"ok":false}',
  slack: '{"ok":false,"error":"channel_not_found"}',
  feishu: '{"code":19021,"msg":"sign match fail"}',
}

function give(response: ServerResponse, path: string, format: Format, answer: Answer): void {
  const say = (status: number, headers: Record<string, string> = {}, body = '') =>
    response.writeHead(status, headers).end(body)
  switch (answer) {
    case 'takes':
      return void say(200, {}, format === 'feishu' ? '{"code":0}' : 'ok')
    case 'refuses':
      return void say(200, {}, REFUSALS[format])
    case 'fails':
      return void say(500, {}, 'not now')
    case 'later':
      return void say(503, { 'retry-after': '1800' })
    case 'muchLater':
      return void say(503, { 'retry-after': '7200' })
    case 'gone':
      return void say(410)
    case 'moved':
      return void say(302, { location: '/elsewhere' })
    case 'movedForGood':
      return void say(301, { location: '/elsewhere' })
    case 'movesOn':
      return void say(307, { location: '/elsewhere' })
    case 'turns':
      return void say(307, { location: path })
    case 'upgrades':
      // And then says nothing, and keeps the connection.
      return void response.socket!.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n',
      )
    case 'drops':
      return void response.destroy()
    case 'cuts':
      response.writeHead(200, { 'content-length': '100' }).write('ok')
      return void setImmediate(() => response.destroy())
  }
}
