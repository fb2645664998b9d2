import type { FastifyRequest } from 'fastify'

/**
 * Runs work that waits for something, with a signal that aborts when the client has gone, so that nothing waits or reads for
 * nobody. The connection says so: a request itself is closed as soon as its body was read.
 */
export async function whileConnected<T>(request: FastifyRequest, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
  const gone = new AbortController()
  const leave = () => gone.abort()
  const { socket } = request.raw
  if (socket.destroyed) leave()
  socket.once('close', leave)
  try {
    return await work(gone.signal)
  } finally {
    socket.off('close', leave)
  }
}
