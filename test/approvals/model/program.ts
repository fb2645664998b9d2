/** Random programs of people who agree to things, with keys, tokens and policies that change: data, so that one that fails is shortened and run again. */
import type { Role } from '@writ/api'
import { choiceOf, repeated } from '../../random.ts'

/** Who is there, with the role of each at the beginning. The first administers the instance, and keeps the role. */
export const PEOPLE = [
  { name: 'root', role: 'admin' },
  { name: 'ann', role: 'admin' },
  { name: 'ben', role: 'admin' },
  { name: 'oli', role: 'ops' },
  { name: 'emp', role: 'employee' },
] as const satisfies readonly { name: string; role: Role }[]

/** Things are told by how many were made after them. */
type Back = number
type Who = number

export interface Rules {
  readonly four_eyes: boolean
  readonly approver_roles: readonly Role[]
  readonly require_signature: boolean
  readonly approve_in_person: boolean
  readonly approval_ttl_hours: number | null
}

export type Asked =
  | { readonly do: 'open' }
  | { readonly do: 'edit' | 'approve' | 'reject' | 'submit' | 'issue'; readonly ticket: Back }
  /** A statement that was issued to anybody comes back, signed with anybody's key, `times` at once, for its ticket or another. */
  | {
      readonly do: 'hand'
      readonly statement: Back
      readonly key: Back | null
      /** By whoever it was issued to. */
      readonly own: boolean
      readonly times: 1 | 5
      readonly elsewhere: boolean
    }
  /** A new key, or with `again` one that somebody had before. */
  | { readonly do: 'propose'; readonly again: Back | null }
  | { readonly do: 'approveKey' | 'rejectKey' | 'revokeKey'; readonly key: Back }
  | { readonly do: 'policy'; readonly rules: Rules }
  | { readonly do: 'approvePolicy' | 'rejectPolicy'; readonly change: Back }
  | { readonly do: 'role'; readonly person: Who; readonly role: Role }

export type Order =
  | (Asked & { readonly who: Who; readonly token: boolean })
  | { readonly do: 'active'; readonly person: Who; readonly active: boolean }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'restart' }

const MINUTE = 60_000

/** Three who have a key: the first of the project, and two that others agreed to. */
const BEGINNING: readonly Order[] = [
  { do: 'propose', again: null, who: 1, token: false },
  { do: 'propose', again: null, who: 2, token: false },
  { do: 'approveKey', key: 0, who: 1, token: false },
  { do: 'propose', again: null, who: 0, token: false },
  { do: 'approveKey', key: 0, who: 2, token: false },
]
const ROLES = ['admin', 'ops', 'dev', 'employee', 'auditor'] as const

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Order[] {
  const { below, pick, maybe } = choiceOf(seed)
  const anybody = () => pick([0, 0, 1, 1, 1, 2, 2, 3, 4])
  const back = () => pick([0, 0, 0, 0, 1, 1, 2, 3])
  const rules = (): Rules => ({
    four_eyes: maybe(0.6),
    approver_roles: pick([['admin'], ['admin', 'ops'], ['ops'], ['admin', 'employee']] as const),
    require_signature: maybe(0.4),
    approve_in_person: maybe(0.4),
    approval_ttl_hours: pick([null, null, 1, 24]),
  })
  const asked = (weight: number, make: () => Asked) =>
    repeated(weight, (): Order => ({ ...make(), who: anybody(), token: maybe(0.25) }))
  const kinds: (() => Order)[] = [
    ...repeated(7, () => ({ do: 'open', who: pick([4, 4, 4, 3, 1]), token: false }) as const),
    ...asked(3, () => ({ do: 'edit', ticket: back() })),
    ...asked(5, () => ({ do: 'approve', ticket: back() })),
    ...asked(1, () => ({ do: 'reject', ticket: back() })),
    ...asked(2, () => ({ do: 'submit', ticket: back() })),
    ...asked(12, () => ({ do: 'issue', ticket: back() })),
    ...asked(16, () => ({
      do: 'hand',
      statement: pick([0, 0, 0, 0, 0, 1, 2]),
      // Most often the newest that is enrolled, of whoever hands it in.
      key: maybe(0.85) ? null : back(),
      own: maybe(0.75),
      times: maybe(0.3) ? 5 : 1,
      elsewhere: maybe(0.1),
    })),
    ...asked(7, () => ({ do: 'propose', again: maybe(0.2) ? back() : null })),
    ...asked(7, () => ({ do: 'approveKey', key: back() })),
    ...asked(1, () => ({ do: 'rejectKey', key: back() })),
    ...asked(2, () => ({ do: 'revokeKey', key: back() })),
    ...asked(5, () => ({ do: 'policy', rules: rules() })),
    ...asked(6, () => ({ do: 'approvePolicy', change: back() })),
    ...asked(1, () => ({ do: 'rejectPolicy', change: back() })),
    ...asked(4, () => ({ do: 'role', person: 1 + below(4), role: pick(ROLES) })),
    ...repeated(3, () => ({ do: 'active', person: 1 + below(4), active: maybe(0.65) }) as const),
    // Back as well: somebody sets the clock.
    ...repeated(4, () => ({ do: 'advance', ms: MINUTE * pick([1, 1, 5, 9, 11, 70, -1, -20]) }) as const),
    ...(options.restarts ? repeated(1, () => ({ do: 'restart' }) as const) : []),
  ]
  return [...BEGINNING, ...Array.from({ length: options.length }, () => pick(kinds)())]
}
