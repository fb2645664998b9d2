/**
 * What docs/api.md (authentication, projects, idempotency, roles) and docs/operate.md (users, when somebody leaves) promise, kept as a
 * book: which credential counts, who may do what with it, and what is true afterwards. Nothing here is taken from the server's code.
 */
import type { ErrorCode, Role } from '@writ/api'
import { ADDRESSES, type Asked, type Order, PEOPLE, type Place, RANGES, SCOPES, type With } from './program.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const BEARER_MS = 30 * MINUTE
const COOKIE_MS = 12 * HOUR
const COOKIE_IDLE_MS = 2 * HOUR
const TOKEN_MS = 90 * 24 * HOUR
const INVITE_HOURS = 168

export interface User {
  active: boolean
  instance: boolean
  mustChange: boolean
  readonly roles: Map<Place, Role>
}

export interface Session {
  readonly who: number
  readonly cookie: boolean
  readonly ends: number
  seen: number
  ended: boolean
}

export interface Token {
  readonly who: number
  readonly place: Place
  readonly role: Role
  readonly scopes: readonly string[]
  readonly ranges: readonly string[]
  readonly made: number
  /** The first of those that replaced each other. */
  readonly family: number
  ends: number
  revoked: boolean
}

export interface Invite {
  readonly place: Place
  readonly role: Role
  readonly by: number
  readonly ends: number
  used: boolean
  revoked: boolean
}

export type Credential =
  | { readonly who: number; readonly session: number }
  | { readonly who: number; readonly token: number }

/** An answer: done, said again for the same key, or refused with a code. `skip`: there is nothing that it is about. */
export type Answer = 'done' | 'replayed' | 'skip' | ErrorCode

export interface Expected {
  readonly answer: Answer
  /** In the log of which project a denial stands; null for that of the instance. */
  readonly place: Place | null
  readonly credential: number | null
}

interface Caller {
  readonly who: number
  readonly principal: string
  /** Null for somebody who has no role there. */
  readonly place: Place | null
  readonly role: Role | null
  readonly scopes: readonly string[]
  readonly instance: boolean
  readonly token: number | null
  readonly session: number | null
}

const EVERYBODY: readonly Role[] = ['admin', 'ops', 'dev', 'employee', 'auditor']
const WRITERS: readonly Role[] = ['admin', 'ops', 'dev', 'employee']

/** Who may ask for an operation: roles of the project, anybody with an account, or who administers the instance. */
const MAY: Readonly<Record<string, readonly Role[] | 'user' | 'person' | 'instance'>> = {
  'auth.me': 'user',
  'auth.logout': 'user',
  // Of the account itself: no API token may.
  'auth.changePassword': 'person',
  'auth.revokeSession': 'person',
  'keys.list': 'instance',
  'users.list': ['admin', 'auditor'],
  'queues.list': ['admin', 'ops', 'auditor'],
  'projects.members': EVERYBODY,
  'tokens.list': EVERYBODY,
  'tokens.create': EVERYBODY,
  'tokens.rotate': EVERYBODY,
  'tokens.revoke': EVERYBODY,
  'assets.create': WRITERS,
  'assets.get': EVERYBODY,
  'users.create': ['admin'],
  'users.update': ['admin'],
  'users.resetPassword': ['admin'],
  'users.invite': ['admin'],
  'users.revokeInvite': ['admin'],
  'projects.setMember': ['admin'],
  'projects.removeMember': ['admin'],
}

const WITH_ONE_TIME_PASSWORD = ['auth.me', 'auth.changePassword', 'auth.logout']

const operations = {
  logout: 'auth.logout',
  endSession: 'auth.revokeSession',
  password: 'auth.changePassword',
  hire: 'users.create',
  role: 'projects.setMember',
  leave: 'projects.removeMember',
  reset: 'users.resetPassword',
  active: 'users.update',
  grant: 'users.update',
  invite: 'users.invite',
  revokeInvite: 'users.revokeInvite',
  token: 'tokens.create',
  rotate: 'tokens.rotate',
  revoke: 'tokens.revoke',
  asset: 'assets.create',
  look: 'assets.get',
  page: 'projects.members',
} as const

export const operationOf = (order: Asked): string => (order.do === 'read' ? order.what : operations[order.do])

export const isWrite = (order: Asked): boolean => order.do !== 'read' && order.do !== 'page' && order.do !== 'look'

