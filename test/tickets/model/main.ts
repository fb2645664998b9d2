/**
 * Plays random programs until one fails, and then shortens it:
 * `node test/tickets/model/main.ts --store sqlite|postgres --seed 1 --programs 100 --length 60 [--restarts] [--tell] [--orders '<JSON>']`.
 */
import { parseArgs } from 'node:util'
import { shorten } from '../../random.ts'
import { type Order, programOf } from './program.ts'
import { openTable } from './table.ts'

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'sqlite' },
    seed: { type: 'string', default: '1' },
    programs: { type: 'string', default: '20' },
    length: { type: 'string', default: '60' },
    restarts: { type: 'boolean', default: false },
    orders: { type: 'string' },
    tell: { type: 'boolean', default: false },
  },
})
const say = (text: string) => void process.stdout.write(`${text}\n`)
const store = values.store as Parameters<typeof openTable>[0]
const first = Number(values.seed)
const tell = values.tell ? say : undefined
/** What went wrong, whichever order of whichever program it was. */
const kindOf = (error: unknown) =>
  (error as Error).message
    .replace(/^order [0-9]+, \{.*?\}+: /, '')
    .replace(/[0-9]+/g, '')
    .slice(0, 60)

if (values.orders !== undefined) {
  await using table = await openTable(store)
  await table.play(JSON.parse(values.orders) as Order[], tell)
  say('passed')
} else {
  let failures = 0
  await using table = await openTable(store)
  for (let seed = first; seed < first + Number(values.programs); seed++) {
    const orders = programOf(seed, { length: Number(values.length), restarts: values.restarts })
    const began = performance.now()
    try {
      await table.play(orders, tell)
      say(`seed ${seed}: passed in ${Math.round(performance.now() - began)} ms`)
    } catch (error) {
      failures++
      say(`seed ${seed}: ${(error as Error).stack?.slice(0, 3_000)}`)
      const short = await shorten(orders, async (some) => {
        await using own = await openTable(store)
        try {
          await own.play(some)
          return false
        } catch (found) {
          return kindOf(found) === kindOf(error)
        }
      })
      say(`shortest: ${JSON.stringify(short)}`)
      process.exitCode = 1
      break
    }
  }
  say(`${failures} failed`)
}
process.exit()
