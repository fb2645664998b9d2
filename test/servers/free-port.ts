/** Ports that nobody listens on, for servers that a test starts. */
import { createServer } from 'node:net'

/**
 * That many different free TCP ports on 127.0.0.1. All are held until the last is found, so they differ; between here and the
 * server's own listen another process could take one, which then shows as a failed start.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held = Array.from({ length: count }, () => createServer())
  try {
    return await Promise.all(
      held.map(
        (server) =>
          new Promise<number>((resolve, reject) => {
            server.once('error', reject)
            server.listen(0, '127.0.0.1', () => {
              const address = server.address()
              if (address && typeof address === 'object') resolve(address.port)
              else reject(new Error('listening without a port'))
            })
          }),
      ),
    )
  } finally {
    await Promise.all(held.map((server) => new Promise((done) => server.close(done))))
  }
}

/** One free TCP port on 127.0.0.1. */
export async function freePort(): Promise<number> {
  const [port] = await freePorts(1)
  return port!
}
