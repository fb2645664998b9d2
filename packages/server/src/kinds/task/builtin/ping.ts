import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from 'typebox'
import type { Handler } from '../handler.ts'
import { define } from './define.ts'

/** Answers "pong", whatever it is asked: for trying out that a task gets through. */
export const ping: Handler = define({
  name: 'system.ping',
  title: 'Answer "pong"',
  output: Type.Literal('pong'),
  timeoutMs: 10_000,
  async run() {
    return 'pong'
  },
})

const DEMO_MS = 3_000

/** A task that takes three seconds and greets: for trying out what waiting, watching and cancelling look like. */
export const demo: Handler = define({
  name: 'demo_script',
  title: 'Wait three seconds, then greet',
  input: Type.Object({
    name: Type.Optional(Type.String({ maxLength: 200, description: 'Whom to greet; "Stranger" when left out' })),
    data: Type.Optional(Type.Unknown({ description: 'Comes back as `processed_data`' })),
  }),
  timeoutMs: 30_000,
  async run(input, { signal }) {
    await sleep(DEMO_MS, undefined, { signal })
    return {
      status: 'success',
      message: `Hello, ${input.name ?? 'Stranger'}! Your task is done.`,
      processed_data: input.data ?? null,
    }
  },
})
