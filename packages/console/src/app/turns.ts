// A channel, because timers are held back in tabs that nobody looks at.
const channel = new MessageChannel()
const waiting: (() => void)[] = []
channel.port1.onmessage = () => waiting.shift()?.()

/** Comes in a turn of the event loop that is the caller's alone: keys and paint come between, where one long turn would hold them up. */
export const nextTurn = (): Promise<void> =>
  new Promise((begin) => {
    waiting.push(begin)
    channel.port2.postMessage(null)
  })
