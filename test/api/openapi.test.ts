import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { api, dispatchApi, type Endpoint, errorsOf, openapi, patternWords } from '@writ/api'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { routesFile, routesModule } from '../../packages/api/generate-routes.ts'
import type { Answer, Client } from '../client.ts'
import { TestSystem } from '../test-system.ts'

/** What clients were given. A release replaces it; until then everything in it must go on working. */
const published = new URL('../../packages/api/published/openapi-0.1.json', import.meta.url)

interface Operation {
  tags?: string[]
  summary?: string
  description?: string
  parameters?: { name: string; in: string; required?: boolean; description?: string }[]
  requestBody?: { required?: boolean; content: Record<string, { schema: Shape; example?: unknown }> }
  responses: Record<string, { content?: Record<string, { schema?: Shape }> }>
}
interface Shape {
  type?: string
  properties?: Record<string, Shape>
  required?: string[]
  enum?: unknown[]
  anyOf?: Shape[]
  items?: Shape
}
type Document = { tags: { name: string; description?: string }[]; paths: Record<string, Record<string, Operation>> }

const written = JSON.stringify(openapi(api, { title: 'Writ API', version: '0.1.0', prefix: '/api/v1' }))
const { components } = JSON.parse(written) as { components: Record<string, Record<string, unknown>> }
const schemas = components.schemas!

/** With what its references stand for. */
const followed = (json: string): unknown =>
  JSON.parse(json, (_, value) => {
    const [, kind, name] = /^#\/components\/(\w+)\/(\w+)$/.exec(value?.$ref) ?? []
    return name === undefined ? value : followed(JSON.stringify(components[kind!]![name]))
  })
const now = followed(written) as Document
const operations = (document: Document) =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
  )
const endpoints = Object.entries(api).flatMap(([group, members]) =>
  Object.entries(members as Record<string, Endpoint>).map(
    ([name, endpoint]) => [`${group}.${name}`, endpoint] as const,
  ),
)

test('the routes that clients use are what node packages/api/generate-routes.ts writes', () => {
  assert.ok(readFileSync(routesFile, 'utf8') === routesModule(), 'out of date')
})

test('schemas have names, and each that is named is there', () => {
  for (const name of ['Ticket', 'CreateTicket', 'Run', 'RunState', 'Problem']) assert.ok(schemas[name], name)
  for (const kind of ['schemas', 'responses']) {
    const named = [...written.matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)].filter((one) => one[1] === kind)
    assert.deepEqual(new Set(named.map((one) => one[2])), new Set(Object.keys(components[kind]!)))
  }
  const { responses, requestBody } = (JSON.parse(written) as Document).paths['/api/v1/tickets']!.post!
  assert.deepEqual(requestBody?.content['application/json']?.schema, { $ref: '#/components/schemas/CreateTicket' })
  assert.deepEqual(responses['200']?.content?.['application/json']?.schema, { $ref: '#/components/schemas/Ticket' })
})

test('every operation has a summary, a description, its errors, and an example where it takes a body', () => {
  for (const [name, operation] of operations(now)) {
    assert.ok(operation.summary && operation.description, name)
    const body = operation.requestBody?.content['application/json']
    if (body) assert.notEqual(body.example, undefined, `${name} has no example`)
    assert.ok(
      Object.keys(operation.responses).some((status) => Number(status) >= 400),
      `${name} names no errors`,
    )
  }
})

test('a reason is held to what text is held to, whatever it is given for', () => {
  const free = operations(now).flatMap(([name, { requestBody }]) =>
    Object.values(requestBody?.content ?? {}).flatMap(({ schema }) =>
      [schema, ...(schema.anyOf ?? [])].flatMap(({ properties }) =>
        properties?.reason !== undefined && !('pattern' in properties.reason) ? [name] : [],
      ),
    ),
  )
  assert.deepEqual(free, [])
})

test('every pattern is said in words, too', () => {
  JSON.stringify(endpoints, (key, value) => {
    if (key === 'pattern' && typeof value === 'string') assert.ok(patternWords.get(value), value)
    return value
  })
})

test('every group and every parameter says what it is', () => {
  for (const { name, description } of now.tags) assert.ok(description, name)
  const used = new Set(operations(now).flatMap(([, { tags = [] }]) => tags))
  assert.deepEqual(new Set(now.tags.map(({ name }) => name)), used)
  for (const [name, { parameters = [] }] of operations(now))
    for (const one of parameters) assert.ok(one.description, `${name} ${one.name}`)
})

test('nothing that was published is taken away', () => {
  if (process.env.WRIT_UPDATE_SNAPSHOTS || !existsSync(published))
    writeFileSync(published, `${JSON.stringify(now, null, 1)}\n`)
  const before = JSON.parse(readFileSync(published, 'utf8')) as Document
  const current = new Map(operations(now))
  for (const [name, old] of operations(before)) {
    const operation = current.get(name)
    assert.ok(operation, `${name} is gone`)
    for (const parameter of old.parameters ?? [])
      assert.ok(
        operation.parameters?.some((one) => one.name === parameter.name && one.in === parameter.in),
        `${name}: parameter ${parameter.name} is gone`,
      )
    for (const parameter of operation.parameters ?? []) {
      const known = old.parameters?.find((one) => one.name === parameter.name && one.in === parameter.in)
      assert.ok(!parameter.required || known?.required, `${name}: parameter ${parameter.name} became required`)
    }
    const [oldBody, newBody] = [old, operation].map((one) => one.requestBody?.content['application/json']?.schema)
    if (oldBody) stillTakes(oldBody, newBody, name)
    for (const [status, response] of Object.entries(old.responses)) {
      assert.ok(operation.responses[status], `${name}: answer ${status} is gone`)
      const [oldReply, newReply] = [response, operation.responses[status]].map(
        (one) => one?.content?.['application/json']?.schema,
      )
      if (oldReply) stillGives(oldReply, newReply, `${name} ${status}`)
    }
  }
})

