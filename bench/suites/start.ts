import { type Figure, median, round } from '../figure.ts'
import { startWrit } from '../writ-process.ts'

const RUNS = 5

/** From nothing to ready, on an empty data directory; and the memory of a server that has been idle for two seconds. */
export async function start(): Promise<Figure[]> {
  const times: number[] = []
  const memory: number[] = []
  for (let run = 0; run < RUNS; run++) {
    const writ = await startWrit()
    times.push(writ.startedIn / 1000)
    await new Promise((later) => setTimeout(later, 2_000))
    memory.push(writ.memory().now / 1e6)
    await writ.stop()
  }
  return [
    {
      suite: 'start',
      figure: 'start to ready',
      mode: 'sqlite',
      ours: round(median(times)),
      peer: null,
      peer_value: null,
      ratio: null,
      unit: 's',
      runs: RUNS,
      goal: { at_most: 1.5 },
    },
    {
      suite: 'start',
      figure: 'idle memory',
      mode: 'sqlite',
      ours: round(median(memory)),
      peer: null,
      peer_value: null,
      ratio: null,
      unit: 'MB',
      runs: RUNS,
      goal: { at_most: 150 },
    },
  ]
}
