const LOOK_MS = 500
/** Of a look's time; a server that is asked for something is above it. */
const IDLE = 0.1

/**
 * Gives back what only the start needed (sources, compilers of schemas, what migrations read): by itself V8 keeps it until the
 * heap grows again, which on an idle server is never. About 25 MB of 170, by one collection of a few tens of milliseconds, in
 * the first half second in which nobody asks for anything. Needs `--expose-gc`, as `npm start` gives it; does nothing without.
 */
export function giveBackStartupMemory(): void {
  const collect = globalThis.gc
  if (collect === undefined) return
  let before = performance.eventLoopUtilization()
  const looking = setInterval(() => {
    const { utilization } = performance.eventLoopUtilization(before)
    before = performance.eventLoopUtilization()
    if (utilization > IDLE) return
    clearInterval(looking)
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  }, LOOK_MS)
  looking.unref()
}
