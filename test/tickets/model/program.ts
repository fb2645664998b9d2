/** Random programs of people with tickets: data, so that one that fails is printed, shortened and run again. */
import type { Role } from '@writ/api'
import { choiceOf, repeated } from '../../random.ts'

/** Who is there, with the role of each at the beginning. The first is the instance administrator and keeps it. */
export const PEOPLE = [
  { name: 'admin', role: 'admin' },
  { name: 'ann', role: 'admin' },
  { name: 'oli', role: 'ops' },
  { name: 'dev', role: 'dev' },
  { name: 'employee', role: 'employee' },
  { name: 'bob', role: 'employee' },
  { name: 'aud', role: 'auditor' },
] as const satisfies readonly { name: string; role: Role }[]

/** What a person hands in: two names, of each a good text and a broken one. */
export const FILES = [
  { name: 'vlans.json', text: '{"vlans": [10, 20]}\n', good: true },
  { name: 'vlans.json', text: '{"vlans": [10, 20\n', good: false },
  { name: 'ports.json', text: '{"ports": 48}\n', good: true },
  { name: 'ports.json', text: '{"ports": }\n', good: false },
] as const

export const SCRIPTS = ['proof.config_format', 'proof.file_hash'] as const

/** Tickets, runs and so on are told by how many were made after them. */
type Back = number
type Who = number

export interface Rules {
  readonly four_eyes: boolean
  readonly approver_roles: readonly Role[]
}

export interface Edit {
  readonly title: number
  readonly description?: number | null
  readonly assignee?: Who | null
  readonly due?: number | null
}

export type Order =
  | {
      readonly do: 'open'
      readonly who: Who
      readonly title: number
      readonly draft: boolean
      readonly assignee: Who | null
    }
  | { readonly do: 'edit'; readonly who: Who; readonly ticket: Back; readonly edit: Edit; readonly stale: boolean }
  | { readonly do: 'submit' | 'reject' | 'close' | 'reopen' | 'comment'; readonly who: Who; readonly ticket: Back }
  | { readonly do: 'approve'; readonly who: Who; readonly ticket: Back; readonly stale: boolean }
  /** Two at once. */
  | { readonly do: 'rivals'; readonly whos: readonly [Who, Who]; readonly ticket: Back }
  | {
      readonly do: 'start'
      readonly who: Who
      readonly ticket: Back
      readonly script: number
      readonly expect: 0 | 1 | 2
      readonly manual: boolean
    }
  | { readonly do: 'upload'; readonly who: Who; readonly run: Back; readonly file: number }
  | { readonly do: 'finalize' | 'cancel' | 'verify'; readonly who: Who; readonly run: Back }
  | { readonly do: 'cancelMany'; readonly who: Who; readonly ticket: Back }
  | { readonly do: 'delete' | 'erase'; readonly who: Who; readonly artifact: Back }
  | { readonly do: 'hold'; readonly who: Who; readonly on: 'project' | 'ticket' | 'run'; readonly which: Back }
  | { readonly do: 'release'; readonly who: Who; readonly hold: Back }
  | { readonly do: 'erasePayload'; readonly who: Who; readonly ticket: Back; readonly event: number }
  | { readonly do: 'role'; readonly who: Who; readonly person: Who; readonly role: Role }
  | { readonly do: 'active'; readonly who: Who; readonly person: Who; readonly active: boolean }
  | { readonly do: 'policy'; readonly who: Who; readonly rules: Rules }
  | { readonly do: 'approvePolicy' | 'rejectPolicy'; readonly who: Who; readonly change: Back }
  | { readonly do: 'look'; readonly who: Who; readonly ticket: Back }
  | { readonly do: 'rotateLog'; readonly who: Who }
  | { readonly do: 'rotateKey'; readonly who: Who; readonly purpose: 'log' | 'attestation' | 'manifest' }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'restart' }

