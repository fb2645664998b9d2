/** The command that plays random programs until one fails, and then shortens it. */
import { parseArgs } from 'node:util'
import { shorten } from './random.ts'

/** Where programs are played, one after the other. */
export interface Table<Order> extends AsyncDisposable {
  /** Throws what is wrong. */
  play(orders: readonly Order[], tell?: (text: string) => void): Promise<void>
}

/** Carries out one order after the other. Throws at which one what was seen differs from what is promised. */
export async function carryOut<Order>(
  orders: readonly Order[],
  player: { carryOut(order: Order): Promise<unknown> },
  tell?: (text: string) => void,
): Promise<void> {
  for (const [i, order] of orders.entries()) {
    tell?.(`${i} ${JSON.stringify(order)}`)
    try {
      await player.carryOut(order)
    } catch (error) {
      throw new Error(`order ${i}, ${JSON.stringify(order)}: ${(error as Error).message}`, { cause: error })
    }
  }
}

const beginningOf = ({ message }: Error): string =>
  message
    .replace(/^order [0-9]+, \{.*?\}+: /, '')
    .replace(/[0-9a-f]{8,}|[0-9]+/g, '')
    .slice(0, 60)

/**
 * Options: `--store`, `--seed` of the first program, `--programs`, `--length`, `--restarts`, `--tell` each order, `--keep` on after one that failed,
 * or `--orders '<JSON>'` instead of a random program. `kindOf`: of an error, what it has alike with that of another program that fails as this one does;
 * left out: its beginning, whichever order of whichever program it was.
 */
export async function playPrograms<Store extends string, Order>(on: {
  readonly length: number
  openTable(store: Store): Promise<Table<Order>>
  programOf(seed: number, options: { length: number; restarts: boolean; store: Store }): readonly Order[]
  kindOf?(error: Error): string
}): Promise<void> {
  const { kindOf = beginningOf } = on
  const { values } = parseArgs({
    options: {
      store: { type: 'string', default: 'sqlite' },
      seed: { type: 'string', default: '1' },
      programs: { type: 'string', default: '20' },
      length: { type: 'string', default: String(on.length) },
      restarts: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      orders: { type: 'string' },
      tell: { type: 'boolean', default: false },
    },
  })
  const say = (text: string) => void process.stdout.write(`${text}\n`)
  const store = values.store as Store
  const first = Number(values.seed)
  const tell = values.tell ? say : undefined

  if (values.orders !== undefined) {
    await using table = await on.openTable(store)
    await table.play(JSON.parse(values.orders) as Order[], tell)
    say('passed')
    return
  }
  let table: Table<Order> | undefined
  let failures = 0
  for (let seed = first; seed < first + Number(values.programs); seed++) {
    const orders = on.programOf(seed, { length: Number(values.length), restarts: values.restarts, store })
    const began = performance.now()
    table ??= await on.openTable(store)
    try {
      await table.play(orders, tell)
      say(`seed ${seed}: passed in ${Math.round(performance.now() - began)} ms`)
    } catch (error) {
      failures++
      say(`seed ${seed}: ${(error as Error).stack?.slice(0, 3_000)}`)
      await table[Symbol.asyncDispose]()
      table = undefined
      if (!values.keep) {
        const like = kindOf(error as Error)
        const short = await shorten(orders, async (some) => {
          await using own = await on.openTable(store)
          try {
            await own.play(some)
            return false
          } catch (found) {
            return kindOf(found as Error) === like
          }
        })
        say(`shortest: ${JSON.stringify(short)}`)
        process.exitCode = 1
        break
      }
    }
  }
  await table?.[Symbol.asyncDispose]()
  say(`${failures} failed`)
}
