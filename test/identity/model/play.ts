/** Carries out a program against a real server, and holds every answer, what was written and what is refused against the book. */
import assert from 'node:assert/strict'
import path from 'node:path'
import type { Invite, Token, User } from '@writ/api'
import { INSTANCE, inList, inProject } from '../../../packages/server/src/platform/db/index.ts'
import { attachDatabase } from '../../../packages/server/src/platform/db/open.ts'
import { type Client, createClient, type Answer as HttpAnswer } from '../../client.ts'
import { carryOut } from '../../play-programs.ts'
import { type TestSystem, until } from '../../test-system.ts'
import { type Answer, askedOf, type Book, type Expected, isWrite, openBook } from './book.ts'
import { ADDRESSES, type Asked, type Order, PEOPLE, type Place, RANGES, SCOPES, type With } from './program.ts'

type Headers = Readonly<Record<string, string>>

const HOUR = 3_600_000

/** @throws AssertionError that says at which order what was seen differs from what is promised */
export async function play(
  system: TestSystem,
  game: number,
  orders: readonly Order[],
  tell?: (text: string) => void,
): Promise<void> {
  await using behind = await openBehind(system)
  const player = await createPlayer(system, game, behind)
  await carryOut(orders, player, tell)
  await player.finish()
}

async function createPlayer(system: TestSystem, game: number, behind: Behind) {
  const { admin } = system
  const book: Book = openBook(system.now)
  const slugs = ['default', `p${game}`, `q${game}`] as const
  const projects: string[] = []
  const ending = `.of${game}.`
  const people: { id: string; name: string; password: string; former: string | null }[] = []
  const sessionIds: string[] = []
  const tokenIds: string[] = []
  /** With what each credential of the book is sent. */
  const sent: { headers: Headers; csrf: string | null }[] = []
  const invites: { id: string; code: string }[] = []
  const assets: string[] = []
  const cursors: string[] = []
  let passwords = 0

  const bare: Client = createClient({ base: () => system.base, prefix: '/api/v1', credentials: async () => ({}) })
  const inside = (place: Place): Headers => (place === 0 ? {} : { 'x-project': slugs[place] })
  const nextPassword = () => `a good password, number ${++passwords}`
  const nextName = (name: string) => `${name}${people.length}${ending}`

  function good<T>(answer: HttpAnswer<T>): T {
    assert.ok(answer.status < 300, JSON.stringify(answer.body))
    return answer.body
  }

  /** What was answered, in the words of the book. */
  function wordOf(answer: HttpAnswer<unknown>): Answer {
    if (answer.status >= 300) return (answer.body as { code: Answer }).code
    return answer.headers.get('idempotency-replayed') === 'true' ? 'replayed' : 'done'
  }

  function same(expected: Answer, answer: HttpAnswer<unknown>): void {
    assert.equal(wordOf(answer), expected, JSON.stringify(answer.body))
  }

  /** As `same`, and that a denial is in the right log, with who it was. */
  async function mustBe({ answer, place, credential }: Expected, got: HttpAnswer<unknown>): Promise<void> {
    same(answer, got)
    if (got.status !== 403) return
    const id = got.headers.get('x-request-id')!
    const denial = await behind.find(place === null ? null : projects[place]!, id)
    assert.ok(denial, `the denial ${answer} of ${id} is in no log, or in another one`)
    const one = book.credentials[credential!]!
    const who = 'token' in one ? tokenIds[one.token]! : people[one.who]!.id
    assert.deepEqual([denial.actor_id, denial.success, denial.details.code], [who, false, answer])
  }

  function headersOf(credential: number, by: Pick<With, 'from' | 'place' | 'forged'>, write: boolean): Headers {
    const { headers, csrf } = sent[credential]!
    return {
      ...headers,
      ...inside(by.place),
      'x-forwarded-for': ADDRESSES[by.from]!,
      ...(csrf !== null && write ? { 'x-csrf-token': by.forged ? 'of somebody else' : csrf } : {}),
    }
  }

  async function request(order: Asked & { readonly by: With }, credential: number): Promise<HttpAnswer<unknown>> {
    const headers = headersOf(credential, order.by, isWrite(order))
    const idOf = (back: number) => people[book.at(people, back)]!.id
    const keyed = (key: number | null) => ({
      headers: key === null ? headers : { ...headers, 'idempotency-key': `key-${key}` },
    })
    switch (order.do) {
      case 'read':
        return bare.get(paths[order.what], { headers })
      case 'logout':
        return bare.post('/auth/logout', undefined, { headers })
      case 'endSession':
        return bare.delete(`/auth/sessions/${sessionIds[book.at(sessionIds, order.session)]}`, { headers })
      case 'password': {
        const { password } = people[book.credentials[credential]!.who]!
        const body = { current_password: order.right ? password : 'not the password', new_password: nextPassword() }
        const answer = await bare.post('/auth/password', body, { headers })
        if (answer.status < 300) changed(book.credentials[credential]!.who, body.new_password)
        return answer
      }
      case 'hire': {
        const username = nextName('new')
        const password = order.oneTime ? {} : { password: nextPassword() }
        const answer = await bare.post<{ id: string; one_time_password?: string }>(
          '/users',
          { username, role: order.role, ...password },
          { headers },
        )
        if (answer.status < 300) {
          const { id, one_time_password: given } = answer.body
          people.push({ id, name: username, password: password.password ?? given!, former: null })
        }
        return answer
      }
      case 'role':
        return bare.put(`/members/${idOf(order.person)}`, { role: order.role }, { headers })
      case 'leave':
        return bare.delete(`/members/${idOf(order.person)}`, { headers })
      case 'reset': {
        const answer = await bare.post<{ one_time_password: string }>(
          `/users/${idOf(order.person)}/reset-password`,
          undefined,
          { headers },
        )
        if (answer.status < 300) changed(book.at(people, order.person), answer.body.one_time_password)
        return answer
      }
      case 'active':
        return bare.patch(`/users/${idOf(order.person)}`, { is_active: order.active }, { headers })
      case 'grant':
        return bare.patch(`/users/${idOf(order.person)}`, { is_instance_admin: order.granted }, { headers })
      case 'invite': {
        const { role, hours } = askedOf(order)
        const answer = await bare.post<{ id: string; invite: string }>(
          '/invites',
          { role, ...(hours === null ? {} : { expires_in_hours: hours }) },
          keyed(order.key),
        )
        if (answer.status < 300) invites.push({ id: answer.body.id, code: answer.body.invite })
        return answer
      }
      case 'revokeInvite':
        return bare.delete(`/invites/${invites[book.at(invites, order.invite)]!.id}`, { headers })
      case 'token': {
        const ranges = RANGES[order.ranges]!
        return tokenMade(
          await bare.post(
            '/tokens',
            {
              name: 'a token',
              scopes: SCOPES[order.scopes],
              ...(order.role === null ? {} : { role: order.role }),
              ...(ranges.length === 0 ? {} : { ip_ranges: ranges }),
              ...(order.hours === null
                ? {}
                : { expires_at: new Date(system.now() + order.hours * HOUR).toISOString() }),
            },
            { headers },
          ),
        )
      }
      case 'rotate':
        return tokenMade(
          await bare.post(`/tokens/${tokenIds[book.at(tokenIds, order.token)]}/rotate`, undefined, { headers }),
        )
      case 'revoke':
        return bare.delete(`/tokens/${tokenIds[book.at(tokenIds, order.token)]}`, { headers })
      case 'asset': {
        const answer = await bare.post<{ id: string }>(
          '/assets',
          { name: `Switch ${order.key ?? ''}`, asset_type: 'switch' },
          keyed(order.key),
        )
        if (wordOf(answer) === 'done') assets.push(answer.body.id)
        return answer
      }
      case 'look':
        return bare.get(`/assets/${assets[book.at(assets, order.asset)]}`, { headers })
      case 'page': {
        const cursor = order.cursor === null ? '' : cursors[cursors.length - 1 - (order.cursor % cursors.length)]!
        const answer = await bare.get<{ next_cursor: string | null }>(
          `/members?limit=1&cursor=${encodeURIComponent(cursor)}`,
          { headers },
        )
        if (answer.status < 300 && answer.body.next_cursor !== null) {
          cursors.push(answer.body.next_cursor)
          book.cursor(book.principalOf(credential), book.placeOf(credential, order.by.place))
        }
        return answer
      }
    }
  }

  function tokenMade(answer: HttpAnswer<{ id: string; token: string }>): HttpAnswer<unknown> {
    if (answer.status < 300) {
      const { id, token } = answer.body
      const headers: Headers =
        tokenIds.length % 2 === 0 ? { authorization: `Bearer ${token}` } : { 'x-api-token': token }
      tokenIds.push(id)
      sent.push({ headers, csrf: null })
    }
    return answer
  }

  function changed(who: number, password: string): void {
    people[who] = { ...people[who]!, former: people[who]!.password, password }
  }

  async function login(order: Extract<Order, { do: 'login' }>): Promise<void> {
    const { name, password, former } = people[book.whoOf(order.who)]!
    const typed = order.password === 'wrong' ? 'not the password' : order.password === 'former' ? former : password
    const expected = book.login(order, former !== null)
    const answer = await bare.post<{ access_token: string; csrf_token: string }>(
      order.cookie ? '/auth/session' : '/auth/login',
      { username: name, password: typed ?? password },
      { headers: { 'x-forwarded-for': ADDRESSES[order.from]! } },
    )
    same(expected, answer)
    if (expected !== 'done') return
    if (order.cookie) {
      const cookie = answer.headers.get('set-cookie')!.split(';')[0]!
      sent.push({ headers: { cookie }, csrf: answer.body.csrf_token })
      const { id } = await behind.newestSession(people[book.whoOf(order.who)]!.id)
      sessionIds.push(id)
    } else {
      const token = answer.body.access_token
      sent.push({ headers: { authorization: `Bearer ${token}` }, csrf: null })
      // The claims of a token of ours.
      const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { jti: string }
      sessionIds.push(claims.jti)
    }
  }

  async function register(order: Extract<Order, { do: 'register' }>): Promise<void> {
    const expected = book.register(order)
    if (expected === 'skip') return
    const index = book.at(invites, order.invite)
    const username = nextName('guest')
    const password = nextPassword()
    const answer = await bare.post<User>(
      '/auth/register',
      { username, email: `${username}x@example.com`, password, invite: invites[index]!.code },
      { headers: { 'x-forwarded-for': ADDRESSES[order.from]! } },
    )
    same(expected, answer)
    if (expected === 'done') people.push({ id: answer.body.id, name: username, password, former: null })
  }

  async function tryOne(index: number, from: number, place: Place): Promise<void> {
    const expected = book.tried(index, from, place)
    const headers = headersOf(index, { from, place, forged: false }, false)
    await mustBe(expected, await bare.get('/members', { headers }))
  }

  async function carryOut(order: Order): Promise<void> {
    switch (order.do) {
      case 'advance':
        await noted()
        return system.advance(order.ms)
      case 'restart':
        book.restarted()
        return system.restart()
      case 'login':
        return login(order)
      case 'register':
        await register(order)
        break
      case 'try':
        if (book.credentials.length === 0) return
        return tryOne(book.at(book.credentials, order.credential), order.from, order.place)
      default: {
        const expected = book.ask(order)
        if (expected.answer === 'skip') return
        await mustBe(expected, await request(order, expected.credential!))
        if (!isWrite(order)) return
      }
    }
    await compare()
  }

  /** Uses of sessions are noted beside the answers: that of before is there before the clock moves. */
  const noted = () =>
    until('each use of a session is noted', async () => {
      const seen = await behind.lastSeen(sessionIds)
      return book.sessions.every((one, i) => seen.get(sessionIds[i]!) === one.seen)
    })

  /** Who is there as what, which tokens and invitations there are: nothing else came of what was refused. */
  async function compare(): Promise<void> {
    await Promise.all(([0, 1, 2] as const).map(compareIn))
  }

  async function compareIn(place: Place): Promise<void> {
    const sees = { headers: inside(place) }
    const [users, madeTokens, madeInvites] = await Promise.all([
      admin.get<User[]>(`/users?limit=1000&q=${ending}`, sees),
      admin.get<Token[]>('/tokens?limit=1000', sees),
      admin.get<Invite[]>('/invites?limit=1000', sees),
    ])
    const shown = new Map(good(users).map((one) => [one.id, one]))
    assert.deepEqual(
      people.map(({ id, name }) => {
        const is = shown.get(id)
        return [name, is?.role, is?.is_active, is?.is_instance_admin]
      }),
      people.map(({ name }, i) => {
        const { roles, active, instance } = book.users[i]!
        return [name, roles.get(place) ?? null, active, instance]
      }),
      `people, as ${slugs[place]} sees them`,
    )
    assert.equal(shown.size, people.length)
    const tokens = new Map(good(madeTokens).map((one) => [one.id, one]))
    for (const [i, one] of book.tokens.entries()) {
      const is = tokens.get(tokenIds[i]!)
      if (one.place !== place) assert.equal(is, undefined, `token ${i} in ${slugs[place]}`)
      else
        assert.deepEqual(
          [is?.role, is?.scopes, is?.ip_ranges, is && Date.parse(is.expires_at), is?.revoked_at !== null, is?.user_id],
          [one.role, one.scopes, one.ranges, one.ends, one.revoked, people[one.who]!.id],
          `token ${i}`,
        )
    }
    const listed = new Map(good(madeInvites).map((one) => [one.id, one]))
    for (const [i, one] of book.invites.entries()) {
      const is = listed.get(invites[i]!.id)
      if (one.place !== place) assert.equal(is, undefined, `invitation ${i} in ${slugs[place]}`)
      else
        assert.deepEqual(
          [is?.role, is?.used_at !== null, is?.revoked_at !== null],
          [one.role, one.used, one.revoked],
          `invitation ${i}`,
        )
    }
    // In `default` are those of whoever played before, too.
    if (place === 0) return
    assert.equal(tokens.size, book.tokens.filter((one) => one.place === place).length)
    assert.equal(listed.size, book.invites.filter((one) => one.place === place).length)
  }

  // Who plays begins anew: what was typed wrong before is forgotten.
  system.advance(10 * 60_000)
  for (const place of [1, 2] as const) {
    const made = await admin.post<{ id: string }>('/projects', { slug: slugs[place], name: slugs[place] })
    projects[place] = good(made).id
  }
  projects[0] = good(await admin.get<{ id: string }>('/projects/default')).id
  for (const { name, place, role } of PEOPLE) {
    const username = nextName(name)
    const password = nextPassword()
    const made = await admin.post<User>('/users', { username, role, password }, { headers: inside(place) })
    people.push({ id: good(made).id, name: username, password, former: null })
  }
  good(await admin.patch(`/users/${people[0]!.id}`, { is_instance_admin: true }))
  for (const place of [1, 2] as const) good(await admin.delete(`/members/${admin.id}`, { headers: inside(place) }))
  for (const nth of PEOPLE.keys())
    await login({ do: 'login', who: { nth }, password: 'right', cookie: nth % 2 === 0, from: 0 })

  return {
    carryOut,
    async finish() {
      // Of all that there ever were, none that ought to be dead works, and each that ought to live does.
      for (const index of book.credentials.keys()) for (const place of [0, 1, 2] as const) await tryOne(index, 0, place)
      await compare()
    },
  }
}

