import type { Endpoint } from './endpoint.ts'
import { type ErrorCode, errors } from './errors.ts'
import { nameResponses, nameSchemas } from './named-schemas.ts'
import * as words from './openapi-words.ts'
import { Problem } from './shapes.ts'

const common = (e: Endpoint): ErrorCode[] => [
  'RATE_LIMITED',
  'IP_NOT_ALLOWED',
  'INTERNAL',
  'DATABASE_UNAVAILABLE',
  'SHUTTING_DOWN',
  // Of parameters that it does not know, too, and of a body where it takes none.
  'VALIDATION_FAILED',
  ...(e.method === 'GET' || e.upload ? [] : (['BODY_INVALID', 'BODY_TOO_LARGE', 'MEDIA_TYPE_UNSUPPORTED'] as const)),
  ...(e.access === 'public'
    ? []
    : ([
        'NOT_AUTHENTICATED',
        'CREDENTIALS_INVALID',
        'USER_INACTIVE',
        'PASSWORD_CHANGE_REQUIRED',
        'CSRF_FAILED',
        'TOKEN_IP_NOT_ALLOWED',
        // Also where no project is asked about: a token that names another one than its own is refused everywhere.
        'TOKEN_FOREIGN_PROJECT',
        'SCOPE_NOT_ALLOWED',
      ] as const)),
  ...(e.access === 'member'
    ? (['NOT_A_MEMBER', 'ROLE_NOT_ALLOWED', 'ADMIN_REQUIRED', 'PROJECT_NOT_FOUND'] as const)
    : []),
  ...(e.personal ? (['SESSION_REQUIRED'] as const) : []),
  ...(e.needsLog ? (['LOG_BEHIND'] as const) : []),
  ...(e.access === 'instance' ? (['INSTANCE_ADMIN_REQUIRED'] as const) : []),
  ...(e.versioned && e.method !== 'GET' ? (['VERSION_DIFFERS'] as const) : []),
  ...(isList(e) ? (['CURSOR_INVALID'] as const) : []),
  ...(e.method === 'POST' && !e.unrecorded
    ? ([
        'IDEMPOTENCY_KEY_INVALID',
        'IDEMPOTENCY_MISMATCH',
        'IDEMPOTENCY_IN_FLIGHT',
        ...(e.secret ? (['SECRET_SHOWN_ONCE'] as const) : []),
      ] as const)
    : []),
]

/** Every code that an endpoint may answer, its own and those of its kind. */
export const errorsOf = (e: Endpoint): ErrorCode[] => [...new Set([...e.errors, ...common(e)])]

interface Schema {
  properties?: Record<string, object>
  required?: string[]
}

/** Its own words, or those that a parameter of that name has everywhere. */
const describe = (name: string, schema: { description?: string }) => {
  const description = schema.description ?? words.parameters[name]
  return description === undefined ? {} : { description }
}

function parameters(e: Endpoint) {
  const from = (where: 'path' | 'query', schema: Schema | undefined) =>
    Object.entries(schema?.properties ?? {}).map(([name, s]) => ({
      name,
      in: where,
      required: where === 'path' || (schema?.required?.includes(name) ?? false),
      schema: s,
      ...describe(name, s),
    }))
  const header = (name: string, description: string) => ({
    name,
    in: 'header',
    required: false,
    schema: { type: 'string' },
    description,
  })
  return [
    ...from('path', e.params as Schema | undefined),
    ...(e.path.endsWith('*')
      ? [{ name: 'path', in: 'path', required: true, schema: { type: 'string' }, ...describe('path', {}) }]
      : []),
    ...from('query', e.query as Schema | undefined),
    ...(e.access === 'member' ? [header('X-Project', 'slug of the project; "default" when absent')] : []),
    ...(e.method === 'POST' && !e.unrecorded
      ? [header('Idempotency-Key', 'same key and body: the first answer again')]
      : []),
    ...(e.versioned && e.method !== 'GET'
      ? [header('If-Match', 'the `ETag` of what was read: nothing is changed if somebody changed it since')]
      : []),
  ]
}

