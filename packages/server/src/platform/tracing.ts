/** Traces: ids as W3C Trace Context has them, and spans for OpenTelemetry where somebody collects them. */
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SpanExporter } from '@opentelemetry/sdk-trace'
import type { Logger } from './log.ts'

/** Something that was done, once it is over. Ids are lower-case hex: 32 digits of a trace, 16 of a span. */
export interface FinishedSpan {
  readonly name: string
  readonly kind: 'server' | 'consumer' | 'client' | 'internal'
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  /** Milliseconds. */
  readonly start: number
  readonly end: number
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  readonly error: string | null
}

export interface Tracing {
  /** `made` is only called where somebody collects. */
  record(made: () => FinishedSpan): void
  /** Sends what is left. */
  stop(): Promise<void>
}

const STOP_MS = 1_000

/** Nobody collects. */
export const noTracing: Tracing = { record() {}, async stop() {} }

/**
 * The span id of a thing that has an id: whoever refers to it finds the same one, before and after it is recorded, in any
 * process and after a restart.
 */
export const spanIdOf = (thing: string): string => hash('sha256', thing, 'hex').slice(0, 16)
export const traceIdOf = (thing: string): string => hash('sha256', thing, 'hex').slice(0, 32)

/** The header of a request that is part of a trace. Source: W3C Trace Context, 3.2. */
export const traceparentOf = (traceId: string, spanId: string): string => `00-${traceId}-${spanId}-01`

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-|$)/

/** The trace and the span that a request says it is part of; null if its header says nothing valid. Source: W3C Trace Context, 3.2. */
export function parentOf(traceparent: string | string[] | undefined): { traceId: string; spanId: string } | null {
  const [, traceId, spanId] = typeof traceparent === 'string' ? (TRACEPARENT.exec(traceparent) ?? []) : []
  return traceId === undefined || spanId === undefined ? null : { traceId, spanId }
}

/**
 * Sends spans in batches to a collector by OTLP over HTTP. Spans are recorded when they are over, with ids that were known
 * before, so nothing has to be carried through the code that is traced. A collector that is away costs spans, nothing else; the log
 * says so once, and when it is back.
 * @param options.url of the collector, without `/v1/traces`
 */
export async function openTracing(options: {
  url: string
  headers: Readonly<Record<string, string>>
  serviceName: string
  version: string
  log: Logger
}): Promise<Tracing> {
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  let next = { traceId: '', spanId: '' }
  const exporter = new OTLPTraceExporter({ url: `${options.url}/v1/traces`, headers: { ...options.headers } })
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': options.serviceName, 'service.version': options.version }),
    idGenerator: { generateTraceId: () => next.traceId, generateSpanId: () => next.spanId },
    sampler: new sdk.AlwaysOnSampler(),
    spanProcessors: [
      new sdk.BatchSpanProcessor({ exporter: saying(exporter, options.log), scheduledDelayMillis: 1_000 }),
    ],
  })
  const tracer = provider.getTracer('writ', options.version)
  const kinds = {
    server: api.SpanKind.SERVER,
    consumer: api.SpanKind.CONSUMER,
    client: api.SpanKind.CLIENT,
    internal: api.SpanKind.INTERNAL,
  }
  return {
    record(made) {
      const { name, kind, traceId, spanId, parentSpanId, start, end, attributes, error } = made()
      next = { traceId, spanId }
      const parent =
        parentSpanId === null
          ? api.ROOT_CONTEXT
          : api.trace.setSpanContext(api.ROOT_CONTEXT, {
              traceId,
              spanId: parentSpanId,
              traceFlags: api.TraceFlags.SAMPLED,
              isRemote: true,
            })
      const span = tracer.startSpan(
        name,
        { kind: kinds[kind], startTime: start, attributes: { ...attributes } },
        parent,
      )
      if (error !== null) span.setStatus({ code: api.SpanStatusCode.ERROR, message: error })
      span.end(end)
    },
    // A collector that does not answer is not waited for.
    stop: () => Promise.race([provider.shutdown().catch(() => {}), sleep(STOP_MS, undefined, { ref: false })]),
  }
}

/** The SDK keeps to itself that nobody takes its spans: a wrong port would look like a server that does nothing. */
function saying(exporter: SpanExporter, log: Logger): SpanExporter {
  let failing = false
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const fails = result.code !== 0
        if (fails && !failing)
          log.warn(
            { reason: result.error?.message || 'no reason given' },
            'the collector takes no traces, spans are lost',
          )
        if (!fails && failing) log.info({}, 'the collector takes traces again')
        failing = fails
        done(result)
      })
    },
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  }
}
