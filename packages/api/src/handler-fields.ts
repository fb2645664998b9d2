/**
 * Nothing checks the types of what describes a handler in JavaScript, so that a misspelt limit would be no limit. Apart from the index:
 * `@writ/api/handler-fields` is loaded by processes of handlers, which start often.
 */
import { nearest } from './nearest.ts'

/** Of `perKey` and of its `rate`. */
const PARTS = {
  perKey: ['concurrency', 'rate'],
  'perKey.rate': ['limit', 'periodMs'],
} as const

/**
 * What is wrong with the names of the fields, as a sentence that names the one that was meant if one is near; undefined if nothing is.
 * Functions are the owner's own: a handler may be an object with methods.
 */
export function fieldFault(handler: object, known: readonly string[]): string | undefined {
  const { perKey } = handler as { perKey?: unknown }
  const rate = isObject(perKey) ? perKey.rate : undefined
  return (
    faultOf('', handler, known) ??
    (isObject(perKey) ? faultOf('perKey.', perKey, PARTS.perKey) : undefined) ??
    (isObject(rate) ? faultOf('perKey.rate.', rate, PARTS['perKey.rate']) : undefined)
  )
}

function faultOf(at: string, given: object, known: readonly string[]): string | undefined {
  for (const [field, value] of Object.entries(given)) {
    if (known.includes(field) || typeof value === 'function') continue
    // Whoever forgets a letter forgets the unit too: `timout` is timeoutMs.
    const near = nearest(field, [...known, ...known.map((name) => name.replace(/Ms$/, ''))])
    const meant = known.find((name) => name === near || name === `${near}Ms`)
    const hint = meant === undefined ? `there are ${known.join(', ')}` : `did you mean ${at}${meant}?`
    return `${at}${field} is no field of a handler; ${hint}`
  }
  return undefined
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
