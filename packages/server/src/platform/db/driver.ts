import type pg from 'pg'

/** The driver of PostgreSQL, for those who have one: loading it is a twentieth of a start on SQLite. */
export const loadDriver = async (): Promise<typeof pg> => (await import('pg')).default
