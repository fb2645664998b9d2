import assert from 'node:assert/strict'
import { test } from 'node:test'
import { api, type Endpoint, errorsOf } from '@writ/api'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'
import { backends } from '../backends.ts'

const endpoints = Object.entries(api).flatMap(([group, members]) =>
  Object.entries(members as Record<string, Endpoint>).map(
    ([name, endpoint]) => [`${group}.${name}`, endpoint] as const,
  ),
)
const ajv = addFormats.default(new Ajv2020({ strict: false }))

type Shape = {
  type?: string
  enum?: unknown[]
  anyOf?: Shape[]
  properties?: Record<string, Shape>
  required?: string[]
  items?: Shape
  format?: string
  pattern?: string
  minimum?: number
  maximum?: number
  maxLength?: number
}

/** Answered before it is known which endpoint is asked: no such address, or one of more than 16 kB. */
const UNASKED = ['ROUTE_NOT_FOUND', 'METHOD_NOT_ALLOWED', 'HEADERS_TOO_LARGE']

/** Values that mostly fit a schema and often do not: the edges, the wrong kind, the hostile. */
function valuesFor(shape: Shape, depth = 0): fc.Arbitrary<unknown> {
  const hostile = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      '',
      ' ',
      0,
      -1,
      1e300,
      2 ** 53,
      true,
      [],
      {},
      '../../etc/passwd',
      "'; drop table runs; --",
      '\u0000',
      '\ud800',
      '中文'.repeat(500),
      '__proto__',
      '%',
      '9'.repeat(40),
      Number.MAX_SAFE_INTEGER,
    ),
    fc.string({ unit: 'binary', maxLength: 40 }),
  )
  return fc.oneof({ weight: 4, arbitrary: fitting(shape, depth) }, { weight: 1, arbitrary: hostile })
}

function fitting(shape: Shape, depth: number): fc.Arbitrary<unknown> {
  if (shape.anyOf) return fc.oneof(...shape.anyOf.map((one) => valuesFor(one, depth)))
  if (shape.enum) return fc.constantFrom(...shape.enum)
  if (shape.type === 'integer')
    return fc.oneof(
      fc.integer({ min: shape.minimum ?? 1, max: Math.min(shape.maximum ?? 50, 1000) }),
      fc.constantFrom(1, 2, 3),
    )
  if (shape.type === 'boolean') return fc.boolean()
  if (shape.type === 'null') return fc.constant(null)
  if (shape.type === 'array') return fc.array(valuesFor(shape.items ?? {}, depth + 1), { maxLength: 3 })
  if (shape.type === 'object' && depth < 4) {
    const properties = Object.fromEntries(
      Object.entries(shape.properties ?? {}).map(([name, one]) => [name, valuesFor(one, depth + 1)]),
    )
    return fc.record(properties, { requiredKeys: (shape.required ?? []).filter((name) => name in properties) })
  }
  if (shape.format === 'date-time')
    return fc.constantFrom('2026-01-01T00:00:00Z', '2026-13-01T00:00:00Z', '9999-12-31T23:59:59.999Z')
  if (shape.format === 'email') return fc.constantFrom('a@example.com', 'x')
  if (shape.pattern?.includes('[0-9a-f]{8}'))
    return fc.constantFrom('1', '2', '99999', '01900000-0000-7000-8000-000000000000', '999999999999999')
  if (shape.pattern?.includes('{64}')) return fc.constantFrom('0'.repeat(64), 'zz')
  return fc.oneof(
    fc.string({ maxLength: Math.min(shape.maxLength ?? 30, 300) }),
    fc.constantFrom('default', 'size', 'proof.file_hash', 'x'.repeat(201)),
  )
}

for (const backend of backends()) {
  test(`no request, however odd, meets an error of ours (${backend.name})`, { skip: backend.skip }, async (t) => {
    await using system = await backend.start()
    const { admin, employee } = system
    const token = await admin.token()
    await admin.post('/assets', { name: 'One', asset_type: 'switch' })
    await employee.post('/tickets', { title: 'T' })
    await employee.post('/runs', { run_type: 'proof', ticket_id: 1 })
    for (const [id, endpoint] of endpoints) {
      // These would end the very session that asks, or wait on purpose.
      if (['auth.logout', 'runs.wait'].includes(id)) continue
      const validate = endpoint.reply ? ajv.compile(endpoint.reply) : undefined
      const shape = (one: unknown) => (one ?? { type: 'object', properties: {} }) as Shape
      await t.test(id, async () => {
        const asked = fc.record({
          params: fitting(shape(endpoint.params), 0),
          query: valuesFor(shape(endpoint.query)),
          body: endpoint.body ? valuesFor(endpoint.body as Shape) : fc.constant(undefined),
        })
        await fc.assert(
          fc.asyncProperty(asked, async ({ params, query, body }) => {
            const named = HARMFUL.has(id) ? { id: '987654' } : ((params ?? {}) as Record<string, unknown>)
            const path = endpoint.path
              .replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(wellFormed(String(named[name] ?? 'x'))))
              .replace('*', 'checkpoint')
            const pairs =
              typeof query === 'object' && query !== null && !Array.isArray(query)
                ? Object.entries(query).map(([k, v]) => [wellFormed(k), wellFormed(String(v))] as [string, string])
                : []
            const url = `${system.base}/api/v1${path}?${new URLSearchParams(pairs)}`
            const headers: Record<string, string> = { authorization: `Bearer ${token}` }
            if (body !== undefined) headers['content-type'] = 'application/json'
            const answer = await fetch(url, {
              method: endpoint.method,
              headers,
              body: body === undefined ? null : JSON.stringify(body),
            })
            const text = await answer.text()
            assert.ok(
              answer.status < 500,
              `${endpoint.method} ${url} ${JSON.stringify(body)} -> ${answer.status} ${text}`,
            )
            if (answer.status >= 400) {
              assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
              const { code } = JSON.parse(text) as { code: string }
              assert.ok(
                [...errorsOf(endpoint), ...UNASKED].includes(code as never),
                `${id} answers ${code}, which it does not declare: ${endpoint.method} ${url.slice(0, 500)} ${JSON.stringify(body)}`,
              )
            } else if (validate && answer.headers.get('content-type')?.includes('json')) {
              assert.ok(
                validate(JSON.parse(text)),
                `${id} answers what it does not declare: ${ajv.errorsText(validate.errors)} ${text}`,
              )
            }
          }),
          { numRuns: backend.name === 'sqlite' ? 40 : 12, seed: 20260105 },
        )
      })
    }
    await system.check()
  })
}

/** Aimed at a person who exists, these would take away the rights of whoever asks; they are aimed at nobody. */
const HARMFUL = new Set(['users.update', 'users.resetPassword', 'projects.setMember', 'projects.removeMember'])

const wellFormed = (text: string) => text.toWellFormed()
