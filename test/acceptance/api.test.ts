import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Comment, Project, Run, Ticket, Token } from '@writ/api'
import type { Static } from 'typebox'
import { until } from '../test-system.ts'
import { holds, ok, refused } from '../verifies.ts'

const keyed = (key: string) => ({ headers: { 'idempotency-key': key } })
type Page<T> = { items: T[]; next_cursor: string | null }

holds('a request that is sent twice under one key is done once', async ({ employee, bob }) => {
  const first = await employee.post<Ticket>('/tickets', { title: 'x' }, keyed('k1'))
  const again = await employee.post<Ticket>('/tickets', { title: 'x' }, keyed('k1'))
  assert.deepEqual(ok(again), ok(first))
  assert.equal(first.headers.get('idempotency-replayed'), null)
  assert.equal(again.headers.get('idempotency-replayed'), 'true')
  refused(await employee.post('/tickets', { title: 'y' }, keyed('k1')), 422, 'IDEMPOTENCY_MISMATCH')
  assert.equal(ok(await employee.get<Ticket[]>('/tickets')).length, 1)
  // A key is a person's own, and belongs to one operation.
  assert.equal(ok(await bob.post<Ticket>('/tickets', { title: 'x' }, keyed('k1'))).number, 2)
  const comment = await employee.post<Static<typeof Comment>>('/tickets/1/comments', { body: 'x' }, keyed('k1'))
  assert.equal(ok(comment, 201).body, 'x')
  refused(await employee.post('/tickets', { title: 'x' }, keyed('two words')), 422, 'IDEMPOTENCY_KEY_INVALID')
})

holds('requests under one key at the same time make one thing', async ({ employee }) => {
  const answers = await Promise.all(
    Array.from({ length: 6 }, () => employee.post<Ticket & { code?: string }>('/tickets', { title: 'x' }, keyed('k'))),
  )
  for (const answer of answers) {
    if (answer.status === 409) refused(answer, 409, 'IDEMPOTENCY_IN_FLIGHT')
    else assert.equal(ok(answer).number, 1)
  }
  assert.equal(ok(await employee.get<Ticket[]>('/tickets')).length, 1)
})

holds('a secret is shown once, also under an idempotency key', async ({ employee, anonymous }) => {
  const body = { name: 'nightly', role: 'employee' }
  const made = ok(await employee.post<Static<typeof Token> & { token: string }>('/tokens', body, keyed('t')), 201)
  const again = await employee.post('/tokens', body, keyed('t'))
  refused(again, 409, 'SECRET_SHOWN_ONCE')
  assert.equal(again.headers.get('x-resource-id'), made.id)
  assert.equal(ok(await employee.get<unknown[]>('/tokens')).length, 1)
  assert.equal(
    ok(await anonymous.get<{ username: string }>('/auth/me', { headers: { 'x-api-token': made.token } })).username,
    'employee',
  )
})

holds('a failed request may be sent again under its key', async ({ admin, employee }) => {
  const body = { title: 'x', asset_id: 1 }
  refused(await employee.post('/tickets', body, keyed('k')), 404, 'ASSET_NOT_FOUND')
  ok(await admin.post('/assets', { name: 'n', asset_type: 'switch' }))
  assert.equal(ok(await employee.post<Ticket>('/tickets', body, keyed('k'))).asset_number, 1)
})

