import { idPatterns } from '@writ/api'

/** Where a schema has ids: here, in its fields, in its items. */
interface Plan {
  readonly isId: boolean
  readonly fields: readonly (readonly [name: string, plan: Plan])[]
  readonly items: Plan | undefined
}

interface Schema {
  readonly pattern?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly then?: Schema
  readonly else?: Schema
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * Writes ids as they are kept, in small letters, before anything is compared with them: readers take a UUID in any case (RFC 9562, 4). Only
 * where the schema has an id, for anywhere else it is somebody's text. Answers the value, changed in place where it is no text itself.
 */
export function createIdReader(schema: unknown): (value: unknown) => unknown {
  // There are hundreds of routes, of which a start needs none.
  let plan: Plan | null | undefined
  return (value) => {
    plan ??= planOf(schema as Schema | undefined) ?? null
    return plan === null ? value : canonical(plan, value)
  }
}

function planOf(schema: Schema | undefined): Plan | undefined {
  if (schema === undefined) return undefined
  const parts = [schema, ...(schema.anyOf ?? []), ...(schema.allOf ?? []), schema.then, schema.else]
  const inner = parts.slice(1).map((part) => planOf(part))
  const own: Plan = {
    isId: idPatterns.has(schema.pattern ?? ''),
    fields: Object.entries(schema.properties ?? {}).flatMap(([name, one]) => {
      const plan = planOf(one)
      return plan ? [[name, plan] as const] : []
    }),
    items: planOf(schema.items),
  }
  const all = [own, ...inner.filter((plan) => plan !== undefined)]
  const isId = all.some((plan) => plan.isId)
  const fields = all.flatMap((plan) => plan.fields)
  const items = all.find((plan) => plan.items)?.items
  return isId || fields.length > 0 || items ? { isId, fields, items } : undefined
}

function canonical(plan: Plan, value: unknown): unknown {
  if (typeof value === 'string') return plan.isId && UUID.test(value) ? value.toLowerCase() : value
  if (Array.isArray(value)) {
    if (plan.items) for (const [i, one] of value.entries()) value[i] = canonical(plan.items, one)
  } else if (typeof value === 'object' && value !== null) {
    const fields = value as Record<string, unknown>
    for (const [name, one] of plan.fields) if (Object.hasOwn(fields, name)) fields[name] = canonical(one, fields[name])
  }
  return value
}
