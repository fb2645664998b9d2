import type { Static, TSchema } from 'typebox'
import type { Handler, TaskContext } from '../handler.ts'

/** A built-in handler; what is left out has the usual value: queue `api`, one attempt, no side effect. */
export function define<I extends TSchema>(on: {
  name: string
  title: string
  input?: I
  output?: TSchema
  queue?: string
  timeoutMs: number
  maxAttempts?: number
  concurrency?: number
  sideEffect?: Handler['sideEffect']
  roles?: Handler['roles']
  intent?(input: Static<I>): ReturnType<NonNullable<Handler['intent']>>
  run(input: Static<I>, context: TaskContext): Promise<unknown>
}): Handler {
  const { intent } = on
  return {
    source: 'builtin',
    queue: 'api',
    maxAttempts: 1,
    concurrency: null,
    sideEffect: 'none',
    ...on,
    input: on.input ?? null,
    output: on.output ?? null,
    ...(intent ? { intent: (input: unknown) => intent(input as Static<I>) } : {}),
    // Its schema was checked when the task was dispatched, so the input has this type.
    run: (input, context) => on.run(input as Static<I>, context),
  }
}