function operation(id: string, e: Endpoint, form: ErrorForm) {
  const byStatus = Map.groupBy(errorsOf(e), (code) => errors[code].status)
  const problems =
    form === 'fastapi'
      ? fastApiErrors(e)
      : [...byStatus]
          .sort(([a], [b]) => a - b)
          .map(([status, codes]) => [
            String(status),
            {
              description: codes.map((code) => `\`${code}\`: ${errors[code].text}`).join('\n\n'),
              content: {
                'application/problem+json': {
                  schema: Problem,
                  example: problem(codes[0]!),
                },
              },
            },
          ])
  const body = e.upload
    ? {
        required: true,
        content: {
          'multipart/form-data': {
            schema: { type: 'object', required: ['file'], properties: { file: { type: 'string', format: 'binary' } } },
          },
        },
      }
    : e.body && {
        required: !('anyOf' in e.body),
        content: { 'application/json': { schema: e.body, ...(e.example === undefined ? {} : { example: e.example }) } },
      }
  const good = e.media
    ? { description: 'The bytes.', content: { [e.media]: { schema: { type: 'string', format: 'binary' } } } }
    : {
        description: e.reply ? 'Done.' : 'Done; no body.',
        ...(isList(e) ? { headers: total } : {}),
        ...(e.versioned && e.reply ? { headers: version } : {}),
        ...(e.reply ? { content: { 'application/json': { schema: e.reply } } } : {}),
      }
  return {
    operationId: id,
    summary: e.summary,
    description: e.description,
    tags: [e.tag],
    parameters: parameters(e),
    ...(body ? { requestBody: body } : {}),
    ...(e.access === 'public' ? { security: [] } : {}),
    responses: { [String(e.status)]: good, ...Object.fromEntries(problems) },
  }
}

const isList = ({ query }: Endpoint): boolean => {
  const { properties = {} } = (query ?? {}) as Schema
  return 'cursor' in properties && 'skip' in properties
}
const total = {
  'X-Total-Count': { description: 'how many there are in all; not with `cursor`', schema: { type: 'integer' } },
}

const version = {
  ETag: { description: 'the version of what can be changed, for `If-Match`', schema: { type: 'string' } },
}

/** How a door tells of errors: as problem details, or in the words of FastAPI. */
export type ErrorForm = 'problem' | 'fastapi'

const detail = (schema: object) => ({
  content: { 'application/json': { schema: { type: 'object', required: ['detail'], properties: { detail: schema } } } },
})
const text = detail({ type: 'string' })

function fastApiErrors(e: Endpoint): [string, object][] {
  return [
    ...(e.access === 'public'
      ? []
      : ([
          ['401', { description: 'The token is missing or not good.', ...text }],
          ['403', { description: 'Not with this role or scope.', ...text }],
        ] as [string, object][])),
    ['422', { description: 'Something of the request is wrong.', ...detail({ type: ['string', 'array'] }) }],
    ['429', { description: 'Too many; `Retry-After` says how long to wait.', ...text }],
  ]
}

/** Each once, in the order of their first operations: pages of the document show one that has none as an empty group. */
const tagsIn = (groups: Record<string, Record<string, Endpoint>>): string[] => [
  ...new Set(Object.values(groups).flatMap((endpoints) => Object.values(endpoints).map(({ tag }) => tag))),
]

const tagOf = (name: string) => {
  const description = words.groups[name]
  return description === undefined ? {} : { description }
}

function problem(code: ErrorCode) {
  const { status, text } = errors[code]
  return {
    type: `/docs/errors#${code}`,
    title: code,
    status,
    detail: text,
    instance: '/api/v1/…',
    code,
    request_id: '0193…',
    retryable: false,
  }
}

/**
 * The OpenAPI 3.1 document of a table of endpoints. `prefix` stands before every path, `server` is where they begin on the host.
 * Source: OpenAPI Specification 3.1.0; schemas are JSON Schema 2020-12 as they stand.
 */
export function openapi(
  groups: Record<string, Record<string, Endpoint>>,
  info: { title: string; version: string; prefix: string; server?: string; errors?: ErrorForm },
) {
  const whole: Record<string, Record<string, ReturnType<typeof operation>>> = {}
  for (const [group, endpoints] of Object.entries(groups)) {
    for (const [name, e] of Object.entries(endpoints)) {
      const path = (e.root ? '' : info.prefix) + e.path.replace(/:(\w+)/g, '{$1}').replace(/\*$/, '{path}')
      whole[path] ??= {}
      whole[path][e.method.toLowerCase()] = operation(`${group}.${name}`, e, info.errors ?? 'problem')
    }
  }
  const schemas: Record<string, unknown> = {}
  const paths = nameSchemas(whole, schemas)
  const responses: Record<string, unknown> = {}
  nameResponses(paths, responses)
  return {
    openapi: '3.1.0',
    info: {
      title: info.title,
      version: info.version,
      description:
        info.errors === 'fastapi' ? 'The documented paths of the task gateway.' : words.introduction(info.prefix),
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: info.server || '/' }],
    security: [{ bearer: [] }, { token: [] }],
    tags: tagsIn(groups).map((name) => ({ name, ...tagOf(name) })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
      responses,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'a JWT of POST /auth/login, or an API token' },
        token: {
          type: 'apiKey',
          in: 'header',
          name: 'X-API-Token',
          description: 'an API token; X-API-Key is the same',
        },
      },
    },
  }
}