holds('lists answer arrays with totals, or pages by cursor that nothing shifts', async ({ admin, employee, bob }) => {
  for (let n = 1; n <= 5; n++) ok(await employee.post('/tickets', { title: `t${n}` }))
  ok(await bob.post('/tickets', { title: 'other' }))
  const listed = await employee.get<Ticket[]>('/tickets?skip=1&limit=2')
  assert.deepEqual(
    ok(listed).map((one) => one.number),
    [4, 3],
  )
  assert.equal(listed.headers.get('x-total-count'), '5')
  assert.equal((await admin.get('/tickets?limit=1')).headers.get('x-total-count'), '6')
  assert.equal((await admin.get('/tickets?status=closed')).headers.get('x-total-count'), '0')
  const first = ok(await employee.get<Page<Ticket>>('/tickets?limit=2&cursor='))
  ok(await employee.post('/tickets', { title: 'later' }))
  const next = encodeURIComponent(first.next_cursor!)
  const second = ok(await employee.get<Page<Ticket>>(`/tickets?limit=2&cursor=${next}`))
  const third = ok(
    await employee.get<Page<Ticket>>(`/tickets?limit=2&cursor=${encodeURIComponent(second.next_cursor!)}`),
  )
  assert.deepEqual(
    [...first.items, ...second.items, ...third.items].map((one) => one.number),
    [5, 4, 3, 2, 1],
  )
  assert.equal(third.next_cursor, null)
  refused(await employee.get(`/tickets?limit=2&status=draft&cursor=${next}`), 422, 'CURSOR_INVALID')
  refused(await bob.get(`/tickets?limit=2&cursor=${next}`), 422, 'CURSOR_INVALID')
  refused(await employee.get('/tickets?cursor=made-up'), 422, 'CURSOR_INVALID')
  refused(await employee.get('/tickets?limit=0'), 422, 'VALIDATION_FAILED')
  refused(await employee.get('/tickets?skip=-1'), 422, 'VALIDATION_FAILED')
})

holds('unknown fields, unknown parameters and bodies that are no JSON are refused', async ({ employee }) => {
  const body = refused(await employee.post('/tickets', { title: 'x', nonsense: 1 }), 422, 'VALIDATION_FAILED')
  assert.deepEqual(body.errors?.[0], { path: 'body.nonsense', message: 'unknown field', code: 'additionalProperties' })
  assert.equal(body.retryable, false)
  const long = refused(await employee.post('/tickets', { title: 'x'.repeat(300) }), 422, 'VALIDATION_FAILED')
  assert.match(long.errors?.[0]?.message ?? '', /^must have at most \d+ characters$/)
  const low = refused(await employee.get('/tickets?limit=0'), 422, 'VALIDATION_FAILED')
  assert.deepEqual(low.errors?.[0], { path: 'query.limit', message: 'must be at least 1', code: 'minimum' })
  refused(await employee.get('/tickets?nonsense=1'), 422, 'VALIDATION_FAILED')
  refused(await employee.get('/tickets/1?nonsense=1'), 422, 'VALIDATION_FAILED')
  refused(await employee.post('/tickets', { title: 'line\nbreak' }), 422, 'VALIDATION_FAILED')
  refused(await employee.get('/nonsense'), 404, 'ROUTE_NOT_FOUND', 'Not Found')
  refused(await employee.get('/artifacts'), 405, 'METHOD_NOT_ALLOWED')
})

holds('a refusal says in words what was expected', async ({ admin, employee }) => {
  const faults = [
    [await employee.get('/tickets/abc'), 'params.id', 'must be an id (a UUID) or a number'],
    // A body that may be left out: what is wrong in it, not that it is there.
    [
      await admin.post('/tickets/1/approve', { digest: 'x' }),
      'body.digest',
      'must be a SHA-256 in 64 lower-case hexadecimal digits',
    ],
    [await admin.post('/tickets/1/approve', { nonsense: 1 }), 'body.nonsense', 'unknown field'],
    [await employee.post('/tickets', { title: '' }), 'body.title', 'must not be empty'],
    [
      await employee.post('/tickets', { title: 'a\nb' }),
      'body.title',
      'must be one line that is not blank, without control or hidden characters: U+000A is in it',
    ],
    [
      await employee.post('/tickets', { title: 'x', asset_id: 'z' }),
      'body.asset_id',
      'must be integer, or an id (a UUID) or a number, or null',
    ],
    [
      await employee.post('/tickets', { title: 'x', due_at: 'tomorrow' }),
      'body.due_at',
      'must be a time as in RFC 3339, such as 2026-05-17T09:30:00Z, or null',
    ],
    // An offset without minutes, a leap second: no time that can be counted with.
    ...(await Promise.all(
      ['2027-01-31T09:00:00+08', '2016-12-31T23:59:60Z'].map(
        async (run_at) =>
          [
            await admin.post('/tasks', { handler: 'system.ping', run_at }),
            'body.run_at',
            'must be a time as in RFC 3339, such as 2026-05-17T09:30:00Z',
          ] as const,
      ),
    )),
  ] as const
  for (const [answer, path, message] of faults) {
    const { errors, detail } = refused(answer, 422, 'VALIDATION_FAILED')
    assert.deepEqual(
      errors?.map((one) => [one.path, one.message]),
      [[path, message]],
    )
    assert.ok(detail.endsWith(`${path}: ${message}`), detail)
  }
})

