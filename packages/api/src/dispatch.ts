import { type Static, type TSchema, Type } from 'typebox'
import { endpoint } from './endpoint.ts'
import { HTTP_URL, meaning } from './patterns.ts'

// The documented paths of the task gateway that Writ replaces: their names, statuses and bodies stay as they are, also
// where the API of Writ itself would say it better (docs/deviations.md). Unknown fields are ignored here.

/** `type: [..., 'null']` rather than a union, so that a wrong value is one error. */
const orNull = <T>(type: string, more: object = {}) => Type.Unsafe<T | null>({ type: [type, 'null'], ...more })
// As `QueueName`; or nothing, which is `api`.
const QUEUE = meaning(
  'nothing, or 1 to 64 of a-z, 0-9, _, . and -, a letter or digit first',
  '^([a-z0-9][a-z0-9_.-]{0,63})?$',
)
const anyObject = Type.Unsafe<Record<string, unknown>>({ type: 'object' })
const query = <P extends Record<string, TSchema>>(properties: P) => Type.Object(properties)
const queue = { params: Type.Object({ queue_name: Type.String() }) } as const
const message = { params: Type.Object({ queue_name: Type.String(), msg_id: Type.String() }) } as const
const task = { params: Type.Object({ tid: Type.String() }) } as const

export const DispatchBody = Type.Object({
  task: Type.String({ description: 'name of a handler; `GET /tasks` lists them' }),
  // Stays as it is given: what is secret in it is sealed before it is stored.
  taskData: Type.Unsafe<Record<string, unknown>>({ type: 'object', writeOnly: true }),
  queue: Type.Optional(orNull<string>('string', { pattern: QUEUE, description: '`api` when left out' })),
  async: Type.Optional(orNull<boolean>('boolean', { description: 'true when left out' })),
  maxRetries: Type.Optional(orNull<number>('integer', { description: '0 when left out' })),
  webhook: Type.Optional(orNull<string>('string', { writeOnly: true, description: 'told how the task ended' })),
})
export type DispatchBody = Static<typeof DispatchBody>

export const ForwardBody = Type.Object({
  urls: Type.Array(Type.String({ pattern: HTTP_URL })),
  data: Type.Unsafe<Record<string, unknown>>({ type: 'object', writeOnly: true }),
  mode: Type.Optional(orNull<string>('string')),
  timeout: Type.Optional(orNull<number>('integer')),
  headers: Type.Optional(
    orNull<Record<string, string>>('object', { additionalProperties: { type: 'string' }, writeOnly: true }),
  ),
  webhook: Type.Optional(orNull<string>('string', { writeOnly: true })),
  queue: Type.Optional(orNull<string>('string', { pattern: QUEUE })),
})

// What a query has beside what is read is ignored, as in a body.
const at = { access: 'member', root: true, tag: 'dispatch', errors: [], status: 200, query: query({}) } as const

export const dispatchApi = {
  ping: endpoint({
    ...at,
    access: 'public',
    method: 'GET',
    path: '/ping',
    summary: 'Say that the gateway lives',
    description: 'Checks no dependency.',
    reply: Type.Object({ status: Type.String() }),
  }),
  dispatch: endpoint({
    ...at,
    method: 'POST',
    path: '/dispatch',
    summary: 'Dispatch a task',
    description:
      'Asynchronously by default: answers with the id of the task. With `"async": false` it answers when the task has ended, with status 200 also if it failed.',
    body: DispatchBody,
    reply: anyObject,
    example: { task: 'system.ping', taskData: { msg: 'hello' }, async: true },
  }),
  status: endpoint({
    ...at,
    method: 'GET',
    path: '/task/:tid',
    ...task,
    summary: 'Get the status of a task',
    description: 'pending, processing, completed, failed or dead; `unknown` for a task that is not there.',
    reply: Type.Object({ status: Type.String() }),
  }),
  detail: endpoint({
    ...at,
    method: 'GET',
    path: '/task/:tid/detail',
    ...task,
    summary: 'Get a task',
    description: 'With payload, result and error; null for a task that is not there.',
    reply: Type.Unsafe<Record<string, unknown> | null>({ type: ['object', 'null'] }),
  }),
  tasks: endpoint({
    ...at,
    method: 'GET',
    path: '/tasks',
    summary: 'List what can be dispatched',
    description: 'Names of handlers, and of scripts that `script.execute` takes.',
    reply: Type.Object({ tasks: Type.Array(Type.String()), scripts: Type.Array(Type.String()) }),
  }),
  forward: endpoint({
    ...at,
    method: 'POST',
    path: '/proxy/forward',
    summary: 'Post JSON to urls',
    description: 'A task `proxy_forward`; `"mode": "async"` answers with its id, `sync` with what came back.',
    body: ForwardBody,
    reply: anyObject,
    example: { urls: [], data: {} },
  }),
  feishuToken: endpoint({
    ...at,
    method: 'GET',
    path: '/feishu/token',
    summary: 'Get a tenant access token of Feishu',
    description: 'Of the application of the settings. An API token needs the scope `dispatch.feishuToken` by name.',
    reply: Type.Object({ tenant_access_token: Type.String(), expires_in: Type.Integer() }),
  }),
  deadLetters: endpoint({
    ...at,
    method: 'GET',
    path: '/dlq/:queue_name',
    ...queue,
    summary: 'List dead letters of a queue',
    description: 'Newest first.',
    query: query({ count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000, default: 20 })) }),
    reply: Type.Array(
      Type.Object({
        msg_id: Type.String(),
        time: Type.String(),
        timestamp: Type.Number(),
        task: Type.String(),
        error: Type.String(),
      }),
    ),
  }),
  deadLetter: endpoint({
    ...at,
    method: 'GET',
    path: '/dlq/:queue_name/:msg_id',
    ...message,
    summary: 'Get a dead letter',
    description: 'With the payload that was dispatched.',
    reply: Type.Object({ meta: anyObject, payload: anyObject }),
  }),
  replay: endpoint({
    ...at,
    method: 'POST',
    path: '/dlq/:queue_name/:msg_id/replay',
    ...message,
    summary: 'Replay a dead letter',
    description: 'As a new task; the old one leaves the dead letters.',
    reply: Type.Object({ status: Type.String(), new_tid: Type.String() }),
  }),
  purge: endpoint({
    ...at,
    method: 'DELETE',
    path: '/dlq/:queue_name',
    ...queue,
    summary: 'Purge the dead letters of a queue',
    description: 'Their runs and their record stay.',
    reply: Type.Object({ status: Type.String(), queue: Type.String() }),
  }),
  logFiles: endpoint({
    ...at,
    method: 'GET',
    path: '/logs/list',
    summary: 'List log files',
    description: 'Newest first; with `backup=true` rotated ones too.',
    query: query({ backup: Type.Optional(Type.Boolean({ default: false })) }),
    reply: Type.Array(
      Type.Object({
        name: Type.String(),
        path: Type.String(),
        size: Type.String(),
        size_bytes: Type.Integer(),
        mtime: Type.String(),
        type: Type.String(),
      }),
    ),
  }),
  logFile: endpoint({
    ...at,
    method: 'GET',
    path: '/logs/read',
    summary: 'Read the end of a log file',
    description: 'At most 2000 lines.',
    query: query({
      filename: Type.String(),
      lines: Type.Optional(Type.Integer({ minimum: 0, default: 100 })),
    }),
    reply: Type.Object({ filename: Type.String(), lines: Type.Integer(), content: Type.String() }),
  }),
} as const
