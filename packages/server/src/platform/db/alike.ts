import type { Param } from './database.ts'

export type Row = Readonly<Record<string, Param>>

/** How the columns of a statement about many rows travel, and the statement that is for that. */
export interface Shape<Made> {
  /** Which columns hold one value for all rows. */
  readonly alike: readonly boolean[]
  readonly made: Made
}

/** Where fewer rows than this come together, chance makes columns alike. */
export const MANY_ROWS = 16
/** Statements for one table and its columns: each is prepared by each connection. */
const MOST_SHAPES = 8

/** Which of these columns hold one value in all rows. Not the first `apart`; and not all of them, where there are many rows. */
export function alikeIn(keys: readonly string[], rows: readonly Row[], apart: number): boolean[] {
  const [first] = rows
  const alike = keys.map((key, i) => i >= apart && rows.every((row) => row[key] === first![key]))
  // Rows that are alike in everything are still so many.
  if (rows.length > 1 && !alike.includes(false)) alike[0] = false
  return alike
}

/** The statements for rows that have the same columns. Few, whatever is alike: of those that suit, the one that says the most once. */
export function createShapes<Made>(make: (alike: readonly boolean[]) => Made) {
  const known = new Map<string, Shape<Made> & { readonly count: number }>()
  const add = (alike: readonly boolean[]) => {
    const shape = { alike, made: make(alike), count: alike.filter(Boolean).length }
    known.set(nameOf(alike), shape)
    return shape
  }
  return {
    for(alike: readonly boolean[], rows: number): Shape<Made> {
      const exact = known.get(nameOf(alike))
      if (exact) return exact
      if (rows === 1 || (rows >= MANY_ROWS && known.size < MOST_SHAPES)) return add(alike)
      let best: (Shape<Made> & { readonly count: number }) | undefined
      for (const shape of known.values())
        if (shape.count > (best?.count ?? -1) && shape.alike.every((one, i) => !one || alike[i])) best = shape
      return best ?? add(alike.map(() => false))
    },
  }
}
export type Shapes<Made> = ReturnType<typeof createShapes<Made>>

const nameOf = (alike: readonly boolean[]): string => alike.map(Number).join('')
