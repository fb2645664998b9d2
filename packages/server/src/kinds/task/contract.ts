import { HandlerName, QueueName } from '@writ/api'
import { Ajv } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Static, TSchema } from 'typebox'
import { Type } from 'typebox'
import { Compile } from 'typebox/schema'
import { once } from '../../platform/once.ts'
import type { Handler } from './handler.ts'

/** What a handler says of itself, wherever it runs; what is left out has the usual value. */
export type Contract = Omit<Handler, 'source' | 'run' | 'waitsForPlace' | 'fault'>

const optional = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const Given = Type.Object({
  name: HandlerName,
  title: optional(Type.String({ maxLength: 500 })),
  input: optional(Type.Object({})),
  output: optional(Type.Object({})),
  queue: optional(QueueName),
  timeoutMs: optional(Type.Integer({ minimum: 1, maximum: 86_400_000 })),
  maxAttempts: optional(Type.Integer({ minimum: 1, maximum: 100 })),
  ttlMs: optional(Type.Integer({ minimum: 1, maximum: 31_536_000_000 })),
  concurrency: optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  sideEffect: optional(Type.Enum(['none', 'reversible', 'irreversible'])),
  perKey: optional(
    Type.Object({
      concurrency: optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
      rate: optional(
        Type.Object({
          limit: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
          periodMs: Type.Integer({ minimum: 1, maximum: 86_400_000 }),
        }),
      ),
    }),
  ),
})
const check = Compile(Given)

/** The contract that somebody else's code described. Throws Error with the field that is wrong. */
export function contractOf(described: object): Contract {
  // Fields that are not there are undefined, which JSON has not.
  const given = JSON.parse(JSON.stringify(described)) as Static<typeof Given>
  if (!check.Check(given)) {
    const [, [fault]] = check.Errors(given)
    const name = 'name' in given ? String((given as { name: unknown }).name) : ''
    throw new Error(`handler ${name}: ${fault?.instancePath.slice(1)} ${fault?.message}`.replace('  ', ' '))
  }
  return {
    name: given.name,
    title: given.title ?? given.name,
    input: given.input ?? null,
    output: given.output ?? null,
    queue: given.queue ?? 'api',
    timeoutMs: given.timeoutMs ?? 60_000,
    maxAttempts: given.maxAttempts ?? 1,
    ttlMs: given.ttlMs ?? null,
    concurrency: given.concurrency ?? null,
    sideEffect: given.sideEffect ?? 'none',
    perKey: given.perKey ? { concurrency: given.perKey.concurrency ?? null, rate: given.perKey.rate ?? null } : null,
  }
}

/**
 * Refuses a schema that means nothing: a keyword that is misspelt in its value (`"type": "strng"`) would let everything pass. Asked of a
 * contract that comes, not of one that was accepted before. Throws Error with what is wrong.
 */
export function requireSchemas(contract: Pick<Contract, 'name' | 'input' | 'output'>): void {
  for (const which of ['input', 'output'] as const) {
    const schema = contract[which] as (TSchema & { $schema?: unknown }) | null
    if (schema === null) continue
    const { $schema, ...rest } = schema
    // The two kinds of schema that tools write today.
    const judge = /draft-0[67]/.test(String($schema)) ? draft7() : draft2020()
    const [error] = judge.validateSchema(rest) === true ? [] : (judge.errors ?? [])
    const fault = error ? `${error.instancePath} ${error.message}` : lostReference(rest)
    if (fault !== undefined) throw new Error(`handler ${contract.name}: the schema of its ${which} is none: ${fault}`)
  }
}

/**
 * A `$ref` to what the schema has not, in words: nothing is fetched, and nothing would fit it. What is named by an `$id` is only looked
 * for by its name, so that none is refused that there may be.
 */
function lostReference(schema: object): string | undefined {
  const refs: { ref: string; resource: object }[] = []
  const names = new Set<string>()
  const look = (part: unknown, within: object) => {
    if (typeof part !== 'object' || part === null) return
    const { $id, $ref, $anchor, $dynamicAnchor } = part as Record<string, unknown>
    const resource = typeof $id === 'string' && !$id.startsWith('#') ? part : within
    for (const name of [$id, $anchor, $dynamicAnchor])
      if (typeof name === 'string') names.add(name.replace(/#$/, '').replace(/^.*[#/:]/, ''))
    if (typeof $ref === 'string') refs.push({ ref: $ref, resource })
    // Values, not schemas.
    for (const [key, value] of Object.entries(part))
      if (!/^(?:enum|const|default|examples)$/.test(key)) look(value, resource)
  }
  look(schema, schema)
  const lost = refs.find(({ ref, resource }) => {
    if (ref === '#') return false
    if (ref.startsWith('#/')) return !isAt(resource, ref)
    const [address = '', fragment = ''] = ref.split('#')
    const name = address === '' ? fragment : address
    return !names.has(name.replace(/^.*[/:]/, ''))
  })
  return lost && `$ref ${lost.ref} is not in it`
}

/** Whether a JSON Pointer, written as a fragment, leads to something. */
function isAt(root: object, pointer: string): boolean {
  let place: unknown = root
  for (const part of pointer.slice(2).split('/')) {
    if (typeof place !== 'object' || place === null) return false
    const key = unescaped(part).replaceAll('~1', '/').replaceAll('~0', '~')
    if (!Object.hasOwn(place, key)) return false
    place = (place as Record<string, unknown>)[key]
  }
  return true
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

const draft7 = once(() => new Ajv({ strict: false }))
const draft2020 = once(() => new Ajv2020({ strict: false }))
