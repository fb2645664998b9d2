/** A way to a server that a test can cut: TCP on loopback, forwarded byte by byte. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './free-port.ts'

export type Proxy = {
  /** Where clients connect to. */
  readonly port: number
  /**
   * As a cable that is pulled: what is connected stays so and hears nothing any more, in neither direction; whoever comes is
   * refused. Resolves when nobody gets in.
   */
  cut(): Promise<void>
  /** Cuts when the next bytes of a client that contain `text` have gone on, so that they are done and not answered; resolves then. */
  cutAfter(text: string): Promise<void>
  /**
   * The cable is back: what was said meanwhile arrives. With `forget` it does not, and old connections stay silent for ever, as
   * behind a router that was replaced; new ones are taken.
   */
  mend(options?: { forget: boolean }): Promise<void>
  /** As a server that was stopped: what is connected is closed, and whoever comes is refused, until `mend`. */
  refuse(): Promise<void>
  stop(): Promise<void>
}

interface Pair {
  readonly client: Socket
  readonly far: Socket
  forgotten: boolean
}

/** Forwards to a port on loopback, or to the one that is answered when somebody comes; where that throws, they are turned away. */
export async function startProxy(target: number | (() => number)): Promise<Proxy> {
  const port = await freePort()
  const pairs = new Set<Pair>()
  let isCut = false
  let trap: { text: string; sprung(): void } | undefined
  let server: Server | undefined

  function join(client: Socket): void {
    let to: number
    try {
      to = typeof target === 'number' ? target : target()
    } catch {
      client.destroy()
      return
    }
    const pair: Pair = { client, far: connect(to, '127.0.0.1'), forgotten: false }
    pairs.add(pair)
    for (const [from, to] of [
      [client, pair.far],
      [pair.far, client],
    ] as const) {
      from.setNoDelay(true)
      from.on('data', (bytes: Buffer) => {
        if (isCut) {
          from.pause()
          from.unshift(bytes)
          return
        }
        to.write(bytes)
        if (from !== client || !trap || !bytes.includes(trap.text)) return
        isCut = true
        trap.sprung()
        trap = undefined
      })
      from.on('error', () => {})
      // That the other side has gone is not heard either, until the cable is back.
      from.on('close', () => isCut || pair.forgotten || end(pair))
    }
  }
  function end(pair: Pair): void {
    pair.client.destroy()
    pair.far.destroy()
    pairs.delete(pair)
  }
  const open = () =>
    new Promise<void>((resolve, reject) => {
      server = createServer(join).once('error', reject).listen(port, '127.0.0.1', resolve)
    })
  async function cut(): Promise<void> {
    isCut = true
    for (const { client, far } of pairs) {
      client.pause()
      far.pause()
    }
    // It stops listening at once; that it still has connections is no matter.
    server?.close()
    server = undefined
  }
  await open()
  return {
    port,
    cut,
    async cutAfter(text) {
      await new Promise<void>((sprung) => {
        trap = { text, sprung }
      })
      await cut()
    },
    async mend({ forget } = { forget: false }) {
      isCut = false
      for (const pair of pairs) {
        if (forget) {
          pair.forgotten = true
          pair.far.destroy()
        } else if (pair.client.destroyed || pair.far.destroyed) end(pair)
        else {
          pair.client.resume()
          pair.far.resume()
        }
      }
      await open()
    },
    async refuse() {
      server?.close()
      server = undefined
      for (const pair of pairs) end(pair)
    },
    async stop() {
      server?.close()
      for (const pair of pairs) end(pair)
    },
  }
}
