// Paths into parsed data as people write them: `hostname`, `vlans[0].name`, `vlans[*].id`, `interfaces.*.mtu`, `["a.b"]`, or a JSON
// Pointer when it starts with a slash.
import { pointerPart } from './formats/json.ts'

/** `any` stands for every key or index. */
export type Step = string | number | typeof any
const any = Symbol('any')

export interface Place {
  /** Where it is, as a JSON Pointer. */
  readonly pointer: string
  readonly value: unknown
}

const longestPath = 512

/** The steps of a path, or undefined if it is not one. */
export function parsePath(path: string): Step[] | undefined {
  if (path === '' || path.length > longestPath) return undefined
  if (path.startsWith('/')) {
    return path
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  }
  const step = /(?:^|\.)(\*|[^.[\]*"]+)|\[(\*|\d+|"(?:[^"\\]|\\.)*")\]/y
  const steps: Step[] = []
  while (step.lastIndex < path.length) {
    const found = step.exec(path)
    const part = found?.[1] ?? found?.[2]
    if (part === undefined) return undefined
    if (part === '*') steps.push(any)
    else if (part.startsWith('"')) steps.push(part.slice(1, -1).replace(/\\(.)/g, '$1'))
    else steps.push(found?.[2] === undefined ? part : Number(part))
  }
  return steps
}

/** What a path leads to in the data, and how many branches end before its last step (`missing`, with pointers). */
export function follow(data: unknown, steps: readonly Step[]): { found: Place[]; missing: string[] } {
  let places: Place[] = [{ pointer: '', value: data }]
  const missing: string[] = []
  for (const step of steps) {
    const next: Place[] = []
    for (const place of places) {
      const inner = stepInto(place, step)
      if (inner.length === 0) missing.push(`${place.pointer}/${step === any ? '*' : pointerPart(step)}`)
      for (const one of inner) next.push(one)
    }
    places = next
  }
  return { found: places, missing }
}

function stepInto(place: Place, step: Step): Place[] {
  const { value, pointer } = place
  if (typeof value !== 'object' || value === null) return []
  if (step === any) {
    return Object.entries(value).map(([key, inner]) => ({ pointer: `${pointer}/${pointerPart(key)}`, value: inner }))
  }
  const key = String(step)
  // A number in a pointer and in brackets means the same; `length` of an array is no data.
  if (Array.isArray(value) && !/^(?:0|[1-9]\d*)$/.test(key)) return []
  if (!Object.hasOwn(value, key)) return []
  // Own property of parsed data: reading it by name is what a path is for.
  return [{ pointer: `${pointer}/${pointerPart(key)}`, value: (value as Record<string, unknown>)[key] }]
}
