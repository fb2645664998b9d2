import { hash } from 'node:crypto'

/** As a column of JSON has it: what is not there is null. */
export const jsonOrNull = (value: unknown): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value)

/** A short text that tells one state of a thing from every other: 32 hexadecimal digits over the values, as JSON has them. */
export const versionOf = (...values: readonly unknown[]): string =>
  hash('sha256', JSON.stringify(values), 'hex').slice(0, 32)
