/** Random programs of people who come, go and hand out rights: data, so that one that fails is printed, shortened and run again. */
import type { Role } from '@writ/api'
import { choiceOf, repeated } from '../../random.ts'

/** Projects: `default`, and two that are made for each program. */
export type Place = 0 | 1 | 2

/** Who is there at the beginning. The first administers the instance, and is a member of none of the two projects. */
export const PEOPLE = [
  { name: 'root', place: 0, role: 'ops' },
  { name: 'ann', place: 1, role: 'admin' },
  { name: 'oli', place: 1, role: 'ops' },
  { name: 'dev', place: 1, role: 'dev' },
  { name: 'emp', place: 1, role: 'employee' },
  { name: 'aud', place: 1, role: 'auditor' },
  { name: 'ben', place: 2, role: 'admin' },
] as const satisfies readonly { name: string; place: Place; role: Role }[]

/** Where people and programs come from. */
export const ADDRESSES = ['10.0.0.1', '10.0.0.2', '192.168.7.7'] as const

/** Of API tokens: where they may be used from. */
export const RANGES = [[], ['10.0.0.0/24'], ['10.0.0.1'], ['192.168.7.7', '10.0.0.1']] as const

export const SCOPES = [
  [],
  ['*'],
  ['assets.*', 'projects.members'],
  ['tokens.*', 'assets.create'],
  ['users.*', 'projects.*', 'tokens.create'],
] as const

/** What can be read, by the id of its operation. */
export const READS = ['users.list', 'queues.list', 'projects.members', 'tokens.list', 'auth.me', 'keys.list'] as const

const ROLES = ['admin', 'ops', 'dev', 'employee', 'auditor'] as const

/** Things are told by how many were made after them. */
type Back = number

/** With which credential of whom: the newest that counts, if `live`, or else any of all that they ever had. */
export interface With {
  readonly who: Back | { readonly nth: number }
  readonly live: boolean
  readonly back: Back
  /** Index into ADDRESSES. */
  readonly from: number
  readonly place: Place
  /** A write of a page of somebody else's, which does not know the CSRF token. */
  readonly forged: boolean
}

export type Asked =
  | { readonly do: 'logout' }
  | { readonly do: 'endSession'; readonly session: Back }
  | { readonly do: 'password'; readonly right: boolean }
  | { readonly do: 'hire'; readonly role: Role; readonly oneTime: boolean }
  | { readonly do: 'role'; readonly person: Back; readonly role: Role }
  | { readonly do: 'leave' | 'reset'; readonly person: Back }
  | { readonly do: 'active'; readonly person: Back; readonly active: boolean }
  | { readonly do: 'grant'; readonly person: Back; readonly granted: boolean }
  | { readonly do: 'invite'; readonly role: Role; readonly hours: number | null; readonly key: number | null }
  | { readonly do: 'revokeInvite'; readonly invite: Back }
  | {
      readonly do: 'token'
      readonly role: Role | null
      readonly scopes: number
      readonly ranges: number
      readonly hours: number | null
    }
  | { readonly do: 'rotate' | 'revoke'; readonly token: Back }
  | { readonly do: 'asset'; readonly key: number | null }
  | { readonly do: 'look'; readonly asset: Back }
  /** A page of the members, from the beginning or behind a place that somebody was told. */
  | { readonly do: 'page'; readonly cursor: Back | null }
  | { readonly do: 'read'; readonly what: (typeof READS)[number] }

export type Order =
  | {
      readonly do: 'login'
      readonly who: Back | { readonly nth: number }
      readonly password: 'right' | 'former' | 'wrong'
      readonly cookie: boolean
      readonly from: number
    }
  | { readonly do: 'register'; readonly invite: Back; readonly from: number }
  | (Asked & { readonly by: With })
  /** Any credential that there ever was. */
  | { readonly do: 'try'; readonly credential: Back; readonly from: number; readonly place: Place }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'restart' }

const MINUTE = 60_000

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Order[] {
  const { below, pick, maybe } = choiceOf(seed)
  const back = () => pick([0, 0, 0, 1, 1, 2, 3, 5, 8])
  // Most often those who may do most, and whoever came last.
  const anybody = () =>
    maybe(0.75) ? { nth: pick([0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6]) } : pick([0, 0, 1, 1, 2, 3, 5])
  const person = () => (maybe(0.5) ? back() : 5 + below(8))
  const from = () => pick([0, 0, 0, 1, 2])
  const place = (): Place => pick([1, 1, 1, 1, 1, 2, 2, 0] as const)
  const by = (): With => ({
    who: anybody(),
    live: maybe(0.75),
    back: back(),
    from: from(),
    place: place(),
    forged: maybe(0.15),
  })
  const role = () => pick(ROLES)
  const key = () => (maybe(0.6) ? below(2) : null)
  const asked = (weight: number, make: () => Asked) => repeated(weight, (): Order => ({ ...make(), by: by() }))

  const kinds: (() => Order)[] = [
    ...repeated(
      9,
      () =>
        ({
          do: 'login',
          who: anybody(),
          password: pick(['right', 'right', 'right', 'right', 'former', 'wrong'] as const),
          cookie: maybe(0.4),
          from: from(),
        }) as const,
    ),
    ...repeated(6, () => ({ do: 'register', invite: back(), from: from() }) as const),
    ...repeated(8, () => ({ do: 'try', credential: below(40), from: from(), place: place() }) as const),
    ...repeated(7, () => ({ do: 'advance', ms: MINUTE * pick([1, 10, 10, 29, 65, 180, 26 * 60]) }) as const),
    ...(options.restarts ? repeated(2, () => ({ do: 'restart' }) as const) : []),
    ...asked(1, () => ({ do: 'logout' })),
    ...asked(2, () => ({ do: 'endSession', session: back() })),
    ...asked(3, () => ({ do: 'password', right: maybe(0.7) })),
    ...asked(3, () => ({ do: 'hire', role: role(), oneTime: maybe(0.4) })),
    ...asked(7, () => ({ do: 'role', person: person(), role: role() })),
    ...asked(2, () => ({ do: 'leave', person: person() })),
    ...asked(2, () => ({ do: 'reset', person: person() })),
    ...asked(6, () => ({ do: 'active', person: person(), active: maybe(0.6) })),
    ...asked(2, () => ({ do: 'grant', person: person(), granted: maybe(0.6) })),
    ...asked(5, () => ({ do: 'invite', role: role(), hours: pick([1, 24, null]), key: key() })),
    ...asked(2, () => ({ do: 'revokeInvite', invite: back() })),
    ...asked(9, () => ({
      do: 'token',
      role: maybe(0.4) ? null : role(),
      scopes: below(SCOPES.length),
      ranges: below(RANGES.length),
      hours: pick([2, 20, null]),
    })),
    ...asked(4, () => ({ do: 'rotate', token: back() })),
    ...asked(4, () => ({ do: 'revoke', token: back() })),
    ...asked(5, () => ({ do: 'asset', key: key() })),
    ...asked(3, () => ({ do: 'look', asset: back() })),
    ...asked(4, () => ({ do: 'page', cursor: maybe(0.3) ? null : back() })),
    ...asked(6, () => ({ do: 'read', what: pick(READS) })),
  ]
  return Array.from({ length: options.length }, () => pick(kinds)())
}