const alternatives = (shape: Shape | undefined): Shape[] =>
  shape?.anyOf ? shape.anyOf.flatMap(alternatives) : shape ? [shape] : []

/** What a client sends must still be taken: no new duty, no field or word gone. */
function stillTakes(old: Shape, current: Shape | undefined, where: string): void {
  const now = alternatives(current)
  for (const one of alternatives(old)) {
    const properties = Object.assign({}, ...now.map((shape) => shape.properties ?? {})) as Record<string, Shape>
    for (const [name, shape] of Object.entries(one.properties ?? {})) {
      assert.ok(properties[name], `${where}: field ${name} is no longer taken`)
      for (const word of shape.enum ?? [])
        assert.ok(properties[name].enum?.includes(word), `${where}: ${name} no longer takes ${String(word)}`)
    }
    if (now.length === 1)
      for (const name of now[0]!.required ?? [])
        assert.ok(one.required?.includes(name), `${where}: field ${name} became required`)
  }
}

/** What a client reads must still be there. */
function stillGives(old: Shape, current: Shape | undefined, where: string): void {
  const now = alternatives(current)
  for (const one of alternatives(old)) {
    const properties = Object.assign({}, ...now.map((shape) => shape.properties ?? {})) as Record<string, Shape>
    for (const name of one.required ?? []) assert.ok(properties[name], `${where}: field ${name} is no longer answered`)
    if (one.items) stillGives(one.items, now.find((shape) => shape.items)?.items, where)
  }
}

test('every example is a request that its operation takes', async () => {
  await using system = await TestSystem.start()
  const { admin, employee } = system
  for (const [name, asset_type] of [
    ['One', 'switch'],
    ['Two', 'router'],
    ['Three', 'switch'],
  ])
    assert.equal((await admin.post('/assets', { name, asset_type })).status, 200)
  assert.equal((await employee.post('/tickets', { title: 'T' })).status, 200)
  // Events are looked up by their place in the log.
  await system.settle()
  for (const [id, endpoint] of endpoints) {
    if (endpoint.example === undefined) continue
    const path = endpoint.path
      .replace(
        ':id',
        /policy|invite|token|session|signingKeys|hold|webhook|schedule/i.test(id)
          ? '01900000-0000-7000-8000-000000000000'
          : '1',
      )
      .replace(':slug', 'default')
      .replace(':shard', '0')
      .replace(':name', 'default')
    const request = `${id}: ${endpoint.method} ${path} ${JSON.stringify(endpoint.example)}`
    const { status, body } = await ask(admin, endpoint.method, path, endpoint.example).catch((cause: unknown) => {
      throw new Error(`${request} was not answered to its end; the server said:\n${lastLines(system.log())}`, { cause })
    })
    const answer = `${request} answers ${status} ${JSON.stringify(body)?.slice(0, 2_000)}`
    // A server that is overtaxed or broken takes no request, so it proves nothing about this one.
    assert.ok(status < 500 && status !== 429, `${answer}; the server said:\n${lastLines(system.log())}`)
    if (status < 400) continue
    const code = String(body?.code)
    assert.ok(!['VALIDATION_FAILED', 'BODY_INVALID'].includes(code), answer)
    assert.ok((errorsOf(endpoint) as string[]).includes(code), `${answer}, a code that it does not declare`)
  }
})

type Refusable = { code?: string } | null

const ask = (client: Client, method: Endpoint['method'], path: string, body: unknown): Promise<Answer<Refusable>> => {
  assert.ok(method === 'POST' || method === 'PUT' || method === 'PATCH', `${method} ${path} takes no body`)
  return client[method === 'POST' ? 'post' : method === 'PUT' ? 'put' : 'patch']<Refusable>(path, body)
}

const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-20).join('\n')

test('what requests are checked against are schemas: the server takes them for such', () => {
  const ajv = new Ajv2020({ strict: false })
  for (const [id, endpoint] of [...endpoints, ...Object.entries<Endpoint>(dispatchApi)])
    for (const part of ['params', 'query', 'body'] as const)
      if (endpoint[part])
        assert.ok(ajv.validateSchema(endpoint[part]), `${part} of ${id}: ${JSON.stringify(ajv.errors)}`)
  assert.equal(ajv.validateSchema({ type: 'object', required: 'name' }), false)
})

test('the server serves the document, Swagger UI and ReDoc, and nothing from elsewhere', async () => {
  await using system = await TestSystem.start()
  const { anonymous } = system
  const served = await anonymous.get<Document>('/openapi.json')
  assert.deepEqual(Object.keys(served.body.paths), Object.keys(now.paths))
  for (const page of ['/docs', '/redoc']) {
    const answer = await anonymous.get<string>(page)
    assert.equal(answer.status, 200)
    assert.doesNotMatch(answer.body, /https?:\/\//)
    for (const [, source] of answer.body.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)) {
      const file = await anonymous.get<string>(`/${source}`)
      assert.equal(file.status, 200, source)
    }
  }
})
