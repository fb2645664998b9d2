/** Where programs of operators are played: for each a new system, on the database that was asked for. */
import { randomBytes } from 'node:crypto'
import { addMigrated } from '../../backends.ts'
import { addDatabase } from '../../servers/logins.ts'
import { type Postgres, startPostgres } from '../../servers/postgres.ts'
import { play } from './play.ts'
import type { Order } from './program.ts'

export interface Table extends AsyncDisposable {
  /** Throws what is wrong. */
  play(orders: readonly Order[], tell?: (text: string) => void): Promise<void>
}

/** Settings that name a new, empty database; none for SQLite, which is in the data directory. */
export type NewDatabase = (migrated: boolean) => Promise<Readonly<Record<string, string>>>

export async function openTable(store: 'sqlite' | 'postgres'): Promise<Table> {
  let postgres: Postgres | undefined
  if (store === 'postgres') {
    postgres = await startPostgres()
    await addMigrated(postgres.url)
  }
  const newDatabase: NewDatabase = async (migrated) => {
    if (!postgres) return {}
    const name = `writ_ops_${randomBytes(6).toString('hex')}`
    return addDatabase(postgres.url, name, migrated ? 'writ_migrated' : undefined)
  }
  return {
    play: (orders, tell) => play({ newDatabase, orders, tell }),
    [Symbol.asyncDispose]: async () => postgres?.stop(),
  }
}
