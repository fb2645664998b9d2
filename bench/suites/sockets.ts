import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import WebSocket from 'ws'
import { type Figure, median, round } from '../figure.ts'
import { startWrit } from '../writ-process.ts'

const RUNS = 3
const SUBSCRIBERS = 1_000
const EVENTS = 100

interface Crowd {
  /** Calls `cause`, and answers messages a second, from the first that arrives to the last that is expected. */
  hearing(expected: number, cause: () => Promise<unknown>): Promise<number>
  close(): void
}

/**
 * A thousand subscribers over WebSocket who each get every event of the log, against a bare `ws` server that sends a message of
 * the same length to as many. Nobody may get one too few or too many. The subscribers are one process, for both.
 */
export async function sockets(): Promise<Figure[]> {
  const env = {
    RATE_LIMIT_MAX: '0',
    LOG_TO_FILE: 'false',
    WRIT_SELF_CHECK_MINUTES: '0',
    WRIT_CHECKPOINT_INTERVAL_MS: '20',
  }
  const writ = await startWrit(env)
  const bare = spawn(process.execPath, [join(import.meta.dirname, '../bare-sockets.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const crowds: Crowd[] = []
  const rates: { ours: number[]; bare: number[] } = { ours: [], bare: [] }
  try {
    const [line] = (await once(bare.stdout, 'data')) as [Buffer]
    const bareUrl = line.toString().trim()
    const headers = { authorization: `Bearer ${await writ.token()}`, 'content-type': 'application/json' }
    const ours = await gather(`${writ.url.replace('http', 'ws')}/api/v1/ws`, headers)
    crowds.push(ours.crowd)
    const theirs = await gather(bareUrl.replace('http', 'ws'), {})
    crowds.push(theirs.crowd)
    const open = async (n: number) => {
      const answer = await fetch(`${writ.url}/api/v1/tickets`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ title: `Replace the core switch ${n}` }),
      })
      if (!answer.ok) throw new Error(`no ticket: ${answer.status}`)
      await answer.arrayBuffer()
    }
    for (let run = 0; run <= RUNS; run++) {
      const our = await ours.crowd.hearing(EVENTS, () => Promise.all(Array.from({ length: EVENTS }, (_, n) => open(n))))
      const message = Buffer.alloc(ours.length(), 'x')
      message.write('{"type":"event"')
      const their = await theirs.crowd.hearing(EVENTS, () =>
        fetch(`${bareUrl}/?count=${EVENTS}`, { method: 'POST', body: message }),
      )
      // The first round warms both.
      if (run === 0) continue
      rates.ours.push(our)
      rates.bare.push(their)
    }
  } finally {
    for (const crowd of crowds) crowd.close()
    bare.kill('SIGTERM')
    await writ.stop()
  }
  return [
    {
      suite: 'sockets',
      figure: `messages to ${SUBSCRIBERS} subscribers`,
      mode: 'sqlite',
      ours: round(median(rates.ours)),
      peer: 'bare ws',
      peer_value: round(median(rates.bare)),
      ratio: round(median(rates.ours) / median(rates.bare)),
      unit: 'messages/s',
      runs: RUNS,
      goal: { at_least: 0.8 },
    },
  ]
}

async function gather(url: string, headers: Record<string, string>): Promise<{ crowd: Crowd; length(): number }> {
  const counts = new Uint32Array(SUBSCRIBERS)
  let heard = 0
  let first = 0
  let last = 0
  let length = 0
  const sockets = Array.from({ length: SUBSCRIBERS }, (_, i) => {
    const socket = new WebSocket(url, { headers, perMessageDeflate: false })
    socket.on('error', () => {})
    socket.on('message', (data: Buffer) => {
      // Others are pings and states.
      if (!data.subarray(0, 15).equals(EVENT)) return
      if (heard++ === 0) first = performance.now()
      last = performance.now()
      counts[i]!++
      length = data.length
    })
    return socket
  })
  for (const socket of sockets)
    if (socket.readyState !== WebSocket.OPEN)
      await new Promise((open, fail) => socket.once('open', open).once('error', fail))
  return {
    length: () => length,
    crowd: {
      async hearing(expected, cause) {
        counts.fill(0)
        heard = 0
        await cause()
        while (heard < expected * SUBSCRIBERS) await new Promise((later) => setTimeout(later, 5))
        // One too many would come right behind.
        await new Promise((later) => setTimeout(later, 100))
        if (counts.some((count) => count !== expected)) throw new Error(`not everybody heard ${expected} events once`)
        return (heard / (last - first)) * 1_000
      },
      close() {
        for (const socket of sockets) socket.terminate()
      },
    },
  }
}

const EVENT = Buffer.from('{"type":"event"')
