import { existsSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { type Handler, TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { handlerOf } from './dispatch.ts'

/** Work that ends soon: some at once, some at the second try, some that cannot be undone. */
export const loadHandlers = [
  handlerOf('test.noop', async () => null),
  handlerOf('test.second', async (input, ctx) => {
    await nextTurn()
    if (ctx.attempt === 1) throw new TaskError('NOT_YET', 'not at the first try')
    return input
  }),
  handlerOf('test.nap', async (input) => sleep(Number(input), null)),
  handlerOf('test.pay', async (input) => input, { sideEffect: 'irreversible' }),
]

/** Work that is done when the file of its input is there; says `begun <run>`, and `stopped <run>` when it was told to stop. */
export const slowHandler = (say: (text: string) => void): Handler =>
  handlerOf('test.slow', async (input, ctx) => {
    say(`begun ${ctx.runId}`)
    while (!existsSync(String(input))) {
      if (ctx.signal.aborted) {
        say(`stopped ${ctx.runId}`)
        throw ctx.signal.reason
      }
      await sleep(20)
    }
    return ctx.attempt
  })
