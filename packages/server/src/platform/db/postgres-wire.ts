// What all connections to PostgreSQL have alike: types, patience, errors.
import pg from 'pg'
import { DatabaseConflict, DatabaseUnavailable, TextRefused, UniqueViolation } from './database.ts'

// bigint columns hold milliseconds, sizes and counts: all below 2^53.
const INT8 = 20
export const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format),
}

// The kernel finds out about a peer that is gone without a word.
export const alive = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 }

// https://www.postgresql.org/docs/15/errcodes-appendix.html: class 08 connection, 53 resources, 57 operator, 58 system.
export function translate(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof DatabaseUnavailable || error instanceof UniqueViolation)
    return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code === '23505') return new UniqueViolation(String((error as pg.DatabaseError).constraint ?? ''), error)
  // Of UTF-8 that a driver writes nothing else is refused.
  if (code === '22021') return new TextRefused(error)
  if (code === '40P01' || code === '40001' || code === '55P03') return new DatabaseConflict(error)
  if (/^(08|53|57P|58)/.test(code) || code === '25006' || code === '25P03') return new DatabaseUnavailable(error)
  if (/^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|ENETUNREACH)/.test(code)) return new DatabaseUnavailable(error)
  return /connection terminated|query read timeout|client has encountered a connection error|not queryable|timeout exceeded when trying to connect/i.test(
    error.message,
  )
    ? new DatabaseUnavailable(error)
    : error
}
