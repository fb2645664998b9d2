import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { formatSignatures, judgeSubmission } from '@writ/tlog'
import { sha256, verifyEd25519 } from '../verify-crypto.ts'
import type { WitnessFolder } from './witness-folder.ts'

// A submission is a few kilobytes. Whoever takes longer to send one holds a connection, and nothing else.
const MOST_MS = 30_000
// What was asked when the witness is told to stop; a supervisor waits no longer for a request that never ends.
const GRACE_MS = 3_000
// 63 hashes and a checkpoint with a hundred signatures fit several times.
const MAX_BODY = 64 * 1024

export interface ServedWitness {
  readonly port: number
  close(): Promise<void>
}

/**
 * Serves a witness over HTTP (c2sp.org/tlog-witness): `POST /add-checkpoint`, and `GET /<origin hash>/checkpoint` for
 * monitors. `say` hears one line for each decision. TLS is a proxy's business: answers are signed themselves.
 */
export async function serveWitness(
  witness: WitnessFolder,
  on: { host: string; port: number; now(): Date; say(line: string): void },
): Promise<ServedWitness> {
  // One submission after the other, so that checking and keeping are one step.
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = turn.then(work)
    turn = next.catch(() => {})
    return next
  }

  async function addCheckpoint(body: string, reply: ServerResponse): Promise<void> {
    const logs = await witness.loadLogs()
    const verdict = await judgeSubmission(body, {
      vkeysOf: (origin) => logs.get(origin) ?? null,
      lastOf: witness.lastOf,
      hash: sha256,
      verify: verifyEd25519,
    })
    if (verdict.status === 409) {
      on.say(`409 ${verdict.reason}`)
      return send(reply, 409, `${verdict.size}\n`, 'text/x.tlog.size')
    }
    if (verdict.status !== 200) {
      on.say(`${verdict.status} ${verdict.reason}`)
      return send(reply, verdict.status, `${verdict.reason}\n`)
    }
    // Durable before it is answered. Stopped in between, the log asks again, is told 409 with this size, and goes on.
    const line = await witness.cosign(verdict.text, verdict.signatures, on.now().getTime())
    on.say(`200 ${verdict.checkpoint.origin} ${verdict.checkpoint.size}`)
    send(reply, 200, formatSignatures([line]))
  }

  async function answer(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const path = request.url?.split('?')[0] ?? '/'
    if (path === '/add-checkpoint') {
      if (request.method !== 'POST') return send(reply, 405, 'POST only\n')
      const body = await readBody(request)
      if (body === null) return send(reply, 400, 'longer than any submission\n')
      return inTurn(() => addCheckpoint(body, reply))
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(reply, 405, 'GET only\n')
    const hash = /^\/([0-9a-f]{64})\/checkpoint$/.exec(path)?.[1]
    const note = hash === undefined ? null : await witness.noteOf(hash)
    if (note !== null) return send(reply, 200, note)
    if (path === '/') return send(reply, 200, `${witness.vkey}\n`)
    send(reply, 404, 'not here\n')
  }

  const server = createServer({ requestTimeout: MOST_MS, headersTimeout: MOST_MS }, (request, reply) => {
    answer(request, reply).catch((error: unknown) => {
      on.say(`500 ${error instanceof Error ? error.message : String(error)}`)
      if (!reply.headersSent) send(reply, 500, 'the witness could not keep its state\n')
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(on.port, on.host, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : on.port,
    close: () =>
      new Promise((resolve) => {
        const late = setTimeout(() => server.closeAllConnections(), GRACE_MS)
        server.close(() => {
          clearTimeout(late)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}

function send(reply: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  reply.writeHead(status, { 'content-type': type }).end(body)
}

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes > MAX_BODY) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
