import type { ValidateFunction } from 'ajv/dist/2020.js'

/**
 * Options of Ajv for the schemas of our own endpoints. That they are schemas is for a test to say: to compile what would check it took
 * the first request longer than all the rest of it.
 */
export const OWN_SCHEMAS = { meta: false, validateSchema: false } as const

/**
 * Compiles a validator with the first request that needs it. There are hundreds of routes, of which a start needs none: together
 * they were a third of its time.
 */
export function whenAsked(compile: () => ValidateFunction) {
  let compiled: ValidateFunction | undefined
  const validate = (data: unknown): boolean => {
    compiled ??= compile()
    const valid = compiled(data) as boolean
    validate.errors = compiled.errors
    return valid
  }
  // Where Fastify looks for them.
  validate.errors = undefined as ValidateFunction['errors']
  return validate
}
