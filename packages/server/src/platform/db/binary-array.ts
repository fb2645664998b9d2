import type { Param } from './database.ts'

// Object ids of element types: https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_type.dat
const OIDS = { text: 25, bytea: 17, int8: 20, int2: 21, float8: 701 } as const
const FIXED: Readonly<Record<string, number>> = { int8: 8, int2: 2, float8: 8 }
const HEADER = 20

/**
 * An array as PostgreSQL takes it in binary (`array_recv`): dimensions, whether there are nulls, element type, size, lower
 * bound, then each element by length. As text every quote would be escaped and every byte written twice, here and there;
 * of a batch that was a good part of its cost. Undefined for a type that is not known here: the driver then writes text.
 */
export function binaryArray(type: string | undefined, values: readonly (Param | undefined)[]): Buffer | undefined {
  if (type === undefined || !(type in OIDS)) return undefined
  const known = type as keyof typeof OIDS
  const fixed = FIXED[known]
  let bytes = HEADER + 4 * values.length
  let nulls = 0
  for (const value of values) {
    if (value === null || value === undefined) nulls = 1
    else if (fixed !== undefined) bytes += fixed
    else if (typeof value === 'string') bytes += Buffer.byteLength(value)
    else if (value instanceof Uint8Array) bytes += value.length
  }
  const array = Buffer.allocUnsafe(bytes)
  array.writeInt32BE(values.length === 0 ? 0 : 1, 0)
  array.writeInt32BE(nulls, 4)
  array.writeInt32BE(OIDS[known], 8)
  if (values.length === 0) return array.subarray(0, 12)
  array.writeInt32BE(values.length, 12)
  array.writeInt32BE(1, 16)
  let at = HEADER
  for (const value of values) {
    if (value === null || value === undefined) {
      at = array.writeInt32BE(-1, at)
      continue
    }
    const length = writeElement(array, at + 4, known, value)
    array.writeInt32BE(length, at)
    at += 4 + length
  }
  return array
}

function writeElement(array: Buffer, at: number, type: keyof typeof OIDS, value: Param): number {
  if (typeof value === 'string' && type === 'text') return array.write(value, at, 'utf8')
  if (value instanceof Uint8Array && type === 'bytea') {
    array.set(value, at)
    return value.length
  }
  if (typeof value === 'number') {
    if (type === 'int8') {
      if (!Number.isSafeInteger(value)) throw new Error(`${value} is no whole number`)
      array.writeInt32BE(Math.floor(value / 2 ** 32), at)
      array.writeUInt32BE(value - Math.floor(value / 2 ** 32) * 2 ** 32, at + 4)
      return 8
    }
    if (type === 'int2') return array.writeInt16BE(value, at) - at
    if (type === 'float8') return array.writeDoubleBE(value, at) - at
  }
  throw new Error(`a ${typeof value} is no ${type}`)
}
