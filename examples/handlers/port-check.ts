// Which of these TCP ports answer? For a check before and after a change on a firewall or a switch.
//   WRIT_HANDLERS_DIR=examples/handlers npm start
//   writ task run port_check --input '{"targets": ["192.0.2.10:22", "192.0.2.10:443"]}' --wait
import { connect } from 'node:net'
import { defineHandler, type HandlerContext, TaskError } from '@writ/sdk/handlers'

interface Input {
  readonly targets: readonly string[]
  readonly wait_ms?: number
}

interface Answer {
  readonly target: string
  readonly open: boolean
  readonly ms: number
  readonly error?: string
}

export default defineHandler({
  name: 'port_check',
  title: 'Tell which TCP ports answer',
  input: {
    type: 'object',
    additionalProperties: false,
    required: ['targets'],
    properties: {
      targets: {
        type: 'array',
        minItems: 1,
        maxItems: 100,
        items: { type: 'string', pattern: '^(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9.-]+):[0-9]{1,5}$' },
      },
      wait_ms: { type: 'integer', minimum: 1, maximum: 30_000, description: 'for each; 2000 when left out' },
    },
  },
  timeoutMs: 60_000,
  maxAttempts: 2,
  // It only looks, so to do it twice does no harm.
  sideEffect: 'none',
  async run(input, ctx) {
    // Checked against the schema above when the task was dispatched.
    const { targets, wait_ms = 2_000 } = input as Input
    const answers = await Promise.all(targets.map((target) => check(target, wait_ms, ctx)))
    ctx.log(`${answers.filter(({ open }) => open).length} of ${answers.length} are open`)
    return { open: answers.every(({ open }) => open), answers }
  },
})

function check(target: string, waitMs: number, { signal }: HandlerContext): Promise<Answer> {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? []
  // No other try can help, so this one is told to be the last.
  if (Number(port) > 65_535) throw new TaskError('PORT_INVALID', `${target}: no such port`, { retryable: false })
  const began = performance.now()
  const limit = AbortSignal.any([signal, AbortSignal.timeout(waitMs)])
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port) })
    const over = (open: boolean, error?: string) => {
      limit.removeEventListener('abort', late)
      socket.destroy()
      resolve({ target, open, ms: Math.round(performance.now() - began), ...(error === undefined ? {} : { error }) })
    }
    const late = () => over(false, 'no answer in time')
    limit.addEventListener('abort', late, { once: true })
    socket.once('connect', () => over(true))
    socket.once('error', (error: NodeJS.ErrnoException) => over(false, error.code ?? error.message))
  })
}