const ROLES = ['admin', 'ops', 'dev', 'employee', 'auditor'] as const

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Order[] {
  const { below, pick, maybe } = choiceOf(seed)
  // Most often those who may do most.
  const anybody = () => pick([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 6])
  const back = () => pick([0, 0, 0, 1, 1, 2, 3, 5])
  const assignee = () => (maybe(0.5) ? null : pick([1, 2, 3, 4, 5]))
  const edit = (): Edit => ({
    title: below(3),
    ...(maybe(0.3) ? { description: maybe(0.3) ? null : below(3) } : {}),
    ...(maybe(0.3) ? { assignee: assignee() } : {}),
    ...(maybe(0.2) ? { due: maybe(0.3) ? null : below(3) } : {}),
  })
  const rules = (): Rules => ({
    four_eyes: maybe(0.6),
    approver_roles: pick([['admin'], ['admin', 'ops'], ['ops'], ['dev', 'employee'], ['admin', 'dev']] as const),
  })

  const kinds: (() => Order)[] = [
    ...repeated(
      6,
      () => ({ do: 'open', who: anybody(), title: below(3), draft: maybe(0.3), assignee: assignee() }) as const,
    ),
    ...repeated(5, () => ({ do: 'edit', who: anybody(), ticket: back(), edit: edit(), stale: maybe(0.15) }) as const),
    ...repeated(4, () => ({ do: 'submit', who: anybody(), ticket: back() }) as const),
    ...repeated(9, () => ({ do: 'approve', who: anybody(), ticket: back(), stale: maybe(0.1) }) as const),
    ...repeated(1, () => ({ do: 'rivals', whos: [anybody(), anybody()], ticket: back() }) as const),
    ...repeated(2, () => ({ do: 'reject', who: anybody(), ticket: back() }) as const),
    ...repeated(2, () => ({ do: 'close', who: anybody(), ticket: back() }) as const),
    ...repeated(4, () => ({ do: 'reopen', who: anybody(), ticket: back() }) as const),
    ...repeated(1, () => ({ do: 'comment', who: anybody(), ticket: back() }) as const),
    ...repeated(
      9,
      () =>
        ({
          do: 'start',
          who: anybody(),
          ticket: back(),
          script: below(SCRIPTS.length),
          expect: pick([0, 0, 1, 2] as const),
          manual: maybe(0.2),
        }) as const,
    ),
    ...repeated(14, () => ({ do: 'upload', who: anybody(), run: back(), file: below(FILES.length) }) as const),
    ...repeated(2, () => ({ do: 'finalize', who: anybody(), run: back() }) as const),
    ...repeated(2, () => ({ do: 'cancel', who: anybody(), run: back() }) as const),
    ...repeated(1, () => ({ do: 'cancelMany', who: anybody(), ticket: back() }) as const),
    ...repeated(4, () => ({ do: 'verify', who: anybody(), run: back() }) as const),
    ...repeated(3, () => ({ do: 'delete', who: anybody(), artifact: back() }) as const),
    ...repeated(2, () => ({ do: 'erase', who: anybody(), artifact: back() }) as const),
    ...repeated(
      2,
      () => ({ do: 'hold', who: anybody(), on: pick(['project', 'ticket', 'run'] as const), which: back() }) as const,
    ),
    ...repeated(3, () => ({ do: 'release', who: anybody(), hold: back() }) as const),
    ...repeated(2, () => ({ do: 'erasePayload', who: anybody(), ticket: back(), event: below(6) }) as const),
    ...repeated(2, () => ({ do: 'role', who: anybody(), person: 1 + below(6), role: pick(ROLES) }) as const),
    ...repeated(2, () => ({ do: 'active', who: anybody(), person: 1 + below(6), active: maybe(0.6) }) as const),
    ...repeated(2, () => ({ do: 'policy', who: anybody(), rules: rules() }) as const),
    ...repeated(2, () => ({ do: 'approvePolicy', who: anybody(), change: back() }) as const),
    ...repeated(1, () => ({ do: 'rejectPolicy', who: anybody(), change: back() }) as const),
    ...repeated(3, () => ({ do: 'look', who: anybody(), ticket: back() }) as const),
    ...repeated(1, () => ({ do: 'rotateLog', who: anybody() }) as const),
    ...repeated(
      1,
      () => ({ do: 'rotateKey', who: anybody(), purpose: pick(['log', 'attestation', 'manifest'] as const) }) as const,
    ),
    ...repeated(7, () => ({ do: 'advance', ms: pick([1, 2_000, 5_000, 5_000, 60_000, 169 * 3_600_000]) }) as const),
    ...(options.restarts ? [() => ({ do: 'restart' }) as const] : []),
  ]
  return Array.from({ length: options.length }, () => pick(kinds)())
}
