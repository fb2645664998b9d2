import type { Database } from '../platform/db/index.ts'
import { openPostgresQueue } from './postgres.ts'
import type { Queue } from './queue.ts'
import { openSqliteQueue } from './sqlite.ts'

/** The database's own queue. */
export const openQueue = (db: Database): Queue =>
  db.dialect === 'postgres' ? openPostgresQueue(db) : openSqliteQueue(db)
