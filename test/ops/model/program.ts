/** Random programs of an operator who keeps a Writ for years: data, so that one that fails is printed, shortened and run again. */
import { choiceOf, repeated } from '../../random.ts'

/** Tickets, backups and so on are told by how many were made after them. */
type Back = number
/** One of `PROJECTS`. */
type Project = 0 | 1

export const PROJECTS = ['default', 'plant'] as const

export type Order =
  /** Load: tickets, some with a proof run and its evidence, and tasks. */
  | { readonly do: 'work'; readonly project: Project; readonly tickets: number; readonly proofs: number }
  | {
      readonly do: 'rotateKey'
      readonly purpose: 'log' | 'instance log' | 'attestation' | 'manifest'
      readonly project: Project
      readonly hours: number
    }
  | { readonly do: 'rotateLog' | 'drop'; readonly project: Project }
  | { readonly do: 'erasePayload' | 'eraseFile' | 'deleteFile'; readonly project: Project; readonly which: Back }
  | { readonly do: 'hold'; readonly project: Project; readonly ticket: Back | null }
  | { readonly do: 'release'; readonly project: Project; readonly which: Back }
  /** An admin comes, closes the log, leaves and is erased. */
  | { readonly do: 'leaver' }
  | { readonly do: 'export'; readonly project: Project; readonly which: Back; readonly whole: boolean }
  /** `busy`: people work meanwhile. */
  | { readonly do: 'backup'; readonly busy: boolean }
  | { readonly do: 'restore'; readonly which: Back }
  /** Into the data directory that is in use. */
  | { readonly do: 'restoreOver'; readonly which: Back }
  /** The database of a backup in the place of the one in use, beside everything else as it is. */
  | { readonly do: 'olderDatabase'; readonly which: Back }
  | { readonly do: 'move' | 'restart' | 'loseDayFiles' }
  /** SIGKILL while people work. */
  | { readonly do: 'crash'; readonly project: Project; readonly after: number }
  | { readonly do: 'advance' | 'setClock'; readonly ms: number }
  | { readonly do: 'witness'; readonly up: boolean }
  | { readonly do: 'auditor' | 'selfCheck' }
  /** Somebody changes what is stored, it is found, and put back. */
  | {
      readonly do: 'tamper'
      readonly project: Project
      readonly what: 'row' | 'old row' | 'day file'
      readonly restart: boolean
    }

const HOUR = 3_600_000

export function programOf(seed: number, options: { readonly length: number; readonly restarts?: boolean }): Order[] {
  const { below, pick, maybe } = choiceOf(seed)
  const project = () => pick([0, 0, 0, 1] as const)
  const back = () => pick([0, 0, 0, 1, 1, 2, 3, 5, 8])
  // What an operator does seldom comes often here: it is in what meets that something is overlooked.
  const kinds: (() => Order)[] = [
    ...repeated(10, () => ({ do: 'work', project: project(), tickets: 1 + below(4), proofs: below(2) }) as const),
    ...repeated(
      3,
      () =>
        ({
          do: 'rotateKey',
          purpose: pick(['log', 'log', 'instance log', 'attestation', 'manifest'] as const),
          project: project(),
          hours: pick([0, 0, 1, 48]),
        }) as const,
    ),
    ...repeated(4, () => ({ do: 'rotateLog', project: project() }) as const),
    ...repeated(3, () => ({ do: 'drop', project: project() }) as const),
    ...repeated(3, () => ({ do: 'erasePayload', project: project(), which: back() }) as const),
    ...repeated(1, () => ({ do: 'eraseFile', project: project(), which: back() }) as const),
    ...repeated(1, () => ({ do: 'deleteFile', project: project(), which: back() }) as const),
    ...repeated(2, () => ({ do: 'hold', project: project(), ticket: maybe(0.5) ? back() : null }) as const),
    ...repeated(3, () => ({ do: 'release', project: project(), which: back() }) as const),
    ...repeated(1, () => ({ do: 'leaver' }) as const),
    ...repeated(3, () => ({ do: 'export', project: project(), which: back(), whole: maybe(0.3) }) as const),
    ...repeated(3, () => ({ do: 'backup', busy: maybe(0.5) }) as const),
    ...repeated(2, () => ({ do: 'restore', which: pick([0, 0, 1, 2]) }) as const),
    ...repeated(1, () => ({ do: 'restoreOver', which: 0 }) as const),
    ...repeated(1, () => ({ do: 'olderDatabase', which: pick([0, 0, 1]) }) as const),
    ...repeated(1, () => ({ do: 'move' }) as const),
    ...repeated(1, () => ({ do: 'restart' }) as const),
    ...repeated(1, () => ({ do: 'loseDayFiles' }) as const),
    ...(options.restarts ? [() => ({ do: 'crash', project: project(), after: 1 + below(20) }) as const] : []),
    ...repeated(
      3,
      () => ({ do: 'advance', ms: pick([1_000, HOUR, 3 * HOUR, 26 * HOUR, 8 * 24 * HOUR, 40 * 24 * HOUR]) }) as const,
    ),
    ...repeated(1, () => ({ do: 'setClock', ms: pick([-26 * HOUR, -2 * HOUR, -5_000, 2 * HOUR, 26 * HOUR]) }) as const),
    ...repeated(2, () => ({ do: 'witness', up: maybe(0.5) }) as const),
    ...repeated(2, () => ({ do: 'auditor' }) as const),
    ...repeated(1, () => ({ do: 'selfCheck' }) as const),
    ...repeated(
      1,
      () =>
        ({
          do: 'tamper',
          project: project(),
          what: pick(['row', 'old row', 'day file'] as const),
          restart: maybe(0.5),
        }) as const,
    ),
  ]
  return Array.from({ length: options.length }, () => pick(kinds)())
}