const paths = {
  'users.list': '/users',
  'queues.list': '/queues',
  'projects.members': '/members',
  'tokens.list': '/tokens',
  'auth.me': '/auth/me',
  'keys.list': '/keys',
} as const

interface Denial {
  readonly actor_id: string
  readonly success: boolean
  readonly details: { readonly code: string; readonly request_id: string }
}

interface Behind extends AsyncDisposable {
  /** The denial of a request in the log of a project, or with null of the instance. */
  find(project: string | null, request: string): Promise<Denial | undefined>
  newestSession(user: string): Promise<{ id: string }>
  lastSeen(sessions: readonly string[]): Promise<Map<string, number>>
}

/** Behind the server's back: nobody reads the log of the instance over HTTP. */
async function openBehind(system: TestSystem): Promise<Behind> {
  const url = system.databaseUrl ?? `sqlite:${path.join(system.folder, 'data/writ.db')}`
  const db = await attachDatabase({ url })
  return {
    async find(project, request) {
      const rows = await inProject(project ?? INSTANCE, () =>
        db.read((tx) =>
          tx.sql<{ event: string }>(
            `select event from audit_events where event_type = 'access.denied' and project_id = ?1 order by id desc limit 5`,
            [tx.project],
          ),
        ),
      )
      return rows.map(({ event }) => JSON.parse(event) as Denial).find(({ details }) => details.request_id === request)
    },
    async newestSession(user) {
      const rows = await db.lookup<{ id: string }>(
        'select id from sessions where user_id = ?1 order by id desc limit 1',
        [user],
      )
      return rows[0]!
    },
    async lastSeen(sessions) {
      const rows = await db.lookup<{ id: string; last_seen_at: number }>(
        `select id, last_seen_at from sessions where ${inList(db, 'id', '?1')}`,
        [sessions],
      )
      return new Map(rows.map((row) => [row.id, Number(row.last_seen_at)]))
    },
    [Symbol.asyncDispose]: () => db.close(),
  }
}
