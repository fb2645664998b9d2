import { errors } from '@writ/api'
import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../metrics.ts'

/** What stands outside the API: the root, health, readiness, metrics, and the page that problem `type`s link to. */
export function serveSystem(
  app: FastifyInstance,
  on: {
    name: string
    version: string
    /** Where the pages that show the API stand. */
    docs: string
    metrics: Metrics
    ready(): Promise<Record<string, string | null>>
    /** What is not as it should be, though requests can be served: shown, and no reason to be taken out of service. */
    degraded(): Record<string, string>
    gauges: {
      integrated(): number
      unanchored(): number
      selfCheckAlarms(): number
      selfCheckEntries(): number
      selfCheckFailures(): number
      selfCheckFinished(): number
    }
  },
): void {
  app.get('/', async (request, reply) => {
    // A browser asks for a page, a program for JSON.
    if (request.headers.accept?.split(',')[0]?.trim() === 'text/html') return reply.redirect('/app', 302)
    return { message: `${on.name} API`, version: on.version, docs: on.docs }
  })
  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_, reply) => {
    const parts = await on.ready()
    const ready = Object.values(parts).every((reason) => reason === null)
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ready' : 'not ready',
      checks: Object.fromEntries(
        Object.entries(parts).map(([part, reason]) => [part, reason === null ? 'ok' : reason]),
      ),
      ...(Object.keys(on.degraded()).length === 0 ? {} : { degraded: on.degraded() }),
    })
  })
  on.metrics.gaugeBy('writ_ready', 'Whether a part is ready, as /readyz says it.', 'part', async () =>
    Object.fromEntries(Object.entries(await on.ready()).map(([part, reason]) => [part, reason === null ? 1 : 0])),
  )
  on.metrics.gauge('writ_audit_integrated_entries', 'Entries put into logs by this process.', on.gauges.integrated)
  on.metrics.gauge(
    'writ_audit_unanchored_entries',
    'Entries of the instance log that no witness stands for; -1 without witnesses.',
    on.gauges.unanchored,
  )
  on.metrics.gauge(
    'writ_selfcheck_alarms',
    'Logs in which the last self-check found a fault.',
    on.gauges.selfCheckAlarms,
  )
  on.metrics.gauge(
    'writ_selfcheck_entries',
    'Entries compared by self-checks of this process.',
    on.gauges.selfCheckEntries,
  )
  on.metrics.gauge(
    'writ_selfcheck_failures',
    'Self-checks of this process that found a fault.',
    on.gauges.selfCheckFailures,
  )
  on.metrics.gauge(
    'writ_selfcheck_finished_timestamp_seconds',
    'When the last self-check ended; 0 before the first.',
    on.gauges.selfCheckFinished,
  )
  serveMetrics(app, on.metrics)
  const page = errorsPage()
  app.get('/docs/errors', async (_, reply) => reply.type('text/html; charset=utf-8').send(page))
}

/** What Prometheus scrapes. A path of the gateway's too, so with a slash at its end as well. */
export function serveMetrics(app: FastifyInstance, { registry }: Metrics): void {
  for (const path of ['/metrics', '/metrics/'])
    app.get(path, async (_, reply) => reply.type(registry.contentType).send(await registry.metrics()))
}

function errorsPage(): string {
  const rows = Object.entries(errors).map(
    ([code, { status, text }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`)}</td></tr>`,
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Errors</title></head><body><h1>Errors</h1><table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th></tr></thead><tbody>${rows.join('')}</tbody></table></body></html>`
}
