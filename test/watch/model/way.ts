/** The way to a server, at an address that stays: it can be cut, wherever in a message, and leads to another server later. */
import net from 'node:net'

export interface Way extends AsyncDisposable {
  readonly url: string
  /** Breaks every connection. */
  cut(): void
}

/** @param to the url of the server at that time; throws while there is none */
export async function openWay(to: () => string): Promise<Way> {
  const open = new Set<net.Socket>()
  const server = net.createServer((client) => {
    let port: number
    try {
      port = Number(new URL(to()).port)
    } catch {
      return client.destroy()
    }
    const there = net.connect(port, '127.0.0.1')
    for (const [one, other] of [
      [client, there],
      [there, client],
    ] as const) {
      open.add(one)
      one.pipe(other)
      one.on('error', () => {})
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const cut = () => {
    for (const one of open) one.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    cut,
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise((done) => server.close(done))
    },
  }
}