holds('a body that is announced and not sent is none; one that is no JSON is refused as such', async ({ employee }) => {
  const json = { headers: { 'content-type': 'application/json' } }
  refused(await employee.post('/tickets/99/submit', undefined, json), 404, 'TICKET_NOT_FOUND')
  refused(await employee.delete('/tickets', json), 405, 'METHOD_NOT_ALLOWED')
  refused(await employee.post('/tickets', undefined, json), 422, 'VALIDATION_FAILED')
  const text = { headers: { 'content-type': 'text/plain' } }
  refused(await employee.post('/tickets', { title: 'x' }, text), 415, 'MEDIA_TYPE_UNSUPPORTED')
})

holds('what is no JSON is told by line and column, and none of it is repeated', async (sys) => {
  const answer = await fetch(`${sys.base}/api/v1/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await sys.employee.token()}`, 'content-type': 'application/json' },
    body: '{"title": "t",\n "description": s3cret}',
  })
  const { code, detail, errors } = (await answer.json()) as { code: string; detail: string; errors: unknown }
  assert.deepEqual(
    [answer.status, code, detail, errors],
    [
      400,
      'BODY_INVALID',
      'The body is not valid JSON. body: must have a value at line 2, column 17',
      [{ path: 'body', message: 'must have a value at line 2, column 17' }],
    ],
  )
})

holds('a number that would be read as another is refused, wherever it stands', async (sys) => {
  const { token } = ok(await sys.admin.post<{ token: string }>('/tokens', { name: 'numbers', role: 'admin' }), 201)
  const post = async (path: string, body: string) => {
    const headers = { 'x-api-token': token, 'content-type': 'application/json' }
    const answer = await fetch(sys.base + path, { method: 'POST', headers, body })
    return { status: answer.status, headers: answer.headers, body: await answer.json() }
  }
  const message = 'must be a number that keeps all its digits; longer ones go into text, in quotes'
  for (const number of ['12345678901234567890', '-9007199254740993', '1e400']) {
    const [fault] = refused(
      await post('/api/v1/tasks', `{"handler":"system.ping","input":{"orders":[{"id":1},{"id":${number}}]}}`),
      422,
      'VALIDATION_FAILED',
    ).errors!
    assert.deepEqual([fault?.path, fault?.message], ['body.input.orders.1.id', message])
    const door = await post('/dispatch', `{"task":"system.ping","taskData":{"ids":[${number}]}}`)
    assert.deepEqual(
      [door.status, door.body],
      [422, { detail: [{ type: 'value_error', loc: ['body', 'taskData', 'ids', 0], msg: message }] }],
    )
  }
  const kept = '{"a":9007199254740991,"b":"12345678901234567890","c":0.1234567890123456789,"d":12345678901234567000}'
  const { id } = ok(await post('/api/v1/tasks', `{"handler":"system.ping","input":${kept}}`), 201) as { id: string }
  assert.deepEqual((await sys.admin.get<{ input: unknown }>(`/tasks/${id}`)).body.input, JSON.parse(kept))
})

