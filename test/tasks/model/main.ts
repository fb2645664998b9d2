/**
 * Plays random programs until one fails, and then shortens it:
 * `node test/tasks/model/main.ts --store sqlite --seed 1 --programs 100 --length 40 [--restarts] [--orders '<JSON>']`.
 * Stores: sqlite, memory, postgres, redis (on SQLite), redis-postgres.
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
    length: { type: 'string', default: '40' },
    restarts: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    orders: { type: 'string' },
    tell: { type: 'boolean', default: false },
  },
})
const say = (text: string) => void process.stdout.write(`${text}\n`)
const store = values.store as Parameters<typeof openTable>[0]
const first = Number(values.seed)
const tell = values.tell ? say : undefined

if (values.orders !== undefined) {
  await using table = await openTable(store)
  await table.play(JSON.parse(values.orders) as Order[], tell)
  say('passed')
} else {
  let table = await openTable(store)
  let failures = 0
  for (let seed = first; seed < first + Number(values.programs); seed++) {
    const options = { length: Number(values.length), restarts: values.restarts, line: store.startsWith('redis') }
    const orders = programOf(seed, options)
    const began = performance.now()
    try {
      await table.play(orders, tell)
      say(`seed ${seed}: passed in ${Math.round(performance.now() - began)} ms`)
    } catch (error) {
      failures++
      say(`seed ${seed}: ${(error as Error).stack?.slice(0, 3_000)}`)
      await table[Symbol.asyncDispose]()
      if (!values.keep) {
        const like = (error as Error).message.replace(/[0-9]+/g, '').slice(0, 25)
        const short = await shorten(orders, async (some) => {
          await using own = await openTable(store)
          try {
            await own.play(some)
            return false
          } catch (found) {
            return (found as Error).message.replace(/[0-9]+/g, '').slice(0, 25) === like
          }
        })
        say(`shortest: ${JSON.stringify(short)}`)
        process.exitCode = 1
        break
      }
      table = await openTable(store)
    }
  }
  if (!values.keep || failures === 0) await table[Symbol.asyncDispose]()
  say(`${failures} failed`)
}
process.exit()