/** What is asked for under a key is always the same. */
export const askedOf = ({
  role,
  hours,
  key,
}: Extract<Asked, { do: 'invite' }>): { role: Role; hours: number | null } =>
  key === null ? { role, hours } : { role: 'ops', hours: null }

/** What a role may hand on. */
const contains = (mine: Role, other: Role): boolean =>
  mine === other ||
  mine === 'admin' ||
  (mine === 'ops' && (other === 'dev' || other === 'employee')) ||
  (mine === 'dev' && other === 'employee')

const covers = (scopes: readonly string[], name: string): boolean =>
  scopes.length === 0 ||
  scopes.some((one) => one === '*' || one === name || (one.endsWith('.*') && name.startsWith(one.slice(0, -1))))

const isIn = (address: string, ranges: readonly string[]): boolean =>
  ranges.some((one) => one === address || (one === '10.0.0.0/24' && address.startsWith('10.0.0.')))

/** Wrong passwords of the last five minutes, by name and by address. */
function openThrottle(now: () => number) {
  const failures: { name: number; from: number; at: number }[] = []
  const recent = (of: (one: { name: number; from: number }) => boolean) =>
    failures.filter((one) => of(one) && one.at > now() - 5 * MINUTE).length
  return {
    refuses: (name: number, from: number) =>
      recent((one) => one.name === name) >= 10 || recent((one) => one.from === from) >= 50,
    failed: (name: number, from: number) => void failures.push({ name, from, at: now() }),
    right(name: number) {
      for (const one of failures) if (one.name === name) one.name = -1
    },
    forget: () => void failures.splice(0),
  }
}

export type Book = ReturnType<typeof openBook>

