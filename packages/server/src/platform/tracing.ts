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
  /** Whether somebody collects. */
  readonly collects: boolean
  /** Whether a trace that begins here is recorded. The same for the same id, in any process. */
  samples(traceId: string): boolean
  /** `made` is only called where somebody collects; null for what its caller does not record. */
  record(made: () => FinishedSpan | null): void
  /** Sends what is left. */
  stop(): Promise<void>
}

const STOP_MS = 1_000

/** Nobody collects. */
export const noTracing: Tracing = { collects: false, samples: () => true, record() {}, async stop() {} }

/**
 * The span id of a thing that has an id: whoever refers to it finds the same one, before and after it is recorded, in any
 * process and after a restart.
 */
export const spanIdOf = (thing: string): string => hash('sha256', thing, 'hex').slice(0, 16)
export const traceIdOf = (thing: string): string => hash('sha256', thing, 'hex').slice(0, 32)

/** The header of a request that is part of a trace. Source: W3C Trace Context, 3.2. */
export const traceparentOf = (traceId: string, spanId: string): string => `00-${traceId}-${spanId}-01`

/**
 * Of a trace that begins here: `traceparent` is what others are told where nothing is recorded, as of a trace that a caller does not
 * record; else null. `spanId` is of what begins it.
 */
export const beginTrace = (
  tracing: Pick<Tracing, 'samples'>,
  traceId: string,
  spanId: string,
): { traceId: string; traceparent: string | null } => ({
  traceId,
  traceparent: tracing.samples(traceId) ? null : `00-${traceId}-${spanId}-00`,
})

/** A version that is not ours may say more behind; what it says before that means the same. */
const TRACEPARENT =
  /^(?!ff)(?:00(?=.{53}$)|(?!00)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/
const SAMPLED = 1
/** What a caller's flags may say to others: `sampled`, and `random` of the next version. */
const FLAGS = 3

/** What a request says it is part of. */
export interface TraceParent {
  readonly traceId: string
  readonly spanId: string
  /** Whether the caller records the trace: what is done on its behalf is recorded then too, and otherwise by nobody. */
  readonly sampled: boolean
  /** The header to hand on where nothing is recorded here: whoever is asked next is a child of the caller then. */
  readonly header: string
}

/** The trace and the span that a request says it is part of; null if its header says nothing valid. Source: W3C Trace Context, 3.2. */
export function parentOf(traceparent: string | string[] | undefined): TraceParent | null {
  const [, traceId, spanId, said] = typeof traceparent === 'string' ? (TRACEPARENT.exec(traceparent) ?? []) : []
  if (traceId === undefined || spanId === undefined || said === undefined) return null
  const flags = Number.parseInt(said, 16) & FLAGS
  return {
    traceId,
    spanId,
    sampled: (flags & SAMPLED) !== 0,
    header: `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, '0')}`,
  }
}

const STATE_MEMBER = /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/
const STATE_MEMBERS = 32
const STATE_LENGTH = 512
const STATE_LONG_MEMBER = 128

/**
 * What a request's `tracestate` says, to be handed on: members of the tracing systems before us. Null if it says nothing valid. Of more
 * than 512 characters it leaves out the members of more than 128, and then the last. Source: W3C Trace Context, 3.3.
 */
export function traceStateOf(tracestate: string | string[] | undefined): string | null {
  const members = String(tracestate ?? '')
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
  if (members.length > STATE_MEMBERS || !members.every((member) => STATE_MEMBER.test(member))) return null
  const fits = (kept: readonly string[]) => kept.join().length <= STATE_LENGTH
  let kept = fits(members) ? members : members.filter(({ length }) => length <= STATE_LONG_MEMBER)
  while (!fits(kept)) kept = kept.slice(0, -1)
  return kept.length === 0 ? null : kept.join()
}

/** The trace of a run as it is stored: `traceparent` only where it is handed on as it came. */
export interface StoredTrace {
  readonly trace_id: string
  readonly traceparent: string | null
  readonly tracestate: string | null
}

/** A trace as its headers have it. */
export interface TraceContext {
  readonly traceparent: string
  readonly tracestate: string | null
}

/** What whoever is asked on behalf of a run is told of its trace. `spanId`: what asks, if it is recorded. */
export const traceOf = ({ trace_id, traceparent, tracestate }: StoredTrace, spanId: string): TraceContext => ({
  traceparent: traceparent ?? traceparentOf(trace_id, spanId),
  tracestate,
})

/** The headers of a request that is part of a trace. */
export const traceHeaders = ({
  traceparent,
  tracestate,
}: TraceContext): { traceparent: string; tracestate?: string } => ({
  traceparent,
  ...(tracestate === null ? {} : { tracestate }),
})

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
  /** Of the traces that begin here, from 0 to 1. */
  share: number
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
    // What comes here is to be recorded: that is decided where a trace begins.
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
  const sampler = new sdk.TraceIdRatioBasedSampler(options.share)
  return {
    collects: true,
    samples: (traceId) =>
      sampler.shouldSample(api.ROOT_CONTEXT, traceId).decision === sdk.SamplingDecision.RECORD_AND_SAMPLED,
    record(made) {
      const finished = made()
      if (finished === null) return
      const { name, kind, traceId, spanId, parentSpanId, start, end, attributes, error } = finished
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
