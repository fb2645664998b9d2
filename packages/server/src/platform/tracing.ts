/** Traces: ids as W3C Trace Context has them, and spans for OpenTelemetry where somebody collects them. */
import { hash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

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

/** The span that a request says it is part of. */
export const parentSpanOf = (traceparent: string | string[] | undefined): string | null =>
  typeof traceparent === 'string'
    ? (/^[0-9a-f]{2}-[0-9a-f]{32}-([0-9a-f]{16})-[0-9a-f]{2}/.exec(traceparent)?.[1] ?? null)
    : null

/**
 * Sends spans in batches to a collector by OTLP over HTTP. Spans are recorded when they are over, with ids that were known
 * before, so nothing has to be carried through the code that is traced. A collector that is away costs spans, nothing else.
 * @param options.url of the collector, without `/v1/traces`
 */
export async function openTracing(options: {
  url: string
  headers: Readonly<Record<string, string>>
  serviceName: string
  version: string
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
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter, scheduledDelayMillis: 1_000 })],
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
