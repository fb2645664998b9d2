import { type TSchema, Type } from 'typebox'
import { nullable } from './shapes.ts'

/** `skip`/`limit` are the documented form and answer an array; `cursor` (empty for the first page) answers a page. */
export const paging = {
  skip: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 500, description: 'opaque; empty asks for the first page' })),
}

/**
 * The same for lists that were once answered whole: without `limit`, so many that nobody who reads the array alone misses any soon;
 * `X-Total-Count` says whether somebody does.
 */
export const longPaging = {
  ...paging,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 1000 })),
}

/** An array with `X-Total-Count`, or with `cursor=` a page. */
export const listOf = <S extends TSchema>(item: S) =>
  Type.Union([Type.Array(item), Type.Object({ items: Type.Array(item), next_cursor: nullable(Type.String()) })])
