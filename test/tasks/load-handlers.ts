import { setImmediate as nextTurn } from 'node:timers/promises'
import { TaskError } from '../../packages/server/src/kinds/task/index.ts'
import { handlerOf } from './dispatch.ts'

/** Work that ends soon: some at once, some at the second try, some that cannot be undone. */
export const loadHandlers = [
  handlerOf('test.noop', async () => null),
  handlerOf('test.second', async (input, ctx) => {
    await nextTurn()
    if (ctx.attempt === 1) throw new TaskError('NOT_YET', 'not at the first try')
    return input
  }),
  handlerOf('test.pay', async (input) => input, { sideEffect: 'irreversible' }),
]
