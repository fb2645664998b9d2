import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from './identity/index.ts'
import { type AttemptEnded, attemptSpanId, type Ending, type WorkRow } from './kinds/task/index.ts'
import { type FinishedSpan, parentOf, spanIdOf, traceIdOf } from './platform/tracing.ts'

/** `name=value`, with commas between. Source: OpenTelemetry Protocol Exporter, "Specifying headers via environment variables". */
export const headersOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split(',')
      .filter((pair) => pair.includes('='))
      .map((pair) => [
        pair.slice(0, pair.indexOf('=')).trim(),
        decodeURIComponent(pair.slice(pair.indexOf('=') + 1).trim()),
      ]),
  )

/** Null where the trace is handed on as it came: nothing of the task is recorded then. */
export function spanOfAttempt({ row, attempt, startedAt, endedAt, ending }: AttemptEnded): FinishedSpan | null {
  if (row.traceparent !== null) return null
  return {
    name: `attempt ${row.handler}`,
    kind: 'internal',
    traceId: row.trace_id,
    spanId: attemptSpanId(row.id, attempt),
    parentSpanId: spanIdOf(row.id),
    start: startedAt,
    end: endedAt,
    attributes: {
      'writ.run': row.id,
      'writ.attempt': attempt,
      'writ.state': ending.state,
      ...(ending.errorCode === null ? {} : { 'error.type': ending.errorCode }),
    },
    error: ending.error,
  }
}

/** Null where the trace is not recorded. Source: OpenTelemetry semantic conventions for HTTP server spans. */
export function spanOfRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  now: number,
  samples: (traceId: string) => boolean,
): FinishedSpan | null {
  const parent = parentOf(request.headers.traceparent)
  // Set by mount() once the caller is known.
  const caller = request.caller as Caller | undefined
  const isRecorded = caller ? caller.spanId !== null : (parent?.sampled ?? samples(traceIdOf(request.id)))
  if (!isRecorded) return null
  const route = request.routeOptions.url
  return {
    name: `${request.method} ${route ?? 'unknown'}`,
    kind: 'server',
    traceId: caller?.traceId ?? traceIdOf(request.id),
    spanId: caller?.spanId ?? spanIdOf(request.id),
    parentSpanId: caller ? (parent?.spanId ?? null) : null,
    start: now - reply.elapsedTime,
    end: now,
    attributes: {
      'http.request.method': request.method,
      ...(route === undefined ? {} : { 'http.route': route }),
      'http.response.status_code': reply.statusCode,
      'writ.request': request.id,
    },
    error: reply.statusCode >= 500 ? `status ${reply.statusCode}` : null,
  }
}

/** What a line of the access log says. No query: there are secrets in some. */
export function accessOf(request: FastifyRequest, reply: FastifyReply): Record<string, unknown> {
  const caller = request.caller as Caller | undefined
  return {
    request: request.id,
    method: request.method,
    path: request.url.split('?')[0],
    status: reply.statusCode,
    ms: Math.round(reply.elapsedTime),
    ip: caller?.ip ?? request.ip,
    user: caller?.username ?? null,
    trace: caller?.traceId ?? traceIdOf(request.id),
  }
}

/**
 * From the dispatch of a task to its end, tries included. A child of the request or the attempt that dispatched it, as it is in their trace
 * and the only one in its queue entry; OpenTelemetry's conventions for messages allow a parent for a single message, and links for many.
 */
export function spanOfTask(row: WorkRow, ending: Ending, at: number): FinishedSpan | null {
  if (row.traceparent !== null) return null
  return {
    name: `task ${row.handler}`,
    kind: 'consumer',
    traceId: row.trace_id,
    spanId: spanIdOf(row.id),
    parentSpanId: row.parent_span_id,
    start: row.created_at,
    end: at,
    attributes: { 'writ.run': row.id, 'writ.handler': row.handler, 'writ.queue': row.queue },
    error: ending.error,
  }
}