export function openBook(now: () => number) {
  const users: User[] = PEOPLE.map(({ name, place, role }) => ({
    ...{ active: true, instance: name === 'root', mustChange: false },
    roles: new Map([[place as Place, role as Role]]),
  }))
  const sessions: Session[] = []
  const tokens: Token[] = []
  const invites: Invite[] = []
  const credentials: Credential[] = []
  const assets: { place: Place }[] = []
  /** Behind which places pages go on, and whose they are. */
  const cursors: { principal: string; place: Place }[] = []
  const kept = new Set<string>()
  const throttle = openThrottle(now)

  const at = (all: readonly unknown[], back: number): number => all.length - 1 - (back % all.length)
  const whoOf = (who: number | { nth: number }) => (typeof who === 'number' ? at(users, who) : who.nth)

  const roleIn = (who: number, place: Place): Role | null =>
    users[who]!.instance ? 'admin' : (users[who]!.roles.get(place) ?? null)

  /** Besides the one who keeps `default` for all. */
  const otherAdmins = (place: Place, who: number) =>
    (place === 0 ? 1 : 0) + users.filter((one, i) => i !== who && one.active && one.roles.get(place) === 'admin').length

  const isLastAdmin = (who: number, place: Place) =>
    users[who]!.active && users[who]!.roles.get(place) === 'admin' && otherAdmins(place, who) === 0

  function isLive(credential: Credential): boolean {
    if ('token' in credential) {
      const { revoked, ends } = tokens[credential.token]!
      return !revoked && ends > now()
    }
    const { ended, ends, cookie, seen } = sessions[credential.session]!
    return !ended && ends > now() && !(cookie && seen + COOKIE_IDLE_MS <= now())
  }

  /** Which credential an order is given with; null if there is none. */
  function credentialOf({ who, live, back }: With): number | null {
    const whose = whoOf(who)
    const theirs = credentials.flatMap((one, i) => (one.who === whose && (!live || isLive(one)) ? [i] : []))
    return theirs.length === 0 ? null : theirs[at(theirs, back)]!
  }

  type Known = { readonly code: ErrorCode; readonly caller: Caller | null } | { readonly caller: Caller }

  function recognise(
    index: number,
    operation: string,
    asked: Pick<With, 'from' | 'place' | 'forged'>,
    write: boolean,
  ): Known {
    const credential = credentials[index]!
    const user = users[credential.who]!
    if (!isLive(credential)) return { code: 'CREDENTIALS_INVALID', caller: null }
    let caller: Caller
    if ('token' in credential) {
      const token = tokens[credential.token]!
      const owner = roleIn(credential.who, token.place)
      const role =
        owner === null ? null : contains(owner, token.role) ? token.role : contains(token.role, owner) ? owner : null
      caller = {
        ...{ who: credential.who, principal: `token ${token.family}`, place: role === null ? null : token.place, role },
        ...{ scopes: token.scopes, instance: user.instance && token.role === 'admin' },
        ...{ token: credential.token, session: null },
      }
      if (token.ranges.length > 0 && !isIn(ADDRESSES[asked.from]!, token.ranges))
        return { code: 'TOKEN_IP_NOT_ALLOWED', caller }
      if (asked.place !== 0 && asked.place !== token.place) return { code: 'TOKEN_FOREIGN_PROJECT', caller }
    } else {
      const session = sessions[credential.session]!
      if (now() - session.seen >= MINUTE) session.seen = now()
      const role = roleIn(credential.who, asked.place)
      caller = {
        ...{
          who: credential.who,
          principal: `user ${credential.who}`,
          place: role === null ? null : asked.place,
          role,
        },
        ...{ scopes: [], instance: user.instance, token: null, session: credential.session },
      }
      if (session.cookie && write && asked.forged) return { code: 'CSRF_FAILED', caller }
    }
    if (!user.active) return { code: 'USER_INACTIVE', caller }
    if (user.mustChange && !WITH_ONE_TIME_PASSWORD.includes(operation))
      return { code: 'PASSWORD_CHANGE_REQUIRED', caller }
    const code = refusal(caller, operation)
    return code ? { code, caller } : { caller }
  }

  function refusal(caller: Caller, operation: string): ErrorCode | undefined {
    const may = MAY[operation]!
    if (!covers(caller.scopes, operation)) return 'SCOPE_NOT_ALLOWED'
    if (may === 'person') return caller.token === null ? undefined : 'SESSION_REQUIRED'
    if (may === 'user') return undefined
    if (may === 'instance') return caller.instance ? undefined : 'INSTANCE_ADMIN_REQUIRED'
    if (caller.role === null) return 'NOT_A_MEMBER'
    if (may.includes(caller.role)) return undefined
    return may.length === 1 ? 'ADMIN_REQUIRED' : 'ROLE_NOT_ALLOWED'
  }

  /** Somebody as seen from a project: a member, or for who administers the instance anybody. */
  function personToRule(caller: Caller, who: number): ErrorCode | undefined {
    const { roles, instance } = users[who]!
    if (caller.instance) return undefined
    if (!roles.has(caller.place!)) return 'USER_NOT_FOUND'
    const elsewhere = [...roles.keys()].some((place) => place !== caller.place)
    return instance || elsewhere ? 'INSTANCE_ADMIN_REQUIRED' : undefined
  }

  function endSessions(who: number, except: number | null): void {
    for (const [i, one] of sessions.entries()) if (one.who === who && i !== except) one.ended = true
  }

  /** Why somebody may not give such a token. */
  function lends(caller: Caller, role: Role, scopes: readonly string[]): ErrorCode | undefined {
    if (!contains(caller.role!, role)) return 'ROLE_NOT_ALLOWED'
    const all = caller.scopes.length === 0 || caller.scopes.includes('*')
    const wanted = scopes.length === 0 ? ['*'] : scopes
    return all || wanted.every((one) => covers(caller.scopes, one)) ? undefined : 'SCOPE_NOT_ALLOWED'
  }

  const reachesFurther = (ranges: readonly string[], own: readonly string[]) =>
    own.length > 0 &&
    (ranges.length === 0 ||
      ranges.some((one) => !own.includes(one) && !(one.startsWith('10.0.0.') && own.includes('10.0.0.0/24'))))

  function add(token: Token): void {
    tokens.push(token)
    credentials.push({ who: token.who, token: tokens.length - 1 })
  }

  /** What was answered under this key, if anything was: of the same caller, in the same project, to the same operation. */
  function under(caller: Caller, operation: string, key: number | null): boolean {
    if (key === null) return false
    const name = [caller.principal, caller.place, operation, key].join('\n')
    const again = kept.has(name)
    kept.add(name)
    return again
  }

  function act(caller: Caller, order: Asked): Answer {
    const { place } = caller
    switch (order.do) {
      case 'read':
        return 'done'
      case 'logout':
        if (caller.session !== null) sessions[caller.session]!.ended = true
        return 'done'
      case 'endSession': {
        const session = sessions[at(sessions, order.session)]!
        if (session.who !== caller.who || session.ended || session.ends <= now()) return 'SESSION_NOT_FOUND'
        session.ended = true
        return 'done'
      }
      case 'hire':
        users.push({ active: true, instance: false, mustChange: order.oneTime, roles: new Map([[place!, order.role]]) })
        return 'done'
      case 'role': {
        const who = at(users, order.person)
        if (order.role !== 'admin' && isLastAdmin(who, place!)) return 'LAST_ADMIN'
        users[who]!.roles.set(place!, order.role)
        return 'done'
      }
      case 'leave': {
        const who = at(users, order.person)
        if (!users[who]!.roles.has(place!)) return 'USER_NOT_FOUND'
        if (isLastAdmin(who, place!)) return 'LAST_ADMIN'
        users[who]!.roles.delete(place!)
        return 'done'
      }
      case 'reset': {
        const who = at(users, order.person)
        const refused = personToRule(caller, who)
        if (refused) return refused
        users[who]!.mustChange = true
        endSessions(who, null)
        return 'done'
      }
      case 'active': {
        const who = at(users, order.person)
        const refused = personToRule(caller, who)
        if (refused) return refused
        const user = users[who]!
        if (!order.active && [...user.roles.keys()].some((one) => isLastAdmin(who, one))) return 'LAST_ADMIN'
        if (order.active && !user.active) endSessions(who, null)
        user.active = order.active
        return 'done'
      }
      case 'grant': {
        const who = at(users, order.person)
        if (!caller.instance) return users[who]!.roles.has(place!) ? 'INSTANCE_ADMIN_REQUIRED' : 'USER_NOT_FOUND'
        users[who]!.instance = order.granted
        return 'done'
      }
      case 'invite': {
        if (under(caller, 'users.invite', order.key)) return 'SECRET_SHOWN_ONCE'
        const { role, hours } = askedOf(order)
        invites.push({
          ...{ place: place!, role, by: caller.who, used: false, revoked: false },
          ends: now() + (hours ?? INVITE_HOURS) * HOUR,
        })
        return 'done'
      }
      case 'revokeInvite': {
        const invite = invites[at(invites, order.invite)]!
        if (invite.place !== place || invite.used || invite.revoked) return 'INVITE_NOT_FOUND'
        invite.revoked = true
        return 'done'
      }
      case 'token': {
        const role = order.role ?? caller.role!
        const scopes = SCOPES[order.scopes]!
        const refused = lends(caller, role, scopes)
        if (refused) return refused
        const own = caller.token === null ? null : tokens[caller.token]!
        const ends = now() + (order.hours === null ? TOKEN_MS : order.hours * HOUR)
        if (own && order.hours !== null && ends > own.ends) return 'VALIDATION_FAILED'
        const asked: readonly string[] = RANGES[order.ranges]!
        const ranges = own && asked.length === 0 ? own.ranges : asked
        if (own && reachesFurther(ranges, own.ranges)) return 'VALIDATION_FAILED'
        add({
          ...{ who: caller.who, place: place!, role, scopes, ranges, made: now(), family: tokens.length },
          ...{ ends: own ? Math.min(ends, own.ends) : ends, revoked: false },
        })
        return 'done'
      }
      case 'rotate': {
        const index = at(tokens, order.token)
        const old = tokens[index]!
        if (old.place !== place || old.who !== caller.who || old.revoked || old.ends <= now()) return 'TOKEN_NOT_FOUND'
        const refused = lends(caller, old.role, old.scopes)
        if (refused) return refused
        const own = caller.token === null || caller.token === index ? null : tokens[caller.token]!
        if (own && reachesFurther(old.ranges, own.ranges)) return 'VALIDATION_FAILED'
        const ends = Math.min(now() + old.ends - old.made, own?.ends ?? Number.POSITIVE_INFINITY)
        old.ends = Math.min(old.ends, now() + HOUR)
        add({ ...old, made: now(), ends, revoked: false })
        return 'done'
      }
      case 'revoke': {
        const token = tokens[at(tokens, order.token)]!
        if (token.place !== place || (token.who !== caller.who && caller.role !== 'admin') || token.revoked)
          return 'TOKEN_NOT_FOUND'
        token.revoked = true
        return 'done'
      }
      case 'asset':
        if (under(caller, 'assets.create', order.key)) return 'replayed'
        assets.push({ place: place! })
        return 'done'
      case 'look':
        return assets[at(assets, order.asset)]!.place === place ? 'done' : 'ASSET_NOT_FOUND'
      case 'page': {
        if (order.cursor === null) return 'done'
        const cursor = cursors[at(cursors, order.cursor)]!
        return cursor.principal === caller.principal && cursor.place === place ? 'done' : 'CURSOR_INVALID'
      }
      case 'password':
        throw new Error('the password is changed where its throttle is known')
    }
  }

  /** Whether there is nothing that an order is about. */
  function lacks(order: Asked): boolean {
    switch (order.do) {
      case 'endSession':
        return sessions.length === 0
      case 'revokeInvite':
        return invites.length === 0
      case 'rotate':
      case 'revoke':
        return tokens.length === 0
      case 'look':
        return assets.length === 0
      case 'page':
        return order.cursor !== null && cursors.length === 0
      default:
        return false
    }
  }

  function changePassword(caller: Caller, { right }: Extract<Asked, { do: 'password' }>, from: number): Answer {
    if (throttle.refuses(caller.who, from)) return 'RATE_LIMITED'
    if (!right) {
      throttle.failed(caller.who, from)
      return 'PASSWORD_WRONG'
    }
    throttle.right(caller.who)
    users[caller.who]!.mustChange = false
    endSessions(caller.who, caller.session)
    return 'done'
  }

  /** As long as whoever gave it may give such a one. */
  const counts = ({ used, revoked, ends, by, place }: Invite) =>
    !used && !revoked && ends > now() && users[by]!.active && roleIn(by, place) === 'admin'

  return {
    ...{ users, sessions, tokens, invites, credentials, assets, at, whoOf, isLive, credentialOf },

    /** Who asked with a credential, for what is kept beside the book. */
    cursor(principal: string, place: Place): void {
      cursors.push({ principal, place })
    },
    principalOf(index: number): string {
      const credential = credentials[index]!
      return 'token' in credential ? `token ${tokens[credential.token]!.family}` : `user ${credential.who}`
    },
    /** The project in which a credential asks, if it names one or none. */
    placeOf(index: number, place: Place): Place {
      const credential = credentials[index]!
      return 'token' in credential ? tokens[credential.token]!.place : place
    },
    cursorCount: () => cursors.length,

    login({ who, password, cookie, from }: Extract<Order, { do: 'login' }>, hasFormer: boolean): Answer {
      const index = whoOf(who)
      if (throttle.refuses(index, from)) return 'RATE_LIMITED'
      const right = password === 'right' || (password === 'former' && !hasFormer)
      if (!right || !users[index]!.active) {
        throttle.failed(index, from)
        return 'LOGIN_FAILED'
      }
      throttle.right(index)
      sessions.push({
        ...{ who: index, cookie, seen: now(), ended: false },
        ends: now() + (cookie ? COOKIE_MS : BEARER_MS),
      })
      credentials.push({ who: index, session: sessions.length - 1 })
      return 'done'
    },

    register({ invite }: Extract<Order, { do: 'register' }>): Answer {
      if (invites.length === 0) return 'skip'
      const one = invites[at(invites, invite)]!
      if (!counts(one)) return 'INVITE_INVALID'
      one.used = true
      users.push({ active: true, instance: false, mustChange: false, roles: new Map([[one.place, one.role]]) })
      return 'done'
    },

    ask(order: Asked & { readonly by: With }): Expected {
      const credential = credentialOf(order.by)
      if (credential === null || lacks(order)) return { answer: 'skip', place: null, credential }
      const known = recognise(credential, operationOf(order), order.by, isWrite(order))
      if ('code' in known) return { answer: known.code, place: known.caller?.place ?? null, credential }
      const { caller } = known
      const answer = order.do === 'password' ? changePassword(caller, order, order.by.from) : act(caller, order)
      return { answer, place: caller.place, credential }
    },

    /** What somebody who reads the members with a credential is answered. */
    tried(credential: number, from: number, place: Place): Expected {
      const known = recognise(credential, 'projects.members', { from, place, forged: false }, false)
      return {
        ...{ answer: 'code' in known ? known.code : ('done' as const), credential },
        place: known.caller?.place ?? null,
      }
    },

    restarted: () => throttle.forget(),
  }
}
