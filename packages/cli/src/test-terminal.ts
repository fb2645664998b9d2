import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { TestContext } from 'node:test'
import type { Settings } from './config.ts'
import { runWrit } from './writ.ts'

// For the tests of this package: a terminal that is a pair of strings, and a server at the edge of the network.

export interface Asked {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** `events`: said one after the other, as a stream of this type of event. */
export type Answers = (
  asked: Asked,
) =>
  | { status?: number; json?: unknown; location?: string; bytes?: Uint8Array; events?: readonly [string, ...object[]] }
  | undefined

/** Runs `writ` against a server that answers as told; 404 for the rest. */
export async function openCommandLine(
  t: TestContext,
  answers: Answers = () => undefined,
  settings: Partial<Settings> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'writ-cli-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const asked: Asked[] = []
  const server = createServer(async (request, reply) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url = '', headers } = request
    const one = { method, url: url.replace('/api/v1', ''), headers, body: Buffer.concat(chunks).toString() }
    asked.push(one)
    send(reply, answers(one))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}`
  const surroundings: Settings = {
    url,
    token: 'writ_t',
    project: undefined,
    context: undefined,
    configFolder: join(folder, 'config'),
    stateFolder: join(folder, 'state'),
    noColor: false,
    host: 'desk',
    ...settings,
  }
  const writ = async (
    line: readonly string[],
    stdin = '',
    { isTTY = false, ...with_ }: Partial<Settings> & { isTTY?: boolean } = {},
  ) => {
    let out = ''
    let err = ''
    const stdout = new PassThrough().on('data', (chunk) => {
      out += String(chunk)
    })
    const stderr = new PassThrough().on('data', (chunk) => {
      err += String(chunk)
    })
    const code = await runWrit(
      line,
      { ...surroundings, ...with_ },
      {
        stdin: PassThrough.from(stdin === '' ? [] : [Buffer.from(stdin)]) as PassThrough,
        stdout,
        stderr: Object.assign(stderr, { isTTY }),
        now: () => new Date('2026-10-21T07:28:00Z'),
        ticks: () => performance.now(),
        signal: new AbortController().signal,
        stopped: () => new Promise(() => {}),
      },
    )
    return { code, out, err }
  }
  return { writ, asked, folder, url, settings: surroundings }
}

function send(reply: ServerResponse, answer: ReturnType<Answers>): void {
  if (answer?.bytes) return void reply.writeHead(answer.status ?? 200).end(answer.bytes)
  if (answer?.events) {
    const [type, ...said] = answer.events
    reply.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    return void reply.end(said.map((one) => `event: ${type}\ndata: ${JSON.stringify(one)}\n\n`).join(''))
  }
  if (answer?.location) return void reply.writeHead(answer.status ?? 307, { location: answer.location }).end()
  const { status = 200, json } = answer ?? { status: 404, json: problem('ROUTE_NOT_FOUND', 404) }
  reply.writeHead(status, { 'content-type': 'application/json' })
  reply.end(json === undefined ? '' : JSON.stringify(json))
}

export const problem = (code: string, status: number, detail = `sentence of ${code}`) => ({
  code,
  status,
  detail,
  request_id: 'req-7',
  retryable: false,
})
