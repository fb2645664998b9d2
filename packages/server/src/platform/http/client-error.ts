import type { Socket } from 'node:net'
import { AppError } from '../app-error.ts'
import { uuidv7 } from '../ids.ts'
import { problemOf } from './problem.ts'

/**
 * Answers what is no HTTP request, before there is one that could be routed: a broken length, chunk or header. The connection ends with
 * it, for nobody knows where the next request begins.
 */
export function answerClientError(error: Error & { code?: string }, socket: Socket, now: number): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const refusal = new AppError(CODES[error.code ?? ''] ?? 'REQUEST_MALFORMED')
  if (socket.writable) {
    const body = JSON.stringify(problemOf(refusal, { url: '', requestId: uuidv7(now) }))
    const head = [
      `HTTP/1.1 ${refusal.status} ${REASONS[refusal.status]}`,
      'Content-Type: application/problem+json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  }
  socket.destroy(error)
}

const CODES: Readonly<Record<string, 'HEADERS_TOO_LARGE' | 'REQUEST_TIMEOUT'>> = {
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}
