/** What an installation of an earlier version holds, made through its own doors; and what it shows of it. */
import type { Answer, Writ } from '../servers/writ.ts'

/** Lists whose rows the next version has to show alike. */
const LISTS = [
  'tickets',
  'runs',
  'tasks',
  'schedules',
  'webhooks',
  'users',
  'members',
  'assets',
  'rule-sets',
  'projects',
]
/** After every year in which somebody may run the tests. */
const FAR = '2999-01-01T00:00:00Z'

export interface Shown {
  /** An API token of an administrator. */
  readonly token: string
  readonly tickets: readonly number[]
  readonly runs: readonly {
    readonly id: string
    readonly artifact: string
    readonly deleted: boolean
    readonly text: string
  }[]
  readonly lists: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>
  /** Events by id, without those that reading makes. */
  readonly events: readonly Readonly<Record<string, unknown>>[]
}

/** An older version does not know each path: what it answers with 404 is left out. */
export async function fill(writ: Writ): Promise<Pick<Shown, 'token' | 'tickets' | 'runs'>> {
  const must = async (
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer> => {
    const answer = await writ.call(method, path, body, headers)
    if (answer.status >= 400 && answer.body.code !== 'ROUTE_NOT_FOUND')
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer
  }
  const person = { username: 'requester', password: 'amber-canyon-violin' }
  await must('POST', '/users', { ...person, email: 'requester@example.com', role: 'employee' })
  const { access_token } = (await must('POST', '/auth/login', person)).body
  const asRequester = { authorization: `Bearer ${access_token}` }
  await must('POST', '/projects', { slug: 'second', name: 'Second' })
  const token = String((await must('POST', '/tokens', { name: 'kept', role: 'admin' })).body.token)
  await must('POST', '/assets', { name: 'sw-core-01', asset_type: 'switch', serial_number: 'SN1' })
  await must('POST', '/rule-sets', {
    name: 'checks',
    definition: { rules: [{ validator: 'size@1', params: { min_bytes: 1 } }] },
  })

  const tickets: number[] = []
  for (const title of ['waits', 'rejected', '已批准', 'proven', 'found wanting', 'closed']) {
    const ticket = (await must('POST', '/tickets', { title, description: `about ${title}` }, asRequester)).body
    tickets.push(Number(ticket.number))
    if (ticket.status === 'draft') await must('POST', `/tickets/${ticket.number}/submit`, {}, asRequester)
  }
  const [, rejected, approved, ...worked] = tickets
  await must('POST', `/tickets/${rejected}/reject`, { reason: 'not this week' })
  for (const number of [approved, ...worked]) await must('POST', `/tickets/${number}/approve`, { reason: 'agreed' })
  await must('POST', `/tickets/${approved}/comments`, { body: '机柜 4 已断电' }, asRequester)

  const runs: { id: string; artifact: string; deleted: boolean; text: string }[] = []
  for (const [i, text] of ['{"vlan":7}\n', '{"vlan":\n', '{"vlan":8}\n'].entries()) {
    const start = { run_type: 'proof', ticket_id: worked[i], script_id: 'proof.config_format' }
    const id = String((await must('POST', '/runs', start, asRequester)).body.id)
    const { body } = await writ.upload(id, 'vlan.json', text, asRequester)
    for (let state: unknown; state !== 'completed' && state !== 'failed'; )
      state = (await must('GET', `/runs/${id}`)).body.state
    runs.push({ id, artifact: (body.artifact as { id: string }).id, deleted: i === 2, text })
  }
  await must('POST', `/tickets/${worked[2]}/close`, {})
  await must('DELETE', `/artifacts/${runs[2]!.artifact}`)

  const ping = { handler: 'system.ping', input: { target: '127.0.0.1' } }
  for (let i = 0; i < 3; i++) await must('POST', '/tasks', ping)
  await must('POST', '/tasks', ping, { 'idempotency-key': 'once' })
  await must('POST', '/tasks', { ...ping, run_at: FAR, concurrency_key: 'customer 17' })
  await must('POST', '/tasks', { ...ping, run_at: FAR, unique_key: 'only' })
  await must('POST', '/tasks/batch', { tasks: [ping, ping] })
  // In a queue that was paused before the next version came; it is made by what is sent to it.
  await must('POST', '/tasks', { ...ping, run_at: FAR, queue: 'slow' })
  await must('POST', '/queues/slow/pause', {})
  for (let i = 0; i < 2; i++) await must('POST', '/tasks', { ...ping, queue: 'slow' })
  await must('POST', '/schedules', { name: 'nightly', ...ping, cron: '0 3 1 1 *', zone: 'Europe/Berlin' })
  await must('POST', '/webhooks', { name: 'told', url: 'https://hooks.invalid/writ', events: ['run.completed'] })
  return { token, tickets, runs }
}

/** Waits until nothing moves any more, and reads everything. */
export async function show(writ: Writ): Promise<Pick<Shown, 'lists' | 'events'>> {
  const list = async (path: string) => {
    const { status, body } = await writ.call('GET', path)
    // Lists come as text, which `call` does not parse.
    return status === 404 ? [] : (JSON.parse(String(body.text)) as Record<string, unknown>[])
  }
  const waits = (task: Record<string, unknown>) =>
    task.state === 'pending' && !String(task.run_at).startsWith('2999') && task.queue !== 'slow'
  while ((await list('/tasks?limit=200')).some((task) => waits(task) || task.state === 'running'));
  const lists = Object.fromEntries(
    await Promise.all(
      LISTS.map(
        async (path) =>
          [path, await list(`/${path}${path === 'tasks' || path === 'tickets' ? '?limit=200' : ''}`)] as const,
      ),
    ),
  )
  // How its deliveries go changes while nobody asks.
  lists.webhooks = lists.webhooks!.map(({ id, name, url, events }) => ({ id, name, url, events }))
  const events = (await list('/audit/events?limit=500')).filter(({ event_type }) => event_type !== 'audit.read')
  return { lists, events }
}