holds('an id is taken in whatever case, and answered in small letters', async ({ admin, employee }) => {
  const ticket = ok(await employee.post<Ticket>('/tickets', { title: 'T' }))
  const other = ticket.id.toUpperCase()
  assert.equal(ok(await employee.get<Ticket>(`/tickets/${other}`)).id, ticket.id)
  assert.equal(ok(await employee.patch<Ticket>(`/tickets/${other}`, { description: 'D' })).id, ticket.id)
  const found = ok(await admin.get<{ resource_id: string }[]>(`/audit/events?resource_id=${other}`))
  assert.deepEqual([...new Set(found.map(({ resource_id }) => resource_id))], [ticket.id])
  const run = { run_type: 'proof', finalize: 'manual' }
  const first = ok(await employee.post<Run>('/runs', { ...run, ticket_id: ticket.id }, keyed('one')))
  const again = ok(await employee.post<Run>('/runs', { ...run, ticket_id: other }, keyed('one')))
  assert.deepEqual([first.ticket_id, again.id], [ticket.id, first.id])
  const task = ok(await admin.post<{ id: string }>('/tasks', { handler: 'system.ping', input: { id: other } }), 201)
  const list = { handler: 'system.ping', depends_on: [task.id.toUpperCase()] }
  const next = ok(await admin.post<{ id: string }>('/tasks', list), 201)
  const shown = ok(await admin.get<{ depends_on: string[] }>(`/tasks/${next.id.toUpperCase()}`))
  assert.deepEqual(shown.depends_on, [task.id])
  // What is no id of ours is left as it is.
  const { input } = ok(await admin.get<{ input: unknown }>(`/tasks/${task.id}`))
  assert.deepEqual(input, { id: other })
  for (const wrong of [`{${ticket.id}}`, `urn:uuid:${ticket.id}`, ticket.id.replaceAll('-', '')])
    refused(await employee.get(`/tickets/${wrong}`), 422, 'VALIDATION_FAILED')
})

holds('what has to be named is not named with blanks', async ({ admin, employee }) => {
  ok(await admin.post('/assets', { name: 'One', asset_type: 'switch' }))
  ok(await employee.post('/tickets', { title: 'T' }))
  const text = 'must be text that is not blank, without control characters other than tabs and line breaks'
  for (const blank of ['   ', '\u3000\u00a0', '\u200b\u2060', '\u2800\u3164']) {
    const why = blank.startsWith('\u200b') ? ': U+200B is in it' : ''
    const line = `must be one line that is not blank, without control or hidden characters${why}`
    const asked = [
      [await employee.post('/tickets', { title: blank }), 'body.title', line],
      [await employee.patch('/tickets/1', { title: blank }), 'body.title', line],
      [await employee.post('/tickets/1/comments', { body: `\n${blank}\t` }), 'body.body', text],
      [await admin.post('/assets', { name: blank, asset_type: 'switch' }), 'body.name', line],
      [await admin.patch('/assets/1', { asset_type: blank }), 'body.asset_type', line],
      [await admin.post('/tokens', { name: blank }), 'body.name', line],
      [await admin.post('/projects', { slug: 'blank', name: blank }), 'body.name', line],
      [await admin.post('/webhooks', { name: blank, url: 'https://example.com', events: ['*'] }), 'body.name', line],
      [await admin.post('/tasks', { handler: 'system.ping', tags: [blank] }), 'body.tags.0', line],
      [await admin.post('/holds', { subject_type: 'project', reason: blank.padEnd(3, blank) }), 'body.reason', line],
    ] as const
    for (const [answer, path, message] of asked) {
      const { errors } = refused(answer, 422, 'VALIDATION_FAILED')
      assert.deepEqual(
        errors?.map((one) => [one.path, one.message]),
        [[path, message]],
      )
    }
  }
  assert.equal(ok(await employee.post<{ title: string }>('/tickets', { title: ' 换交换机 ' })).title, ' 换交换机 ')
})

