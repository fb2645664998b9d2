/** Where programs of operators are played: for each a new system, on the database that was asked for. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { addMigrated } from '../../backends.ts'
import type { Table } from '../../play-programs.ts'
import { buildVerifier, missingGo } from '../../servers/go-verifier.ts'
import { addDatabase } from '../../servers/logins.ts'
import { type Postgres, startPostgres } from '../../servers/postgres.ts'
import { play } from './play.ts'
import type { Order } from './program.ts'

/** Settings that name a new, empty database; none for SQLite, which is in the data directory. */
export type NewDatabase = (migrated: boolean) => Promise<Readonly<Record<string, string>>>

/** `outsiders`: each log is shown at the end to the verifier in Go, with all that was seen of it; it takes half a minute to build. */
export async function openTable(
  store: 'sqlite' | 'postgres',
  options: { outsiders?: boolean } = {},
): Promise<Table<Order>> {
  let postgres: Postgres | undefined
  const folder = await mkdtemp(path.join(tmpdir(), 'writ-operators-'))
  const independent = options.outsiders && missingGo() === undefined ? await buildVerifier(folder) : undefined
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
    play: (orders, tell) => play({ newDatabase, orders, tell, independent }),
    async [Symbol.asyncDispose]() {
      await postgres?.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
