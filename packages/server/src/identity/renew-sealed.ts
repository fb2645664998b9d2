import { AppError } from '../platform/app-error.ts'
import type { Clock } from '../platform/clock.ts'
import { type Database, INSTANCE, inProject } from '../platform/db/index.ts'
import type { Logger } from '../platform/log.ts'
import { createSeal, deriveKey, type SecretKeys, sealMark } from './secret-key.ts'
import { listProjects } from './store-projects.ts'
import { countSealed, listSealed, replaceSealed, type SealedColumn, type SealedValue } from './store-sealed.ts'

export type { SealedColumn } from './store-sealed.ts'

/** The secrets of one-time codes. */
export const sealedOfUsers: readonly SealedColumn[] = ['totp_secret', 'totp_pending'].map((column) => ({
  table: 'users',
  column,
  key: 'id',
  purpose: 'one-time codes',
  about: ({ key }) => key,
}))

export interface SealRenewal {
  /** What is sealed, but not under the live key, as counted last; undefined before, and without a key before. */
  readonly left: number | undefined
  /** Seals anew what the key before sealed. After nothing was left it looks again once an hour only. */
  run(): Promise<void>
}

/** Another server may still start, or stop, with the key before as its live one, so that there is something again. */
const AGAIN_MS = 3_600_000

/**
 * Seals anew, under the live key, what was sealed under the one before: so that that one can go. Does nothing without one. A value is
 * replaced only where it is still the one that was read; what opens with neither key stays as it is, and is counted.
 */
export function createSealRenewal(on: {
  readonly db: Database
  readonly clock: Clock
  readonly log: Logger
  readonly keys: SecretKeys
  readonly columns: readonly SealedColumn[]
}): SealRenewal {
  const { db, clock, log, keys, columns } = on
  const mark = sealMark(keys[0])
  let left: number | undefined
  let quietUntil = Number.NEGATIVE_INFINITY
  return {
    get left() {
      return left
    },
    async run() {
      if (keys[1] === undefined || clock.steady() < quietUntil) return
      const before = await countSealed(db, columns, mark)
      const renewed = before === 0 ? 0 : await renewAll()
      const now = renewed === 0 ? before : await countSealed(db, columns, mark)
      if (now > 0 && now !== left)
        log.warn({ renewed, left: now }, 'sealed under SECRET_KEY_PREVIOUS, or under a key that is gone')
      if (now === 0 && left !== 0)
        log.info(
          { renewed },
          'everything is sealed under SECRET_KEY: when its tokens have run out, SECRET_KEY_PREVIOUS can go',
        )
      left = now
      quietUntil = left === 0 || renewed === 0 ? clock.steady() + AGAIN_MS : quietUntil
    },
  }

  async function renewAll(): Promise<number> {
    let renewed = 0
    const projects = (await listProjects(db)).map(({ id }) => id)
    for (const of of columns.filter((one) => one.neededBy === undefined))
      for (const project of of.table === 'users' ? [INSTANCE] : projects)
        renewed += await inProject(project, () => renewColumn(of, project))
    return renewed
  }

  async function renewColumn(of: SealedColumn, project: string): Promise<number> {
    const seal = createSeal(keys, of.purpose)
    let [after, renewed] = ['', 0]
    for (;;) {
      const values = await db.read((tx) => listSealed(tx, of, mark, after))
      if (values.length === 0) return renewed
      const opened = values.flatMap((value) => {
        const about = of.about({ project, ...value })
        const text = textOf(() => seal.open(value.sealed, about))
        if (text === null) return []
        const digest = of.found ? of.found.by(deriveKey(keys[0], of.found.purpose), project, text) : null
        return [{ value, sealed: seal.seal(text, about), digest }]
      })
      renewed += await db.write((tx) => replaceAll(tx, of, opened))
      after = values.at(-1)!.key
    }
  }
}

async function replaceAll(
  tx: Parameters<typeof replaceSealed>[0],
  of: SealedColumn,
  opened: readonly { readonly value: SealedValue; readonly sealed: string; readonly digest: string | null }[],
): Promise<number> {
  let replaced = 0
  for (const { value, ...by } of opened) if (await replaceSealed(tx, of, value, by)) replaced++
  return replaced
}

/** Null for what no key opens that the server has. */
function textOf(open: () => string): string | null {
  try {
    return open()
  } catch (error) {
    if (error instanceof AppError && error.code === 'SECRETS_UNREADABLE') return null
    throw error
  }
}
