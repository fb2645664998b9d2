/** A witness that is not ours: a test says what it answers. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cosignText, formatSignatures, parseNote, parseSubmission } from '@writ/tlog'
import { makeKey, sha256, type TestKey } from '../../packages/tlog/test/memory-log.ts'

export type Answering = (on: { text: string; size: number; request: IncomingMessage; reply: ServerResponse }) => unknown

export interface Foreign {
  readonly key: TestKey
  readonly url: string
  /** Requests of the protocol so far. */
  asked: number
  answer: Answering
  close(): Promise<void>
}

/** A witness that answers as the test says. */
export async function openForeign(name: string): Promise<Foreign> {
  const server = createServer(async (request, reply) => {
    let body = ''
    for await (const chunk of request) body += chunk
    foreign.asked++
    const { text } = parseNote(parseSubmission(body).checkpoint)
    await foreign.answer({ text, size: Number(text.split('\n')[1]), request, reply })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const foreign: Foreign = {
    key: makeKey(`witness.example/${name}`),
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: 0,
    answer: ({ reply }) => reply.writeHead(500).end(),
    close() {
      server.closeAllConnections()
      return new Promise((closed) => server.close(() => closed()))
    },
  }
  return foreign
}

export const cosigned = async (key: TestKey, text: string, seconds: number) =>
  formatSignatures([await cosignText(text, key, seconds, key.sign, sha256)])
