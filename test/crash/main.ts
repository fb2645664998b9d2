/**
 * `npm run crash -- [--kills N] [--seed N] [--store sqlite|postgres]`: kills everything at random under a load of tasks and compares
 * what was promised with what is there. The tests do a dozen kills; this does as many as you have time for.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runCampaign } from './campaign.ts'

const { values } = parseArgs({
  options: { kills: { type: 'string' }, seed: { type: 'string' }, store: { type: 'string' } },
})
const whole = (text: string, name: string): number => {
  const n = Number(text)
  if (Number.isSafeInteger(n) && n >= 0) return n
  process.stderr.write(`--${name} takes a whole number\n`)
  process.exit(2)
}
const kills = whole(values.kills ?? '100', 'kills')
const seed = whole(values.seed ?? String(randomInt(2 ** 31)), 'seed')
const stores = (['sqlite', 'postgres'] as const).filter((one) => values.store === undefined || one === values.store)
if (stores.length === 0) {
  process.stderr.write('--store is sqlite or postgres\n')
  process.exit(2)
}
for (const store of stores) {
  process.stdout.write(`${store}: seed ${seed}\n`)
  const began = performance.now()
  const report = await runCampaign({ store, kills, seed, say: (text) => process.stdout.write(`${text}\n`) })
  process.stdout.write(
    `${JSON.stringify({ store, seed, ...report, seconds: Math.round((performance.now() - began) / 1_000) })}\n`,
  )
}