holds('no name reads otherwise than it is written', async ({ admin, employee }) => {
  ok(await admin.post('/assets', { name: 'One', asset_type: 'switch' }))
  ok(await employee.post('/tickets', { title: 'T' }))
  const line = 'must be one line that is not blank, without control or hidden characters'
  for (const [text, number] of [
    ['open port 22\u202e32', 'U+202E'],
    ['\u2066admin\u2069', 'U+2066'],
    ['core\u200bswitch', 'U+200B'],
    ['\ufeffcore switch', 'U+FEFF'],
    ['core switch \u{e0041}', 'U+E0041'],
    ['core\u009bswitch', 'U+009B'],
  ] as const) {
    const run = { run_type: 'proof', ticket_id: 1, expect: [{ name: text }] }
    const file = 'must be the name of a file, without a folder, in one line, without control or hidden characters'
    for (const [answer, path, message] of [
      [await employee.post('/tickets', { title: text }), 'body.title', line],
      [await employee.patch('/tickets/1', { title: text }), 'body.title', line],
      [await admin.post('/assets', { name: text, asset_type: 'switch' }), 'body.name', line],
      [await admin.post('/tokens', { name: text }), 'body.name', line],
      [await admin.post('/tasks', { handler: 'system.ping', tags: [text] }), 'body.tags.0', line],
      [await employee.post('/runs', run), 'body.expect.0.name', file],
    ] as const)
      assert.deepEqual(
        refused(answer, 422, 'VALIDATION_FAILED').errors?.map((one) => [one.path, one.message]),
        [[path, `${message}: ${number} is in it`]],
      )
  }
  for (const title of ['更换交换机（二期）', 'שינוי מתג (12)\u200f', 'نمی\u200cخواهم', '👩\u200d👩\u200d👧 ❤\ufe0f']) {
    const ticket = ok(await employee.post<Ticket>('/tickets', { title, description: 'a\u202eb' }))
    assert.deepEqual([ticket.title, ticket.description], [title, 'a\u202eb'])
  }
  const run = ok(await employee.post<Run>('/runs', { run_type: 'proof', ticket_id: 1, finalize: 'manual' }))
  const { artifact } = ok(await employee.upload(run.number, 'a\u202e\u200b\ufeffb.cfg', 'x'))
  assert.equal(artifact.filename, 'a___b.cfg')
})

holds('a client that goes away in the middle of its body is no failure of the server', async (system) => {
  const { hostname, port } = new URL(system.base)
  const { token } = ok(await system.admin.post<{ token: string }>('/tokens', { name: 'cut off', role: 'admin' }), 201)
  for (const path of ['/dispatch', '/api/v1/tasks']) {
    const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nX-API-Token: ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`
    const before = system.log().length
    // Whoever goes before the body is read is not heard of at all.
    await until(`${path} heard of it`, async () => {
      const socket = connect(Number(port), hostname)
      socket.on('error', () => {})
      socket.write(head)
      await once(socket, 'data')
      ok(await system.admin.get('/auth/me'))
      socket.destroy()
      return system.log().slice(before).includes('request cut off')
    })
  }
  assert.doesNotMatch(system.log(), /request failed/)
})

holds('projects are fenced off from each other, and named by X-Project', async ({ admin, employee, bob }) => {
  const a = { headers: { 'x-project': 'factory-a' } }
  ok(await employee.post('/tickets', { title: 'in default' }))
  ok(await admin.post<Project>('/projects', { slug: 'factory-a', name: '工厂 A' }), 201)
  refused(await admin.post('/projects', { slug: 'factory-a', name: 'again' }), 409, 'PROJECT_EXISTS')
  refused(await employee.get('/tickets', a), 403, 'NOT_A_MEMBER')
  ok(await admin.put(`/members/${bob.id}`, { role: 'employee' }, a))
  assert.deepEqual(ok(await admin.get<Ticket[]>('/tickets', a)), [])
  refused(await admin.get('/tickets/1', a), 404, 'TICKET_NOT_FOUND')
  const mine = ok(await bob.post<Ticket>('/tickets', { title: 'in A' }, a))
  assert.equal(mine.number, 1)
  refused(await admin.get(`/tickets/${mine.id}`), 404, 'TICKET_NOT_FOUND')
  assert.equal(ok(await bob.get<Ticket>('/tickets/1', a)).title, 'in A')
  refused(await bob.get('/tickets/1'), 403, 'TICKET_VIEW_DENIED')
  const nowhere = await admin.get('/tickets', { headers: { 'x-project': 'nowhere' } })
  assert.ok([403, 404].includes(nowhere.status), String(nowhere.status))
})
