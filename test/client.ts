/** The HTTP API as one user of a test sees it. */
import assert from 'node:assert/strict'
import { type Artifact, api, type Endpoint, errorsOf } from '@writ/api'

/** What came back. `body` is parsed JSON, text for anything else, null for nothing. */
export interface Answer<T> {
  readonly status: number
  readonly headers: Headers
  readonly body: T
}

export type Fields = Readonly<Record<string, unknown>>
export type Sent = { readonly headers?: Readonly<Record<string, string>> }

export interface Client {
  get<T = Fields>(path: string, sent?: Sent): Promise<Answer<T>>
  post<T = Fields>(path: string, body?: unknown, sent?: Sent): Promise<Answer<T>>
  put<T = Fields>(path: string, body: unknown, sent?: Sent): Promise<Answer<T>>
  patch<T = Fields>(path: string, body: unknown, sent?: Sent): Promise<Answer<T>>
  delete<T = Fields>(path: string, sent?: Sent): Promise<Answer<T>>
  /** Uploads one file as the documented multipart part `file`. `more` are further query parameters. */
  upload(
    run: string | number,
    name: string,
    bytes: string | Uint8Array<ArrayBuffer>,
    more?: Readonly<Record<string, string>>,
    sent?: Sent,
  ): Promise<Answer<{ artifact: Artifact; message: string }>>
  /** Exact bytes. */
  download(path: string, sent?: Sent): Promise<Answer<Buffer>>
}

/**
 * A client of the API at `base()`, with the headers of `credentials()` on every request.
 * A path is below the API prefix, or below the server's root when it starts with `//`.
 */
export function createClient(on: {
  base(): string
  prefix: string
  credentials(): Promise<Readonly<Record<string, string>>>
}): Client {
  const send = async (
    method: string,
    path: string,
    body: string | FormData | null,
    headers: Readonly<Record<string, string>>,
  ) => {
    const answer = await fetch(path.startsWith('//') ? on.base() + path.slice(1) : on.base() + on.prefix + path, {
      method,
      headers: { ...(await on.credentials()), ...headers },
      body,
      redirect: 'manual',
    })
    if (answer.status >= 400 && !path.startsWith('//')) await mustBeDeclared(method, path, answer.clone())
    return answer
  }
  const json = async <T>(method: string, path: string, body: unknown, sent: Sent = {}): Promise<Answer<T>> => {
    const content = body === undefined ? null : JSON.stringify(body)
    const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    return parsed<T>(await send(method, path, content, { ...type, ...sent.headers }))
  }
  return {
    get: (path, sent) => json('GET', path, undefined, sent),
    post: (path, body, sent) => json('POST', path, body, sent),
    put: (path, body, sent) => json('PUT', path, body, sent),
    patch: (path, body, sent) => json('PATCH', path, body, sent),
    delete: (path, sent) => json('DELETE', path, undefined, sent),
    async upload(run, name, bytes, more = {}, sent = {}) {
      const form = new FormData()
      form.set('file', new Blob([bytes]), name)
      const query = new URLSearchParams({ run_id: String(run), ...more })
      return parsed(await send('POST', `/artifacts?${query}`, form, { ...sent.headers }))
    },
    async download(path, sent = {}) {
      const answer = await send('GET', path, null, { ...sent.headers })
      return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) }
    },
  }
}

const endpoints: Endpoint[] = Object.values(api).flatMap((group) => Object.values(group as Record<string, Endpoint>))

/** Operations that there are, as they are asked for. What names itself goes before a parameter. */
function endpointOf(method: string, path: string): Endpoint | undefined {
  const parts = path.split('?')[0]!.split('/')
  const fits = ({ path: of }: Endpoint) => {
    const declared = of.split('/')
    return declared.length === parts.length && declared.every((part, i) => part.startsWith(':') || part === parts[i])
  }
  return endpoints
    .filter((one) => one.method === method && fits(one))
    .toSorted((a, b) => a.path.split(':').length - b.path.split(':').length)[0]
}

/** Whatever the server may answer in any place, because of what it is, what it is doing or who asks from where. */
const ANYWHERE = new Set(['ROUTE_NOT_FOUND', 'METHOD_NOT_ALLOWED', 'IP_NOT_ALLOWED', 'SHUTTING_DOWN'])

/** A refusal that an operation does not declare is in no document, and no client knows of it. */
async function mustBeDeclared(method: string, path: string, answer: Response): Promise<void> {
  const endpoint = endpointOf(method, path)
  if (!endpoint || !answer.headers.get('content-type')?.startsWith('application/problem+json')) return
  const { code } = (await answer.json()) as { code: string }
  const declared: readonly string[] = errorsOf(endpoint)
  assert.ok(ANYWHERE.has(code) || declared.includes(code), `${method} ${endpoint.path} answers ${code}, undeclared`)
}

async function parsed<T>(answer: Response): Promise<Answer<T>> {
  const text = await answer.text()
  const isJson =
    /json/.test(answer.headers.get('content-type') ?? '') && !/jsonl/.test(answer.headers.get('content-type') ?? '')
  // The test names the shape that it expects and then checks it.
  const body = (text === '' ? null : isJson ? JSON.parse(text) : text) as T
  return { status: answer.status, headers: answer.headers, body }
}
